"""Analytic generators with known factors, and classifiers that recover the factors exactly.

The ground truth of tests and benchmarks: the directions to find are known in closed form.
A code's factors are `f_j(z) = t_j · z`, or with `bend` ≠ 0

    f_j(z) = t_j · z + bend · (cos(n_j · z) - E[cos(n_j · z)]),

a curved score whose gradient `t_j - bend · sin(n_j · z) n_j` averages to `t_j` over the prior, so
that `t_j` remains the best linear direction. Each factor sets the amplitude of one smooth pattern
of the discrete cosine basis; patterns are orthogonal, so a projection of the image reads it back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Attribute, Classifier
from directions.errors import LatdirError, SpaceError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.space import Prior, Space

__all__ = ["PlantedClassifier", "PlantedGenerator", "planted"]

# Amplitudes are tanh(f / 4): bounded, and still far from saturation at four standard deviations.
SOFT_RANGE = 4.0
TANH_CLAMP = 1 - 1e-6


class PlantedGenerator(Generator):
    """Images that are sums of smooth patterns, one per factor and one per nuisance.

    Args:
        truth: `[k, d]`, unit directions t_j of the factors.
        bends: `[k, d]`, unit directions n_j along which the factors curve; unused at `bend` 0.
        nuisances: `[m, d]`, unit directions that change the image but no factor.
        covariance: `[d, d]`, of the codes; they have mean zero.
        bend: Strength of the curvature, in units of the factors.
        gains: Relative amplitude of each pattern, `k + m` positive numbers.
        size: Height and width of the images.
        names: Names of the factors.

    Attributes:
        truth: `[k, d]`, as given: the direction in which each factor grows fastest on average.
        names: Names of the factors.
    """

    name = "planted"
    _stays = (*Generator._stays, "_root")

    def __init__(
        self,
        truth: Float[Tensor, "k d"],
        *,
        bends: Float[Tensor, "k d"],
        nuisances: Float[Tensor, "m d"],
        covariance: Float[Tensor, "d d"],
        bend: float = 0.0,
        gains: Sequence[float] | None = None,
        size: int = 16,
        names: Sequence[str] | None = None,
    ) -> None:
        k, d = truth.shape
        patterns = k + len(nuisances)
        if 3 * size * size < patterns:
            raise LatdirError(f"images of size {size} have no room for {patterns} patterns")
        gains = [1.0] * patterns if gains is None else list(gains)
        if len(gains) != patterns or min(gains) <= 0:
            raise LatdirError(
                f"gains are {patterns} positive numbers, one for each of {k} factors and "
                f"{len(nuisances)} nuisances, not {gains}"
            )
        self.names = tuple(names or (f"factor_{j}" for j in range(k)))
        if len(self.names) != k:
            raise LatdirError(f"{k} factors need {k} names, not {len(self.names)}")
        self.truth = truth
        self.spaces = {"z": Space("z", (d,))}
        self.image_shape = (3, size, size)
        self._bends, self._bend = bends, bend
        self._nuisances = nuisances
        self._covariance = covariance
        self._amplitudes = torch.tensor(gains, dtype=torch.float64) / sum(gains)
        self._patterns = _cosine_patterns(patterns, size)
        variances = torch.einsum("kd,de,ke->k", bends, covariance, bends)
        self._mean_cosine = torch.exp(-variances / 2)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the geometry."""
        tensors = {
            "truth": self.truth,
            "bends": self._bends,
            "nuisances": self._nuisances,
            "covariance": self._covariance,
            "amplitudes": self._amplitudes,
        }
        size = self.image_shape[1]
        return fingerprint(tensors, {"planted": 1, "bend": self._bend, "size": size})

    @property
    def device(self) -> torch.device:
        """The device of the ground truth."""
        return self.truth.device

    @property
    def follows_codes(self) -> bool:
        """Yes: the patterns go where the codes are."""
        return True

    def prior(self, space: str | None = None) -> Prior:
        """The codes' mean (zero) and covariance, exactly."""
        if space is not None:
            self.space(space)
        return Prior(torch.zeros(len(self._covariance)), self._covariance.float().cpu())

    @cached_property
    def _root(self) -> np.ndarray[Any, np.dtype[np.float32]] | None:
        """Symmetric root of the covariance; None for the identity."""
        covariance = self._covariance.double().cpu()
        if torch.equal(covariance, torch.eye(len(covariance), dtype=torch.float64)):
            return None
        values, vectors = torch.linalg.eigh(covariance)
        root: np.ndarray[Any, np.dtype[np.float32]] = (
            ((vectors * values.clamp_min(0).sqrt()) @ vectors.T).float().numpy()
        )
        return root

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        codes = super()._draw(rng, count)
        return codes if self._root is None else codes @ self._root

    def factors(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The factors of codes: what `classifier()` reads from their images."""
        linear = codes @ self.truth.to(codes).T
        if self._bend == 0:
            return linear
        waves = torch.cos(codes @ self._bends.to(codes).T) - self._mean_cosine.to(codes)
        return linear + self._bend * waves

    def jacobian(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n k d"]:
        """Gradient of every factor at every code, in closed form."""
        truth, bends = self.truth.to(codes), self._bends.to(codes)
        slopes = -self._bend * torch.sin(codes @ bends.T)
        return truth + slopes[:, :, None] * bends

    def synthesize(self, codes: Float[Tensor, "n d"], space: str = "z") -> Tensor:
        """Sums of patterns whose amplitudes are the factors', squashed by tanh."""
        self.check(codes, space)
        levels = torch.cat([self.factors(codes), codes @ self._nuisances.to(codes).T], 1)
        weights = torch.tanh(levels / SOFT_RANGE) * self._amplitudes.to(codes)
        return (weights @ self._patterns.to(codes)).reshape(-1, *self.image_shape)

    def style_matrices(self, layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """The linear map from codes to pattern amplitudes at the origin, `[k + m, d]`."""
        if layers not in (None, (0,)):
            raise SpaceError(f"{self.name} has one layer, 0, not {list(layers or ())}")
        rows = torch.cat([self.truth, self._nuisances])
        return [rows * self._amplitudes.to(rows)[:, None] / SOFT_RANGE]

    def classifier(
        self, *, kind: Literal["value", "probability"] = "value", steepness: float = 2.0
    ) -> PlantedClassifier:
        """The classifier that reads the factors back from the images.

        Args:
            kind: `value` gives the factors; `probability` their sigmoid.
            steepness: Slope of the log-odds of a probability in its factor.
        """
        return PlantedClassifier(self, kind=kind, steepness=steepness)


class PlantedClassifier(Classifier):
    """Reads a planted generator's factors from its images, exactly and differentiably.

    Args:
        generator: The generator whose images it reads.
        kind: `value` gives the factors; `probability` their sigmoid.
        steepness: Slope of the log-odds of a probability in its factor.

    Example:
        >>> generator = planted(factors=2, dim=8)
        >>> codes = generator.sample(5, seed=0)
        >>> scores = generator.classifier()(generator.synthesize(codes))
        >>> torch.allclose(scores, generator.factors(codes), atol=1e-4)
        True
    """

    name = "planted"
    differentiable = True

    def __init__(
        self,
        generator: PlantedGenerator,
        *,
        kind: Literal["value", "probability"] = "value",
        steepness: float = 2.0,
    ) -> None:
        if steepness <= 0:
            raise LatdirError(f"steepness is positive, not {steepness}")
        unit = "probability" if kind == "probability" else "latent"
        self.attributes = tuple(Attribute(n, kind, unit) for n in generator.names)
        self._config = {"kind": kind, "steepness": steepness, "of": generator.fingerprint}
        self._steepness = steepness if kind == "probability" else None
        self._image_shape = generator.image_shape
        k = len(generator.names)
        patterns = generator._patterns[:k]
        energy = patterns.square().sum(1) * generator._amplitudes[:k].to(patterns)
        self._readers = patterns / energy[:, None]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the generator read and the kind of score."""
        return fingerprint({"readers": self._readers}, self._config)

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The factors, times the steepness for probabilities."""
        if tuple(images.shape[1:]) != self._image_shape:
            raise LatdirError(
                f"images have shape {list(images.shape[1:])}, but this classifier reads only "
                f"its own generator's, {list(self._image_shape)}"
            )
        flat = images.flatten(1).float()
        levels = (flat @ self._readers.to(flat).T).clamp(-TANH_CLAMP, TANH_CLAMP)
        return SOFT_RANGE * torch.atanh(levels) * (self._steepness or 1.0)

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The factors, or their sigmoid."""
        logits = self.logits(images)
        return logits if self._steepness is None else torch.sigmoid(logits)


def planted(
    *,
    factors: int = 4,
    dim: int = 32,
    size: int = 16,
    cosine: float = 0.0,
    bend: float = 0.0,
    condition: float = 1.0,
    nuisances: int = 4,
    gains: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> PlantedGenerator:
    """A planted generator with a random geometry of the given kind.

    Args:
        factors: Number k of known factors.
        dim: Dimension d of z; at least `factors + nuisances`, plus `factors` when bent.
        size: Height and width of the images.
        cosine: Cosine between any two of the factors' directions: they are entangled, one
            cannot be followed without the others. Above `-1 / (k - 1)`.
        bend: Curvature of the factors; 0 is linear.
        condition: Ratio of the largest to the smallest standard deviation of the codes, along
            random axes. At 1 the prior is standard normal; above, even orthogonal directions
            have correlated factors.
        nuisances: Number of directions that change the image but no factor.
        gains: Relative amplitude of each pattern in the image; by default all equal.
        names: Names of the factors.
        seed: Seed of the geometry.

    Raises:
        LatdirError: A geometry that does not exist.

    Example:
        >>> generator = planted(factors=3, dim=16, cosine=0.5)
        >>> (generator.truth[0] @ generator.truth[1]).round(decimals=3)
        tensor(0.5000)
    """
    needed = factors * (2 if bend else 1) + nuisances
    if factors < 1 or nuisances < 0 or dim < needed:
        raise LatdirError(
            f"{factors} factors and {nuisances} nuisances need a dim of at least {needed}, "
            f"not {dim}"
        )
    if condition < 1 or not -1 < cosine * max(factors - 1, 1) < max(factors - 1, 1):
        raise LatdirError(
            f"condition {condition} must be at least 1, and cosine {cosine} must be between "
            f"-1/(factors - 1) and 1"
        )
    rng = np.random.default_rng(seed)
    axes, other = (torch.from_numpy(_rotation(rng, dim)) for _ in range(2))
    gram = torch.full((factors, factors), cosine, dtype=torch.float64).fill_diagonal_(1)
    truth = torch.linalg.cholesky(gram) @ axes[:factors]
    stop = factors + nuisances
    bends = axes[stop : stop + factors] if bend else axes[:factors]
    covariance = torch.eye(dim, dtype=torch.float64)
    if condition > 1:
        variances = torch.logspace(0, -2 * math.log10(condition), dim, dtype=torch.float64)
        covariance = (other.T * (variances / variances.mean())) @ other
    geometry = (truth, bends, axes[factors:stop], covariance)
    truth, bends, others, covariance = (t.float() for t in geometry)
    return PlantedGenerator(
        truth,
        bends=bends,
        nuisances=others,
        covariance=covariance,
        bend=bend,
        gains=gains,
        size=size,
        names=names,
    )


def _rotation(rng: np.random.Generator, dim: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """An orthogonal matrix drawn uniformly."""
    q, r = np.linalg.qr(rng.standard_normal((dim, dim)))
    rotation: np.ndarray[Any, np.dtype[np.float64]] = q * np.sign(np.diag(r))
    return rotation


def _cosine_patterns(count: int, size: int) -> Float[Tensor, "count pixels"]:
    """The `count` smoothest color patterns of the cosine basis, at most 1 in magnitude."""
    position = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    waves = torch.cos(math.pi * torch.arange(size)[:, None] * position)
    order = sorted((u + v, u, v) for u in range(size) for v in range(size))
    planes = torch.stack([torch.outer(waves[u], waves[v]) for _, u, v in order[: -(-count // 3)]])
    colors = planes[:, None, None] * torch.eye(3, dtype=torch.float64)[:, :, None, None]
    return colors.reshape(-1, 3 * size * size)[:count].float()
