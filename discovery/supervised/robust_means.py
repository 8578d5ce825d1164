"""Means of vectors, robust to outliers.

A score that is a ratio (an angle from landmarks, say) has gradients whose norms span orders of
magnitude: a handful of codes with a small denominator outweigh all others in a plain mean. Each
estimator here takes samples on the first axis and vectors on the last, and treats the axes
between as independent problems.

Sources: geometric median: E. Weiszfeld 1937, with the correction for iterates that meet a sample
of Y. Vardi & C.-H. Zhang, "The multivariate L1-median and associated data depth", PNAS 2000;
medians of means in many dimensions: S. Minsker, "Geometric median and robust estimation in Banach
spaces", arXiv:1308.1334; clipped means: the norm clipping of R. Pascanu et al., arXiv:1211.5063.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import ConvergenceError, LatdirError

__all__ = ["CENTERS", "Center", "clipped", "clipped_mean", "geometric_median", "median_of_means"]

Center = Literal["clipped", "median", "median_of_means", "mean"]

TOLERANCE = 1e-6
MAX_ITERATIONS = 1000


def clipped(
    vectors: Float[Tensor, "n *rest d"], *, factor: float = 1.0
) -> Float[Tensor, "n *rest d"]:
    """Shorten vectors to at most `factor` times the median norm; their directions stay.

    Args:
        vectors: `[n, ..., d]`.
        factor: Longest norm left, in median norms. Large means no clipping; near 0 leaves
            unit vectors times a constant.

    Raises:
        LatdirError: No vectors, or a factor that is not positive.

    Example:
        >>> clipped(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 100.0]])).norm(dim=1)
        tensor([1., 2., 2.])
    """
    if not factor > 0:
        raise LatdirError(f"clip {factor} must be positive: 1 clips half of the vectors")
    _check(vectors)
    norms = vectors.norm(dim=-1, keepdim=True)
    limit = factor * norms.quantile(0.5, dim=0)
    # A median of zero would erase every vector: where most are zero the rest keep their length.
    limit = torch.where(limit > 0, limit, norms.amax(0))
    shares: Tensor = limit / norms.clamp_min(torch.finfo(norms.dtype).tiny)
    return vectors * shares.clamp_max(1)


def clipped_mean(
    vectors: Float[Tensor, "n *rest d"], *, factor: float = 1.0
) -> Float[Tensor, "*rest d"]:
    """Mean of the vectors after `clipped`.

    Example:
        >>> clipped_mean(torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 1e6]]))
        tensor([1.3750, 0.6250])
    """
    return clipped(vectors, factor=factor).mean(0)


def geometric_median(vectors: Float[Tensor, "n *rest d"]) -> Float[Tensor, "*rest d"]:
    """The point with the smallest sum of distances to the vectors.

    Half of the vectors may be moved anywhere without carrying it away.

    Args:
        vectors: `[n, ..., d]`.

    Raises:
        LatdirError: No vectors, or no convergence in 1,000 iterations.

    Example:
        >>> points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
        >>> geometric_median(points)
        tensor([0.5000, 0.5000])
    """
    _check(vectors)
    exact = vectors.double()
    point = exact.median(0).values
    for _ in range(MAX_ITERATIONS):
        offsets = exact - point
        distances = offsets.norm(dim=-1, keepdim=True)
        met = distances <= 1e-12 * distances.quantile(0.5, dim=0)
        weights = torch.where(met, 0.0, 1 / distances.clamp_min(torch.finfo(torch.float64).tiny))
        pull = (weights * offsets).sum(0)
        # Vardi & Zhang: a sample under the iterate holds it with a force of at most its number.
        held = met.sum(0) / pull.norm(dim=-1, keepdim=True).clamp_min(1e-300)
        step = pull / weights.sum(0).clamp_min(1e-300) * (1 - held).clamp_min(0)
        point = point + step
        # Outliers must not loosen the tolerance: the harmonic mean of the distances ignores them.
        scale = len(exact) / weights.sum(0).clamp_min(1e-300)
        if (step.norm(dim=-1, keepdim=True) <= TOLERANCE * scale).all():
            median: Tensor = point.to(vectors.dtype)
            return median
    raise ConvergenceError(
        f"the geometric median of {len(vectors)} vectors did not converge in {MAX_ITERATIONS} "
        "iterations: use the clipped mean"
    )


def median_of_means(
    vectors: Float[Tensor, "n *rest d"], *, groups: int = 25
) -> Float[Tensor, "*rest d"]:
    """Geometric median of the means of consecutive groups of nearly equal size.

    Args:
        vectors: `[n, ..., d]`, in random order.
        groups: Number of groups, at most `n`; fewer than half of them may hold outliers.

    Raises:
        LatdirError: No vectors, or no group.

    Example:
        >>> median_of_means(torch.tensor([[1.0], [1.0], [1.0], [1e9]]), groups=4)
        tensor([1.])
    """
    _check(vectors)
    if groups < 1:
        raise LatdirError(f"median_of_means needs at least 1 group, not {groups}")
    parts = torch.tensor_split(vectors, min(groups, len(vectors)))
    return geometric_median(torch.stack([part.mean(0) for part in parts]))


CENTERS: dict[Center, Callable[[Tensor], Tensor]] = {
    "clipped": clipped_mean,
    "median": geometric_median,
    "median_of_means": median_of_means,
    "mean": lambda vectors: vectors.mean(0),
}


def _check(vectors: Tensor) -> None:
    if vectors.ndim < 2 or not len(vectors):
        raise LatdirError(f"vectors have shape {list(vectors.shape)}: give at least one, as [n, d]")
