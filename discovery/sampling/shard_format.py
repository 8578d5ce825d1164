"""The file format of samples: a manifest and Parquet shards.

A folder holds `_manifest.json`, `_prior.safetensors` and `samples-<first>-<last>.parquet` files of
at most 1,024 rows, named by their first and last row. Names with an underscore are skipped by
readers of Parquet folders, such as `pandas.read_parquet(folder)`. A shard has a column `index`
(the code's place in its seed's sequence, or in the folder where it has none), a column `code` (a
fixed-size list of float32, the code flattened) and one float32 column `score.<name>` for each
attribute. A shard counts if the manifest names it, and its bytes have the sha256 given there.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from torch import Tensor

from directions.errors import LatdirError, SamplesError
from directions.scoring.rendering import Rendering
from directions.storage.atomic import atomic

__all__ = [
    "MANIFEST",
    "ROWS",
    "Header",
    "Settings",
    "Shard",
    "Source",
    "checked_bytes",
    "read_header",
    "read_shard",
    "write_header",
    "write_shard",
]

ROWS = 1024
MANIFEST = "_manifest.json"
Source = Literal["generator", "samples"]
SHA256 = r"^[0-9a-f]{64}$"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(_Model):
    """Settings of the computation of scores; with the seed, they determine the bits.

    Attributes:
        batch: Rows computed at once. Tiles start at multiples of it in the seed's sequence.
        precision: Of generator and classifier.
        compile: Whether the classifier's compiled form is used.
    """

    batch: int = Field(gt=0)
    precision: Literal["float32", "bfloat16"]
    compile: bool

    @classmethod
    def of(cls, rendering: Rendering) -> Settings | None:
        """Stored part of a rendering; None where settings are left open."""
        stored = (rendering.batch_size, rendering.precision, rendering.compile)
        if None in stored:
            return None
        return cls.model_validate(dict(zip(("batch", "precision", "compile"), stored, strict=True)))


class AttributeEntry(_Model):
    """One column, as stored."""

    name: str
    kind: Literal["probability", "value"]
    unit: str
    description: str


class Shard(_Model):
    """One file of rows, as stored."""

    file: str = Field(pattern=r"^samples-\d{8,}-\d{8,}\.parquet$")
    rows: int = Field(gt=0, le=ROWS)
    sha256: str = Field(pattern=SHA256)

    @property
    def first(self) -> int:
        """Place of its first row in the folder."""
        return int(self.file.split("-")[1])


class Header(_Model):
    """The manifest of a folder of samples."""

    format: Literal["latdir.samples"] = "latdir.samples"
    version: Literal[1] = 1
    generator: str
    fingerprint: str = Field(pattern=SHA256)
    classifier: str
    classifier_fingerprint: str = Field(pattern=SHA256)
    attributes: tuple[AttributeEntry, ...]
    space: str
    shape: tuple[int, ...]
    seed: int | None = Field(ge=0)
    start: int = Field(ge=0)
    consecutive: bool = True
    prior_source: Source = "generator"
    truncation: FiniteFloat
    wanted: int = Field(ge=0)
    settings: Settings | None = None
    notes: dict[str, Any] = {}
    shards: tuple[Shard, ...] = ()

    @property
    def rendering(self) -> Rendering:
        """Rendering of the scores; open where the manifest does not say."""
        if self.settings is None:
            return Rendering(truncation=self.truncation)
        settings = self.settings
        return Rendering(self.truncation, settings.precision, settings.batch, settings.compile)

    def evolve(self, **changes: Any) -> Header:
        """A copy with some fields changed, validated."""
        return type(self).model_validate({**dict(self), **changes})


def read_header(folder: str | Path) -> Header:
    """The manifest of a folder of samples.

    Raises:
        LatdirError: There is none, or it is broken or of a newer version.
    """
    path = Path(folder) / MANIFEST
    try:
        text = path.read_text("utf-8")
        version = json.loads(text).get("version")
        if isinstance(version, int) and version > 1:
            raise SamplesError(
                f"{path} has format version {version}; this release reads 1: "
                "pip install --upgrade latdir"
            )
        return Header.model_validate_json(text)
    except FileNotFoundError as error:
        raise SamplesError(
            f"{folder} is not a folder of samples: it has no {MANIFEST}; "
            "make one with discovery.sample(…, out=folder)"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise SamplesError(f"{path} is broken: {where}: {first['msg']}") from error
    except (OSError, UnicodeDecodeError, ValueError, AttributeError) as error:
        if isinstance(error, LatdirError):
            raise
        raise SamplesError(f"{path} cannot be read: {error}") from error


def write_header(folder: Path, header: Header) -> None:
    """Replace the manifest.

    Raises:
        LatdirError: It cannot be written.
    """
    with atomic(folder / MANIFEST) as temporary:
        temporary.write_text(header.model_dump_json(indent=1) + "\n", "utf-8")


def write_shard(
    path: Path,
    first: int,
    codes: Tensor,
    scores: Tensor,
    header: Header,
    index: Tensor | None = None,
) -> Shard:
    """Write one shard, atomically.

    Args:
        path: The folder.
        first: Place of the first row in the folder.
        codes: `[n, *shape]`.
        scores: `[n, k]`.
        header: The manifest.
        index: Places of the rows in the seed's sequence; consecutive by default.

    Raises:
        LatdirError: It cannot be written.
    """
    rows, size = len(codes), math.prod(header.shape)
    file = f"samples-{first:08d}-{first + rows - 1:08d}.parquet"
    flat = pa.array(codes.reshape(-1).numpy())
    places = np.arange(header.start + first, header.start + first + rows)
    columns: dict[str, pa.Array] = {
        "index": pa.array(places if index is None else index.numpy()),
        "code": pa.FixedSizeListArray.from_arrays(flat, size),
    }
    for j, attribute in enumerate(header.attributes):
        columns[f"score.{attribute.name}"] = pa.array(scores[:, j].numpy())
    with atomic(path / file) as temporary:
        # Random mantissas do not compress, and plain pages are read without decoding.
        pq.write_table(pa.table(columns), temporary, compression="none", use_dictionary=False)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    return Shard(file=file, rows=rows, sha256=digest)


def checked_bytes(path: Path, shard: Shard) -> bytes:
    """The bytes of a shard, if they agree with the manifest.

    Raises:
        LatdirError: They cannot be read, or are corrupt or truncated.
    """
    try:
        data = (path / shard.file).read_bytes()
    except OSError as error:
        raise _broken(path, shard, f"cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise _broken(path, shard, "is corrupt or truncated: it does not match its checksum")
    return data


def read_shard(path: Path, shard: Shard, header: Header) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scores and places in the seed's sequence of a shard.

    Raises:
        LatdirError: It is broken.
    """
    data = checked_bytes(path, shard)
    try:
        table = pq.read_table(pa.BufferReader(data))
        flat = table["code"].combine_chunks().flatten().to_numpy()
        columns = [table[f"score.{a.name}"].to_numpy() for a in header.attributes]
        codes = torch.from_numpy(flat.copy()).reshape(shard.rows, *header.shape)
        scores = torch.from_numpy(np.stack(columns, 1).reshape(shard.rows, -1))
        index = torch.from_numpy(table["index"].to_numpy().copy())
    except (pa.ArrowException, KeyError, ValueError, RuntimeError) as error:
        raise _broken(path, shard, f"is not a shard of this manifest ({error})") from error
    return codes, scores, index


def _broken(path: Path, shard: Shard, what: str) -> LatdirError:
    return SamplesError(
        f"{path / shard.file} {what}: delete that file and run the same sample command again; "
        "only its rows are computed again"
    )
