"""Sample stores: a folder that is consistent at every moment, or memory.

A shard is written first, then the manifest that names it: killing the writer loses what it did
since the last manifest, a shard or a moment's work, and its partial files are removed on the next
open.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.errors import LatdirError, SamplesError
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

try:
    import fcntl
except ImportError:  # Windows has none; there, a second writer is not prevented.
    fcntl = None  # type: ignore[assignment]

__all__ = ["Folder", "Memory", "Rows", "Store", "opened", "read"]

Rows = tuple[Tensor, Tensor]
"""Codes `[n, *shape]` and scores `[n, k]`."""

LOCK = ".lock"
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
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LatdirError(f"cannot make the folder {path}: {error.strerror}") from error
    with _locked(path):
        if (path / MANIFEST).exists():
            there = read_header(path)
            _check_identity(path, there, header)
            header = there
        elif any(path.glob("samples-*.parquet")):
            raise SamplesError(
                f"{path} has shards but no {MANIFEST}, so their contents cannot be identified: "
                "delete them, or choose another folder"
            )
        store = Folder(path, header)
        try:
            yield store
        finally:
            store.close()


@runtime_checkable
class Store(Protocol):
    """Storage of rows, shard by shard: a folder, or memory."""

    header: Header

    @property
    def place(self) -> Path | None:
        """The folder, if it is one."""

    def describe(self, **changes: Any) -> None:
        """Change the manifest."""

    def held(self, index: int) -> int:
        """How many rows of one shard there are."""

    def get(self, index: int) -> Rows | None:
        """Codes and scores of one shard, if there is any of it."""

    def put(self, index: int, codes: Float[Tensor, "n ..."], scores: Float[Tensor, "n k"]) -> None:
        """Store one shard, replacing an earlier version."""

    def rows(self, count: int) -> Rows:
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
        path: The folder.
        place: The same.
        header: Its manifest, without the list of shards.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = self.place = path
        kept = [s for s in header.shards if (path / s.file).exists()]
        for shard in kept:
            checked_bytes(path, shard)
        self._shards = {shard.first // ROWS: shard for shard in kept}
        self.header = header.evolve(shards=())
        self._due = 0.0
        self._behind = False
        self._sweep()

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
        return read_shard(self.path, self._shards[index], self.header)[:2]

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
        new = write_shard(self.path, index * ROWS, codes, scores, self.header, places)
        old = self._shards.get(index)
        self._shards[index] = new
        self._behind = True
        if old is not None or time.monotonic() >= self._due:
            self._write()
        if old is not None and old.file != new.file:
            (self.path / old.file).unlink(missing_ok=True)

    def rows(self, count: int) -> Rows:
        """The first `count` rows."""
        return _assembled(self.path, self._complete, count)[0]

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
        write_header(self.path, self._complete)
        now = time.monotonic()
        self._due, self._behind = now + PAUSE * (now - begun), False

    def _sweep(self) -> None:
        """Remove leftovers of a killed writer: unlisted shards, temporary files."""
        named = {shard.file for shard in self._shards.values()}
        for file in self.path.glob("samples-*.parquet"):
            if file.name not in named:
                file.unlink()
        for pattern in (".samples-*.tmp", f".{MANIFEST}.*.tmp", f".{PRIOR}.*.tmp"):
            for file in self.path.glob(pattern):
                file.unlink()


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
    path = Path(folder)
    header = read_header(path)
    end = 0
    for shard in header.shards:
        if shard.first != end or not (path / shard.file).exists():
            break
        end += shard.rows
    if end < header.wanted and not partial:
        raise SamplesError(
            f"{path} holds the first {end} of {header.wanted} samples: run the same sample "
            "command again, which resumes, or load them with partial=True"
        )
    rows, index = _assembled(path, header, end)
    return header, rows, None if header.consecutive else index


def _check_identity(path: Path, there: Header, asked: Header) -> None:
    if there.seed is None or not there.consecutive:
        raise SamplesError(
            f"{path} holds a selection of codes, not the consecutive ones of a seed, so that it "
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
                f"{path} holds samples of another {said}: {old} there, {new} requested; "
                "give another folder, or delete this one"
            )


def _assembled(path: Path, header: Header, count: int) -> tuple[Rows, Tensor]:
    codes = torch.empty(count, *header.shape)
    scores = torch.empty(count, len(header.attributes))
    index = torch.empty(count, dtype=torch.int64)
    for shard in header.shards:
        if shard.first < count:
            rows = slice(shard.first, min(shard.first + shard.rows, count))
            for whole, part in zip(
                (codes, scores, index), read_shard(path, shard, header), strict=True
            ):
                whole[rows] = part[: rows.stop - rows.start]
    return (codes, scores), index


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep a second writer out; the lock ends with the process."""
    with (path / LOCK).open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SamplesError(
                    f"another run is writing to {path}: wait for it, or choose another folder"
                ) from error
        yield
