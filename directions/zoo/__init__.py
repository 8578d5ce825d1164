"""Models that ship with the package: weights as safetensors, one card and license each.

`manifest.json` lists every weight file with its sha256 and where it is from: the member of a
package, which `tools/build_zoo.py` takes it from again, or the tool here that trained it.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as parse
from torch import Tensor

from directions.errors import CheckpointError, LatdirError, UnknownNameError

__all__ = ["AFFINE", "card", "file", "load", "names"]

AFFINE = ".affine"
DENORMAL = 1e-20


def names() -> tuple[str, ...]:
    """Names that `load` knows.

    Example:
        >>> names()[0]
        'digiface64'
    """
    return tuple(_manifest())


def load(name: str) -> dict[str, Tensor]:
    """Weights of a model, float32 on the CPU, after their sha256 has been verified.

    Half precision is widened. A uint8 tensor with a companion `<key>.affine` of
    `[scale, minimum]` in float64 is expanded to `value · scale + minimum`, computed in float64
    and rounded once, as TensorFlow.js does. Weights below 1e-20 are set to zero: their products
    are denormal numbers, which slow some processors several times over, and too small to move
    any output bit.

    Args:
        name: One of `names()`.

    Raises:
        LatdirError: No model of that name, or its file is missing or not the one that was built.

    Example:
        >>> load("digiface64")["deconv.0.weight"].shape
        torch.Size([100, 512, 4, 4])
    """
    stored = parse(_read(name))
    return {
        key: _widened(tensor, stored.get(key + AFFINE))
        for key, tensor in stored.items()
        if not key.endswith(AFFINE)
    }


def file(name: str) -> Path:
    """The file of a model, for readers of its format, after its sha256 has been verified.

    Raises:
        LatdirError: As `load`.

    Example:
        >>> file("digiface64").name
        'weights.safetensors'
    """
    _read(name)
    return Path(str(resources.files(__name__).joinpath(_entry(name)["file"])))


def card(name: str) -> str:
    """The model's card, in Markdown: source, figures and limitations.

    Example:
        >>> card("digiface64").splitlines()[0]
        '# digiface64'
    """
    folder = _entry(name)["file"].split("/")[0]
    return resources.files(__name__).joinpath(folder, "README.md").read_text("utf-8")


def _read(name: str) -> bytes:
    entry = _entry(name)
    try:
        data = resources.files(__name__).joinpath(entry["file"]).read_bytes()
    except OSError as error:
        raise _broken(name, entry, "is missing") from error
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise _broken(name, entry, "does not have the sha256 it was built with")
    return data


def _widened(tensor: Tensor, affine: Tensor | None) -> Tensor:
    if affine is not None:
        scale, minimum = affine.tolist()
        tensor = tensor.double() * scale + minimum
    wide = tensor.float()
    return torch.where(wide.abs() < DENORMAL, 0.0, wide)


def _entry(name: str) -> dict[str, Any]:
    entries = _manifest()
    if name not in entries:
        raise UnknownNameError(f"no built-in weights {name!r}: there are {', '.join(entries)}")
    entry: dict[str, Any] = entries[name]
    return entry


def _manifest() -> dict[str, Any]:
    text = resources.files(__name__).joinpath("manifest.json").read_text("utf-8")
    entries: dict[str, Any] = json.loads(text)
    return entries


def _broken(name: str, entry: dict[str, Any], what: str) -> LatdirError:
    return CheckpointError(
        f"directions/zoo/{entry['file']}, the weights of {name!r}, {what}: "
        "install the package again: pip install --force-reinstall latdir"
    )
