"""Gradient boosted trees on binned codes, for the importances that DCI is made of.

Jerome H. Friedman: Greedy Function Approximation: A Gradient Boosting Machine, Annals of
Statistics 2001, algorithms 5 and 6, in the form of scikit-learn's `GradientBoostingClassifier` at
its defaults: 100 stages, one regression tree of depth 3 a class and stage (one in all for two
classes), splits by Friedman's improvement, a Newton step a leaf, learning rate 0.1; the importance
of a code is the squared error that its splits take away.

What differs is how a split is found. scikit-learn sorts the rows of every node by every code.
Here each code is cut into bins once; the sums of the gradients over the bins are one product of a
sparse matrix of ones with the gradients of all classes at once, for one child of each node only,
as the other is what is left of the parent. With one bin for each distinct value the splits are
scikit-learn's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

__all__ = ["Binned", "Boosted", "boost"]

STAGES = 100
DEPTH = 3
RATE = 0.1
# Entries of the histograms that are looked at together, 32 MB.
CHUNK = 4_000_000
# Splits whose gains differ by less are one and the same to rounding.
TIE = 1e-9
SMALLEST = 1e-150
SAFE_RANGE = 600.0

Array = NDArray[np.float64]
Ints = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Binned:
    """Codes cut into bins, ready for `boost`.

    Attributes:
        places: `[n, d]`, bin of each code.
        test_places: `[m, d]`, the same for rows to test on.
        widths: `[d]`, number of bins of each code.
        order: `[d, n]`, rows in the order of each code's bins; four bytes an entry, the largest
            thing kept.
        ends: One array a code: where each bin ends in that order.
    """

    places: Ints
    test_places: Ints
    widths: Ints
    order: Ints
    ends: tuple[Ints, ...]

    @classmethod
    def of(cls, codes: Array, test_codes: Array, *, bins: int | None) -> Binned:
        """Cut codes at the middle between neighbouring values, or at quantiles if those are many.

        Args:
            codes: `[n, d]`.
            test_codes: `[m, d]`.
            bins: How many bins a code at most; None for one a distinct value.
        """
        n, d = codes.shape
        widest = n if bins is None else min(bins, n)
        kind = np.uint8 if widest <= 256 else np.int32
        places, tests = np.empty((n, d), kind), np.empty((len(test_codes), d), kind)
        order, ends, widths = np.empty((d, n), np.int32), [], np.empty(d, np.int64)
        for f in range(d):
            edges = _edges(codes[:, f], bins)
            places[:, f] = np.searchsorted(edges, codes[:, f])
            tests[:, f] = np.searchsorted(edges, test_codes[:, f])
            order[f] = np.argsort(places[:, f], kind="stable")
            ends.append(np.cumsum(np.bincount(places[:, f], minlength=len(edges) + 1)))
            widths[f] = len(edges) + 1
        return cls(places, tests, widths, order, tuple(ends))

    def chunks(self, columns: int) -> Iterator[tuple[int, _Sums]]:
        """The sparse matrices of ones, a few codes at a time.

        Args:
            columns: How many sums a bin will be kept at most.
        """
        d, n = self.order.shape
        widest = int(self.widths.max())
        step = min(d, max(1, min(CHUNK // (widest * columns), CHUNK // n)))
        for start in range(0, d, step):
            yield start, self._whole if step == d else self._sums(start, min(start + step, d))

    @cached_property
    def _whole(self) -> _Sums:
        return self._sums(0, len(self.order))

    def _sums(self, start: int, stop: int) -> _Sums:
        n, widest = len(self.places), int(self.widths.max())
        ends = np.full((stop - start, widest), n)
        for f in range(start, stop):
            ends[f - start, : self.widths[f]] = self.ends[f]
        offsets = n * np.arange(stop - start)[:, None]
        pointers = np.concatenate([[0], (ends + offsets).ravel()]).astype(np.int32)
        rows = self.order[start:stop].ravel()
        shape = (widest * (stop - start), n)
        ones = np.ones(len(rows))
        return _Sums(scipy.sparse.csr_matrix((ones, rows, pointers), shape=shape), widest)


class _Sums(NamedTuple):
    """Running sums over the bins of some codes."""

    matrix: scipy.sparse.csr_matrix
    widest: int

    def of(self, columns: Array) -> Array:
        """Sums of `[n, c]` over the rows up to each bin, `[f, bins, c]`."""
        sums = (self.matrix @ columns).reshape(-1, self.widest, columns.shape[1])
        running: Array = np.cumsum(sums, axis=1, out=sums)
        return running


@dataclass(frozen=True, eq=False)
class Boosted:
    """What boosting found.

    Attributes:
        importance: `[d]`, at least 0, summing to 1 unless no code was of use.
        fitted: `[n]`, predicted classes of the rows learnt from.
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
        stages: How many trees a class.
        depth: How many splits from root to leaf.

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
    for _ in range(stages):
        gradient = target - _probabilities(scores)
        trees = _grow(binned, gradient, depth, rng)
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
    normalised: Array = powers / (powers @ np.ones((scores.shape[1], 1)))
    return normalised


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


