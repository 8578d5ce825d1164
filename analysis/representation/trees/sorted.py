"""Regression trees with exact splits over all rows, sorted once per code.

Every distinct value can be split at, as in scikit-learn's trees; those sort the rows of each node
anew. Here a node's rows stay sorted by every code: what goes left is taken out of the parent's
order, which keeps it. One tree after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from analysis.representation.trees.binned import TIE, Array, Binned, Ints, Trees

__all__ = ["grow_on_sorted_rows"]


def grow_on_sorted_rows(
    binned: Binned, gradient: Array, depth: int, rng: np.random.Generator
) -> Trees:
    """Grow one tree per class; takes four times the memory of the codes.

    Args:
        binned: The codes.
        gradient: `[n, K]`, target of each tree.
        depth: Number of splits from root to leaf.
        rng: Chooses between codes that split equally well.
    """
    n, k = gradient.shape
    grown = Trees.unsplit(rows=n, trees=k, depth=depth)
    room = _Room.of(binned.order.shape)
    for c in range(k):
        # Less the mean of its node, a sum up to some row is what that row's split would gain by.
        residual = gradient[:, c] - gradient[:, c].mean()
        leaf = np.zeros(n, np.intp)
        level: list[Ints | None] = [binned.sorted_rows]
        for height in range(depth - 1, -1, -1):
            children: list[Ints | None] = []
            for q, order in enumerate(level):
                found = None if order is None else _best_split(binned, residual, order, room, rng)
                if order is None or found is None:
                    if order is not None:
                        leaf[order[0]] = 2 * q << height
                    children += [None, None]
                    continue
                at, (left, right) = len(level) - 1 + q, found.sides
                grown.features[at, c], grown.gains[at, c] = found.code, found.gain
                grown.cuts[at, c] = binned.places[left[-1], found.code]
                if height == 0:
                    leaf[left], leaf[right] = 2 * q, 2 * q + 1
                    continue
                residual[left] -= found.shift / len(left)
                residual[right] += found.shift / len(right)
                children += room.parts(order, left)
            level = children
        grown.leaves[:, c] = leaf
    return grown


class _Split(NamedTuple):
    """The best split of a node.

    Attributes:
        gain: Squared error that it takes away.
        shift: Sum of the residuals on the left.
        code: The code it splits by.
        sides: Rows that go left and right, in the order of that code.
    """

    gain: float
    shift: float
    code: int
    sides: tuple[Ints, Ints]


class _Room(NamedTuple):
    """Scratch buffers reused by every node; fresh pages would cost a third of the time."""

    values: Array
    sums: Array
    goes: Ints
    inside: Ints

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Room:
        d, n = shape
        return cls(np.empty(d * n), np.empty(d * n), np.empty(d * n, bool), np.zeros(n, bool))

    def parts(self, order: Ints, left: Ints) -> tuple[Ints, Ints]:
        """Sorted rows of both children."""
        self.inside[left] = True
        goes = self.inside.take(order.ravel(), out=self.goes[: order.size], mode="clip")
        self.inside[left] = False
        ours = order.ravel().take(np.flatnonzero(goes))
        theirs = order.ravel().take(np.flatnonzero(np.logical_not(goes, out=goes)))
        return ours.reshape(len(order), -1), theirs.reshape(len(order), -1)


def _best_split(
    binned: Binned, residual: Array, order: Ints, room: _Room, rng: np.random.Generator
) -> _Split | None:
    """The best split of the rows of a node, sorted by each code `[d, m]`; None if none gains."""
    d, m = order.shape
    if m < 2:
        return None
    values, sums = (a[: d * m].reshape(d, m) for a in (room.values, room.sums))
    residual.take(order, out=values, mode="clip")
    # NumPy's cumsum takes three times as long.
    torch.cumsum(torch.from_numpy(values), 1, out=torch.from_numpy(sums))
    counts = np.arange(1.0, m)
    gains: Array = np.square(sums[:, :-1], out=values[:, :-1])
    gains *= m / (counts * (m - counts))
    codes, cut = np.arange(d), gains.argmax(1)
    # Equal values cannot be separated. They are few, or else bins are: check their first rows.
    torn = np.flatnonzero(
        binned.places[order[codes, cut], codes] == binned.places[order[codes, cut + 1], codes]
    )
    if len(torn):
        places = binned.places[order[torn], torn[:, None]]
        parted = gains[torn] * (places[:, 1:] > places[:, :-1])
        gains[torn], cut[torn] = parted, parted.argmax(1)
    of_code = gains[codes, cut]
    best = of_code.max()
    if best <= 0:
        return None
    # Codes that split equally well win equally often.
    ticket = rng.random((d,))
    ticket[of_code < best * (1 - TIE)] = -1
    code = int(ticket.argmax())
    sides = order[code, : cut[code] + 1], order[code, cut[code] + 1 :]
    return _Split(float(of_code[code]), float(sums[code, cut[code]]), code, sides)
