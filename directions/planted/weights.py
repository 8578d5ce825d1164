"""A planted generator with a weight whose directions change known factors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.planted.world import SOFT_RANGE, PlantedGenerator

__all__ = ["PlantedWeights"]


class PlantedWeights(PlantedGenerator):
    """A planted generator that adds (W − W₀) h to the levels of its patterns.

    W₀ = Σ s_j e_j v_jᵀ with orthonormal v_j, falling s_j and h = Σ v_j: the change e_j v_jᵀ of the
    weight `mixing` adds 1 to level j, which for the first levels are the factors. Changes e_j v_jᵀ
    are the singular directions of the weight; e_j hᵀ / ‖h‖ those of the largest change of the
    image, in the order of the patterns' amplitudes.

    Args:
        truth: As of `PlantedGenerator`, like the other arguments.
        inputs: Columns of the weight, at least as many as there are patterns.
        **geometry: Further arguments of `PlantedGenerator`.

    Example:
        >>> from directions.planted.world import planted
        >>> world = PlantedWeights.of(planted(factors=2, dim=8, nuisances=1))
        >>> codes = world.sample(3, seed=0)
        >>> moved = world.with_weights({"mixing": world.tunable["mixing"] + world.change(1)})
        >>> (moved.factors(codes) - world.factors(codes))[0].round(decimals=3)
        tensor([0., 1.])
    """

    def __init__(self, truth: Float[Tensor, "k d"], *, inputs: int = 12, **geometry: Any) -> None:
        super().__init__(truth, **geometry)
        patterns = len(self._amplitudes)
        rng = torch.Generator().manual_seed(1)
        drawn = torch.randn(inputs, patterns, generator=rng, dtype=torch.float64)
        self._inputs = torch.linalg.qr(drawn)[0].T.float()  # v_j
        strengths = torch.arange(patterns, 0, -1).float()
        self._base = strengths[:, None] * self._inputs
        self._weight = self._base

    @classmethod
    def of(cls, world: PlantedGenerator) -> PlantedWeights:
        """A planted generator with such a weight."""
        return cls(
            world.truth,
            bends=world._bends,
            nuisances=world._nuisances,
            covariance=world._covariance,
            bend=world._bend,
            gains=world._amplitudes.tolist(),
            size=world.image_shape[1],
            names=world.names,
        )

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over geometry and weight."""
        own = PlantedGenerator.fingerprint.func(self)  # type: ignore[attr-defined]
        return fingerprint({"mixing": self._weight}, {"of": own})

    def change(self, level: int) -> Float[Tensor, "p q"]:
        """The change of the weight that adds 1 to a level and is singular for it, e_j v_jᵀ."""
        made = torch.zeros_like(self._base)
        made[level] = self._inputs[level]
        return made

    @property
    def added(self) -> Float[Tensor, "p"]:
        """What the weight adds to the levels."""
        added: Tensor = (self._weight - self._base) @ self._inputs.sum(0)
        return added

    def factors(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The factors of codes: what `classifier()` reads from their images."""
        return super().factors(codes) + self.added[: len(self.truth)].to(codes)

    def synthesize(self, codes: Float[Tensor, "n d"], space: str = "z") -> Tensor:
        """As of `PlantedGenerator`."""
        self.check(codes, space)
        others = codes @ self._nuisances.to(codes).T + self.added[len(self.truth) :].to(codes)
        levels = torch.cat([self.factors(codes), others], 1)
        weights = torch.tanh(levels / SOFT_RANGE) * self._amplitudes.to(codes)
        return (weights @ self._patterns.to(codes)).reshape(-1, *self.image_shape)

    @property
    def tunable(self) -> dict[str, Tensor]:
        """The weight, `[patterns, inputs]`."""
        return {"mixing": self._weight}

    def with_weights(self, weights: Mapping[str, Tensor], *, name: str | None = None) -> Generator:
        """As `Generator.with_weights`."""
        made = copy.copy(self)
        made.__dict__.pop("fingerprint", None)
        made.name, made._weight = name or self.name, weights.get("mixing", self._weight)
        return made
