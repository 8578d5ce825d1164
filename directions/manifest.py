"""The bank file's header, and the only place that knows the byte format.

A bank is one safetensors file. Its tensors are `vector.0`, `vector.1`, … in the order of the
bank, float32, contiguous. Its metadata holds a single key, `manifest`, whose value is the JSON
of `Manifest`. `docs/bank-format.md` is the specification; a golden file pins it in the tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from directions.errors import LatdirError
from directions.files import atomic

__all__ = ["CalibrationEntry", "DirectionEntry", "Manifest", "read", "write"]

VERSION = 1
MAX_HEADER = 64 * 1024 * 1024


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalibrationEntry(_Entry):
    """A direction's calibration, as stored."""

    attribute: str
    unit: str
    per_sigma: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class DirectionEntry(_Entry):
    """One direction without its vector, as stored."""

    name: str = Field(min_length=1)
    space: str = Field(min_length=1)
    method: str
    config: dict[str, Any] = {}
    layers: tuple[int, ...] | None = None
    offset: FiniteFloat | None = None
    sigma: FiniteFloat = Field(gt=0)
    calibration: CalibrationEntry | None = None
    evidence: dict[str, Any] = {}


class Manifest(_Entry):
    """The header of a bank file."""

    format: Literal["latdir.bank"] = "latdir.bank"
    version: Literal[1] = 1
    generator: str
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    directions: tuple[DirectionEntry, ...]
    provenance: dict[str, Any] = {}


def write(path: str | Path, manifest: Manifest, vectors: list[Tensor]) -> None:
    """Write a bank file, whole or not at all; equal banks give equal bytes.

    Raises:
        LatdirError: The folder cannot be written, or the disk is full.
    """
    header = json.dumps(
        manifest.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, allow_nan=False
    )
    tensors = {
        f"vector.{i}": v.detach().to("cpu", torch.float32).contiguous().clone()
        for i, v in enumerate(vectors)
    }
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"manifest": header})


def read(path: str | Path) -> tuple[Manifest, list[Tensor]]:
    """Read a bank file; nothing inside it is executed and its size bounds the memory used.

    Raises:
        LatdirError: The file is missing, truncated, not a bank, of a newer version, or its
            vectors do not match its manifest.
    """
    if not Path(path).is_file():
        raise LatdirError(f"there is no bank file {path}: check the path")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = (file.metadata() or {}).get("manifest")
            manifest = _parsed(path, header)
            expected = [f"vector.{i}" for i in range(len(manifest.directions))]
            if sorted(file.keys()) != sorted(expected):
                raise LatdirError(
                    f"{path} is broken: its manifest lists {len(expected)} directions "
                    f"but it holds {len(list(file.keys()))} tensors; take a fresh copy"
                )
            return manifest, [file.get_tensor(key) for key in expected]
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, LatdirError):
            raise
        raise LatdirError(
            f"{path} is not a readable bank file ({error}); if it was copied, copy it again; "
            "other tools' files are imported with `latdir bank convert`"
        ) from error


def _parsed(path: str | Path, header: str | None) -> Manifest:
    if header is None:
        raise LatdirError(
            f"{path} is a safetensors file without a bank manifest; "
            "other tools' files are imported with `latdir bank convert`"
        )
    if len(header) > MAX_HEADER:
        raise LatdirError(f"{path} has a manifest of {len(header)} bytes, over {MAX_HEADER}")
    try:
        version = json.loads(header).get("version")
        if isinstance(version, int) and version > VERSION:
            raise LatdirError(
                f"{path} is a bank of format version {version}; this release reads {VERSION}: "
                "pip install --upgrade latdir"
            )
        return Manifest.model_validate_json(header)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the manifest"
        raise LatdirError(f"{path} has a broken manifest: {where}: {first['msg']}") from error
    except (json.JSONDecodeError, AttributeError, RecursionError) as error:
        raise LatdirError(f"{path} has a manifest that is not a JSON object: {error}") from error
