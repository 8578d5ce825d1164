"""The exact linear support vector machine, for many targets at once.

Solves, for every target k, the problem of `sklearn.svm.SVC(kernel="linear")`:

    minimize over w, b   ½‖w‖² + Σᵢ cᵢ max(0, 1 − yᵢ(xᵢᵀw + b)),

with a free intercept b and cᵢ = C · (row weight) · (class weight). Two stages share one
eigendecomposition of the codes' Gram matrix:

1. Douglas–Rachford splitting (ADMM with over-relaxation; Boyd et al. 2011, "Distributed
   Optimization and Statistical Learning via the Alternating Direction Method of Multipliers")
   for all targets together: two matrix products and four elementwise passes an iteration.
2. Target by target, an interior point (`svm_interior_point`) on the few rows near the margin;
   the other rows stay at the bound where the first stage put them, and any that turn out to
   be misplaced are taken in for another round.

The relative duality gap (P − D) / P, which bounds the relative error of the objective, ends
both; a target leaves the batch of the first stage as soon as it has converged.

liblinear's dual coordinate descent is the fair opponent (`benchmarks/svm.py`): for one target of
10,000 rows of 512 coordinates on one thread, `LinearSVC(loss="hinge")` takes 11 s at its default
iterations and ends 1.3e-2 above the optimum, 18 s for 2.4e-4; 6.5e-6 takes 0.7 s here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.devices import ieee_float32
from directions.errors import ConvergenceError, LatdirError
from discovery.estimators.linear import rotate
from discovery.estimators.svm_interior_point import interior_point

__all__ = ["HingeFit", "box", "hinge_svm"]

HANDOVER = 1e-2  # gap at which the rows near the margin are known well enough
SPLIT_ALONE = 1e-3  # gap that the splitting reaches for all targets sooner than the second stage
NEAR_ROWS = 2  # rows taken near the margin, as a multiple of the coordinates
ROUNDS = 8
CHECK_EVERY = 10
SPLIT_LIMIT = 3000
RELAXATION = 1.7
# Steps of the splitting, as a fraction of C: within 0.06 … 0.2 the iterations hardly differ.
STEP = 0.1
# Rows a target leaves out still cost time and slow the splitting: past this share it goes alone.
SHARED_ROWS = 0.5


@dataclass(frozen=True, eq=False)
class HingeFit:
    """Optimal hyperplanes of K targets, with the certificate of their optimality.

    Attributes:
        weights: `[k, d]`, one normal (not normalized) a target.
        intercepts: `[k]`.
        objective: `[k]`, float64, the primal objective.
        gap: `[k]`, float64, relative duality gap: the objective is within
            `gap * objective` of its minimum.
        iterations: Splitting iterations plus interior-point steps of the slowest target.
    """

    weights: Float[Tensor, "k d"]
    intercepts: Float[Tensor, "k"]
    objective: Float[Tensor, "k"]
    gap: Float[Tensor, "k"]
    iterations: int


def box(
    labels: Float[Tensor, "k n"], weights: Float[Tensor, "k n"] | None, *, C: float, balanced: bool
) -> Float[Tensor, "k n"]:
    """Upper bounds cᵢ of the dual variables: C × row weight × class weight; 0 leaves a row out.

    Args:
        labels: +1, −1, or 0 for a row that is not in the target's training set.
        weights: Row weights, at least 0.
        C: Price of a margin violation.
        balanced: Weigh each class by (rows) / (2 × rows of the class).

    Raises:
        LatdirError: A target with only one class.

    Example:
        >>> box(torch.tensor([[1.0, -1.0, -1.0, 0.0]]), None, C=3.0, balanced=True)
        tensor([[4.5000, 2.2500, 2.2500, 0.0000]])
    """
    weight = labels.abs() if weights is None else weights * labels.abs()
    positive, negative = (weight * (labels == sign) for sign in (1, -1))
    heights = positive.sum(1), negative.sum(1)
    for sign, height in zip(("positive", "negative"), heights, strict=True):
        if (height == 0).any():
            raise LatdirError(
                f"target {int((height == 0).nonzero()[0])} has no {sign} rows: "
                "a boundary needs both classes; choose another threshold"
            )
    if not balanced:
        return C * weight
    half = (heights[0] + heights[1])[:, None] / 2
    return C * half * (positive / heights[0][:, None] + negative / heights[1][:, None])


@ieee_float32()
def hinge_svm(
    codes: Float[Tensor, "n d"],
    labels: Float[Tensor, "k n"],
    *,
    weights: Float[Tensor, "k n"] | None = None,
    C: float = 1.0,
    balanced: bool = False,
    tolerance: float = 1e-5,
) -> HingeFit:
    """Exact linear SVMs of K targets on the same codes.

    Args:
        codes: `[n, d]`, any n and d, floating point.
        labels: `[k, n]`, +1 or −1; 0 leaves the row out of that target's training set.
        weights: `[k, n]`, row weights, at least 0.
        C: Price of a margin violation, as in scikit-learn.
        balanced: Weigh the classes inversely to their size.
        tolerance: Relative duality gap to reach; float32 codes reach about 1e-7.

    Returns:
        The hyperplanes, on the codes' device and in their dtype.

    Raises:
        LatdirError: Only one class, bad arguments, or no convergence.

    Example:
        >>> codes = torch.tensor([[0.0, 1.0], [0.0, 3.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> fit = hinge_svm(codes, torch.tensor([[1.0, 1.0, -1.0, -1.0]]), C=10.0)
        >>> (fit.weights.round(decimals=3) + 0).tolist(), bool(fit.gap.max() < 1e-5)
        ([[0.0, 1.0]], True)
    """
    if not (C > 0 and tolerance > 0):
        raise LatdirError(f"C and tolerance must be positive, not {C} and {tolerance}")
    if not torch.isin(labels, torch.tensor([-1.0, 0.0, 1.0]).to(labels)).all():
        raise LatdirError("labels must be +1, -1, or 0 for rows left out: use labels.sign()")
    labels = labels.to(codes)
    bounds = box(labels, None if weights is None else weights.to(codes), C=C, balanced=balanced)
    used = bounds > 0
    alone = (used.double().mean(1) < SHARED_ROWS).nonzero()[:, 0].tolist()
    together = [k for k in range(len(labels)) if k not in alone]
    parts: list[tuple[list[int], HingeFit]] = []
    if together:
        parts.append((together, _solve(codes, labels[together], bounds[together], tolerance)))
    for k in alone:
        rows = used[k]
        part = _solve(codes[rows], labels[k : k + 1, rows], bounds[k : k + 1, rows], tolerance)
        parts.append(([k], part))
    back = torch.tensor([k for ks, _ in parts for k in ks], device=codes.device).argsort()
    return HingeFit(
        torch.cat([p.weights for _, p in parts])[back],
        torch.cat([p.intercepts for _, p in parts])[back],
        torch.cat([p.objective for _, p in parts])[back],
        torch.cat([p.gap for _, p in parts])[back],
        max(p.iterations for _, p in parts),
    )


def _solve(codes: Tensor, labels: Tensor, bounds: Tensor, tolerance: float) -> HingeFit:
    dtype, small = codes.dtype, len(codes) <= 2 * NEAR_ROWS * (codes.shape[1] + 1)
    if small:
        # Separable problems have tiny objectives, which float32 rounding would swamp.
        codes, labels, bounds = codes.double(), labels.double(), bounds.double()
    turned = rotate(codes)
    # The intercept is one more coordinate, of a constant feature, that is not penalized.
    features = torch.cat([turned.codes, turned.codes.new_ones(1, len(codes))])
    problem = _Problem(features, labels, bounds)
    if small:
        w, alpha, steps = features.new_zeros(len(labels), len(features)), bounds / 2, 0
    else:
        goal = tolerance if tolerance >= SPLIT_ALONE else HANDOVER
        w, alpha, steps = _split(problem, turned.spectrum, goal)
    if small or tolerance < SPLIT_ALONE:
        refined = [_refine(problem, k, w[k], alpha[k], tolerance) for k in range(len(labels))]
        w, alpha = torch.stack([r[0] for r in refined]), torch.stack([r[1] for r in refined])
        steps += max(r[2] for r in refined)
    objective, gap = problem.certificate(w, w @ features, alpha)
    worst = int(gap.argmax())
    if not gap[worst] <= tolerance:
        raise ConvergenceError(
            f"the SVM of target {worst} did not converge: relative duality gap "
            f"{float(gap[worst]):.1e} after {steps} iterations, wanted {tolerance:.1e}: "
            "use a smaller C, a looser tolerance, or float64 codes"
        )
    normals, intercepts = turned.planes(w[:, :-1], w[:, -1], w.dtype)
    return HingeFit(normals.to(dtype), intercepts.to(dtype), objective, gap, steps)


@dataclass(frozen=True, eq=False)
class _Problem:
    """K targets on shared features `[r + 1, n]`, whose last row is the intercept's ones."""

    features: Tensor
    labels: Tensor
    bounds: Tensor

    def __getitem__(self, targets: Tensor) -> _Problem:
        return _Problem(self.features, self.labels[targets], self.bounds[targets])

    def steps(self, rho: Tensor, spectrum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Limits of the proximal map, signed by the labels, and the least-squares weights."""
        limit = self.labels * self.bounds / rho[:, None]
        shrink = 1 / (spectrum + 1 / rho[:, None])
        mean = shrink.new_full((len(rho), 1), 1 / self.labels.shape[1])
        return limit.clamp_max(0), limit.clamp_min(0), torch.cat([shrink, mean], 1)

    def certificate(self, w: Tensor, f: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Primal objective of w, and its relative gap to the dual value of alpha."""
        loss = self.bounds * (1 - self.labels * f).clamp_min_(0)
        primal = loss.sum(1, dtype=torch.float64) + w[:, :-1].double().square().sum(1) / 2
        # Dual feasibility asks Σ αy = 0: the heavier class is scaled down.
        signed = alpha * self.labels
        balance = signed.sum(1, dtype=torch.float64)
        total = alpha.sum(1, dtype=torch.float64)
        heavy = (total + balance.abs()) / 2
        factor = (total - heavy) / heavy.clamp_min(torch.finfo(torch.float64).tiny)
        of_heavy = signed * balance.sign()[:, None].to(signed) > 0
        signed = torch.where(of_heavy, signed * factor[:, None].to(signed), signed)
        normal = (signed @ self.features[:-1].T).double()
        dual = 2 * (total - heavy) - normal.square().sum(1) / 2
        return primal, (primal - dual) / primal


def _split(problem: _Problem, spectrum: Tensor, tolerance: float) -> tuple[Tensor, Tensor, int]:
    """Douglas–Rachford splitting of w from the margins; returns w, alpha and iterations.

    With Xw = v + a at the optimum and multipliers -ρa, one iteration finds a by the hinge's
    proximal map, w by least squares on v + 2a, and takes an over-relaxed step of v to Xw - a.
    """
    features, K = problem.features, len(problem.labels)
    rho = STEP * problem.bounds.sum(1) / (problem.bounds > 0).sum(1)
    w, alpha = features.new_zeros(K, len(features)), torch.empty_like(problem.labels)
    # The start v = Xw of the ridge regression of the labels.
    live, active = problem, torch.arange(K, device=rho.device)
    low, high, shrink = live.steps(rho, spectrum)
    v = (live.labels @ features.T * shrink) @ features
    iteration = 0
    while len(active):
        iteration += 1
        # prox_{f/ρ}(v) = v + a, f the hinge: y − v cut to [0, c/ρ] on the side of the label.
        a = torch.sub(live.labels, v).clamp_(low, high)
        # argmin over w of ½‖w‖² + ρ/2 ‖Xw − (2 prox(v) − v)‖², in the eigenbasis of XᵀX.
        x = torch.add(v, a, alpha=2) @ features.T * shrink
        if iteration % CHECK_EVERY == 0:
            # α = ρ y a, between 0 and c by the cut.
            multipliers = a * live.labels * rho[active, None]
            _, gap = live.certificate(x, x @ features, multipliers)
            done = (gap <= tolerance) | (iteration >= SPLIT_LIMIT)
            w[active[done]], alpha[active[done]] = x[done], multipliers[done]
            if done.any():
                active, live, v, a, x = active[~done], live[~done], v[~done], a[~done], x[~done]
                low, high, shrink = live.steps(rho[active], spectrum)
        # v ← v + λ (Xw − prox(v)), over-relaxed by λ.
        v.addmm_(x, features, beta=1 - RELAXATION, alpha=RELAXATION).sub_(a, alpha=RELAXATION)
    return w, alpha, iteration


def _refine(
    problem: _Problem, k: int, w: Tensor, alpha: Tensor, tolerance: float
) -> tuple[Tensor, Tensor, int]:
    """Optimum of target k by an interior point on the rows near its margin."""
    features, y, c = problem.features, problem.labels[k], problem.bounds[k]
    one, steps = problem[torch.tensor([k], device=y.device)], 0
    # Free rows, 0 < α < c, and the rows closest to the margin y f = 1.
    margin = y * (w @ features)
    near = (alpha > 0) & (alpha < c)
    count = min(len(y), NEAR_ROWS * len(features))
    near[(margin - 1).abs().topk(count, largest=False).indices] = True
    for _ in range(ROUNDS):
        near &= c > 0
        # The others are fixed: at α = c inside the margin, at α = 0 beyond it.
        full = ~near & (margin < 1)
        fixed = torch.where(full, c, 0)
        u, inner, taken = interior_point(
            (features[:, near] * y[near]).double(),
            c[near].double(),
            features[:, full].double() @ (c * y)[full].double(),
            constant=float(fixed.double().sum()),
            tolerance=tolerance / 4,
        )
        w, alpha, steps = u.to(features), fixed.masked_scatter(near, inner.to(c)), steps + taken
        margin = y * (w @ features)
        # A fixed row on the other side violates the optimality conditions: it is set free.
        wrong = ~near & torch.where(full, margin > 1, margin < 1)
        _, gap = one.certificate(w[None], (w @ features)[None], alpha[None])
        if gap <= tolerance or not wrong.any():
            break
        near |= wrong
    return w, alpha, steps
