"""Binned codes and the trees grown on them.

Trees see only which of two values of a code is larger, so that bins stand for codes: one for each
distinct value where every split is wanted, some hundreds of equal counts where that is too many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

__all__ = ["TIE", "UNSPLIT", "Array", "Binned", "Ints", "Trees"]

# Entries of the histograms that are looked at together, 32 MB.
CHUNK = 4_000_000
# Splits whose gains differ by less are one and the same to rounding.
TIE = 1e-9
# The last bin of all goes left with all others: nothing is split.
UNSPLIT = np.iinfo(np.int32).max

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
        """Cut codes at the middle between neighboring values, or at quantiles if those are many.

        Args:
            codes: `[n, d]`.
            test_codes: `[m, d]`.
            bins: Maximum number of bins per code; None for one per distinct value.
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
            columns: Maximum number of sums per bin.
        """
        d, n = self.order.shape
        widest = int(self.widths.max())
        step = min(d, max(1, min(CHUNK // (widest * columns), CHUNK // n)))
        for start in range(0, d, step):
            yield start, self._whole if step == d else self._sums(start, min(start + step, d))

    @cached_property
    def sorted_rows(self) -> Ints:
        """`order` as NumPy takes indices fastest, `[d, n]`."""
        return self.order.astype(np.intp)

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


class Trees(NamedTuple):
    """One tree per class, as full binary trees, level by level.

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

    @classmethod
    def unsplit(cls, *, rows: int, trees: int, depth: int) -> Trees:
        """Unsplit trees: every row is in the first leaf."""
        shape = (2**depth - 1, trees)
        return cls(
            features=np.zeros(shape, np.int64),
            cuts=np.full(shape, UNSPLIT, np.int64),
            gains=np.zeros(shape),
            leaves=np.zeros((rows, trees), np.intp),
        )

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


def _edges(values: Array, bins: int | None) -> Array:
    """Bin edges: between neighboring values, or at quantiles."""
    distinct = np.unique(values)
    middles = (distinct[1:] + distinct[:-1]) / 2
    if bins is None or len(distinct) <= bins:
        return middles
    ordered = np.sort(values)
    places = np.linspace(0, len(ordered), bins + 1)[1:-1].astype(np.int64)
    low = np.searchsorted(distinct, ordered[places - 1])
    chosen: Array = middles[np.unique(np.minimum(low, len(middles) - 1))]
    return chosen
