"""Cones of margin classifiers from one Newton step a replicate instead of a fit.

At the optimum the gradient is 0, and weights vᵢ of the rows move it by Σ (vᵢ − 1) gᵢ; to first
order the solution moves by −H⁻¹ of that (the one-step bootstrap; its covariance is the sandwich
H⁻¹ (Σ gᵢ gᵢᵀ) H⁻¹ of Huber 1967). The hinge, which has no second derivative, has H as the density
of rows at its kink (Koo et al. 2008, "A Bahadur representation of the linear support vector
machine", J. Mach. Learn. Res. 9). The gᵢ are summed over blocks of rows in one pass; H is that of
a part of the rows, factorized, or solved by conjugate gradients for all replicates at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from discovery.decomposition.covariance import column_gram
from discovery.estimators.chunks import Chunks
from discovery.estimators.cones import angles
from discovery.estimators.linear import Hyperplanes
from discovery.estimators.smooth_margin import Loss, loss_and_slopes
from discovery.estimators.sums import block_sums

__all__ = ["one_step_cone"]

ROWS_A_COORDINATE = 20  # rows that H is taken from: its error then is small beside the cone's
TOLERANCE = 0.02
STEPS = 50
PROBES = 64
FACTORED = 1024  # columns up to which H is factorized


def one_step_cone(
    chunks: Chunks,
    labels: Float[Tensor, "k n"],
    bounds: Float[Tensor, "k n"],
    planes: Hyperplanes,
    *,
    loss: Loss,
    replicates: int = 50,
    level: float = 0.95,
    seed: int = 0,
) -> Float[Tensor, "k"]:
    """Cone of each target's normal, in degrees.

    Args:
        chunks: The codes, more rows than coordinates.
        labels: +1, −1, or 0 for rows left out.
        bounds: Price of each row, as `discovery.estimators.svm.box` makes it.
        planes: The optimum.
        loss: Whose optimum it is.
        replicates: Bootstrap replicates.
        level: Fraction of them inside the cone.
        seed: Of the replicates.

    Example:
        >>> from discovery.estimators.chunks import InMemory
        >>> from discovery.estimators.smooth_margin import smooth_margin
        >>> g = torch.Generator().manual_seed(0)
        >>> codes = torch.randn(4000, 10, generator=g)
        >>> labels = (codes[:, :1].T + torch.randn(1, 4000, generator=g)).sign()
        >>> plane = smooth_margin(codes, labels, torch.ones(1, 4000), loss="logistic")
        >>> one_step_cone(InMemory(codes), labels, torch.ones(1, 4000), plane, loss="logistic")
        tensor([...])
    """
    n = chunks.count
    labels, bounds = labels.double(), bounds.double()
    f = _values(chunks, planes)
    _, slope, curvature = loss_and_slopes(loss, labels * f, width=_width(labels * f, bounds))
    weights = bounds * slope * labels
    found = block_sums(chunks, weights)
    gradients = torch.cat([found.codes, found.weights[..., None]], 2)
    gradients = gradients - gradients.mean(1, keepdim=True)
    rng = torch.Generator().manual_seed(seed)
    part = torch.zeros(n, dtype=torch.bool)
    part[torch.randperm(n, generator=rng)[: ROWS_A_COORDINATE * (chunks.size + 1)]] = True
    rows = chunks.take(part)
    X = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
    signs = torch.randint(0, 2, (replicates, gradients.shape[1]), generator=rng) * 2 - 1
    price = (bounds * curvature)[:, part.to(bounds.device)].to(X) * (n / len(X))
    pull = weights[:, part.to(weights.device)].square()
    cones = []
    for k, w in enumerate(planes.weights.double()):
        solve = _solver(X, price[k])
        steps = solve((signs.to(gradients) @ gradients[k]).to(X)).double()[:, :-1]
        if loss == "hinge":  # its kink gives rows no leverage
            steps = steps / max(1 - (chunks.size + 1) / int((bounds[k] > 0).sum()), 1e-3)
        else:
            steps = steps * _left_out(X, price[k], solve, pull[k], n / len(X), rng)
        # E‖ŵ‖² = ‖w‖² + E‖ŵ − w‖².
        shrink = (1 - steps.square().sum(1).mean() / w.square().sum()).clamp_min(1e-12)
        w = w * shrink.sqrt()
        cones.append(angles((w + steps)[:, None], w[None])[:, 0].quantile(level))
    return torch.stack(cones).to(planes.weights)


def _values(chunks: Chunks, planes: Hyperplanes) -> Float[Tensor, "k n"]:
    weights, intercepts = planes
    found = weights.new_empty(len(weights), chunks.count, dtype=torch.float64)
    for first, codes in chunks:
        found[:, first : first + len(codes)] = weights @ codes.to(weights).T + intercepts[:, None]
    return found


def _width(margin: Tensor, bounds: Tensor) -> Tensor:
    """Width of the window that the density of rows at the hinge's kink is counted in, `[k, 1]`."""
    used = (bounds > 0).double()
    count = used.sum(1, keepdim=True)
    mean = (margin * used).sum(1, keepdim=True) / count
    spread = ((margin - mean).square() * used).sum(1, keepdim=True) / count
    return spread.sqrt() * count ** (-1 / 5)


