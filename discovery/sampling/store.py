"""Sample stores: a folder that is consistent at every moment, or memory.

A shard is written first, then the manifest that names it: killing the writer loses what it did
since the last manifest, a shard or a moment's work, and its partial files are removed on the next
open.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.errors import LatdirError, SamplesError
from discovery.sampling.places import Place, place_of
from discovery.sampling.prior_file import PRIOR
from discovery.sampling.shard_format import (
    MANIFEST,
    ROWS,
    Header,
    checked_bytes,
    read_header,
    read_shard,
    write_header,
    write_shard,
)
from discovery.sampling.stored import StoredRows

__all__ = ["Folder", "Memory", "Rows", "Store", "opened", "read", "read_lazily"]

Rows = tuple[Tensor, Tensor]
"""Codes `[n, *shape]` and scores `[n, k]`."""

SHARD = re.compile(r"samples-\d+-\d+\.parquet")
TEMPORARY = re.compile(rf"\.(samples-.*|{re.escape(MANIFEST)}\..*|{re.escape(PRIOR)}\..*)\.tmp")
PAUSE = 20.0  # between two manifests, in units of the time that writing one takes
# Settings that must agree for two runs in one folder, and their descriptions.
IDENTITY = {
    "fingerprint": "generator",
    "classifier_fingerprint": "classifier",
    "attributes": "attributes",
    "space": "space",
    "seed": "seed",
    "start": "start",
    "truncation": "truncation",
}


@contextmanager
def opened(folder: str | Path, header: Header) -> Iterator[Folder]:
    """Open a folder for writing samples of this header, new or begun before; one writer at a time.

    Raises:
        LatdirError: Another run is writing there, or it holds other samples, or a broken shard.
    """
    place = place_of(folder)
    with place.writing():
        there = place.names()
        if MANIFEST in there:
            found = read_header(place)
            _check_identity(place, found, header)
            header = found
        elif any(SHARD.fullmatch(name) for name in there):
            raise SamplesError(
                f"{place} has shards but no {MANIFEST}, so their contents cannot be identified: "
                "delete them, or choose another folder"
            )
        store = Folder(place, header)
        try:
            yield store
        except BaseException:
            with suppress(LatdirError):  # such as the full disk that ended the run
                store.close()
            raise
        store.close()


@runtime_checkable
class Store(Protocol):
    """Storage of rows, shard by shard: a folder, or memory."""

    header: Header

    @property
    def place(self) -> Place | None:
        """The folder, if it is one."""

    def describe(self, **changes: Any) -> None:
        """Change the manifest."""

    def held(self, index: int) -> int:
        """How many rows of one shard there are."""

    def get(self, index: int) -> Rows | None:
        """Codes and scores of one shard, if there is any of it."""

    def put(self, index: int, codes: Float[Tensor, "n ..."], scores: Float[Tensor, "n k"]) -> None:
        """Store one shard, replacing an earlier version."""

    def rows(self, count: int) -> Rows | StoredRows:
        """The first `count` rows."""


class Memory:
    """A store in the memory of the process.

    Attributes:
        header: Description of the rows.
        place: None.
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self.place = None
        self._parts: dict[int, Rows] = {}

    def describe(self, **changes: Any) -> None:
        """Change the manifest."""
        self.header = self.header.evolve(**changes)

    def held(self, index: int) -> int:
        """How many rows of one shard there are."""
        return len(self._parts[index][0]) if index in self._parts else 0

    def get(self, index: int) -> Rows | None:
        """Codes and scores of one shard, if there is any of it."""
        return self._parts.get(index)

    def put(self, index: int, codes: Tensor, scores: Tensor) -> None:
        """Store one shard, replacing an earlier version."""
        self._parts[index] = (codes, scores)

    def rows(self, count: int) -> Rows:
        """The first `count` rows."""
        parts = [self._parts[i] for i in sorted(self._parts)]
        codes, scores = (torch.cat(column)[:count] for column in zip(*parts, strict=True))
        return codes, scores


