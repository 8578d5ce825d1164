"""Robust PCA: decomposition of a symmetric matrix into low-rank and sparse parts.

Emmanuel Candès, Xiaodong Li, Yi Ma, John Wright: Robust Principal Component Analysis?, 2009,
arXiv:0912.3599: minimize ‖L‖_* + λ‖S‖₁ subject to L + S = M, with λ = 1/√d.

Solved by the alternating direction method with a fixed penalty, which converges to the optimum;
the common variant that raises the penalty at each step stops wherever it happens to be. For a
symmetric matrix the singular-value threshold is an eigenvalue threshold. The result has a
certificate: the dual solution bounds how far its objective can be from the optimum.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import ConvergenceError, LatdirError

__all__ = ["robust_pca"]

MAX_STEPS = 5000


def robust_pca(
    matrix: Float[Tensor, "d d"], *, sparsity: float | None = None, tolerance: float = 1e-4
) -> tuple[Float[Tensor, "d d"], Float[Tensor, "d d"]]:
    """Split a symmetric matrix into a low-rank and a sparse part.

    Args:
        matrix: Symmetric.
        sparsity: λ, the price of the sparse part; by default 1/√d.
        tolerance: Relative duality gap at which to stop.

    Returns:
        (L, S), symmetric, float64, with L + S = `matrix` exactly.

    Raises:
        LatdirError: A matrix that is zero, or no convergence.

    Example:
        >>> low = torch.ones(20, 20)
        >>> found, sparse = robust_pca(low + torch.diag(torch.tensor([5.0] + [0.0] * 19)))
        >>> bool((found - low).abs().max() < 1e-2), bool((sparse[0, 0] - 5).abs() < 1e-2)
        (True, True)
    """
    m = matrix.double()
    price = 1 / math.sqrt(len(m)) if sparsity is None else sparsity
    scale = float(m.abs().mean())
    if scale == 0:
        raise LatdirError("the matrix is zero: there is nothing to split")
    mu = 1 / (4 * scale)
    s, y = torch.zeros_like(m), torch.zeros_like(m)
    gap = math.inf
    for step in range(1, MAX_STEPS + 1):
        values, vectors = torch.linalg.eigh(m - s + y / mu)
        low = (vectors * _shrink(values, 1 / mu)) @ vectors.T
        s = _shrink(m - low + y / mu, price / mu)
        y = y + mu * (m - low - s)
        if step % 10 == 0:
            # The remaining constraint violation, small by then, goes to the sparse part.
            gap = _gap(low, m - low, y, m, price)
            if gap <= tolerance:
                return low, m - low
    raise ConvergenceError(
        f"robust PCA reached a relative gap of {gap:.2g} in {MAX_STEPS} steps, not {tolerance}: "
        "raise the tolerance, or use the spectrum itself"
    )


def _shrink(x: Tensor, by: float) -> Tensor:
    return x.sign() * (x.abs() - by).clamp_min(0)


def _gap(low: Tensor, s: Tensor, y: Tensor, m: Tensor, price: float) -> float:
    """Relative duality gap of a split, the dual made feasible by scaling."""
    primal = float(torch.linalg.eigvalsh(low).abs().sum() + price * s.abs().sum())
    excess = max(1.0, float(torch.linalg.eigvalsh(y).abs().amax()), float(y.abs().amax()) / price)
    return (primal - float((y * m).sum()) / excess) / primal