def _left_out(
    X: Tensor,
    price: Tensor,
    solve: Callable[[Tensor], Tensor],
    pull: Tensor,
    share: float,
    rng: torch.Generator,
) -> float:
    """How much longer steps are whose gradients are taken at the fit without the row itself.

    There the gradient of a row of leverage h is 1 / (1 − h) as large, as in HC3 (MacKinnon & White
    1985, J. Econometrics 29); the variance is then too large by 1 / (1 − the mean of h) where there
    are many coordinates (El Karoui & Purdom 2018, J. Mach. Learn. Res. 19). `pull` is the square
    of each row's slope, and each row of X stands for `share` rows.
    """
    scale = price.sqrt()
    u = torch.randn(PROBES, len(X), generator=rng).to(X)
    free = torch.randn(2, PROBES, X.shape[1], generator=rng).to(X)
    free[..., -1] = 0
    probes = torch.cat([(u * scale) @ X + free[0], free[1]])
    fitted, reach = torch.split(solve(probes) @ X.T, PROBES)
    # The hat matrix is a projection of noise: variance h of a row inside it, 1 − h outside.
    kept, rest = ((v.square().sum(0)).double() for v in (scale * fitted, u - scale * fitted))
    h = kept / (kept + rest) / share
    q = pull.to(h) * reach.square().sum(0).double()  # ∝ ‖H⁻¹ g‖² of each row
    longer = (q / (1 - h).clamp_min(1e-3).square()).sum() / q.sum()
    return float((longer * (1 - h.mean())).sqrt())


def _solver(X: Tensor, price: Tensor) -> Callable[[Tensor], Tensor]:
    """Rows to H⁻¹ of them, H = I + Σ price x xᵀ without a penalty of the intercept."""
    if X.shape[1] <= FACTORED:
        scaled = (X * price.sqrt()[:, None]).double()
        H = scaled.T @ scaled
        H.diagonal()[:-1] += 1
        H[-1, -1] += 1e-6 * H[-1, -1] + 1e-12
        root = torch.linalg.cholesky(H)
        return lambda right: torch.cholesky_solve(right.T.double(), root).T.to(X)
    mean, gram = price.mean().clamp_min(1e-12), column_gram(X)
    gram.diagonal().add_(1e-6 * gram.diagonal().mean() + 1 / mean)
    return partial(_solved, X, price, torch.linalg.cholesky(gram), float(mean))


def _solved(X: Tensor, price: Tensor, root: Tensor, mean: float, right: Tensor) -> Tensor:
    """The same by conjugate gradients, all rows at once."""

    def times(v: Tensor) -> Tensor:
        free = torch.cat([v[:, :-1], torch.zeros_like(v[:, -1:])], 1)
        return free + (price * (v @ X.T)) @ X

    def near(v: Tensor) -> Tensor:
        return torch.cholesky_solve(v.T, root).T / mean

    s, r = torch.zeros_like(right), right
    z = near(r)
    p, rz = z, (r * z).sum(1, keepdim=True)
    goal = TOLERANCE**2 * rz
    for _ in range(STEPS):
        active = rz > goal
        if not active.any():
            break
        Hp = times(p)
        alpha = active * rz / (p * Hp).sum(1, keepdim=True).clamp_min(1e-30)
        s, r = s + alpha * p, r - alpha * Hp
        z = near(r)
        new = (r * z).sum(1, keepdim=True)
        p, rz = z + active * new / rz.clamp_min(1e-30) * p, new
    return s