class Folder:
    """A folder open for writing, shard by shard; deleted shards are treated as missing.

    The manifest follows the shards within twenty times the time that writing it takes, so that a
    shard costs the same however many there are.

    Raises:
        LatdirError: A shard does not match its checksum.

    Attributes:
        place: The folder.
        header: Its manifest, without the list of shards.
    """

    def __init__(self, place: Place, header: Header) -> None:
        self.place = place
        there = place.names()
        kept = [s for s in header.shards if s.file in there]
        for shard in kept if place.local else ():
            checked_bytes(place, shard)
        self._shards = {shard.first // ROWS: shard for shard in kept}
        self.header = header.evolve(shards=())
        self._due = 0.0
        self._behind = False
        self._sweep(there)

    def describe(self, **changes: Any) -> None:
        """Change the manifest, on disk as well."""
        self.header = self.header.evolve(**changes)
        self._write()

    def held(self, index: int) -> int:
        """How many rows of one shard there are."""
        return self._shards[index].rows if index in self._shards else 0

    def get(self, index: int) -> Rows | None:
        """Codes and scores of one shard, if there is any of it."""
        if index not in self._shards:
            return None
        return read_shard(self.place, self._shards[index], self.header)[:2]

    def put(
        self,
        index: int,
        codes: Float[Tensor, "n ..."],
        scores: Float[Tensor, "n k"],
        places: Int[Tensor, "n"] | None = None,
    ) -> None:
        """Write one shard, replacing an earlier version.

        Args:
            index: Which shard of the folder.
            codes: Its codes.
            scores: Their scores.
            places: Places of the rows in the seed's sequence; consecutive by default.
        """
        new = write_shard(self.place, index * ROWS, codes, scores, self.header, places)
        old = self._shards.get(index)
        self._shards[index] = new
        self._behind = True
        if old is not None or time.monotonic() >= self._due:
            self._write()
        if old is not None and old.file != new.file:
            self.place.remove(old.file)

    def rows(self, count: int) -> StoredRows:
        """The first `count` rows, which stay where they are."""
        return StoredRows(self.place, self._complete, count)

    def close(self) -> None:
        """Bring the manifest up to date."""
        if self._behind:
            self._write()

    @property
    def _complete(self) -> Header:
        shards = tuple(self._shards[i] for i in sorted(self._shards))
        # Validated when they were made: a copy costs nothing for each of them.
        return self.header.model_copy(update={"shards": shards})

    def _write(self) -> None:
        begun = time.monotonic()
        write_header(self.place, self._complete)
        now = time.monotonic()
        self._due, self._behind = now + PAUSE * (now - begun), False

    def _sweep(self, there: set[str]) -> None:
        """Remove leftovers of a killed writer: unlisted shards, temporary files."""
        named = {shard.file for shard in self._shards.values()}
        for name in there - named:
            if SHARD.fullmatch(name) or TEMPORARY.fullmatch(name):
                self.place.remove(name)


def read(
    folder: str | Path, *, partial: bool = False
) -> tuple[Header, Rows, Int[Tensor, "n"] | None]:
    """Manifest, rows, and places of rows that are not consecutive; every shard verified.

    Args:
        folder: Written by `sample(…, out=folder)` or `Samples.save`.
        partial: Load the finished part of a run, up to the first gap, instead of refusing.

    Raises:
        LatdirError: No samples there, an unfinished run, or a broken shard or manifest.
    """
    stored = read_lazily(folder, partial=partial)
    rows, index = _assembled(stored.place, stored.header, stored.count)
    return stored.header, rows, None if stored.header.consecutive else index


def read_lazily(folder: str | Path, *, partial: bool = False) -> StoredRows:
    """The rows of a folder, each shard read when it is asked for; arguments as of `read`.

    Raises:
        LatdirError: No samples there, an unfinished run, or a broken manifest.
    """
    place = place_of(folder)
    header = read_header(place)
    there, end = place.names(), 0
    for shard in header.shards:
        if shard.first != end or shard.file not in there:
            break
        end += shard.rows
    if end < header.wanted and not partial:
        raise SamplesError(
            f"{place} holds the first {end} of {header.wanted} samples: run the same sample "
            "command again, which resumes, or load them with partial=True"
        )
    return StoredRows(place, header, end)


def _check_identity(place: Place, there: Header, asked: Header) -> None:
    if there.seed is None or not there.consecutive:
        raise SamplesError(
            f"{place} holds a selection of codes, not the consecutive ones of a seed, so that it "
            "cannot be continued: give another folder"
        )
    for field, said in IDENTITY.items():
        old, new = getattr(there, field), getattr(asked, field)
        if old != new:
            if field == "attributes":
                old, new = (", ".join(a.name for a in v) for v in (old, new))
            elif field.endswith("fingerprint"):
                name = said
                old, new = (
                    f"{getattr(h, name)} ({v[:12]}…)" for h, v in ((there, old), (asked, new))
                )
            raise SamplesError(
                f"{place} holds samples of another {said}: {old} there, {new} requested; "
                "give another folder, or delete this one"
            )


def _assembled(place: Place, header: Header, count: int) -> tuple[Rows, Tensor]:
    codes = torch.empty(count, *header.shape)
    scores = torch.empty(count, len(header.attributes))
    index = torch.empty(count, dtype=torch.int64)
    for shard in header.shards:
        if shard.first < count:
            rows = slice(shard.first, min(shard.first + shard.rows, count))
            for whole, part in zip(
                (codes, scores, index), read_shard(place, shard, header), strict=True
            ):
                whole[rows] = part[: rows.stop - rows.start]
    return (codes, scores), index
