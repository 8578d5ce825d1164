"""The container of every file of tensors: safetensors with one metadata key, `manifest`.

The manifest is JSON with `format`, `version` and whatever the format adds. Equal contents give
equal bytes, a file is written atomically, and reading one executes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from directions.errors import BankError, LatdirError
from directions.storage.atomic import atomic

__all__ = ["FileFormat", "plain", "read_tensors", "read_weights", "write_tensors"]

MAX_MANIFEST = 64 * 1024 * 1024
MAX_DEPTH = 32
READERS = {
    "latdir.bank": "DirectionBank.load",
    "latdir.path": "load_path",
    "latdir.deltas": "Deltas.load",
    "latdir.encoder": "load_encoder",
    "latdir.hypernetwork": "load_hypernetwork",
    "latdir.details": "load_details",
    "latdir.conditional": "load_conditional_encoder",
    "latdir.inversion": "load_inversion",
}


@dataclass(frozen=True)
class FileFormat:
    """One kind of file.

    Attributes:
        name: The manifest's `format`, such as `latdir.bank`.
        noun: What messages call it, such as `bank`.
        error: Exception for a file of another kind.
        hint: Advice for a file that cannot be read.
        version: The manifest's `version`.
    """

    name: str
    noun: str
    error: type[LatdirError]
    hint: str = "if it was copied, copy it again"
    version: int = 1


def write_tensors(
    path: str | PathLike[str],
    tensors: Mapping[str, Tensor],
    manifest: Mapping[str, Any],
    *,
    format: FileFormat,
) -> None:
    """Write tensors and their manifest, atomically.

    Args:
        path: The file; its folder must exist.
        tensors: Stored in their own dtype.
        manifest: JSON values; `format` and `version` are added.
        format: What kind of file it is.

    Raises:
        LatdirError: A manifest beyond 64 MiB or that JSON cannot hold, a folder that cannot be
            written, or a full disk.

    Example:
        >>> import tempfile, torch
        >>> note = FileFormat("latdir.note", "note", LatdirError)
        >>> file = Path(tempfile.mkdtemp()) / "note"
        >>> write_tensors(file, {"a": torch.ones(2)}, {"by": "hand"}, format=note)
        >>> read_tensors(file, note)
        ({'by': 'hand'}, {'a': tensor([1., 1.])})
    """
    header = {**plain(manifest), "format": format.name, "version": format.version}
    encoded = json.dumps(header, sort_keys=True, ensure_ascii=False, allow_nan=False)
    if len(encoded) > MAX_MANIFEST:
        raise format.error(
            f"this {format.noun}'s settings and evidence take {len(encoded)} bytes, over "
            f"{MAX_MANIFEST}: keep large tables in a file of their own"
        )
    # Cloned, because safetensors refuses tensors that share memory.
    stored = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    content = save(stored, metadata={"manifest": encoded})
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def read_tensors(
    path: str | PathLike[str], format: FileFormat
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `write_tensors` wrote; the file's size bounds the memory used.

    Returns:
        The manifest without `format` and `version`, and the tensors by name.

    Raises:
        LatdirError: Of the format's class: the file is missing, truncated, of another format or
            of a newer version, or its manifest is not what JSON can hold.
    """
    if not Path(path).is_file():
        raise format.error(f"there is no {format.noun} file {path}: check the path")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            encoded = (file.metadata() or {}).get("manifest")
            # The reader's tensors are views of the mapped file; a copy outlives its replacement.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise format.error(
            f"{path} is not a readable {format.noun} file ({error}); {format.hint}"
        ) from error
    if encoded is None:
        raise format.error(
            f"{path} is a safetensors file without a {format.noun} manifest; {format.hint}"
        )
    if len(encoded) > MAX_MANIFEST:
        raise format.error(f"{path} has a manifest of {len(encoded)} bytes, over {MAX_MANIFEST}")
    return _manifest(path, encoded, format), tensors


def read_weights(
    path: str | PathLike[str], format: FileFormat
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """As `read_tensors`, of a network: every tensor is of finite floating-point numbers.

    Raises:
        LatdirError: As `read_tensors`; numbers that are not finite.
    """
    manifest, tensors = read_tensors(path, format)
    for key, tensor in tensors.items():
        if not (tensor.is_floating_point() and torch.isfinite(tensor).all()):
            raise format.error(f"{path} has numbers in {key[:80]!r} that are not finite")
    return manifest, tensors


def _manifest(path: str | PathLike[str], encoded: str, format: FileFormat) -> dict[str, Any]:
    try:
        manifest = json.loads(encoded)
        name, version = manifest.pop("format", None), manifest.pop("version", None)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise format.error(f"{path} has a manifest that is not a JSON object: {error}") from error
    if name != format.name:
        reader = f"; {READERS[name]} reads it" if name in READERS else ""
        raise format.error(f"{path} is a file of format {name!r}, not {format.name!r}{reader}")
    if type(version) is int and version > format.version:
        raise format.error(
            f"{path} is a {format.noun} of format version {version}; this release reads "
            f"{format.version}: pip install --upgrade latdir"
        )
    if type(version) is not int or version != format.version:
        raise format.error(f"{path} has a broken manifest: its version is {version!r}")
    try:
        checked: dict[str, Any] = plain(manifest)
    except LatdirError as error:
        raise format.error(f"{path} has a broken manifest: {error}") from error
    return checked


def plain(value: Any, where: str = "", depth: int = 0) -> Any:
    """A value as JSON, or an error with the location of what JSON cannot hold.

    Args:
        value: Nested mappings, sequences, strings, numbers, booleans and None; NumPy scalars
            become Python's.
        where: Path of the value, for the message.
        depth: Its nesting depth.

    Raises:
        LatdirError: NaN or infinity, another type, keys that are not strings, or nesting
            beyond 32 levels.

    Example:
        >>> plain({"accuracy": np.float32(0.5), "rows": (1, 2)})
        {'accuracy': 0.5, 'rows': [1, 2]}
        >>> plain({"evidence": {"auc": float("nan")}})
        Traceback (most recent call last):
        ...
        directions.errors.BankError: evidence.auc is nan, which JSON cannot hold:
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
                f"{where} is {value}, which JSON cannot hold: leave it out, or store None"
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
                f"{where} has the key {wrong[0]!r}, but JSON keys are text: use {str(wrong[0])!r}"
            )
        return {
            plain(k, f"a key of {where}"): plain(v, f"{where}.{k}" if where else k, depth + 1)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    hint = "; use .tolist()" if hasattr(value, "tolist") else ""
    raise BankError(
        f"{where} is a {type(value).__name__}, which JSON cannot hold: "
        f"give numbers, text, lists or dicts{hint}"
    )
