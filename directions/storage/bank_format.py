"""The byte format of a bank file: header, tensors and validation.

A bank is a file of tensors as `container` writes them: `vector.0`, `vector.1`, … in the order of
the bank, float32, beside the JSON of `Manifest`. Directions in a generator's weights are amounts of
changes, which it holds as `basis/<space>/<part>`, float16. `docs/reference/bank-format.md` is the
specification; a golden file pins it in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_serializer,
)
from torch import Tensor

from directions.errors import BankError
from directions.storage.container import FileFormat, plain, read_tensors, write_tensors

__all__ = ["PLAIN", "BasisEntry", "CalibrationEntry", "DirectionEntry", "Manifest", "read", "write"]

FORMAT = FileFormat(
    "latdir.bank",
    "bank",
    BankError,
    hint="if it was copied, copy it again; other tools' files are imported with "
    "`latdir bank convert`",
)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CalibrationEntry(_Entry):
    """A direction's calibration, as stored."""

    attribute: str
    unit: str
    per_sigma: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    response: tuple[tuple[FiniteFloat, FiniteFloat], ...] = ()

    @model_serializer(mode="wrap")
    def _without_empty(self, dump: Callable[[CalibrationEntry], dict[str, Any]]) -> dict[str, Any]:
        """Without a response that there is none of, as banks were before responses."""
        held = dump(self)
        return held if self.response else {k: v for k, v in held.items() if k != "response"}


class DirectionEntry(_Entry):
    """One direction without its vector, as stored."""

    name: str = Field(min_length=1)
    space: str = Field(min_length=1)
    method: str
    config: dict[str, Any] = {}
    layers: tuple[NonNegativeInt, ...] | None = None
    offset: FiniteFloat | None = None
    sigma: FiniteFloat = Field(gt=0)
    calibration: CalibrationEntry | None = None
    evidence: dict[str, Any] = {}


PLAIN = tuple(name for name in DirectionEntry.model_fields if name != "calibration")
"""Fields that an entry has as its direction has them."""


class BasisEntry(_Entry):
    """Changes of a weight without their tensors, as stored."""

    weight: str = Field(min_length=1)
    shape: tuple[PositiveInt, ...]
    latent: PositiveInt


class Manifest(_Entry):
    """The header of a bank file, beside its format and version."""

    generator: str
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    directions: tuple[DirectionEntry, ...]
    provenance: dict[str, Any] = {}
    bases: dict[str, BasisEntry] = {}


def write(
    path: str | Path,
    header: Mapping[str, Any],
    vectors: Sequence[Tensor],
    bases: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
) -> None:
    """Write a bank file, atomically; equal banks give equal bytes.

    Args:
        path: The file; its folder must exist.
        header: The fields of `Manifest`, as plain values.
        vectors: One tensor for each of its directions.
        bases: The tensors of each of its bases.

    Raises:
        LatdirError: A value that JSON cannot hold, the folder cannot be written, or the disk is
            full.
    """
    try:
        manifest = Manifest.model_validate_json(json.dumps(plain(header)))
    except ValidationError as error:
        raise BankError(f"this bank cannot be saved: {_first(error)}") from error
    tensors = {f"vector.{i}": v.float() for i, v in enumerate(vectors)}
    for space, parts in bases.items():
        tensors |= {f"basis/{space}/{part}": tensor for part, tensor in parts.items()}
    left_out = set() if bases else {"bases"}
    content = manifest.model_dump(mode="json", exclude=left_out)
    write_tensors(path, tensors, content, format=FORMAT)


def read(path: str | Path) -> tuple[Manifest, list[Tensor], dict[str, dict[str, Tensor]]]:
    """Read a bank file; nothing inside it is executed and its size bounds the memory used.

    Raises:
        BankError: The file is missing, truncated, not a bank, of a newer version, or its
            vectors do not match its manifest.
    """
    header, held = read_tensors(path, FORMAT)
    parts: dict[str, dict[str, Tensor]] = {}
    for key in [key for key in held if key.startswith("basis/")]:
        space, _, part = key.removeprefix("basis/").rpartition("/")
        parts.setdefault(space, {})[part] = held.pop(key)
    try:
        manifest = Manifest.model_validate_json(json.dumps(header))
    except ValidationError as error:
        raise BankError(f"{path} has a broken manifest: {_first(error)}") from error
    expected = [f"vector.{i}" for i in range(len(manifest.directions))]
    if sorted(held) != sorted(expected):
        raise BankError(
            f"{path} is broken: its manifest lists {len(expected)} directions "
            f"but it holds {len(held)} tensors; take a fresh copy"
        )
    for key in expected:
        if held[key].dtype != torch.float32:
            raise BankError(
                f"{path} is broken: {key} is stored as {held[key].dtype}, but a bank holds "
                "torch.float32 only"
            )
    if set(parts) != set(manifest.bases):
        raise BankError(
            f"{path} is broken: its manifest lists {len(manifest.bases)} bases of weights "
            f"but it holds {len(parts)}; take a fresh copy"
        )
    return manifest, [held[key] for key in expected], parts


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "the manifest"
    return f"{where}: {first['msg']}"
