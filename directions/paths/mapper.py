"""Mapper paths: code-dependent steps of a small network, as a path that is saved and applied.

`clip_mapper.ClipMapper` trains them. A path belongs to one text and one generator: codes move by
`amount` times the networks' output, so that its line differs from code to code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import leaky_relu

from directions.classifiers.base import Classifier
from directions.errors import LatdirError, SpaceError, UnknownNameError
from directions.generators.base import Generator
from directions.paths.base import CurvedPath, StoredPath

__all__ = ["Groups", "Layers", "MapperPath", "displacement"]

SLOPE = 0.2
LEAST_NORM = 1e-8

Groups = tuple[tuple[int, int], ...]
Layers = tuple[tuple[Tensor, Tensor], ...]
"""Weights `[out, in]` and biases `[out]` of one network, in order."""


@dataclass(frozen=True, eq=False)
class MapperPath(CurvedPath):
    """Networks that predict each code's step; one for each group of layers.

    Attributes:
        name: The attribute it is meant to change.
        space: Name of the codes' space.
        shape: Shape of one code.
        groups: (start, stop) of the layers of each network along the codes' first axis; for codes
            without layers one group, (0, 1).
        networks: One for each group.
        length: Mean distance that codes are moved by when the amount is as trained.
        sigma: Standard deviation of the prior's codes along the mean move.
        generator: Name of the generator.
        fingerprint: Its sha256.

    Raises:
        LatdirError: Networks that do not fit the groups or each other.

    Example:
        >>> nothing = ((torch.zeros(4, 4), torch.zeros(4)),)
        >>> path = MapperPath("same", "z", (4,), ((0, 1),), (nothing,), 1.0, 1.0, "toy", "0" * 64)
        >>> path.shift(torch.ones(1, 4), 2.0)
        tensor([[1., 1., 1., 1.]])
    """

    kind: ClassVar[str] = "clip_mapper"

    name: str
    space: str
    shape: tuple[int, ...]
    groups: Groups
    networks: tuple[Layers, ...]
    length: float
    sigma: float
    generator: str
    fingerprint: str

    def __post_init__(self) -> None:
        if len(self.groups) != len(self.networks):
            raise LatdirError(
                f"mapper {self.name!r} has {len(self.networks)} networks for "
                f"{len(self.groups)} groups of layers: one each"
            )
        size = self.shape[-1]
        for layers in self.networks:
            sizes = [(list(w.shape), list(b.shape)) for w, b in layers]
            ends = [size, *(w[0] for w, _ in sizes)]
            wanted = [([ends[i + 1], ends[i]], [ends[i + 1]]) for i in range(len(sizes))]
            if not sizes or sizes != wanted or ends[-1] != size:
                raise LatdirError(
                    f"mapper {self.name!r} has a network of shapes {sizes}: its layers must "
                    f"follow on each other, from {size} numbers to {size}"
                )
        if not (self.length > 0 and self.sigma > 0):
            raise LatdirError(
                f"mapper {self.name!r} has length {self.length} and sigma {self.sigma}: "
                "both are positive"
            )

    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """Move codes by the networks' steps.

        Args:
            codes: `[n, *shape]`.
            amount: A number, or one for each code.
            unit: `sigma` (default) or `latent`, of the mean distance moved, or `edit`: 1 is what
                the networks were trained for.

        Raises:
            LatdirError: Codes of another shape, or an unknown unit.
        """
        lengths = {"sigma": self.sigma / self.length, "latent": 1 / self.length, "edit": 1.0}
        if unit not in lengths:
            raise UnknownNameError(
                f"mapper {self.name!r} has no unit {unit!r}: use {', '.join(lengths)}"
            )
        if tuple(codes.shape[1:]) != self.shape:
            raise SpaceError(
                f"mapper {self.name!r} moves codes of shape {list(self.shape)}, "
                f"not {list(codes.shape[1:])}"
            )
        steps = torch.as_tensor(amount).to(codes)
        if steps.ndim > 1 or (steps.ndim == 1 and len(steps) not in (1, len(codes))):
            raise LatdirError(
                f"amount has shape {list(steps.shape)}: give one number, "
                f"or one for each of the {len(codes)} codes"
            )
        steps = steps.reshape(-1, *[1] * (codes.ndim - 1)) * lengths[unit]
        return codes + steps * displacement(codes, self.groups, self.networks)

    def stored(self) -> StoredPath:
        """The networks as tensors, the rest as settings."""
        tensors = {
            f"{g}.{i}.{part}": tensor
            for g, layers in enumerate(self.networks)
            for i, pair in enumerate(layers)
            for part, tensor in zip(("weight", "bias"), pair, strict=True)
        }
        config = {
            "name": self.name,
            "space": self.space,
            "shape": self.shape,
            "groups": self.groups,
            "depths": [len(layers) for layers in self.networks],
            "length": self.length,
            "sigma": self.sigma,
        }
        return StoredPath(self.generator, self.fingerprint, config, tensors)

    @classmethod
    def restored(
        cls,
        stored: StoredPath,
        *,
        generator: Generator | None = None,
        classifier: Classifier | None = None,
    ) -> MapperPath:
        """The path again; it needs neither generator nor classifier."""
        values: dict[str, Any] = dict(stored.config)
        depths = values.pop("depths")
        values["shape"] = tuple(values["shape"])
        values["groups"] = tuple((int(a), int(b)) for a, b in values["groups"])
        values["networks"] = tuple(
            tuple(
                (stored.tensors[f"{g}.{i}.weight"], stored.tensors[f"{g}.{i}.bias"])
                for i in range(depth)
            )
            for g, depth in enumerate(depths)
        )
        return cls(**values, generator=stored.generator, fingerprint=stored.fingerprint)


def displacement(
    codes: Float[Tensor, "n *shape"],
    groups: Groups,
    networks: tuple[Layers, ...],
) -> Float[Tensor, "n *shape"]:
    """Steps of the networks: each reads every layer of its group separately.

    Inputs are brought to unit mean square, as the generator's own mapping does.

    Args:
        codes: `[n, layers, d]` or `[n, d]`.
        groups: (start, stop) of the layers of each network.
        networks: One for each group.
    """
    layered = codes if codes.ndim > 2 else codes[:, None]
    moved = torch.zeros_like(layered)
    for (start, stop), layers in zip(groups, networks, strict=True):
        x = layered[:, start:stop]
        x = x * (x.square().mean(-1, keepdim=True) + LEAST_NORM).rsqrt()
        for i, (weight, bias) in enumerate(layers):
            x = torch.nn.functional.linear(x, weight.to(codes), bias.to(codes))
            if i < len(layers) - 1:
                x = leaky_relu(x, SLOPE)
        moved[:, start:stop] = x
    return moved.reshape(codes.shape)
