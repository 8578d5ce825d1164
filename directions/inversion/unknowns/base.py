"""Generators of codes with several parts."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import SpaceError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.space import Prior, Space

__all__ = ["IndependentPrior", "Joint"]


class IndependentPrior(Prior):
    """A prior of independent coordinates, for spaces too large for a covariance.

    Args:
        mean: `[d]`.
        deviations: `[d]`, of each coordinate.

    Example:
        >>> IndependentPrior(torch.zeros(2), torch.tensor([3.0, 4.0])).sigma(torch.ones(2))
        5.0
    """

    def __init__(self, mean: Float[Tensor, "d"], deviations: Float[Tensor, "d"]) -> None:
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "_deviations", deviations)

    _deviations: Tensor

    @property
    def deviations(self) -> Float[Tensor, "d"]:
        """Standard deviation of each coordinate."""
        return self._deviations

    @cached_property
    def covariance(self) -> Tensor:
        """`[d, d]`, made at the first use."""
        return torch.diag(self._deviations.square())

    def times(self, vectors: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """Rows multiplied by the covariance."""
        return vectors * self._deviations.to(vectors).square()

    @property
    def effective_size(self) -> float:
        """Participation ratio of the variances."""
        variances = self._deviations.double().square()
        return float(variances.sum().square() / variances.square().sum())

    def scaled(self, factors: float | Float[Tensor, "d"]) -> IndependentPrior:
        """The prior of codes whose coordinates are drawn toward the mean by these factors."""
        return IndependentPrior(self.mean, self._deviations * torch.as_tensor(factors).abs())

    @property
    def root(self) -> Float[Tensor, "d r"]:
        """The deviations on the diagonal, float64 on the CPU."""
        return torch.diag(self._deviations.double().cpu())


class Joint(Generator):
    """A generator whose codes are those of another one and more, side by side in one vector.

    Its one space is `joint`; `parts` and `joined` go between vectors and parts.

    Args:
        inner: Makes the images.
        shapes: Of each part, by name.
        title: What it adds, for the name.
        config: What else decides its images, as JSON values.
    """

    def __init__(
        self,
        inner: Generator,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        title: str,
        config: Mapping[str, Any],
    ) -> None:
        self.inner, self.shapes = inner, dict(shapes)
        self.name = f"{inner.name} with {title}"
        self.image_shape = inner.image_shape
        self.config = {"title": title, **config}
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()]).tolist()
        pairs = tuple(zip([0, *ends[:-1]], ends, strict=True))
        self.places = {name: slice(*pair) for name, pair in zip(shapes, pairs, strict=True)}
        self.spaces = {"joint": Space("joint", (ends[-1],), layers=pairs)}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the inner generator's and what was added."""
        return fingerprint({}, {"inner": self.inner.fingerprint, **self.config})

    @property
    def device(self) -> torch.device:
        """The inner generator's."""
        return self.inner.device

    def parts(self, codes: Float[Tensor, "n d"]) -> dict[str, Tensor]:
        """Each part of codes, in its shape, by name."""
        return {n: codes[:, self.places[n]].reshape(-1, *s) for n, s in self.shapes.items()}

    def joined(self, parts: Mapping[str, Tensor]) -> Float[Tensor, "n d"]:
        """Codes of parts.

        Raises:
            LatdirError: A part is missing, unknown or of another shape.
        """
        for name in {*parts, *self.shapes}:
            got = tuple(parts[name].shape[1:]) if name in parts else None
            if got != self.shapes.get(name):
                raise SpaceError(
                    f"{self.name} has parts "
                    + ", ".join(f"{n} [n, {str(list(s))[1:]}" for n, s in self.shapes.items())
                    + f": {name!r} is "
                    + ("missing" if got is None else f"[n, {str(list(got))[1:]}")
                )
        return torch.cat([parts[name].flatten(1) for name in self.shapes], 1)

    @abstractmethod
    def drawn(self, count: int, *, seed: int) -> dict[str, Tensor]:
        """Parts of random codes."""

    @abstractmethod
    def moments(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviations of each part's coordinates."""

    @abstractmethod
    def made(self, parts: Mapping[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """Images of parts, differentiable."""

    def synthesize(self, codes: Float[Tensor, "n d"], space: str = "joint") -> Tensor:
        """Images of codes, differentiable."""
        return self.made(self.parts(self.check(codes, space)))

    def prior(self, space: str | None = None) -> Prior:
        """Mean and deviations of the coordinates, taken as independent."""
        if "joint" not in self._priors:
            given = self.moments()
            mean, deviations = (
                torch.cat([given[name][k].detach().flatten().float().cpu() for name in self.shapes])
                for k in (0, 1)
            )
            self._priors["joint"] = IndependentPrior(mean, deviations)
        return self._priors[self.space(space or "joint").name]

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        codes = self.joined(self.drawn(count, seed=int(rng.integers(2**63))))
        drawn: np.ndarray[Any, np.dtype[np.float32]] = codes.detach().float().cpu().numpy()
        return drawn