class _Trees(NamedTuple):
    """One tree a class, as full binary trees, level by level.

    Attributes:
        features: `[2**depth - 1, K]`, the code that splits each node.
        cuts: `[2**depth - 1, K]`, the last bin that goes left.
        gains: `[2**depth - 1, K]`, squared error taken away; 0 where nothing was split.
        leaves: `[n, K]`, the leaf of each row.
    """

    features: Ints
    cuts: Ints
    gains: Array
    leaves: Ints

    def walk(self, places: Ints) -> Ints:
        """Leaves `[m, K]` of other rows."""
        m, d = places.shape
        k = self.features.shape[1]
        node = np.tile(np.arange(k), (m, 1))
        rows = d * np.arange(m)[:, None]
        flat = places.ravel()
        for _ in range(len(self.features).bit_length()):
            right = flat.take(self.features.take(node) + rows) > self.cuts.take(node)
            # Children of node q are 2 q + 1 and 2 q + 2; tree c's node q is at q·K + c.
            node += node - node % k + k + k * right
        leaves: Ints = node // k - len(self.features)
        return leaves


def _grow(binned: Binned, gradient: Array, depth: int, rng: np.random.Generator) -> _Trees:
    n, k = gradient.shape
    node = np.zeros((n, k), np.int16)
    features, cuts, gains = [], [], []
    # Sums over left children, so far for the one node of each tree: everything.
    inside = np.ones((n, 1), bool)
    sums: list[tuple[Array, Array]] = []
    for level in range(depth):
        width = 2**level
        split = _Best.none(width * k)
        kept = []
        for index, (start, ones) in enumerate(binned.chunks(2**depth * k)):
            if level == 0:
                found = ones.of(gradient)
                counts = ones.of(np.ones((n, 1)))
            else:
                masked = np.tile(gradient, (1, width // 2)) * inside
                both = ones.of(np.concatenate([masked, inside], 1))
                half = both.shape[2] // 2
                found = _families(sums[index][0], both[:, :, :half], k)
                counts = _families(sums[index][1], both[:, :, half:], k)
            split = split.better(_Best.of(found, counts, start, rng), rng)
            if level < depth - 1:
                kept.append((found, np.broadcast_to(counts, found.shape)))
        sums = kept
        features.append(split.feature.reshape(width, k))
        cuts.append(split.cut.reshape(width, k))
        gains.append(split.gain.reshape(width, k))
        # Column q·K + c: the rows of node q of tree c that go left.
        left = binned.places.take(split.feature, axis=1) <= split.cut
        here = np.tile(node, (1, width)) == np.repeat(np.arange(width, dtype=node.dtype), k)
        inside = left & here
        node = 2 * node + 1
        for q in range(width):
            node -= inside[:, q * k : (q + 1) * k]
    return _Trees(
        features=np.concatenate(features),
        cuts=np.concatenate(cuts),
        gains=np.concatenate(gains),
        leaves=node.astype(np.intp),
    )


def _families(parents: Array, left: Array, k: int) -> Array:
    """Sums of the children of each node, left and right in turn."""
    f, bins, columns = parents.shape
    pairs = np.stack([left, parents - left], 2)
    return pairs.reshape(f, bins, 2, columns // k, k).swapaxes(2, 3).reshape(f, bins, 2 * columns)


class _Best(NamedTuple):
    """The best split of each node found so far."""

    gain: Array
    feature: Ints
    cut: Ints
    ticket: Array

    @classmethod
    def none(cls, count: int) -> _Best:
        zeros = np.zeros(count, np.int64)
        # The last bin goes left with all others: nothing is split.
        return cls(np.zeros(count), zeros, zeros + np.iinfo(np.int32).max, np.zeros(count))

    @classmethod
    def of(cls, sums: Array, counts: Array, start: int, rng: np.random.Generator) -> _Best:
        """The best split by some codes, from running sums `[f, bins, c]` of gradients."""
        total, size = sums[:, -1:], counts[:, -1:]
        rest = size - counts
        valid = (counts > 0) & (rest > 0)
        # Friedman's improvement: the squared error that two means take away from one.
        shift = sums - total * (counts / np.maximum(size, 1))
        gain = np.square(shift, out=shift)
        gain *= np.where(valid, size / np.where(valid, counts * rest, 1), 0)
        cut = gain.argmax(1)
        of_code = np.take_along_axis(gain, cut[:, None], 1)[:, 0]
        # Codes that split equally well win equally often.
        ticket = rng.random(of_code.shape)
        best = of_code.max(0)
        ticket[of_code < best * (1 - TIE)] = -1
        feature = ticket.argmax(0)
        pick = (feature, np.arange(len(best)))
        unsplit = best <= 0
        chosen = np.where(unsplit, np.iinfo(np.int32).max, cut[pick])
        return cls(best, feature + start, chosen, ticket[pick])

    def better(self, other: _Best, rng: np.random.Generator) -> _Best:
        """The better of two, node by node; of equals the one with the higher ticket."""
        ahead = other.gain > self.gain * (1 + TIE)
        equal = ~ahead & (other.gain >= self.gain * (1 - TIE)) & (other.ticket > self.ticket)
        win = ahead | equal
        return _Best(
            *(np.where(win, theirs, mine) for mine, theirs in zip(self, other, strict=True))
        )


def _edges(values: Array, bins: int | None) -> Array:
    """Where to cut values: between neighbours, or between the quantiles."""
    distinct = np.unique(values)
    middles = (distinct[1:] + distinct[:-1]) / 2
    if bins is None or len(distinct) <= bins:
        return middles
    ordered = np.sort(values)
    places = np.linspace(0, len(ordered), bins + 1)[1:-1].astype(np.int64)
    low = np.searchsorted(distinct, ordered[places - 1])
    chosen: Array = middles[np.unique(np.minimum(low, len(middles) - 1))]
    return chosen
