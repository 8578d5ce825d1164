"""Directions of one coordinate each: the channels of a style code, by layer and number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from directions.direction import Direction
from directions.generators.base import Generator
from discovery.base import Method

__all__ = ["channel_direction", "channel_names", "usable_channels"]


def channel_names(generator: Generator, space: str) -> list[tuple[str, int]]:
    """For each coordinate of a code, its layer's name and its number within the layer."""
    where = generator.space(space)
    if space != "s" or not where.layers:
        return [(space, i) for i in range(where.size)]
    names = generator.style_names or tuple(f"layer{i}" for i in range(len(where.layers)))
    return [
        (name, i)
        for name, (start, stop) in zip(names, where.layers, strict=True)
        for i in range(stop - start)
    ]


def usable_channels(generator: Generator, space: str, *, rgb: bool) -> Tensor:
    """Mask `[d]` of the usable coordinates: those of color layers only with `rgb`."""
    names = channel_names(generator, space)
    return torch.tensor([rgb or not layer.endswith("rgb") for layer, _ in names])


def channel_direction(
    generator: Generator,
    space: str,
    index: int,
    *,
    sign: float,
    name: str,
    method: Method,
    evidence: Mapping[str, Any],
) -> Direction:
    """The direction of one channel, named after its attribute and location.

    Args:
        generator: Whose codes it moves.
        space: Name of their space.
        index: Coordinate of the code.
        sign: 1 or -1.
        name: The attribute it changes.
        method: What found it.
        evidence: Figures that speak for it; its place is added.
    """
    where = generator.space(space)
    layer, channel = channel_names(generator, space)[index]
    vector = torch.zeros(where.size)
    vector[index] = sign
    return Direction(
        f"{name}:{layer}:{channel}",
        vector.reshape(where.shape),
        space,
        method=method.method,
        config=method.config,
        sigma=float(generator.prior(space).deviations.flatten()[index]),
        evidence={"layer": layer, "channel": channel, "index": index, **evidence},
    )
