"""Orthonormal bases of the dominant range of high-dimensional rows, in a few passes.

Nathan Halko, Per-Gunnar Martinsson, Joel A. Tropp: Finding structure with randomness,
SIAM Review 2011, arXiv:0909.4061, algorithm 4.4 (randomized subspace iteration), with the rows
streamed: memory is O(D l) for D coordinates and l basis vectors, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError

__all__ = ["Range", "find_range"]


@dataclass(frozen=True, eq=False)
class Range:
    """A subspace with most of the variance.

    Attributes:
        mean: `[D]`, the rows' mean.
        basis: `[D, l]`, orthonormal columns.
        variance: Total variance of the rows, inside the subspace and outside.
    """

    mean: Float[Tensor, "D"]
    basis: Float[Tensor, "D l"]
    variance: float


def find_range(
    chunks: Callable[[], Iterable[Float[Tensor, "n D"]]],
    *,
    rank: int,
    passes: int,
    seed: int,
) -> Range:
    """Find the subspace by `passes` applications of the covariance to a random start.

    Args:
        chunks: Gives the same rows at every call.
        rank: l, somewhat more than the number of components wanted.
        passes: Passes over the rows, at least 1; each sharpens the basis.
        seed: Of the random start.

    Raises:
        LatdirError: No rows, fewer than one pass, or a rank above the rows' length.

    Example:
        >>> rows = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
        >>> find_range(lambda: [rows], rank=1, passes=2, seed=0).basis.abs().round(decimals=3).T
        tensor([[0., 1., 0.]])
    """
    if passes < 1:
        raise LatdirError(f"passes is {passes}: the rows must be seen at least once")
    first = next(iter(chunks()), None)
    if first is None:
        raise LatdirError("a range needs at least 2 rows, not 0")
    # Rows are centered by the first chunk's mean; the remainder has rank one.
    shift = first.mean(0)
    basis = _random_basis(first, rank, seed)
    for _ in range(passes):
        count, squares = 0, 0.0
        total = torch.zeros_like(shift, dtype=torch.float64)
        image = torch.zeros_like(basis)
        for rows in chunks():
            centered = rows - shift
            image += centered.T @ (centered @ basis)
            total += centered.sum(0)
            squares += float(centered.square().sum(dtype=torch.float64))
            count += len(rows)
        if count < 2:
            raise LatdirError(f"a range needs at least 2 rows, not {count}")
        gap = total / count
        image -= count * torch.outer(gap, gap @ basis.double()).to(image)
        basis = torch.linalg.qr(image).Q
    variance = (squares - count * float(gap.square().sum())) / (count - 1)
    return Range(mean=shift + gap.to(shift), basis=basis, variance=variance)


def _random_basis(rows: Tensor, rank: int, seed: int) -> Tensor:
    size = rows.shape[1]
    if not 1 <= rank <= size:
        raise LatdirError(f"rank is {rank}: rows of {size} coordinates allow 1 … {size}")
    rng = torch.Generator().manual_seed(seed)
    start = torch.randn(size, rank, generator=rng, dtype=rows.dtype)
    basis: Tensor = torch.linalg.qr(start.to(rows.device)).Q
    return basis
