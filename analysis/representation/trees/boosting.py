"""Gradient-boosted trees on binned codes, for DCI's importances.

Jerome H. Friedman: Greedy Function Approximation: A Gradient Boosting Machine, Annals of
Statistics 2001, algorithms 5 and 6, in the form of scikit-learn's `GradientBoostingClassifier` at
its defaults: 100 stages, one regression tree of depth 3 per class and stage (one in all for two
classes), splits by Friedman's improvement, a Newton step a leaf, learning rate 0.1; the importance
of a code is the squared error that its splits take away.

What differs is how a split is found. scikit-learn sorts the rows of every node by every code. Here
rows are sorted once and stay so (`sorted_trees`), with the same splits; for codes of few distinct
values, or cut into few bins, splits are found in sums over those (`histogram_trees`). Bins are not
the same: late trees gain most from single rows at the ends of a node, which no bin can part from
its neighbors. At 10,000 rows, 255 bins lost a quarter of that and moved DCI by 0.017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.representation.trees.binned import Array, Binned, Ints
from analysis.representation.trees.histogram import grow_on_histograms
from analysis.representation.trees.sorted import grow_on_sorted_rows

__all__ = ["Binned", "Boosted", "boost"]

STAGES = 100
DEPTH = 3
RATE = 0.1
# Up to this many bins per code, and from this many rows per bin, histograms beat sorted rows.
FEW_BINS = 300
ROWS_A_BIN = 4
SMALLEST = 1e-150
SAFE_RANGE = 600.0


@dataclass(frozen=True, eq=False)
class Boosted:
    """Result of boosting.

    Attributes:
        importance: `[d]`, at least 0, summing to 1 unless no code was of use.
        fitted: `[n]`, predicted classes of the rows learned from.
        predicted: `[m]`, predicted classes of the rows tested on.
    """

    importance: Array
    fitted: Ints
    predicted: Ints


def boost(
    binned: Binned, labels: Ints, *, seed: int = 0, stages: int = STAGES, depth: int = DEPTH
) -> Boosted:
    """Boost trees that predict one attribute.

    Args:
        binned: The codes.
        labels: `[n]`, class numbers from 0; not all need occur.
        seed: Of the choice between codes that split equally well, such as copies of each other.
        stages: Number of trees per class.
        depth: Number of splits from root to leaf.

    Example:
        >>> codes = np.stack([np.repeat([0.0, 1.0], 50), np.tile([0.0, 1.0], 50)], 1)
        >>> found = boost(Binned.of(codes, codes, bins=None), np.repeat([0, 1], 50))
        >>> found.importance.tolist(), float(np.mean(found.predicted == np.repeat([0, 1], 50)))
        ([1.0, 0.0], 1.0)
    """
    rng = np.random.default_rng(seed)
    present, classes = np.unique(labels, return_inverse=True)
    importance = np.zeros(len(binned.widths))
    if len(present) < 2:
        constant = np.full(len(binned.test_places), present[0])
        return Boosted(importance, labels.copy(), constant)
    share = np.bincount(classes) / len(classes)
    if len(present) == 2:
        target = classes[:, None].astype(float)
        prior, factor = np.log(share[1:] / share[:1]), 1.0
    else:
        target = (classes[:, None] == np.arange(len(present))).astype(float)
        prior, factor = np.log(share), 1 - 1 / len(present)
    scores = np.tile(prior, (len(labels), 1))
    test_scores = np.tile(prior, (len(binned.test_places), 1))
    few = binned.widths.max() <= min(FEW_BINS, len(labels) / ROWS_A_BIN)
    grow = grow_on_histograms if few else grow_on_sorted_rows
    for _ in range(stages):
        gradient = target - _probabilities(scores)
        trees = grow(binned, gradient, depth, rng)
        np.add.at(importance, trees.features.ravel(), trees.gains.ravel())
        values = _leaf_values(trees.leaves, target, gradient, 2**depth)
        values *= RATE * factor
        columns = np.arange(values.shape[1])
        scores += values[trees.leaves, columns]
        test_scores += values[trees.walk(binned.test_places), columns]
    total = importance.sum()
    return Boosted(
        importance / total if total > 0 else importance,
        present[_decide(scores)],
        present[_decide(test_scores)],
    )


def _probabilities(scores: Array) -> Array:
    if scores.shape[1] == 1:
        probabilities: Array = 0.5 + 0.5 * np.tanh(scores / 2)
        return probabilities
    # Rows need a maximum of their own only where one for all would underflow.
    alike = scores.max() - scores.min() < SAFE_RANGE
    powers = np.exp(scores - (scores.max() if alike else scores.max(1, keepdims=True)))
    normalized: Array = powers / (powers @ np.ones((scores.shape[1], 1)))
    return normalized


def _decide(scores: Array) -> Ints:
    decided: Ints = (scores[:, 0] >= 0) * 1 if scores.shape[1] == 1 else scores.argmax(1)
    return decided


def _leaf_values(leaves: Ints, target: Array, gradient: Array, count: int) -> Array:
    """Newton's step of each leaf, `[count, K]`: Σ residual / Σ p (1 − p)."""
    k = leaves.shape[1]
    flat = (leaves * k + np.arange(k)).ravel()
    chance = target - gradient
    size = count * k
    above = np.bincount(flat, gradient.ravel(), size)
    below = np.bincount(flat, (chance * (1 - chance)).ravel(), size)
    steps = np.divide(above, below, out=np.zeros(size), where=np.abs(below) > SMALLEST)
    return steps.reshape(count, k)
