"""Sums over rows that closed-form estimators need, in one pass and O(d²) memory.

Targets stand beside the codes as further columns of one covariance, so that a row costs d² / 2
products whatever is fitted to it. Rows are dealt into groups, such as those held out: their sums
add up to those of all rows, which are not read again.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer, Shaped
from torch import Tensor

from directions.errors import SamplesError
from discovery.decomposition.covariance import StreamingCovariance
from discovery.estimators.chunks import Chunks
from discovery.estimators.linear import EXACT, Axes, Regression, axes_of

__all__ = ["BLOCKS", "LEFT_OUT", "Blocks", "Sums", "block_sums", "influences", "sums"]

# Group of rows that no sum has.
LEFT_OUT = 255
# Coordinates up to which a matrix of products in float32 is decomposed in float64 all the same.
FINE = 2048
# Groups of consecutive rows whose sums stand for the rows in a bootstrap, and numbers of them all.
BLOCKS = 512
NUMBERS = 2**22


class Sums(NamedTuple):
    """Mean and scatter of codes and targets of some rows, float64.

    Attributes:
        n: Number of rows.
        mean: `[d]`, of the codes.
        scatter: `[d, d]`, Σ (x − mean)(x − mean)ᵀ.
        level: `[k]`, means of the targets.
        cross: `[k, d]`, Σ (t − level)(x − mean).
        squares: `[k]`, Σ (t − level)².
    """

    n: int
    mean: Tensor
    scatter: Tensor
    level: Tensor
    cross: Tensor
    squares: Tensor

    def axes(self) -> Axes:
        """The codes' eigenbasis; O(d³), in the precision that the sums have where that counts."""
        fine = len(self.mean) <= FINE or self.n * len(self.mean) <= EXACT
        dtype = torch.float64 if fine else torch.float32
        return axes_of(self.scatter.to(dtype), self.mean.to(dtype), self.n)

    def regression(self, axes: Axes) -> Regression:
        """What a regression of the targets needs."""
        signal = self.cross @ axes.basis.double() / axes.spectrum.double().sqrt()
        return Regression(axes, self.n, self.level, signal, self.squares)


def sums(
    chunks: Chunks, targets: Float[Tensor, "k n"], group: Integer[Tensor, "n"], *, groups: int = 1
) -> list[Sums]:
    """Sums of the rows of the groups 0, of 0 and 1 together, and so on.

    Args:
        chunks: The codes.
        targets: Numbers on any scale.
        group: Group of each row, or `LEFT_OUT`.
        groups: How many there are.

    Raises:
        SamplesError: Codes that are not finite, too large to be squared, or all equal.

    Example:
        >>> from discovery.estimators.chunks import InMemory
        >>> codes = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [9.0, 9.0]])
        >>> group = torch.tensor([0, 1, 1, LEFT_OUT])
        >>> first, both = sums(InMemory(codes), codes[:, :1].T, group, groups=2)
        >>> first.n, both.n, both.squares
        (1, 3, tensor([2.6667], dtype=torch.float64))
    """
    d = chunks.size
    # As in the rotation of rows: the smallest eigenvalues weigh most in a least-squares fit.
    dtype = _working(chunks)
    streams = [StreamingCovariance(d + len(targets), device=chunks.device) for _ in range(groups)]
    for first, codes in chunks:
        rows = torch.cat(
            [codes.to(dtype), targets[:, first : first + len(codes)].T.to(codes.device, dtype)], 1
        )
        here = group[first : first + len(codes)].to(codes.device)
        for number, stream in enumerate(streams):
            chosen = (here == number).nonzero()[:, 0]
            stream.add(rows if len(chosen) == len(rows) else rows.index_select(0, chosen))
    total, found = StreamingCovariance(d + len(targets), device=chunks.device), []
    for stream in streams:
        if groups == 1:
            total = stream
        else:
            total.merge(stream)
        scatter = total.scatter if stream is streams[-1] else total.scatter.clone()
        found.append(
            Sums(
                total.count,
                total.mean[:d].clone(),
                scatter[:d, :d],
                total.mean[d:].clone(),
                scatter[d:, :d],
                scatter[d:, d:].diagonal(),
            )
        )
    if not float(found[-1].scatter.diagonal().sum()) > 0:
        raise SamplesError(
            f"all {found[-1].n} codes are equal: nothing in them tells the labels apart"
        )
    return found


