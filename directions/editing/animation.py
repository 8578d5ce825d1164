"""Frames of an edit: some samples moved along a direction, little by little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.direction import Direction
from directions.editing.grids import amount_label
from directions.editing.moves import space_of, sweep
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.images import grid
from directions.scoring.scorer import Scorer
from directions.space import as_codes

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["edit_frames"]


@checked
def edit_frames(
    generator: Generator,
    codes: Float[Tensor, "n *shape"] | np.ndarray,
    direction: Direction,
    *,
    low: float = -3.0,
    high: float = 3.0,
    count: int = 25,
    unit: str = "sigma",
    layers: Sequence[int] | None = None,
    tile: int | None = None,
) -> list[Image.Image]:
    """Pictures of some samples side by side, moved along a direction from one end to the other.

    Args:
        generator: Makes the images; a direction from a bank must belong to it.
        codes: `[n, *shape]`, of the space that the direction moves.
        direction: The direction.
        low: Amount of the first frame.
        high: Amount of the last.
        count: Frames, equally far apart.
        unit: `sigma`, `latent`, `attribute`, or the unit the direction is calibrated in.
        layers: Move these layers only, instead of those the direction was made for.
        tile: Height of one sample's image.

    Returns:
        The frames; `save_animation` writes them.

    Raises:
        LatdirError: Fewer than two frames, no codes, codes of another space, or what `sweep`
            refuses.

    Example:
        >>> from directions.planted.world import planted
        >>> generator = planted()
        >>> up = Direction("up", generator.truth[0], "z")
        >>> len(edit_frames(generator, generator.sample(2, seed=0), up, count=5))
        5
    """
    codes = as_codes(codes)
    if count < 2:
        raise LatdirError(f"{count} frames do not move: take 2 or more")
    if len(codes) == 0:
        raise LatdirError("no codes to draw: give at least one")
    space = space_of(generator, codes, direction)
    amounts = np.linspace(low, high, count).tolist()
    moved = sweep(codes, direction, amounts, unit=unit, layers=layers)
    images = [part.cpu() for part in Scorer(generator, space=space).images(moved.flatten(0, 1))]
    strips = torch.cat(images).float()
    strips = strips.reshape(*moved.shape[:2], *strips.shape[1:])
    labels = [amount_label(amount, unit, [direction]) for amount in amounts]
    return [
        grid(strip, title=f"{direction.name} {label}", tile=tile)
        for strip, label in zip(strips, labels, strict=True)
    ]
