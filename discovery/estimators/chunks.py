"""Codes of any number, chunk by chunk: what estimators that take one pass read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Chunks", "InMemory", "levels", "rows_of_chunk"]

# Numbers of a chunk: small enough for a cache's sake, large enough for a matrix product's. Twice
# as many would no longer be recycled by the allocator in float64: glibc maps 32 MB anew each time.
NUMBERS = 2**21
# Numbers that a chunk may have so that its rows are half as many as its coordinates.
LARGEST = 2**24


def rows_of_chunk(size: int) -> int:
    """Rows of `size` coordinates that are read at a time.

    At least half as many as there are coordinates, where memory allows, so that adding up the
    `[size, size]` products of chunks costs little beside the products.

    Example:
        >>> rows_of_chunk(512), rows_of_chunk(4608)
        (4096, 2304)
    """
    size = max(1, size)
    return max(1, NUMBERS // size, min(size // 2, LARGEST // size))


class Chunks(ABC):
    """Rows of codes that need not be in memory together.

    Attributes:
        count: Number of rows.
        size: Coordinates of a row.
        stored: Whether they are read anew at each pass.
    """

    count: int
    size: int
    stored: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Floating point of the rows, float32 or float64."""
        return torch.float32

    @property
    def device(self) -> torch.device:
        """Device of the rows."""
        return torch.device("cpu")

    @abstractmethod
    def __iter__(self) -> Iterator[tuple[int, Float[Tensor, "m d"]]]:
        """Number of the first row, and rows, in order."""

    @abstractmethod
    def take(self, rows: Bool[Tensor, "n"]) -> Float[Tensor, "m d"]:
        """Some rows, in order."""

    def tensor(self) -> Float[Tensor, "n d"]:
        """All rows, in memory."""
        return self.take(torch.ones(self.count, dtype=torch.bool))


class InMemory(Chunks):
    """Rows of a tensor; half precision is computed in float32.

    Example:
        >>> [(first, len(rows)) for first, rows in InMemory(torch.zeros(5, 2))]
        [(0, 5)]
    """

    def __init__(self, codes: Float[Tensor, "n d"]) -> None:
        self._codes = codes.to(torch.promote_types(codes.dtype, torch.float32))
        self.count, self.size = codes.shape

    @property
    def dtype(self) -> torch.dtype:
        """Floating point of the rows, float32 or float64."""
        return self._codes.dtype

    @property
    def device(self) -> torch.device:
        """Device of the rows."""
        return self._codes.device

    def __iter__(self) -> Iterator[tuple[int, Float[Tensor, "m d"]]]:
        """Number of the first row, and rows, in order."""
        step = rows_of_chunk(self.size)
        for first in range(0, self.count, step):
            yield first, self._codes[first : first + step]

    def take(self, rows: Bool[Tensor, "n"]) -> Float[Tensor, "m d"]:
        """Some rows, in order."""
        return self._codes[rows.to(self._codes.device)]

    def tensor(self) -> Float[Tensor, "n d"]:
        """All rows."""
        return self._codes


def levels(
    chunks: Chunks,
    weights: Float[Tensor, "k d"],
    intercepts: Float[Tensor, "k"],
    rows: Bool[Tensor, "n"],
) -> Float[Tensor, "k m"]:
    """Signed distances of some rows to K planes, in units of the weights; one pass.

    Example:
        >>> rows = torch.tensor([True, False, True])
        >>> levels(InMemory(torch.eye(3)), torch.ones(1, 3), torch.zeros(1), rows)
        tensor([[1., 1.]])
    """
    # One tensor for all: small ones, kept from chunk to chunk, would leave holes in the heap.
    found, at = weights.new_empty(len(weights), int(rows.sum())), 0
    for first, codes in chunks:
        chosen = rows[first : first + len(codes)].to(codes.device).nonzero()[:, 0]
        some = codes.index_select(0, chosen).to(weights)
        found[:, at : at + len(some)] = weights @ some.T + intercepts[:, None]
        at += len(some)
    return found
