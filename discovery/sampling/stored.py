"""Rows of a folder, read shard by shard when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from directions.errors import SamplesError
from discovery.estimators.chunks import Chunks, rows_of_chunk
from discovery.sampling.places import Place
from discovery.sampling.shard_format import (
    ROWS,
    Header,
    Shard,
    read_columns,
    read_header,
    read_shard,
)

__all__ = ["StoredRows"]

KEPT = 2**26  # a quarter of a gigabyte


class StoredRows(Chunks):
    """The first rows of a folder of samples; each shard is verified when its codes are first read.

    Args:
        place: The folder.
        header: Its manifest.
        count: Number of rows.
    """

    stored = True

    def __init__(self, place: Place, header: Header, count: int) -> None:
        self.place, self.header, self.count = place, header, count
        self.size = int(torch.Size(header.shape).numel())
        self._verified: set[str] = set()
        self._kept: Tensor | None = None

    def __iter__(self) -> Iterator[tuple[int, Float[Tensor, "m d"]]]:
        """Number of the first row, and flat codes of some shards, in order."""
        several = max(1, rows_of_chunk(self.size) // ROWS)
        waiting: list[Tensor] = []
        first = 0
        for shard, rows in self._shards():
            waiting.append(self._codes(shard)[:rows])
            if len(waiting) == several:
                yield first, torch.cat(waiting)
                first += sum(map(len, waiting))
                waiting = []
        if waiting:
            yield first, torch.cat(waiting)

    def take(self, rows: Bool[Tensor, "n"]) -> Float[Tensor, "m d"]:
        """Some rows, in order; shards without any are not read."""
        found = torch.empty(int(rows.sum()), self.size)
        at = 0
        for shard, count in self._shards():
            chosen = rows[shard.first : shard.first + count]
            if chosen.any():
                some = self._codes(shard)[:count][chosen]
                found[at : at + len(some)] = some
                at += len(some)
        return found

    def codes(self) -> Float[Tensor, "n ..."]:
        """All codes in their own shape, in memory; those of up to `KEPT` numbers are kept."""
        found = self._kept
        if found is None:
            found = self.tensor().reshape(self.count, *self.header.shape)
            if found.numel() <= KEPT:
                self._kept = found
        return found

    def scores(self, names: list[str] | None = None) -> Float[Tensor, "n k"]:
        """Columns of scores, by default all; the codes are not read."""
        wanted = [f"score.{n}" for n in names or [a.name for a in self.header.attributes]]
        found = torch.empty(len(wanted), self.count)
        for shard, rows in self._shards():
            for column, part in zip(found, self._columns(shard, wanted), strict=True):
                column[shard.first : shard.first + rows] = part[:rows]
        return found.T

    def places(self) -> Int[Tensor, "n"]:
        """Places of the rows in the seed's sequence."""
        return torch.cat([self._columns(s, ["index"])[0][:rows] for s, rows in self._shards()])

    def _shards(self) -> Iterator[tuple[Shard, int]]:
        """Each shard, and how many of its rows count."""
        for shard in self.header.shards:
            if shard.first < self.count:
                yield shard, min(shard.rows, self.count - shard.first)

    def _columns(self, shard: Shard, names: list[str]) -> list[Tensor]:
        """Columns of a shard, or of the longer one that took its place as the run went on."""
        try:
            return read_columns(self.place, shard, names)
        except SamplesError:
            now = read_header(self.place).shards
            longer = [s for s in now if s.first == shard.first and s.rows > shard.rows]
            if not longer:
                raise
            return read_columns(self.place, longer[0], names)

    def _codes(self, shard: Shard) -> Tensor:
        if shard.file not in self._verified:
            try:
                codes = read_shard(self.place, shard, self.header)[0].flatten(1)
            except SamplesError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
            else:
                self._verified.add(shard.file)
                return codes
        return self._columns(shard, ["code"])[0].reshape(-1, self.size)
