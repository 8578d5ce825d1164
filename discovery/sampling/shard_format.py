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
from collections.abc import Sequence
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
from discovery.sampling.places import Place, place_of

__all__ = [
    "MANIFEST",
    "ROWS",
    "Header",
    "Settings",
    "Shard",
    "Source",
    "checked_bytes",
    "read_columns",
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


def read_header(folder: Place | str | Path) -> Header:
    """The manifest of a folder of samples.

    Raises:
        LatdirError: There is none, or it is broken or of a newer version.
    """
    place = folder if isinstance(folder, Place) else place_of(folder)
    path = place.joined(MANIFEST)
    try:
        text = place.read(MANIFEST).decode("utf-8")
        version = json.loads(text).get("version")
        if isinstance(version, int) and version > 1:
            raise SamplesError(
                f"{path} has format version {version}; this release reads 1: "
                "pip install --upgrade latdir"
            )
        return Header.model_validate_json(text)
    except FileNotFoundError as error:
        raise SamplesError(
            f"{place} is not a folder of samples: it has no {MANIFEST}; "
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


def write_header(place: Place, header: Header) -> None:
    """Replace the manifest, unless another process has changed it.

    Raises:
        LatdirError: It has been changed, or cannot be written.
    """
    place.replace(MANIFEST, (header.model_dump_json(indent=1) + "\n").encode("utf-8"))


def write_shard(
    place: Place,
    first: int,
    codes: Tensor,
    scores: Tensor,
    header: Header,
    index: Tensor | None = None,
) -> Shard:
    """Write one shard, whole or not at all.

    Args:
        place: Where.
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
    made = pa.BufferOutputStream()
    # Random mantissas do not compress, and plain pages are read without decoding.
    pq.write_table(pa.table(columns), made, compression="none", use_dictionary=False)
    data = made.getvalue().to_pybytes()
    place.write(file, data)
    return Shard(file=file, rows=rows, sha256=hashlib.sha256(data).hexdigest())


def checked_bytes(place: Place, shard: Shard) -> bytes:
    """The bytes of a shard, if they agree with the manifest.

    Raises:
        LatdirError: They cannot be read, or are corrupt or truncated.
    """
    try:
        data = place.read(shard.file)
    except OSError as error:
        raise _broken(place, shard, f"cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise _broken(place, shard, "is corrupt or truncated: it does not match its checksum")
    return data


def read_shard(place: Place, shard: Shard, header: Header) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scores and places in the seed's sequence of a shard.

    Raises:
        LatdirError: It is broken.
    """
    data = checked_bytes(place, shard)
    try:
        table = _table(pa.BufferReader(data))
        flat = table["code"].combine_chunks().flatten().to_numpy()
        columns = [table[f"score.{a.name}"].to_numpy() for a in header.attributes]
        codes = torch.from_numpy(flat.copy()).reshape(shard.rows, *header.shape)
        scores = torch.from_numpy(np.stack(columns, 1).reshape(shard.rows, -1))
        index = torch.from_numpy(table["index"].to_numpy().copy())
    except (pa.ArrowException, KeyError, ValueError, RuntimeError) as error:
        raise _broken(place, shard, f"is not a shard of this manifest ({error})") from error
    return codes, scores, index


def read_columns(place: Place, shard: Shard, names: Sequence[str]) -> list[Tensor]:
    """Columns of a shard, without the rest of it and without its checksum.

    Args:
        place: The folder.
        shard: Which.
        names: `index`, `code`, which comes flat, or `score.<name>`.

    Raises:
        LatdirError: They cannot be read.
    """
    try:
        table = _table(place.opened(shard.file), list(names))
        columns = [table[name].combine_chunks() for name in names]
        flat = [c.flatten() if pa.types.is_nested(c.type) else c for c in columns]
        return [torch.from_numpy(column.to_numpy().copy()) for column in flat]
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise _broken(place, shard, f"cannot be read ({error})") from error


def _table(source: Any, names: list[str] | None = None) -> pa.Table:
    """Columns of a shard, read by this thread: each thread would keep memory of its own."""
    with pq.ParquetFile(source, pre_buffer=False) as file:
        return file.read(names, use_threads=False)


def _broken(place: Place, shard: Shard, what: str) -> LatdirError:
    return SamplesError(
        f"{place.joined(shard.file)} {what}: delete that file and run the same sample command "
        "again; only its rows are computed again"
    )
