"""The separated attribute predictability score (SAP).

Abhishek Kumar, Prasanna Sattigeri, Avinash Balakrishnan: Variational Inference of Disentangled
Latent Concepts from Unlabeled Observations, ICLR 2018, arXiv:1711.00848. Per attribute, how much
better its best code predicts it than the second best does:

    SAP = mean over j of S₁(j) − S₂(j).

For values, S is the squared correlation. For classes, S is the test accuracy of a linear support
vector machine on that one code, as disentanglement_lib has it: scikit-learn's `LinearSVC(C=0.01,
class_weight="balanced")`, one class against the rest, solved in the primal.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from torch import Tensor

from analysis.representation.rows import HeldOut, checked_rows, split_rows
from directions.errors import LatdirError

__all__ = ["SAP", "sap"]

C = 0.01
NOT_CONVERGED = (
    "the machines of SAP do not converge on these codes: their scale is extreme; "
    "divide each code by its standard deviation"
)
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
    found = []
    for y, expected in zip(labels.T, truth.T, strict=True):
        if (y == y[0]).all():
            guess = y[:1]
        else:
            # More rows than codes: liblinear's Newton method on the primal problem.
            machine = LinearSVC(C=C, class_weight="balanced", dual=False, tol=1e-8)
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                try:
                    guess = machine.fit(x[:, None], y).predict(test[:, None])
                except ConvergenceWarning as error:
                    raise LatdirError(NOT_CONVERGED) from error
        found.append(float(np.mean(guess == expected)))
    return found
