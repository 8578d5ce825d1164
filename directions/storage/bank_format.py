"""The bank file's header, and the only place that knows the byte format.

A bank is one safetensors file. Its tensors are `vector.0`, `vector.1`, … in the order of the
bank, float32, contiguous. Its metadata holds a single key, `manifest`, whose value is the JSON
of `Manifest`. `docs/bank-format.md` is the specification; a golden file pins it in the tests.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from directions.errors import BankError, LatdirError
from directions.storage.atomic import atomic

__all__ = ["CalibrationEntry", "DirectionEntry", "Manifest", "plain", "read", "write"]

VERSION = 1
MAX_MANIFEST = 64 * 1024 * 1024
MAX_DEPTH = 32


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
    layers: tuple[NonNegativeInt, ...] | None = None
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


def write(path: str | Path, header: Mapping[str, Any], vectors: list[Tensor]) -> None:
    """Write a bank file, whole or not at all; equal banks give equal bytes.

    Args:
        path: The file; its folder must exist.
        header: The fields of `Manifest` other than `format` and `version`, as plain values.
        vectors: One tensor for each of its directions.

    Raises:
        LatdirError: A value that JSON cannot hold, the folder cannot be written, or the disk is
            full.
    """
    try:
        manifest = Manifest.model_validate_json(json.dumps(plain(header)))
    except ValidationError as error:
        raise BankError(f"this bank cannot be saved: {_first(error)}") from error
    encoded = json.dumps(
        manifest.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, allow_nan=False
    )
    if len(encoded) > MAX_MANIFEST:
        raise BankError(
            f"this bank's evidence and provenance take {len(encoded)} bytes, over {MAX_MANIFEST}: "
            "keep large tables in a file of their own"
        )
    tensors = {
        f"vector.{i}": v.detach().to("cpu", torch.float32).contiguous().clone()
        for i, v in enumerate(vectors)
    }
    content = save(tensors, metadata={"manifest": encoded})
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def read(path: str | Path) -> tuple[Manifest, list[Tensor]]:
    """Read a bank file; nothing inside it is executed and its size bounds the memory used.

    Raises:
        LatdirError: The file is missing, truncated, not a bank, of a newer version, or its
            vectors do not match its manifest.
    """
    if not Path(path).is_file():
        raise BankError(f"there is no bank file {path}: check the path")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            manifest = _parsed(path, (file.metadata() or {}).get("manifest"))
            expected = [f"vector.{i}" for i in range(len(manifest.directions))]
            held = list(file.keys())
            if sorted(held) != sorted(expected):
                raise BankError(
                    f"{path} is broken: its manifest lists {len(expected)} directions "
                    f"but it holds {len(held)} tensors; take a fresh copy"
                )
            for key in expected:
                dtype = file.get_slice(key).get_dtype()
                if dtype != "F32":
                    raise BankError(
                        f"{path} is broken: {key} is stored as {dtype}, but a bank holds F32 only"
                    )
            # The reader's tensors are views of the mapped file; a copy outlives its replacement.
            return manifest, [file.get_tensor(key).clone() for key in expected]
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, LatdirError):
            raise
        raise BankError(
            f"{path} is not a readable bank file ({error}); if it was copied, copy it again; "
            "other tools' files are imported with `latdir bank convert`"
        ) from error


def plain(value: Any, where: str = "", depth: int = 0) -> Any:
    """A value as JSON holds it, or a refusal that says where it cannot.

    Args:
        value: Nested mappings, sequences, strings, numbers, booleans and None; NumPy scalars
            become Python's.
        where: Path of the value, for the message.
        depth: How deep it lies.

    Raises:
        LatdirError: NaN or infinity, another type, keys that are not strings, or nesting
            beyond 32 levels.

    Example:
        >>> plain({"accuracy": np.float32(0.5), "rows": (1, 2)})
        {'accuracy': 0.5, 'rows': [1, 2]}
        >>> plain({"evidence": {"auc": float("nan")}})
        Traceback (most recent call last):
        ...
        directions.errors.BankError: evidence.auc is nan, which a bank file cannot hold:
        leave it out, or store None
    """
    if depth > MAX_DEPTH:
        raise BankError(f"{where[:80]}… is nested over {MAX_DEPTH} levels deep: flatten it")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BankError(
                f"{where} is {value}, which a bank file cannot hold: leave it out, or store None"
            )
        return value
    if isinstance(value, str):
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise BankError(f"{where} is text that is not valid Unicode: {value!r}")
        return value
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise BankError(
                f"{where} has the key {wrong[0]!r}, but a bank file's keys are text: "
                f"use {str(wrong[0])!r}"
            )
        return {
            plain(k, f"a key of {where}"): plain(v, f"{where}.{k}" if where else k, depth + 1)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    hint = "; use .tolist()" if hasattr(value, "tolist") else ""
    raise BankError(
        f"{where} is a {type(value).__name__}, which a bank file cannot hold: "
        f"give numbers, text, lists or dicts{hint}"
    )


def _parsed(path: str | Path, header: str | None) -> Manifest:
    if header is None:
        raise BankError(
            f"{path} is a safetensors file without a bank manifest; "
            "other tools' files are imported with `latdir bank convert`"
        )
    if len(header) > MAX_MANIFEST:
        raise BankError(f"{path} has a manifest of {len(header)} bytes, over {MAX_MANIFEST}")
    try:
        content = json.loads(header)
        version = content.get("version")
    except (ValueError, AttributeError, RecursionError) as error:
        raise BankError(f"{path} has a manifest that is not a JSON object: {error}") from error
    if isinstance(version, int) and version > VERSION:
        raise BankError(
            f"{path} is a bank of format version {version}; this release reads {VERSION}: "
            "pip install --upgrade latdir"
        )
    try:
        plain(content)
        return Manifest.model_validate_json(header)
    except ValidationError as error:
        raise BankError(f"{path} has a broken manifest: {_first(error)}") from error
    except LatdirError as error:
        raise BankError(f"{path} has a broken manifest: {error}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "the manifest"
    return f"{where}: {first['msg']}"
