"""Mapper paths: code-dependent steps of a small network, as a path that is saved and applied.

`clip_mapper.ClipMapper` trains them. A path belongs to one text and one generator: codes move by
`amount` times the networks' output, so that its line differs from code to code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from directions.classifiers.base import Classifier
from directions.errors import LatdirError, SpaceError
from directions.generators.base import Generator
from directions.paths.base import CurvedPath
from directions.paths.contents import StoredPath

__all__ = ["Groups", "MapperPath", "displacement", "perceptron"]

SLOPE = 0.2
LEAST_NORM = 1e-8

Groups = tuple[tuple[int, int], ...]

Shape = Annotated[tuple[int, ...], Field(min_length=1)]
Depth = Annotated[int, Field(ge=1, le=64)]

SETTINGS = {
    "name": str, "space": str, "shape": Shape, "groups": Groups, "depths": tuple[Depth, ...],
    "length": float, "sigma": float,
}  # fmt: skip


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths with leaky rectifiers between them.

    Example:
        >>> [list(w.shape) for w in perceptron([4, 8, 4]).parameters()]
        [[8, 4], [8], [4, 8], [4]]
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True, eq=False)
class MapperPath(CurvedPath):
    """Networks that predict each code's step; one for each group of layers.

    Attributes:
        name: The attribute it is meant to change.
        space: Name of the codes' space.
        shape: Shape of one code.
        groups: (start, stop) of the layers of each network along the codes' first axis; for codes
            without layers one group, (0, 1).
        networks: One for each group, from a code's last axis to itself.
        length: Mean distance that codes are moved by when the amount is as trained.
        sigma: Standard deviation of the prior's codes along the mean move.
        generator: Name of the generator.
        fingerprint: Its sha256.

    Raises:
        LatdirError: Networks that do not fit the groups or each other.

    Example:
        >>> nothing = perceptron([4, 4]).requires_grad_(False)
        >>> for weights in nothing.parameters():
        ...     _ = torch.nn.init.zeros_(weights)
        >>> path = MapperPath("same", "z", (4,), ((0, 1),), (nothing,), 1.0, 1.0, "toy", "0" * 64)
        >>> path.shift(torch.ones(1, 4), 2.0)
        tensor([[1., 1., 1., 1.]])
    """

    kind: ClassVar[str] = "clip_mapper"

    name: str
    space: str
    shape: tuple[int, ...]
    groups: Groups
    networks: tuple[nn.Sequential, ...]
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
        for network in self.networks:
            shapes = [list(layer.weight.shape) for layer in _linear(network)]
            ends = [size, *(outputs for outputs, _ in shapes)]
            if not shapes or [inputs for _, inputs in shapes] != ends[:-1] or ends[-1] != size:
                raise LatdirError(
                    f"mapper {self.name!r} has a network of shapes {shapes}: its layers must "
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
        steps = self._steps(amount, codes, lengths, unit)
        if tuple(codes.shape[1:]) != self.shape:
            raise SpaceError(
                f"mapper {self.name!r} moves codes of shape {list(self.shape)}, "
                f"not {list(codes.shape[1:])}"
            )
        steps = steps.reshape(-1, *[1] * len(self.shape))
        return codes + steps * displacement(codes, self.groups, self.networks)

    def stored(self) -> StoredPath:
        """The networks as tensors, the rest as settings."""
        tensors = {
            f"{g}.{i}.{part}": tensor.detach()
            for g, network in enumerate(self.networks)
            for i, layer in enumerate(_linear(network))
            for part, tensor in (("weight", layer.weight), ("bias", layer.bias))
        }
        config = {
            "name": self.name,
            "space": self.space,
            "shape": self.shape,
            "groups": self.groups,
            "depths": [len(_linear(network)) for network in self.networks],
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
        values = stored.typed_config(SETTINGS)
        layers = [[f"{g}.{i}." for i in range(n)] for g, n in enumerate(values.pop("depths"))]
        parts = (("weight", 2), ("bias", 1))
        axes = {name + part: n for names in layers for name in names for part, n in parts}
        tensors = stored.shaped_tensors(axes)
        networks = tuple(_network(tensors, names) for names in layers)
        return cls(**values, **stored.owner, networks=networks)


def _linear(network: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in network if isinstance(layer, nn.Linear)]


def _network(tensors: Mapping[str, Tensor], names: Sequence[str]) -> nn.Sequential:
    """A network of stored weights, from the names of its layers; it is frozen."""
    shapes = [tensors[f"{name}weight"].shape for name in names]
    network = perceptron([shapes[0][1], *(outputs for outputs, _ in shapes)])
    for name, layer in zip(names, _linear(network), strict=True):
        for part, own in (("weight", layer.weight), ("bias", layer.bias)):
            given = tensors[name + part]
            if given.shape != own.shape:
                raise LatdirError(
                    f"layer {name[:-1]} of a mapper has {part} {list(given.shape)}: its layers "
                    f"must follow on each other, {list(own.shape)}"
                )
            own.data = given
    return network.requires_grad_(False)


def displacement(
    codes: Float[Tensor, "n *shape"],
    groups: Groups,
    networks: tuple[nn.Sequential, ...],
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
    for (start, stop), network in zip(groups, networks, strict=True):
        x = layered[:, start:stop]
        x = x * (x.square().mean(-1, keepdim=True) + LEAST_NORM).rsqrt()
        weight = _linear(network)[0].weight
        if (weight.device, weight.dtype) != (codes.device, codes.dtype):
            network = deepcopy(network).to(codes)
        moved[:, start:stop] = network(x)
    return moved.reshape(codes.shape)
