"""Latent spaces of a generator: name, shape, and the distribution of their codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked, checked_fields, checked_values
from directions.errors import LatdirError, SpaceError

__all__ = ["LowRankPrior", "Prior", "Space", "as_codes"]


def as_codes(codes: Tensor | np.ndarray) -> Tensor:
    """Codes as a tensor.

    Raises:
        SpaceError: Neither a tensor nor an array of numbers.

    Example:
        >>> as_codes(np.zeros((2, 3), dtype=np.float32)).shape
        torch.Size([2, 3])
    """
    if isinstance(codes, Tensor):
        return codes
    if isinstance(codes, np.ndarray) and codes.dtype.kind in "iuf":
        return torch.from_numpy(np.ascontiguousarray(codes))
    raise SpaceError(
        f"codes are a tensor or an array [n, …], not {type(codes).__name__}: "
        "generator.sample(4, seed=0) draws some"
    )


@checked_fields
@dataclass(frozen=True)
class Space:
    """One latent space of a generator.

    Attributes:
        name: `z`, `w`, `w+`, `s`, `p`, `pn`, or a name of the generator's own.
        shape: Shape of one code, without the batch axis.
        layers: For layered spaces, the (start, stop) of each layer along the first axis.

    Raises:
        LatdirError: An empty shape, or layers beyond it.

    Example:
        >>> Space("z", (100,)).size
        100
        >>> Space("w+", (4, 512), layers=((0, 1), (1, 2), (2, 3), (3, 4))).size
        2048
    """

    name: str
    shape: tuple[int, ...]
    layers: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.name or not self.shape or min(self.shape) < 1:
            raise SpaceError(
                f"a space has a name and a shape of positive sizes, not {self.name!r} and "
                f"{list(self.shape)}"
            )
        beyond = [pair for pair in self.layers if not 0 <= pair[0] < pair[1] <= self.shape[0]]
        if beyond:
            raise SpaceError(
                f"layer {beyond[0]} of space {self.name!r} is not within its first axis, "
                f"0 … {self.shape[0]}"
            )

    @property
    def size(self) -> int:
        """Number of coordinates of one code."""
        return math.prod(self.shape)

    def check(self, codes: Tensor) -> Tensor:
        """Return `codes` if they are a batch of this space's codes.

        Args:
            codes: Expected `[n, *shape]`, floating point.

        Raises:
            LatdirError: Another shape or an integer dtype.

        Example:
            >>> Space("z", (100,)).check(torch.zeros(100))
            Traceback (most recent call last):
            ...
            directions.errors.SpaceError: codes of space 'z' have shape [n, 100], not [100]:
            add a batch axis with codes[None]
        """
        if tuple(codes.shape[1:]) != self.shape or codes.ndim != len(self.shape) + 1:
            hint = "check which space the codes come from"
            if tuple(codes.shape) == self.shape:
                hint = "add a batch axis with codes[None]"
            expected = ", ".join(["n", *map(str, self.shape)])
            raise SpaceError(
                f"codes of space {self.name!r} have shape [{expected}], "
                f"not {list(codes.shape)}: {hint}"
            )
        if not codes.is_floating_point():
            raise SpaceError(f"codes are floating point, not {codes.dtype}: use codes.float()")
        return codes


@checked_fields
@dataclass(frozen=True, eq=False)
class Prior:
    """Mean and covariance of the codes a space is sampled from.

    Attributes:
        mean: `[d]`, the codes' mean, flattened.
        covariance: `[d, d]`.

    Raises:
        LatdirError: The two do not fit, or are not finite.

    Example:
        >>> prior = Prior.standard(3)
        >>> prior.sigma(torch.tensor([0.0, 1.0, 0.0]))
        1.0
    """

    mean: Float[Tensor, "d"]
    covariance: Float[Tensor, "d d"]

    def __post_init__(self) -> None:
        size = self.mean.numel()
        if self.mean.ndim != 1 or tuple(self.covariance.shape) != (size, size):
            raise SpaceError(
                f"a prior has a mean [d] and a covariance [d, d], not {list(self.mean.shape)} "
                f"and {list(self.covariance.shape)}"
            )
        if not (torch.isfinite(self.mean).all() and torch.isfinite(self.covariance).all()):
            raise SpaceError("this prior has NaN or infinite entries: check the codes behind it")

    @classmethod
    def standard(cls, size: int) -> Prior:
        """The standard normal prior of most GANs' z space."""
        return cls(torch.zeros(size), torch.eye(size))

    @classmethod
    @checked
    def fit(cls, codes: Float[Tensor, "n *shape"]) -> Prior:
        """Estimate mean and covariance from codes, in float64.

        With fewer codes than coordinates it is kept as a factor (`LowRankPrior`).

        Raises:
            LatdirError: Fewer than two codes.
        """
        if codes.ndim < 2:
            raise SpaceError(f"codes of shape {list(codes.shape)} are not a batch [n, …] of codes")
        if len(codes) < 2:
            raise LatdirError(f"{len(codes)} codes have no covariance: give at least two")
        flat = codes.flatten(1).double()
        mean = flat.mean(0)
        centered = flat - mean
        if len(flat) < flat.shape[1]:
            return LowRankPrior(mean.float(), (centered.T / (len(flat) - 1) ** 0.5).float())
        covariance = centered.T @ centered / (len(flat) - 1)
        return cls(mean.float(), covariance.float())

    @checked_values
    def sigma(self, vector: Float[Tensor, "*shape"]) -> float:
        """Standard deviation of the codes along `vector`, in latent units.

        Raises:
            LatdirError: The vector has another size.
        """
        if vector.numel() != self.mean.numel():
            raise SpaceError(
                f"this prior is of codes of size {self.mean.numel()}, "
                f"not of vectors of shape {list(vector.shape)}"
            )
        flat = vector.flatten().double().cpu()[None]
        return self._length(flat)

    def _length(self, flat: Float[Tensor, "1 d"]) -> float:
        return float((self.times(flat) @ flat.T).clamp_min(0).sqrt())

    def times(self, vectors: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """Rows multiplied by the covariance, on their device and in their dtype."""
        return vectors @ self.covariance.to(vectors)

    @property
    def deviations(self) -> Float[Tensor, "d"]:
        """Standard deviation of each coordinate."""
        return self.covariance.diagonal().clamp_min(0).sqrt()

    @property
    def effective_size(self) -> float:
        """Participation ratio of the variances, tr(C)² / tr(C²): the size of a white prior."""
        total, squared = self.covariance.trace(), self.covariance.square().sum()
        return float(total.square() / squared) if squared > 0 else 0.0

    def scaled(self, factors: float | Float[Tensor, "d"]) -> Prior:
        """The prior of codes whose coordinates are drawn toward the mean by these factors.

        Example:
            >>> Prior.standard(2).scaled(0.5).sigma(torch.tensor([0.0, 1.0]))
            0.5
        """
        scale = torch.as_tensor(factors).to(self.mean).expand_as(self.mean)
        return Prior(self.mean, scale[:, None] * self.covariance * scale)

    @property
    def root(self) -> Float[Tensor, "d r"]:
        """A matrix R with covariance R Rᵀ, float64 on the CPU: normal draws times Rᵀ follow it."""
        values, axes = torch.linalg.eigh(self.covariance.double().cpu())
        root: Tensor = axes * values.clamp_min(0).sqrt()
        return root


class LowRankPrior(Prior):
    """A prior whose covariance is R Rᵀ with R `[d, r]`, for spaces too large for `[d, d]`.

    The styles of a 1024-pixel StyleGAN2 have 9,088 coordinates that all follow from 512. The
    covariance is computed at its first use.

    Args:
        mean: `[d]`.
        factor: R.

    Raises:
        LatdirError: The two do not fit, or are not finite.

    Example:
        >>> prior = LowRankPrior(torch.zeros(3), torch.tensor([[3.0], [0.0], [4.0]]))
        >>> prior.deviations
        tensor([3., 0., 4.])
    """

    def __init__(self, mean: Float[Tensor, "d"], factor: Float[Tensor, "e r"]) -> None:
        if mean.ndim != 1 or factor.ndim != 2 or len(factor) != len(mean):
            raise SpaceError(
                f"a low-rank prior has a mean [d] and a factor [d, r], not {list(mean.shape)} "
                f"and {list(factor.shape)}"
            )
        if not (torch.isfinite(mean).all() and torch.isfinite(factor.square().sum())):
            raise SpaceError("this prior has NaN or infinite entries: check the codes behind it")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "factor", factor)

    factor: Tensor

    @cached_property
    def covariance(self) -> Tensor:
        """`[d, d]`, made at the first use."""
        return self.factor @ self.factor.T

    def times(self, vectors: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """Rows multiplied by the covariance, without making it."""
        factor = self.factor.to(vectors)
        return vectors @ factor @ factor.T

    def _length(self, flat: Float[Tensor, "1 d"]) -> float:
        return float((flat @ self.factor.to(flat)).norm())

    @property
    def deviations(self) -> Float[Tensor, "d"]:
        """Standard deviation of each coordinate."""
        deviations: Tensor = self.factor.norm(dim=1)
        return deviations

    @property
    def effective_size(self) -> float:
        """Participation ratio of the variances, tr(C)² / tr(C²), without making C."""
        gram = (
            self.factor.T @ self.factor
            if len(self.factor) > self.factor.shape[1]
            else (self.factor @ self.factor.T)
        )
        squared = gram.square().sum()
        return float(gram.trace().square() / squared) if squared > 0 else 0.0

    def scaled(self, factors: float | Float[Tensor, "d"]) -> LowRankPrior:
        """The prior of codes whose coordinates are drawn toward the mean by these factors."""
        scale = torch.as_tensor(factors).to(self.mean).expand_as(self.mean)
        return LowRankPrior(self.mean, scale[:, None] * self.factor)

    @property
    def root(self) -> Float[Tensor, "d r"]:
        """The factor, float64 on the CPU."""
        return self.factor.double().cpu()
