"""Changes of one weight that directions are combined of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import CheckpointError, SpaceError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.space import Space

__all__ = ["WeightBasis"]


@dataclass(frozen=True, eq=False)
class WeightBasis:
    """K changes of one weight of a generator, each of the size of one sigma.

    Its codes are a code of the generator's first space followed by K amounts of the changes.

    Attributes:
        weight: Name of the weight, of `generator.tunable`.
        shape: Its shape `[o, i, ...]`.
        latent: Coordinates of a code of the generator's first space.
        changes: `added` `[K, o, i, ...]`; or, of low rank, `left` `[K, o, r]` and `right`
            `[K, r, i · …]`, whose products they are; of any floating point, which a file keeps.

    Raises:
        LatdirError: Tensors that do not fit each other or the weight.

    Example:
        >>> ones = WeightBasis("conv", (2, 1, 1, 1), 4, {"added": torch.ones(3, 2, 1, 1, 1)})
        >>> len(ones), ones.space.name, ones.space.shape
        (3, 'conv#f3d66ed7', (7,))
        >>> ones.combined(torch.tensor([[1.0, 0.5, 0.0]])).flatten().tolist()
        [1.5, 1.5]
    """

    weight: str
    shape: tuple[int, ...]
    latent: int
    changes: Mapping[str, Float[Tensor, "k ..."]]

    def __post_init__(self) -> None:
        held = {part: tensor.detach().cpu() for part, tensor in self.changes.items()}
        object.__setattr__(self, "changes", held)
        shapes = {part: tuple(tensor.shape) for part, tensor in held.items()}
        rows, columns = self.shape[0], math.prod(self.shape[1:])
        if set(shapes) == {"added"}:
            fits = shapes["added"][1:] == self.shape
        else:
            k, _, rank = (*shapes.get("left", ()), 0, 0, 0)[:3]
            wanted = {"left": (k, rows, rank), "right": (k, rank, columns)}
            fits = shapes == wanted
        if not fits or not len(self) or self.latent < 1:
            raise CheckpointError(
                f"changes of shapes {shapes} are none of a weight {self.weight!r} of shape "
                f"{list(self.shape)}"
            )
        wrong = [part for part, tensor in held.items() if not _finite(tensor)]
        if wrong:
            raise CheckpointError(f"changes of {self.weight!r} are not finite in {wrong[0]!r}")

    def __len__(self) -> int:
        return len(next(iter(self.changes.values())))

    @cached_property
    def space(self) -> Space:
        """The space of its codes, named after the weight and a hash of the changes."""
        digest = fingerprint(self.changes, {"weight": self.weight, "latent": self.latent})
        return Space(f"{self.weight}#{digest[:8]}", (self.latent + len(self),))

    def split(self, codes: Float[Tensor, "*n c"]) -> tuple[Tensor, Tensor]:
        """Latent codes `[*n, latent]` and amounts `[*n, K]` of codes of its space."""
        return codes[..., : self.latent], codes[..., self.latent :]

    def part(self, amounts: Float[Tensor, "K"]) -> dict[str, Tensor]:
        """The change by given amounts of one sigma, as `Deltas` keep it."""
        if "added" in self.changes:
            added = self.changes["added"].to(amounts)
            return {"added": torch.tensordot(amounts, added, 1)}
        used = amounts.nonzero()[:, 0]
        left, right = (self.changes[name].to(amounts)[used] for name in ("left", "right"))
        left = (left * amounts[used, None, None]).permute(1, 0, 2).flatten(1)
        return {"left": left, "right": right.flatten(0, 1)}

    def combined(self, amounts: Float[Tensor, "n K"]) -> Float[Tensor, "n ..."]:
        """Changes of the weight by amounts of one sigma, differentiable."""
        if "added" in self.changes:
            made: Tensor = torch.tensordot(amounts, self.changes["added"].to(amounts), 1)
            return made
        left, right = (self.changes[name].to(amounts) for name in ("left", "right"))
        scaled = (left * amounts[:, :, None, None]).permute(0, 2, 1, 3).flatten(2)
        return (scaled @ right.flatten(0, 1)).reshape(-1, *self.shape)

    def check(self, generator: Generator) -> None:
        """Refuse a generator without such a weight, or with another first space.

        Raises:
            LatdirError: As said.
        """
        own = generator.tunable.get(self.weight)
        if own is None or tuple(own.shape) != self.shape:
            met = "has none of that name" if own is None else f"has shape {list(own.shape)}"
            raise CheckpointError(
                f"these directions change {self.weight!r} of shape {list(self.shape)}, and that "
                f"of {generator.name} {met}: load the generator that they were found in"
            )
        first = generator.space(generator.default_space())
        if first.shape != (self.latent,):
            raise SpaceError(
                f"these directions are of codes of {self.latent} coordinates, and those of "
                f"{generator.name} have shape {list(first.shape)}"
            )

    def entry(self) -> dict[str, Any]:
        """What a file holds of it beside the tensors."""
        return {"weight": self.weight, "shape": list(self.shape), "latent": self.latent}


def _finite(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(torch.isfinite(tensor).all())
