"""What an inversion minimizes: the mean squared difference of an image and its target, by code.

    cost(code) = ‖φ(A(G(code))) − φ(x)‖² + prior · distance(code)²

with A a degradation (identity by default) and φ features whose squared distance is the cost (by
default pixels, so that the cost is their mean squared difference, images in [-1, 1]). Each image
of a batch has its own cost and its own code; nothing is averaged over images.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.arguments import checked
from directions.errors import SpaceError
from directions.generators.base import Generator
from directions.inversion.typicality import Typicality
from directions.numerics.linearized_batch import LinearizedBatch
from directions.scoring.features import Features

__all__ = ["Degradation", "Objective", "psnr"]


class Degradation(ABC):
    """What happened to images before they were observed: A, the same for all images of a call.

    Attributes:
        noise: Standard deviation of the noise in observed pixels, images in [-1, 1].
    """

    noise: float = 0.0

    @abstractmethod
    def __call__(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n ..."]:
        """Degraded images, differentiable and noiseless."""

    @property
    @abstractmethod
    def config(self) -> Mapping[str, Any]:
        """Its settings as JSON values, for the record and to identify what was fitted to it."""

    def observe(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Images as given by the user in the form that `__call__` returns."""
        return images


@dataclass(frozen=True, eq=False)
class Objective:
    """The cost of codes for a batch of targets, and its first-order model.

    Attributes:
        generator: Makes the images.
        space: Space of the codes.
        observed: `[n, …]`, what was observed of each image.
        degradation: A, or None for the identity.
        features: φ, or None for pixels.
        typicality: Distances of codes from the prior.
        prior: Weight of the squared distance.
        radius: Largest distance allowed, or None.
        limit: Largest coordinate allowed, in standard deviations of the space, or None.
        metric: `[d, d]`, JᵀJ averaged over codes of the prior, a preconditioner; or None.
    """

    generator: Generator
    space: str
    observed: Tensor
    typicality: Typicality
    degradation: Degradation | None = None
    features: Features | None = None
    prior: float = 0.0
    radius: float | None = None
    limit: float | None = None
    metric: Tensor | None = None

    def __len__(self) -> int:
        return len(self.observed)

    def of(self, rows: Int[Tensor, "m"]) -> Objective:
        """The objective of some of the images."""
        return replace(self, observed=self.observed[rows])

    def observed_at(self, codes: Float[Tensor, "m ..."]) -> Float[Tensor, "m ..."]:
        """A(G(code)) of any codes, differentiable."""
        images = self.generator.synthesize(codes, self.space)
        return images if self.degradation is None else self.degradation(images)

    def _seen(self, images: Tensor) -> Float[Tensor, "n f"]:
        return self._described(images if self.degradation is None else self.degradation(images))

    def _described(self, observed: Tensor) -> Float[Tensor, "n f"]:
        if self.features is not None:
            return self.features(observed)
        # By this scale the squared distance is the mean of squared differences.
        return observed.flatten(1) / math.sqrt(observed[0].numel())

    @property
    def level(self) -> float:
        """What noise of the size given leaves of the cost of the true code, with its spread.

        Costs of a true code, its distance from the prior included, are above it once in thirty
        thousand images.
        """
        if self.degradation is None or not self.degradation.noise:
            return 0.0
        seen, coordinates = self.observed[0].numel(), self.typicality.coordinates
        chance = 1 + 4 * math.sqrt(2 / coordinates)
        prior = self.prior * chance
        return self.degradation.noise**2 * (1 + 4 * math.sqrt(2 / seen)) + prior

    def weighed(self) -> Objective:
        """The same with the weight of the prior that makes the code found the most probable one.

        With noise of deviation σ in N numbers, −(2σ² / N) log p(code | observed) is, up to a
        constant, the mean squared residual plus (σ² / N) ‖s‖² of d standardized coordinates s.
        """
        if self.degradation is None or not self.degradation.noise:
            return self
        weight = self.degradation.noise**2 * self.typicality.coordinates
        return replace(self, prior=weight / self.observed[0].numel())

    @property
    def target(self) -> Float[Tensor, "n f"]:
        """φ(x)."""
        with torch.no_grad():
            return self._described(self.observed)

    def seen_at(self, codes: Float[Tensor, "m ..."]) -> Float[Tensor, "m f"]:
        """φ(A(G(code))) of any codes."""
        return self._described(self.observed_at(codes))

    def residuals(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n f"]:
        """Vectors whose squared norm is the cost, differentiable."""
        difference = self.seen_at(codes) - self.target
        if not self.prior:
            return difference
        return torch.cat([difference, math.sqrt(self.prior) * self._distances(codes)], 1)

    def _distances(self, codes: Tensor) -> Float[Tensor, "n d"]:
        return self.typicality.standardized(codes) / math.sqrt(codes[0].numel())

    def costs(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n"]:
        """The cost of each code, differentiable."""
        return self.residuals(codes).square().sum(1)

    def gradient(
        self, codes: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n ..."]]:
        """The cost of each code, and its gradient."""
        leaf = codes.detach().clone().requires_grad_()
        with torch.enable_grad():
            costs = self.costs(leaf)
            [slope] = torch.autograd.grad(costs.sum(), leaf)
        return costs.detach(), slope

    def linearize(self, codes: Float[Tensor, "n ..."]) -> LinearizedBatch:
        """The residuals to first order, each image by itself."""
        images = self.generator.linearize_batch(codes, space=self.space)
        target = self.target
        if self.degradation is None and self.features is None:
            scale = 1 / math.sqrt(images.value[0].numel())
            model = LinearizedBatch(
                images.value.flatten(1) * scale - target,
                images.shape,
                lambda t: images.push(t).flatten(-3).mul_(scale),
                lambda u: images.pull((u * scale).reshape(*u.shape[:-1], *images.value.shape[1:])),
            )
        else:
            seen = images.then(self._seen)
            model = replace(seen, value=seen.value - target)
        return self._with_prior(model, codes) if self.prior else model

    def _with_prior(self, model: LinearizedBatch, codes: Tensor) -> LinearizedBatch:
        weight, split = math.sqrt(self.prior), model.value.shape[1]
        size = math.sqrt(codes[0].numel())
        near = self.typicality
        return LinearizedBatch(
            torch.cat([model.value, weight * self._distances(codes)], 1),
            model.shape,
            lambda t: torch.cat([model.push(t), weight / size * near.scaled(t)], -1),
            lambda u: model.pull(u[..., :split]) + weight / size * near.unscaled(u[..., split:]),
        )

    def constrained(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Codes drawn toward the mean to within the radius, and coordinates to the limit."""
        near = self.typicality
        if self.limit is not None:
            center, reach = near.center(codes), self.limit * near.spread
            codes = center + (codes - center).clamp(-reach, reach)
        return codes if self.radius is None else near.within(codes, self.radius)

    def psnr(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n"]:
        """Peak signal-to-noise ratio of what is seen of the codes' images, in decibels."""
        with torch.no_grad():
            return psnr(self.observed_at(codes), self.observed)


@checked
def psnr(images: Float[Tensor, "n ..."], targets: Float[Tensor, "n ..."]) -> Float[Tensor, "n"]:
    """Peak signal-to-noise ratio of images in [-1, 1], 10 log₁₀(4 / mean squared difference), dB.

    Raises:
        LatdirError: Batches of different shapes.

    Example:
        >>> psnr(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.02))
        tensor([40.])
    """
    if images.shape != targets.shape:
        raise SpaceError(
            f"images of shape {list(images.shape)} are compared with as many of the same size, not "
            f"with {list(targets.shape)}"
        )
    error = (images.double() - targets.double()).flatten(1).square().mean(1)
    return (10 * (4 / error.clamp_min(1e-30)).log10()).float()
