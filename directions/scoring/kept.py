"""Scores and embeddings kept on disk, found by the code they are of.

A measurement that is interrupted goes on where it was, and one that looks at images another has
looked at before, such as a report after an evaluation, reads their scores. A row is found by
everything it depends on: the fingerprints of generator and classifier, space, precision, device,
versions, the source of this package, and the bytes of the code itself.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from directions.errors import LatdirError

__all__ = ["FILE", "KeptRows", "KeptScores", "keep_scores", "kept_scores"]

FILE = "scores.sqlite"
# Bytes from which what was used least recently is dropped, down to this share of them.
LIMIT, LEFT = 2**29, 0.75
WAIT = 30.0  # seconds for another process to finish its writing

TABLES = """
CREATE TABLE IF NOT EXISTS models(id INTEGER PRIMARY KEY, identity TEXT, names TEXT, used REAL,
                                  UNIQUE(identity, names));
CREATE TABLE IF NOT EXISTS rows(model INTEGER, code BLOB, row BLOB, PRIMARY KEY(model, code))
                                WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settings(identity TEXT PRIMARY KEY, value TEXT);
"""


class KeptScores:
    """A file of scores and embeddings.

    Args:
        folder: Where the file is or will be; made if it is not there.

    Attributes:
        path: The file.
        added: Number of images whose scores were added through this object.

    Raises:
        LatdirError: The file cannot be read or written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE
        self.added = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LatdirError(
                f"cannot keep scores in {folder}: {error.strerror}; choose another folder"
            ) from error
        with self._explained():
            self._file = sqlite3.connect(self.path, timeout=WAIT, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.executescript(TABLES)
            self._make_room()

    def rows(self, identity: Mapping[str, Any], names: Sequence[str]) -> KeptRows:
        """The rows of one model; those of a wider selection of its columns count as well.

        Args:
            identity: All that a row depends on beside its code.
            names: Names of the columns wanted.
        """
        text = json.dumps({**identity, **_versions()}, sort_keys=True)
        with self._explained(), self._file as file:
            file.execute(
                "INSERT INTO models(identity, names, used) VALUES(?, ?, ?) "
                "ON CONFLICT DO UPDATE SET used = excluded.used",
                (text, json.dumps(list(names)), time.time()),
            )
            there = file.execute("SELECT id, names FROM models WHERE identity = ?", (text,))
            models = [(found, json.loads(columns)) for found, columns in there.fetchall()]
        [own] = [found for found, columns in models if columns == list(names)]
        wider = {
            found: [columns.index(name) for name in names]
            for found, columns in sorted(models, key=lambda model: model[0] != own)
            if set(names) <= set(columns)
        }
        return KeptRows(self, own, wider)

    def find(self, model: int, codes: Sequence[bytes]) -> dict[int, bytes]:
        """Rows of a model by the place of their code in the list."""
        with self._explained():
            ask = "SELECT row FROM rows WHERE model = ? AND code = ?"
            rows = [self._file.execute(ask, (model, code)).fetchone() for code in codes]
            return {i: row[0] for i, row in enumerate(rows) if row is not None}

    def add(self, model: int, rows: Mapping[bytes, bytes]) -> None:
        """Keep rows of a model."""
        with self._explained(), self._file as file:
            entries = [(model, code, row) for code, row in rows.items()]
            file.executemany("INSERT OR REPLACE INTO rows VALUES(?, ?, ?)", entries)
        self.added += len(rows)

    def setting(self, identity: Mapping[str, Any]) -> Any:
        """What was kept for an identity by `set`; None where nothing was."""
        key = json.dumps({**identity, **_versions()}, sort_keys=True)
        with self._explained():
            ask = "SELECT value FROM settings WHERE identity = ?"
            row = self._file.execute(ask, (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set(self, identity: Mapping[str, Any], value: Any) -> None:
        """Keep a JSON value for an identity."""
        key = json.dumps({**identity, **_versions()}, sort_keys=True)
        with self._explained(), self._file as file:
            file.execute("INSERT OR REPLACE INTO settings VALUES(?, ?)", (key, json.dumps(value)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _make_room(self) -> None:
        """Drop the models used least recently where the file has grown beyond its limit."""
        ids = [row[0] for row in self._file.execute("SELECT id FROM models ORDER BY used")]
        dropped = False
        while ids and self._size() > LIMIT * (LEFT if dropped else 1):
            with self._file as file:
                oldest = ids.pop(0)
                file.execute("DELETE FROM rows WHERE model = ?", (oldest,))
                file.execute("DELETE FROM models WHERE id = ?", (oldest,))
            dropped = True
        if dropped:
            self._file.execute("VACUUM")

    def _size(self) -> int:
        """Bytes in use."""
        pages, free, size = (
            self._file.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LatdirError(
                f"cannot keep scores in {self.path}: {error}; delete the file, or choose another "
                "folder"
            ) from error


class KeptRows:
    """Rows of one model.

    Args:
        scores: The file they are in.
        own: Number of the model that new rows belong to.
        wider: Number of each model with these columns and perhaps more, to their places.
    """

    def __init__(self, scores: KeptScores, own: int, wider: Mapping[int, list[int]]) -> None:
        self.scores, self.own, self.wider = scores, own, wider

    def find(
        self, codes: Float[Tensor, "n *shape"]
    ) -> tuple[Bool[Tensor, "n"], Float[Tensor, "m k"] | None]:
        """Which codes have rows, and these rows; None where there are none.

        Example:
            >>> import tempfile
            >>> kept = KeptScores(tempfile.mkdtemp()).rows({"generator": "toy"}, ["age"])
            >>> codes = torch.eye(3)
            >>> kept.add(codes[:1], torch.tensor([[31.0]]))
            >>> kept.find(codes)
            (tensor([ True, False, False]), tensor([[31.]]))
        """
        keys = _keys(codes)
        rows: dict[int, Tensor] = {}
        for model, columns in self.wider.items():
            left = [i for i in range(len(keys)) if i not in rows]
            for i, row in self.scores.find(model, [keys[i] for i in left]).items():
                values = torch.frombuffer(bytearray(row), dtype=torch.float32)
                rows[left[i]] = values[columns] if model != self.own else values
        known = torch.tensor([i in rows for i in range(len(keys))], dtype=torch.bool)
        return known, torch.stack([rows[i] for i in sorted(rows)]) if rows else None

    def add(self, codes: Float[Tensor, "n *shape"], rows: Float[Tensor, "n k"]) -> None:
        """Keep the rows of codes, float32."""
        made = rows.detach().float().cpu().contiguous().numpy()
        self.scores.add(self.own, dict(zip(_keys(codes), map(bytes, made), strict=True)))


_ACTIVE: ContextVar[KeptScores | None] = ContextVar("kept_scores", default=None)


def kept_scores() -> KeptScores | None:
    """The file that `keep_scores` has opened, if it has."""
    return _ACTIVE.get()


@contextmanager
def keep_scores(folder: str | Path) -> Iterator[KeptScores]:
    """Keep the scores of images in a folder while measuring, and read those that are there.

    What runs inside and was interrupted goes on where it was when it is called again, and two
    measures of the same images make them once. It serves everything that moves codes and scores
    their images: effects, calibration, evaluation, comparison, naming. The folder takes at most
    512 MB and may be deleted at any time.

    Args:
        folder: Where to keep them; made if it is not there. Several processes may share it.

    Raises:
        LatdirError: The folder or its file cannot be written.
        KeyboardInterrupt: With a note that says how much was kept, when interrupted.

    Example:
        >>> import tempfile
        >>> from directions.planted.world import planted
        >>> from directions.scoring.scorer import Scorer
        >>> world, codes = planted(factors=2, dim=8), torch.randn(5, 8)
        >>> folder = tempfile.mkdtemp()
        >>> for _ in range(2):
        ...     with keep_scores(folder) as kept:
        ...         _ = Scorer(world, world.classifier()).score(codes)
        ...         print(kept.added)
        5
        0
    """
    kept = KeptScores(folder)
    token = _ACTIVE.set(kept)
    try:
        yield kept
    except KeyboardInterrupt as error:
        if kept.added:
            error.add_note(
                f"the scores of {kept.added:,} images are kept in {kept.path.parent}: run the same "
                "again, which goes on from there"
            )
        raise
    finally:
        _ACTIVE.reset(token)
        kept.close()


def _keys(codes: Tensor) -> list[bytes]:
    """A digest of each code."""
    flat = codes.detach().cpu().flatten(1).contiguous()
    salt = f"{codes.dtype} {list(codes.shape[1:])}".encode()
    return [
        hashlib.blake2b(bytes(row), digest_size=16, key=hashlib.sha256(salt).digest()).digest()
        for row in flat.view(torch.uint8).numpy()
    ]


@cache
def _versions() -> dict[str, str]:
    """Versions that scores depend on: of torch, and of the source of this package."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.read_bytes())
    return {"torch": torch.__version__, "source": digest.hexdigest()}