class Blocks(NamedTuple):
    """Sums of consecutive rows: what a bootstrap of rows draws from.

    Attributes:
        weights: `[k, b]`, Σ c of each column and block.
        codes: `[k, b, d]`, Σ c x.
        squares: `[p]`, Σ ‖x‖² of the rows of each part.
    """

    weights: Tensor
    codes: Tensor
    squares: Tensor


def block_sums(
    chunks: Chunks, columns: Shaped[Tensor, "k n"], parts: Bool[Tensor, "p n"] | None = None
) -> Blocks:
    """Sums of the codes times each column, of consecutive rows, in one pass and float64.

    Args:
        chunks: The codes.
        columns: Weights of the rows.
        parts: Rows whose squares are summed; by default none.

    Example:
        >>> from discovery.estimators.chunks import InMemory
        >>> block_sums(InMemory(torch.eye(2)), torch.tensor([[3.0, 4.0]])).codes
        tensor([[[3., 0.],
                 [0., 4.]]], dtype=torch.float64)
    """
    k, n = columns.shape
    blocks = max(1, min(BLOCKS, n, NUMBERS // (k * chunks.size)))
    parts = columns.new_zeros(0, n, dtype=torch.bool) if parts is None else parts
    weights = torch.zeros(k, blocks, dtype=torch.float64, device=chunks.device)
    found = torch.zeros(k, blocks, chunks.size, dtype=torch.float64, device=chunks.device)
    squares = torch.zeros(len(parts), dtype=torch.float64, device=chunks.device)
    for first, codes in chunks:
        rows = slice(first, first + len(codes))
        part = columns[:, rows].to(codes.device, torch.float64)
        for block, start, stop in _edges(first, len(codes), n, blocks):
            x = codes[start:stop].double()
            found[:, block] += part[:, start:stop] @ x
            weights[:, block] += part[:, start:stop].sum(1)
            if len(parts):
                here = parts[:, rows][:, start:stop].to(x)
                squares += here @ x.square().sum(1)
    return Blocks(weights, found, squares)


def influences(
    chunks: Chunks,
    targets: Float[Tensor, "k n"],
    used: Bool[Tensor, "n"],
    *,
    plane: tuple[Tensor, Tensor],
    mean: Float[Tensor, "d"],
) -> Float[Tensor, "k b d"]:
    """Sums of residual times centered code over blocks of rows, in one pass.

    Args:
        chunks: The codes.
        targets: What was fitted.
        used: Rows that it was fitted to.
        plane: Weights `[k, d]` and intercepts `[k]` of the least-squares fit.
        mean: Of the codes.
    """
    dtype, n = _working(chunks), chunks.count
    weights, level = plane[0].double(), plane[1].double() + plane[0].double() @ mean.double()
    weights, level = weights.to(dtype), level.to(dtype)
    blocks = max(1, min(BLOCKS, n, NUMBERS // (len(targets) * chunks.size)))
    found = torch.zeros(len(targets), blocks, chunks.size, dtype=torch.float64, device=mean.device)
    for first, codes in chunks:
        x = codes.to(dtype) - mean.to(dtype)
        rest = targets[:, first : first + len(x)].to(x) - weights @ x.T - level[:, None]
        rest *= used[first : first + len(x)].to(x)
        for block, start, stop in _edges(first, len(x), n, blocks):
            found[:, block] += rest[:, start:stop] @ x[start:stop]
    return found


def _working(chunks: Chunks) -> torch.dtype:
    """Precision of products of the codes; what accumulates over chunks is float64."""
    exact = chunks.count * chunks.size <= EXACT or chunks.dtype == torch.float64
    return torch.float64 if exact else torch.float32


def _edges(first: int, count: int, n: int, blocks: int) -> list[tuple[int, int, int]]:
    """Blocks that a chunk has rows of, with their first and last row in it."""
    size = -(-n // blocks)
    return [
        (b, max(b * size - first, 0), min((b + 1) * size - first, count))
        for b in range(first // size, (first + count - 1) // size + 1)
    ]
