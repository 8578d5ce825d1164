"""How far codes are from the ones a generator was trained on.

A distance is the root mean square of a code's standardized coordinates: near 1 for codes of the
prior. In z, w, p and pn coordinates are standardized along the prior's principal axes
(Mahalanobis); in w+ and pn+ each layer is, by the prior of one layer (the P_N distance of Zhu,
Abdal, Qin, Femiani, Wonka 2020, arXiv:2012.09036); in s by each coordinate's own deviation, since
its 9,000 coordinates all follow from 512.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.generators.base import Generator

__all__ = ["Typicality"]

# Largest covariance to decompose.
LARGEST = 2048
# Relative to the largest standard deviation; codes vary by less along axes below it.
FLOOR = 1e-2


@dataclass(frozen=True, eq=False)
class Typicality:
    """Standardized coordinates of the codes of a space.

    Attributes:
        shape: Shape of one code.
        mean: `[d]`, of one layer where codes have layers.
        matrix: `[d, d]` to multiply rows by, or `[d]`, factors of the coordinates.
        spread: Root mean square of the coordinates' standard deviations.
    """

    shape: tuple[int, ...]
    mean: Float[Tensor, "d"]
    matrix: Tensor
    spread: float

    @classmethod
    def of(cls, generator: Generator, space: str) -> Typicality:
        """The typicality of a generator's space.

        Example:
            >>> from directions.planted.world import planted
            >>> world = planted(dim=8)
            >>> Typicality.of(world, "z").distances(torch.full((1, 8), 2.0))
            tensor([2.])
        """
        shape, one = generator.space(space).shape, space.removesuffix("+")
        prior = generator.prior(one if one in generator.spaces else space)
        deviations = prior.deviations
        spread = float(deviations.square().mean().sqrt())
        if len(prior.mean) > LARGEST or one == "s":
            scale = deviations.clamp_min(FLOOR * float(deviations.max()))
            return cls(shape, prior.mean, 1 / scale, spread)
        values, axes = torch.linalg.eigh(prior.covariance.double())
        deviations = values.clamp_min(0).sqrt()
        scale = deviations.clamp_min(FLOOR * float(deviations.max()))
        return cls(shape, prior.mean, (axes / scale).float(), spread)

    @property
    def coordinates(self) -> int:
        """Numbers in a code."""
        return math.prod(self.shape)

    def center(self, like: Tensor) -> Float[Tensor, "*shape"]:
        """The prior's mean as one code, in the dtype and on the device of `like`."""
        layers = math.prod(self.shape) // len(self.mean)
        return self.mean.to(like).repeat(layers).reshape(self.shape)

    def standardized(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        """Standardized coordinates, flattened."""
        return self.scaled(codes - self.center(codes))

    def scaled(self, offsets: Float[Tensor, "..."]) -> Float[Tensor, "... d"]:
        """The linear part of `standardized`; any leading axes stay."""
        matrix = self.matrix.to(offsets)
        lead = offsets.shape[: offsets.ndim - len(self.shape)]
        rows = offsets.reshape(*lead, -1, len(self.mean))
        made: Tensor = rows * matrix if matrix.ndim == 1 else rows @ matrix
        return made.flatten(-2)

    def unscaled(self, cotangents: Float[Tensor, "... d"]) -> Float[Tensor, "..."]:
        """The transpose of `scaled`."""
        matrix = self.matrix.to(cotangents)
        lead = cotangents.shape[:-1]
        rows = cotangents.reshape(*lead, -1, len(self.mean))
        made: Tensor = rows * matrix if matrix.ndim == 1 else rows @ matrix.T
        return made.reshape(*lead, *self.shape)

    def distances(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n"]:
        """Root mean square of the standardized coordinates of each code."""
        return self.standardized(codes).square().mean(1).sqrt()

    def within(self, codes: Float[Tensor, "n ..."], radius: float) -> Float[Tensor, "n ..."]:
        """Codes drawn toward the mean until their distance is at most `radius`."""
        factor = (radius / self.distances(codes).clamp_min(1e-12)).clamp_max(1.0)
        center = self.center(codes)
        return center + factor.reshape(-1, *[1] * len(self.shape)) * (codes - center)
