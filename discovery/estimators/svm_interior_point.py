"""Primal-dual interior-point solver for one linear SVM with few rows, to machine precision.

Solves, in the notation of `discovery.estimators.svm`,

    minimize over u = (w, b)   ½‖w‖² − qᵀu + Σᵢ cᵢ max(0, 1 − yᵢ(xᵢᵀw + b))

by Mehrotra's predictor-corrector method (Mehrotra 1992, "On the Implementation of a
Primal-Dual Interior Point Method", SIAM J. Optim. 2(4)). The linear term q carries rows that
are known to lie on the wrong side of the margin, so that a large problem shrinks to the rows
near its margin.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["interior_point"]

STEP_LIMIT = 60
TO_BOUNDARY = 0.995


def interior_point(
    features: Float[Tensor, "r n"],
    bounds: Float[Tensor, "n"],
    linear: Float[Tensor, "r"],
    *,
    constant: float = 0.0,
    tolerance: float,
) -> tuple[Float[Tensor, "r"], Float[Tensor, "n"], int]:
    """Optimal coefficients and dual variables.

    Args:
        features: `[r, n]`, float64: yᵢ(xᵢ, 1) as columns; the last coordinate, the
            intercept's, is not penalized.
        bounds: `[n]`, the cᵢ > 0.
        linear: `[r]`, the vector q.
        constant: Added to the objective, which the stopping rule is relative to.
        tolerance: Stop when the duality gap, with what infeasibility may still add to it,
            falls below this fraction of the objective.

    Returns:
        u `[r]`, the dual variables α `[n]` with 0 < α < c, and the Newton steps taken.

    Example:
        >>> columns = torch.tensor([[1.0, 2.0, 1.0], [1.0, 1.0, -1.0]]).double()
        >>> u, alpha, _ = interior_point(
        ...     columns, torch.full((3,), 10.0).double(), torch.zeros(2).double(), tolerance=1e-9)
        >>> (u.round(decimals=4) + 0).tolist()
        [1.0, 0.0]
    """
    X, c, q = features, bounds, linear
    penalty = torch.ones_like(q)
    penalty[-1] = 0
    # With u = 0 every margin is 0; slacks of a half keep the start well inside.
    at = _Point(torch.zeros_like(q), c / 2, c / 2, torch.full_like(c, 0.5), torch.full_like(c, 1.5))
    taken = 0
    while taken < STEP_LIMIT:
        # Residuals of the optimality conditions: Xᵀu − 1 = over − under (primal), and
        # Du − q − Xα = 0 (dual), D = diag(1, …, 1, 0) as the intercept is free.
        margin = X.T @ at.u
        infeasible = margin - 1 + at.under - at.over
        gradient = penalty * at.u - q - X @ at.alpha
        # αᵀ over + (c − α)ᵀ under is the duality gap, once both residuals are 0.
        complementarity = at.alpha @ at.over + at.room @ at.under
        residual = at.alpha @ infeasible.abs() + at.u.abs() @ gradient.abs()
        square = at.u[:-1] @ at.u[:-1]
        objective = constant - q @ at.u + square / 2 + c @ (1 - margin).clamp_min(0)
        if complementarity + residual <= tolerance * objective:
            break
        # The Newton system reduced to u: (D + X Θ⁻¹ Xᵀ) Δu = right, Θ = over/α + under/(c − α).
        theta = at.over / at.alpha + at.under / at.room
        matrix = (X / theta) @ X.T
        matrix.diagonal().add_(penalty)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if failed:
            break
        solve = partial(_direction, X, at, infeasible, gradient, theta, factor)
        # Predictor: the affine step towards products α · over = (c − α) · under = 0.
        zero = torch.zeros_like(c)
        ahead = solve(zero, zero)
        # Centering: σμ, with μ the mean product and σ = (μ after the affine step / μ)³.
        mu = complementarity / (2 * len(c))
        there = at.moved(ahead, at.length(ahead))
        center = ((there.alpha @ there.over + there.room @ there.under) / complementarity) ** 3 * mu
        # Corrector: towards σμ, less the predictor's second-order term Δα Δover.
        step = solve(center - ahead.alpha * ahead.over, center - ahead.room * ahead.under)
        at = at.moved(step, min(1.0, TO_BOUNDARY * at.length(step)))
        taken += 1
    return at.u, at.alpha, taken


class _Point(NamedTuple):
    """u, α, c − α, and the slacks of the margins: yᵢ(xᵢᵀw + b) = 1 + over − under."""

    u: Tensor
    alpha: Tensor
    room: Tensor
    over: Tensor
    under: Tensor

    def moved(self, step: _Point, length: float) -> _Point:
        return _Point(*(x + length * dx for x, dx in zip(self, step, strict=True)))

    def length(self, step: _Point) -> float:
        """Longest step, at most 1/0.995, that keeps all but u non-negative."""
        shrink = max(float((-dx / x).max()) for x, dx in zip(self[1:], step[1:], strict=True))
        return 1 / max(shrink, TO_BOUNDARY)


def _direction(
    X: Tensor,
    at: _Point,
    infeasible: Tensor,
    gradient: Tensor,
    theta: Tensor,
    factor: Tensor,
    target_over: Tensor,
    target_under: Tensor,
) -> _Point:
    """Newton step toward these values of the products α · over and (c − α) · under."""
    # Δover and Δunder eliminated from the primal residual, then Δα from the dual one.
    shift = infeasible + at.over - at.under + target_under / at.room - target_over / at.alpha
    right = -gradient - X @ (shift / theta)
    u = torch.cholesky_solve(right[:, None], factor)[:, 0]
    alpha = -(X.T @ u + shift) / theta
    over = (target_over - at.over * alpha) / at.alpha - at.over
    under = (target_under + at.under * alpha) / at.room - at.under
    return _Point(u, alpha, -alpha, over, under)
