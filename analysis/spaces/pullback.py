"""The pullback metric: change of the image, or of its features, per step of the code.

Georgios Arvanitidis, Lars Kai Hansen, Søren Hauberg: Latent Space Oddity, ICLR 2018,
arXiv:1710.11379; Hang Shao, Abhishek Kumar, P. Thomas Fletcher: The Riemannian Geometry of Deep
Generative Models, CVPRW 2018, arXiv:1711.08014. With J the Jacobian of x = φ(G(z)) at a code,

    ‖φ(G(z + v)) − φ(G(z))‖² ≈ vᵀ M v,   M = JᵀJ.

Its eigenvalues are the squared lengths by which the generator stretches the directions of the
eigenvectors; the number of large ones is the local dimension of the images. J is never stored:
M times a vector is one forward-mode and one reverse-mode product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields, checked_values
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.eigen import eigh
from directions.numerics.jacobian import leading, product
from directions.numerics.linearized import Linearized
from directions.scoring.features import Features

__all__ = ["LocalMetric", "effective_dimension", "metric_of", "pullback_metric"]

# Within this number of all eigenpairs, the whole metric costs no more.
OVERSAMPLE = 8
# Residual of the leading eigenpairs; the error of an eigenvalue is of the order of its square.
TOLERANCE = 1e-3


@checked_fields
@dataclass(frozen=True, eq=False)
class LocalMetric:
    """Spectrum of the pullback metric at one code.

    Attributes:
        values: `[k]`, eigenvalues, descending, at least 0.
        vectors: `[k, d]`, unit eigenvectors, rows.
        trace: Sum of all d eigenvalues; NaN where only the leading ones were computed.
        d: Coordinates of a code.
    """

    values: Float[Tensor, "k"]
    vectors: Float[Tensor, "k d"]
    trace: float
    d: int

    @property
    def effective_dimension(self) -> float:
        """Participation ratio of the spectrum, see `effective_dimension`."""
        if len(self.values) < self.d:
            raise LatdirError(
                f"only {len(self.values)} of {self.d} eigenvalues are known: leave count out"
            )
        return effective_dimension(self.values)

    @property
    def log_volume(self) -> float:
        """½ Σ log λ: the log of the volume by which the generator scales; −inf if singular."""
        if len(self.values) < self.d:
            raise LatdirError(
                f"only {len(self.values)} of {self.d} eigenvalues are known: leave count out"
            )
        return float(self.values.log().sum() / 2)


@checked_values
def effective_dimension(values: Float[Tensor, "*batch d"]) -> float:
    """Participation ratio (Σλ)² / Σλ² of a spectrum; the mean over a batch of spectra.

    Equal eigenvalues count fully, vanishing ones do not count.

    Raises:
        LatdirError: Negative eigenvalues, or none above 0.

    Example:
        >>> effective_dimension(torch.tensor([2.0, 2.0, 2.0, 0.0]))
        3.0
    """
    if not bool((values >= 0).all()) or not bool((values.sum(-1) > 0).all()):
        raise LatdirError("a spectrum has eigenvalues of at least 0, and one above")
    exact = values.double()
    exact = exact / exact.amax(-1, keepdim=True)
    return float((exact.sum(-1).square() / exact.square().sum(-1)).mean())


@checked_values
def pullback_metric(
    generator: Generator,
    code: Float[Tensor, "*shape"],
    *,
    space: str | None = None,
    features: Features | None = None,
    count: int | None = None,
    seed: int = 0,
) -> LocalMetric:
    """The pullback metric of a generator at one code.

    Args:
        generator: Differentiable.
        code: Of its space, without a batch axis.
        space: Which space; by default the first.
        features: φ; by default pixels, each squared distance the mean over them.
        count: Number of leading eigenpairs; by default all, for d products.
        seed: Of the start of the iteration for the leading ones.

    Raises:
        LatdirError: A code of another shape, or more eigenpairs than coordinates.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8, nuisances=1)
        >>> metric = pullback_metric(world, torch.zeros(8))
        >>> round(metric.effective_dimension, 2)
        3.0
    """
    model = generator.linearize(code, space=space)
    if features is not None:
        seen = features

        def vector(images: Tensor) -> Tensor:
            return seen(images).flatten(1)

        model = model.then(vector)
        return metric_of(model, count=count, seed=seed)
    found = metric_of(model, count=count, seed=seed)
    pixels = model.value.numel()
    return LocalMetric(found.values / pixels, found.vectors, found.trace / pixels, found.d)


def metric_of(model: Linearized, *, count: int | None = None, seed: int = 0) -> LocalMetric:
    """The spectrum of JᵀJ for any map to first order.

    Args:
        model: From `linearize`, or `generator.linearize`.
        count: Number of leading eigenpairs; by default all.
        seed: Of the start of the iteration for the leading ones.

    Raises:
        LatdirError: More eigenpairs than coordinates.

    Example:
        >>> from directions.numerics.linearized import linearize
        >>> stretch = linearize(lambda x: x * torch.tensor([3.0, 1.0]), torch.zeros(2))
        >>> metric_of(stretch).values
        tensor([9., 1.])
    """
    d = math.prod(model.shape)
    if count is not None and not 1 <= count <= d:
        raise LatdirError(f"a metric of {d} coordinates has 1 … {d} eigenpairs, not {count}")
    like: dict[str, Any] = {"dtype": model.value.dtype, "device": model.value.device}
    if count is None or count + OVERSAMPLE >= d:
        whole = product(model, torch.eye(d, **like))
        found = eigh((whole + whole.T) / 2, count=count)
        trace = found.total
    else:
        found = leading(model, count=count, tolerance=TOLERANCE, seed=seed)
        trace = math.nan
    values, vectors = found.values.clamp_min(0).to(**like), found.vectors.to(**like)
    return LocalMetric(values, vectors, trace, d)
