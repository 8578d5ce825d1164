"""Boundaries in closed form, from sums over rows that need not be in memory.

One pass gives the sums of the rows to train on and of those held out, and with them the planes of
both and of the training rows alone; cones follow from those sums or from one more pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from discovery.estimators.chunks import Chunks
from discovery.estimators.cones import angles, check_rows, drawn_cone, sandwich_cone
from discovery.estimators.linear import (
    Hyperplanes,
    Regression,
    check_invertible,
    check_penalty,
    rotate,
)
from discovery.estimators.sums import LEFT_OUT, block_sums, influences, sums
from discovery.supervised.labels import Scored

__all__ = ["CONE_LEVEL", "RIDGE_DRAWS", "Fit", "differences", "discriminants", "regressions"]

RIDGE_DRAWS = 8  # draws from the posterior cost next to nothing
CONE_LEVEL = 0.95


class Fit(NamedTuple):
    """Planes of K attributes.

    Attributes:
        planes: Fitted to all rows.
        judged: Fitted without the rows held out.
        cones: Degrees; None where none were asked for.
    """

    planes: Hyperplanes
    judged: Hyperplanes
    cones: Sequence[float | None]

    @classmethod
    def joined(cls, parts: list[Fit]) -> Fit:
        """Those of some attributes after those of others."""
        planes, judged = (
            Hyperplanes(*(torch.cat(values) for values in zip(*column, strict=True)))
            for column in ([part.planes for part in parts], [part.judged for part in parts])
        )
        return cls(planes, judged, [cone for part in parts for cone in part.cones])


def regressions(
    chunks: Chunks,
    data: Scored,
    held: Bool[Tensor, "n"],
    *,
    penalty: float | None,
    bootstrap: int,
    seed: int,
) -> Fit:
    """Ridge regressions of the targets, each on the rows that it has a label for."""
    return _each(data, lambda part: _regressions(chunks, part, held, penalty, bootstrap, seed))


def discriminants(
    chunks: Chunks,
    data: Scored,
    held: Bool[Tensor, "n"],
    *,
    balanced: bool,
    bootstrap: int,
    seed: int,
) -> Fit:
    """Fisher's discriminants of the labels, each on the rows that it has a label for."""
    return _each(data, lambda part: _discriminants(chunks, part, held, balanced, bootstrap, seed))


def differences(
    chunks: Chunks, data: Scored, held: Bool[Tensor, "n"], *, bootstrap: int, seed: int
) -> Fit:
    """Mean code of the positives minus that of the negatives.

    The bootstrap draws blocks of consecutive rows (the Bayesian one of Rubin 1981, which never
    loses a class), so that it takes no second pass.
    """
    K = len(data.labels)
    sides = torch.cat([data.labels > 0, data.labels < 0])
    columns = torch.cat([sides & ~held, sides & held])
    found = block_sums(chunks, columns)
    weights = found.weights.reshape(2, 2, K, -1)
    codes = found.codes.reshape(2, 2, K, -1, chunks.size)
    ones = weights.new_ones(weights.shape[-1])
    judged = _between(weights[0], codes[0], ones, chunks.dtype)
    weights, codes = weights.sum(0), codes.sum(0)
    planes = _between(weights, codes, ones, chunks.dtype)
    if not bootstrap:
        return Fit(planes, judged, [None] * K)
    generator = torch.Generator().manual_seed(seed)
    turned = []
    for _ in range(bootstrap):
        drawn = torch.empty(len(ones), dtype=torch.float64).exponential_(generator=generator)
        again = _between(weights, codes, drawn.to(ones), chunks.dtype)
        turned.append(angles(again.weights[None], planes.weights)[0])
    return Fit(planes, judged, torch.stack(turned).quantile(CONE_LEVEL, dim=0).tolist())


def _between(weights: Tensor, codes: Tensor, drawn: Tensor, dtype: torch.dtype) -> Hyperplanes:
    """Planes half-way between class means of blocks weighted by `drawn`."""
    above, below = (codes.transpose(2, 3) @ drawn) / (weights @ drawn)[..., None]
    normal = above - below
    middle = -(normal * (above + below)).sum(1) / 2
    return Hyperplanes(normal.to(dtype), middle.to(dtype))


def _each(data: Scored, fit: Callable[[Scored], Fit]) -> Fit:
    """All attributes together, or one by one where each leaves out rows of its own."""
    if not (data.labels == 0).any():
        return fit(data)
    return Fit.joined([fit(data.target(k)) for k in range(len(data.labels))])


def _regressions(
    chunks: Chunks, data: Scored, held: Tensor, penalty: float | None, bootstrap: int, seed: int
) -> Fit:
    used = data.labels[0] != 0
    n = int(used.sum())
    for rows in (used, used & ~held):
        check_penalty(penalty, int(rows.sum()), chunks.size)
    kept, both = _sums(chunks, data.targets, used, held)
    planes, judged = (fit.ridge(penalty, chunks.dtype) for fit in (both, kept))
    planes, judged = (Hyperplanes(p.weights, p.intercepts - data.levels) for p in (planes, judged))
    if not bootstrap:
        return Fit(planes, judged, [None] * len(data.labels))
    check_rows(n)
    cones = drawn_cone(both, chunks.size, draws=RIDGE_DRAWS * bootstrap, seed=seed)
    return Fit(planes, judged, cones.tolist())


def _discriminants(
    chunks: Chunks, data: Scored, held: Tensor, balanced: bool, bootstrap: int, seed: int
) -> Fit:
    used = data.labels[0] != 0
    for rows in (used, used & ~held):
        check_invertible(int(rows.sum()), chunks.size)
    kept, both = _sums(chunks, data.labels, used, held)
    planes, judged = (fit.lda(balanced=balanced, dtype=chunks.dtype) for fit in (both, kept))
    if not bootstrap:
        return Fit(planes, judged, [None] * len(data.labels))
    plane = both.ridge(0.0, torch.float64)
    mean = both.axes.mean.double()
    steps = influences(chunks, data.labels, used, plane=plane, mean=mean)
    cones = sandwich_cone(both, steps, resamples=bootstrap, seed=seed)
    return Fit(planes, judged, cones.tolist())


def _sums(
    chunks: Chunks, targets: Tensor, used: Tensor, held: Tensor
) -> tuple[Regression, Regression]:
    """Regressions of the training rows, and of those with the rows held out."""
    split = bool((held & used).any())
    if int((used & ~held).sum()) > chunks.size:
        group = torch.where(used, held.byte(), LEFT_OUT)
        parts = sums(chunks, targets, group, groups=2 if split else 1)
        fits = [part.regression(part.axes()) for part in parts]
    else:
        # With fewer rows than coordinates the rows' own products are the smaller matrix.
        fits = [
            Regression.of_rows(rotate(chunks.take(rows), exact=True), targets[:, rows])
            for rows in ([used & ~held, used] if split else [used])
        ]
    return fits[0], fits[-1]
