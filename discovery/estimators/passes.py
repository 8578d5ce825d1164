"""Margin classifiers of any number of rows, in passes over them.

The problem of `smooth_margin`, for rows that are read anew at each pass: L-BFGS (Liu & Nocedal
1989, "On the limited memory BFGS method for large scale optimization") in the codes' whitened
eigenbasis, where a dozen passes find the optimum. The hinge has its kink rounded over a width of
`WIDTH`, which over many rows changes nothing that one could see.
"""

from __future__ import annotations

from collections import deque

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import ConvergenceError
from directions.progress import tqdm
from discovery.estimators.chunks import Chunks
from discovery.estimators.linear import EXACT, Hyperplanes
from discovery.estimators.smooth_margin import Loss, loss_and_slopes
from discovery.estimators.sums import sums

__all__ = ["margin_passes"]

PASSES = 100
MEMORY = 10
ARMIJO = 1e-4
WIDTH = 0.02
TYPICAL = {"logistic": 0.2, "squared_hinge": 1.0, "hinge": 0.5}  # second derivative, about


def margin_passes(
    chunks: Chunks,
    labels: Float[Tensor, "k n"],
    bounds: Float[Tensor, "k n"],
    *,
    loss: Loss,
    tolerance: float = 1e-5,
) -> Hyperplanes:
    """Margin classifiers that minimize ½‖w‖² + Σᵢ cᵢ ℓ(yᵢ(xᵢᵀw + b)).

    Args:
        chunks: The codes.
        labels: +1, −1, or 0 for rows left out.
        bounds: Price cᵢ of each row.
        loss: log(1 + exp(−m)), max(0, 1 − m)², or max(0, 1 − m) with a rounded kink.
        tolerance: Gradient norm to reach, relative to its norm at w = 0, in the whitened basis.

    Raises:
        ConvergenceError: It is not reached.

    Example:
        >>> from discovery.estimators.chunks import InMemory
        >>> codes = torch.tensor([[0.0, 1.0], [0.0, 2.0], [1.0, -1.0], [-1.0, -2.0]])
        >>> labels = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
        >>> plane = margin_passes(InMemory(codes), labels, torch.ones(1, 4), loss="logistic")
        >>> plane.weights.round(decimals=2)
        tensor([[-0.1200,  1.0100]])
    """
    used = (bounds > 0).any(0)
    exact = chunks.count * chunks.size <= EXACT or chunks.dtype == torch.float64
    dtype = torch.float64 if exact else torch.float32
    # Near the optimum the decrease drowns in the rounding of the sum.
    slack = 10 * torch.finfo(dtype).eps
    [found] = sums(chunks, labels[:0], (~used).to(torch.uint8) * 255)
    axes = found.axes()
    # Curvature of each target if all its rows had the loss's typical one.
    price = bounds.double().sum(1, keepdim=True) * TYPICAL[loss]
    scale = torch.cat([1 + price / found.n * axes.spectrum, price], 1).rsqrt()
    targets = [_Target(row) for row in scale]

    def pull(u: Tensor) -> tuple[Tensor, Tensor]:
        """Objective and its gradient at the whitened coefficients `[k, r + 1]`."""
        w = u * scale
        weights, level = w[:, :-1] @ axes.basis.T, w[:, -1:]
        value = w[:, :-1].square().sum(1) / 2
        slope = torch.zeros_like(weights)
        tilt = torch.zeros_like(level)
        for first, codes in chunks:
            rows = slice(first, first + len(codes))
            x = codes.to(dtype) - axes.mean.to(dtype)
            y, c = labels[:, rows].to(x), bounds[:, rows].to(x)
            lost, first_, _ = loss_and_slopes(
                loss, y * (weights.to(x) @ x.T + level.to(x)), width=WIDTH
            )
            value = value + (c * lost).sum(1, dtype=torch.float64)
            pushed = c * y * first_
            slope += (pushed @ x).double()
            tilt += pushed.sum(1, keepdim=True, dtype=torch.float64)
        gradient = torch.cat([w[:, :-1] + slope @ axes.basis, tilt], 1) * scale
        return value, gradient

    u = torch.zeros_like(scale)
    value, gradient = pull(u)
    start = gradient.norm(dim=1)
    for _ in tqdm(range(PASSES), desc=loss, unit="pass", delay=1, leave=False):
        if (gradient.norm(dim=1) <= tolerance * start).all():
            w = u * scale
            return axes.planes(w[:, :-1], w[:, -1], chunks.dtype)
        way = torch.stack([t.way(g) for t, g in zip(targets, gradient, strict=True)])
        descent = (way * gradient).sum(1)
        step = torch.ones_like(value)
        for _ in range(20):
            tried = u + step[:, None] * way
            there, slopes = pull(tried)
            good = there <= value + ARMIJO * step * descent + slack * value.abs()
            if good.all():
                break
            step = torch.where(good, step, step / 2)
        for target, s, y in zip(targets, tried - u, slopes - gradient, strict=True):
            target.remember(s, y)
        u, value, gradient = tried, there, slopes
    worst = int((gradient.norm(dim=1) / start).argmax())
    raise ConvergenceError(
        f"the {loss} boundary of target {worst} did not converge in {PASSES} passes: use a "
        "smaller C"
    )


class _Target:
    """What one target's descent remembers of its last steps."""

    def __init__(self, like: Tensor) -> None:
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=MEMORY)
        self.size = len(like)

    def remember(self, s: Tensor, y: Tensor) -> None:
        if float(s @ y) > 1e-14 * float(s.norm() * y.norm()):
            self.pairs.append((s, y, 1 / float(s @ y)))

    def way(self, gradient: Tensor) -> Tensor:
        """−H⁻¹ gradient by the two loops over the pairs."""
        q, alphas = gradient.clone(), []
        for s, y, rho in reversed(self.pairs):
            alphas.append(rho * float(s @ q))
            q -= alphas[-1] * y
        if self.pairs:
            s, y, rho = self.pairs[-1]
            q /= rho * float(y @ y)
        for (s, y, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q += (alpha - rho * float(y @ q)) * s
        return -q
