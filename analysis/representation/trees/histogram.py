"""Regression trees with splits found in histograms of the bins of each code.

The sums of the gradients over the bins are one product of a sparse matrix of ones with the
gradients of all classes at once, for one child of each node only, as the other is the remainder of
the parent. For codes of few bins: its cost grows with them, and so does its memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analysis.representation.trees.binned import TIE, UNSPLIT, Array, Binned, Ints, Trees

__all__ = ["grow_on_histograms"]

# Entries of histograms kept from level to level, 256 MB.
KEPT = 32_000_000


def grow_on_histograms(
    binned: Binned, gradient: Array, depth: int, rng: np.random.Generator
) -> Trees:
    """Grow one tree per class, as many at once as `KEPT` allows.

    Args:
        binned: The codes.
        gradient: `[n, K]`, target of each tree.
        depth: Number of splits from root to leaf.
        rng: Chooses between codes that split equally well.
    """
    k = gradient.shape[1]
    # Sums and counts of the nodes of the last level but one.
    one = 2 ** max(depth - 1, 0) * len(binned.widths) * int(binned.widths.max())
    step = max(1, min(k, KEPT // one))
    parts = [
        _grow_together(binned, gradient[:, start : start + step], depth, rng)
        for start in range(0, k, step)
    ]
    return Trees(*(np.concatenate(part, 1) for part in zip(*parts, strict=True)))


def _grow_together(binned: Binned, gradient: Array, depth: int, rng: np.random.Generator) -> Trees:
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
    return Trees(
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
        return cls(np.zeros(count), zeros, zeros + UNSPLIT, np.zeros(count))

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
        chosen = np.where(unsplit, UNSPLIT, cut[pick])
        return cls(best, feature + start, chosen, ticket[pick])

    def better(self, other: _Best, rng: np.random.Generator) -> _Best:
        """The better of two, node by node; of equals the one with the higher ticket."""
        ahead = other.gain > self.gain * (1 + TIE)
        equal = ~ahead & (other.gain >= self.gain * (1 - TIE)) & (other.ticket > self.ticket)
        win = ahead | equal
        return _Best(
            *(np.where(win, theirs, mine) for mine, theirs in zip(self, other, strict=True))
        )
