"""The separated attribute predictability score (SAP).

Abhishek Kumar, Prasanna Sattigeri, Avinash Balakrishnan: Variational Inference of Disentangled
Latent Concepts from Unlabeled Observations, ICLR 2018, arXiv:1711.00848. Per attribute, how much
better its best code predicts it than the second best does:

    SAP = mean over j of S₁(j) − S₂(j).

For values, S is the squared correlation. For classes, S is the test accuracy of a linear support
vector machine on that one code, as disentanglement_lib has it: `LinearSVC(C=0.01,
class_weight="balanced")`, one class against the rest, whose intercept is regularized too,

    minimize over w, b   ½ (w² + b²) + Σᵢ cᵢ max(0, 1 − yᵢ (w xᵢ + b))².

In one dimension the rows inside the margin of either class are those beyond a threshold, so that
with sums over sorted codes a step of Newton's method costs two searches, whatever the number of
rows. All classes of an attribute are solved together, to the optimum; liblinear stops at 1e-4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from analysis.representation.rows import HeldOut, checked_rows, split_rows
from directions.errors import LatdirError

__all__ = ["SAP", "sap"]

C = 0.01
STEPS = 100
TOLERANCE = 1e-9
SHORTEST = 2.0**-40
# Below this variance disentanglement_lib takes a code for dead.
DEAD = 1e-12

Array = NDArray[np.float64]
Labels = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SAP:
    """The separated attribute predictability and its components.

    Attributes:
        score: Mean gap over the attributes that vary, in 0 … 1.
        gaps: `[k]`, of each attribute; NaN for a constant one.
        scores: `[d, k]`, test accuracy of each code for classes, squared correlation for values.
        kind: `classes` or `values`.
    """

    score: float
    gaps: Float[Tensor, "k"]
    scores: Float[Tensor, "d k"]
    kind: str


def sap(
    codes: Float[Tensor, "n *shape"], attributes: Tensor, *, held_out: HeldOut | None = None
) -> SAP:
    """The separated attribute predictability of codes.

    Args:
        codes: `[n, …]`, at least two a row.
        attributes: `[n, k]` or `[n]`; integers are classes, floating-point numbers values.
        held_out: For classes, other rows to test on; by default every second row is held out.
            For values there is nothing to hold out.

    Raises:
        LatdirError: One code only, no attribute that varies, or rows that do not fit.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat(50, 1)
        >>> sap(factors.float(), factors, held_out=(factors.float(), factors)).score
        0.5
    """
    rows, table = checked_rows(codes, attributes)
    if rows.shape[1] < 2:
        raise LatdirError("a gap is between the two best codes: give at least 2 codes, not 1")
    if table.is_floating_point():
        scores, varies, kind = _correlations(rows, table), table.amax(0) > table.amin(0), "values"
    else:
        split = split_rows(rows, table, held_out=held_out)
        labels, truth = (y.cpu().numpy() for y in (split.classes, split.test_classes))
        x, test = (t.double().cpu().numpy() for t in (split.codes, split.test_codes))
        varies = split.classes.amax(0) > split.classes.amin(0)
        found = [_accuracies(*pair, labels, truth) for pair in zip(x.T, test.T, strict=True)]
        scores, kind = torch.tensor(np.array(found), device=rows.device), "classes"
    if not varies.any():
        raise LatdirError("every attribute is constant: there is nothing that codes could predict")
    top = scores.topk(2, dim=0).values
    gaps = torch.where(varies, top[0] - top[1], torch.nan)
    return SAP(float(gaps[varies].mean()), gaps, scores, kind)


def _correlations(codes: Float[Tensor, "n d"], values: Float[Tensor, "n k"]) -> Tensor:
    x, y = (t.double() - t.double().mean(0) for t in (codes, values))
    covariance = x.T @ y / (len(x) - 1)
    var_x, var_y = (t.square().sum(0) / (len(t) - 1) for t in (x, y))
    alive = (var_x > DEAD)[:, None] & (var_y > 0)
    product = torch.where(alive, var_x[:, None] * var_y, 1)
    return torch.where(alive, covariance.square() / product, 0)


def _accuracies(x: Array, test: Array, labels: Labels, truth: Labels) -> list[float]:
    """Test accuracy of one code on each attribute."""
    order = np.argsort(x, kind="stable")
    machines = _Machines.of(x[order], labels[order])
    w, b = machines.solve()
    found = []
    for j in range(labels.shape[1]):
        mine = machines.attribute == j
        if mine.sum() < 2:
            found.append(float(np.mean(truth[:, j] == labels[0, j])))
            continue
        classes, slope, offset = machines.label[mine], w[mine], b[mine]
        if len(classes) == 2:
            # Two classes have one machine; that of the first is its mirror image already.
            guess = classes[(test * slope[1] + offset[1] > 0).astype(np.int64)]
        else:
            guess = classes[np.argmax(np.outer(test, slope) + offset, 1)]
        found.append(float(np.mean(guess == truth[:, j])))
    return found


@dataclass(frozen=True)
class _Machines:
    """One machine a class of every attribute, against all other rows, over one sorted code.

    Rows come class after class, in the order of the code within each, so that the rows of a class
    below a threshold are a run, whose sums are differences of running sums.

    Attributes:
        x: `[n]`, the code, sorted.
        sums: `[n + 1, 3]`, running sums of 1, x and x².
        keys: `[m]`, position of each row in `x`, plus n times the number of its class.
        own_sums: `[m + 1, 3]`, running sums in that order.
        start: `[c]`, first row of each class.
        size: `[c]`, number of its rows.
        label: `[c]`, its number within its attribute.
        attribute: `[c]`, which attribute it is of.
        costs: `[2, c]`, cᵢ of the rows of each class and of the others.
    """

    x: Array
    sums: Array
    keys: Labels
    own_sums: Array
    start: Labels
    size: Labels
    label: Labels
    attribute: Labels
    costs: Array

    @classmethod
    def of(cls, x: Array, labels: Labels) -> _Machines:
        n, k = labels.shape
        counts = [np.bincount(y) for y in labels.T]
        present = [np.flatnonzero(c) for c in counts]
        size = np.concatenate([c[p] for c, p in zip(counts, present, strict=True)])
        # Sixteen bits, for which NumPy's stable sort takes linear time.
        narrow = labels.astype(np.int16 if labels.max() < 2**15 else np.int64)
        rows = np.concatenate([np.argsort(y, kind="stable") for y in narrow.T])
        classes = np.repeat([len(p) for p in present], [len(p) for p in present])
        balanced = n / (classes * size)
        # liblinear weighs the rows of the class alone, unless there are just two.
        others = np.where(classes == 2, n / (2 * np.maximum(n - size, 1)), 1.0)
        return cls(
            x=x,
            sums=_running(x),
            keys=rows + n * np.repeat(np.arange(len(size)), size),
            own_sums=_running(x[rows]),
            start=np.cumsum(size) - size,
            size=size,
            label=np.concatenate(present),
            attribute=np.repeat(np.arange(k), [len(p) for p in present]),
            costs=C * np.stack([balanced, others]),
        )

    def model(self, w: Array, b: Array) -> tuple[Array, Array, Array]:
        """Objective `[c]`, gradient `[c, 2]` and Hessian `[c, 2, 2]` at slopes and intercepts."""
        value = 0.5 * (w * w + b * b)
        gradient = np.stack([w, b], 1)
        hessian = np.tile(np.eye(2), (len(w), 1, 1))
        for sign in (1.0, -1.0):
            total, own = self._inside(w, b, sign)
            sums = own if sign > 0 else total - own
            cost = self.costs[0 if sign > 0 else 1]
            count, first, second = sums.T
            inner, outer = w * first + b * count, w * second + b * first
            value += cost * (count - 2 * sign * inner + w * outer + b * inner)
            slope = np.stack([outer - sign * first, inner - sign * count], 1)
            gradient += 2 * cost[:, None] * slope
            terms = np.stack([second, first, first, count], 1).reshape(-1, 2, 2)
            hessian += 2 * cost[:, None, None] * terms
        return value, gradient, hessian

    def _inside(self, w: Array, b: Array, sign: float) -> tuple[Array, Array]:
        """Sums over all rows, and over a class's own, where `sign (w x + b) < 1`."""
        below = (w >= 0) == (sign > 0)
        with np.errstate(over="ignore"):
            limit = (sign - b) / np.where(w == 0, np.finfo(float).tiny, w)
        place = np.searchsorted(self.x, limit)
        stop = self.start + self.size
        numbers = np.arange(len(w)) * len(self.x)
        mine = np.searchsorted(self.keys, numbers + place)
        total = np.where(below[:, None], self.sums[place], self.sums[-1] - self.sums[place])
        lower = self.own_sums[mine] - self.own_sums[self.start]
        upper = self.own_sums[stop] - self.own_sums[mine]
        return total, np.where(below[:, None], lower, upper)

    def solve(self) -> tuple[Array, Array]:
        """Optimal slopes and intercepts, `[c]` each.

        Raises:
            LatdirError: Newton's method has not converged, which finite codes of any sensible
                scale do.
        """
        point = np.zeros((len(self.size), 2))
        value, gradient, hessian = self.model(*point.T)
        scale = np.linalg.norm(gradient, axis=1) + 1
        for _ in range(STEPS):
            open_ = np.linalg.norm(gradient, axis=1) > TOLERANCE * scale
            if not open_.any():
                return point[:, 0], point[:, 1]
            step = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
            step[~open_] = 0
            decrease = (gradient * step).sum(1)
            length = np.ones(len(point))
            while True:
                moved = point + length[:, None] * step
                ahead = self.model(*moved.T)
                # Near the optimum the decrease drowns in rounding: there, whole steps are right.
                slack = 1e-12 * (1 + np.abs(value))
                short = ahead[0] > value + 1e-4 * length * decrease + slack
                if not short.any():
                    break
                length = np.where(short, length / 2, length)
                if length.min() < SHORTEST:
                    raise LatdirError(_STUCK)
            point, (value, gradient, hessian) = moved, ahead
        raise LatdirError(_STUCK)


_STUCK = (
    "the machines of SAP do not converge on these codes: their scale is extreme; "
    "divide each code by its standard deviation"
)


def _running(x: Array) -> Array:
    sums = np.zeros((len(x) + 1, 3))
    np.cumsum(np.stack([np.ones_like(x), x, x * x], 1), axis=0, out=sums[1:])
    return sums
