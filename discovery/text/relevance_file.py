"""The file that an interrupted measurement of relevance goes on from.

One safetensors file: the table `means`, and one metadata key `manifest`, JSON with the format,
the settings of the run and `done`, how far it has come. It is written beside and renamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from directions.errors import SamplesError
from directions.storage.atomic import atomic

__all__ = ["read_partial", "write_partial"]

FORMAT = "latdir.relevance"
VERSION = 1


def write_partial(
    path: str | Path, settings: Mapping[str, Any], means: Float[Tensor, "c e"], *, done: int
) -> None:
    """Write the table and how far it has come, whole or not at all.

    Args:
        path: The file.
        settings: What the run is measured with.
        means: The table.
        done: How much of the run is in it.

    Raises:
        LatdirError: The file cannot be written.
    """
    header = {"format": FORMAT, "version": VERSION, "settings": dict(settings), "done": done}
    encoded = json.dumps(header, sort_keys=True, allow_nan=False)
    content = save({"means": means.float().contiguous()}, metadata={"manifest": encoded})
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def read_partial(
    path: str | Path | None, settings: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[Float[Tensor, "c e"], int]:
    """What a run has done so far: its table, and how far it came; zeros where there is no file.

    Args:
        path: The file, if one is kept.
        settings: What this run is measured with.
        shape: Shape of its table.

    Raises:
        LatdirError: The file is broken, or of another run.

    Example:
        >>> read_partial(None, {}, (2, 3))[1]
        0
    """
    if path is None or not Path(path).exists():
        return torch.zeros(shape), 0
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = json.loads((file.metadata() or {})["manifest"])
            # The reader's tensors are views of the mapped file; a copy outlives its replacement.
            means = file.get_tensor("means").clone()
        if header["format"] != FORMAT or header["version"] != VERSION:
            raise ValueError(f"{header['format']} version {header['version']}")
        theirs, done = dict(header["settings"]), int(header["done"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SamplesError(
            f"{path} is not a readable file of relevances ({error}): delete it, or name another"
        ) from error
    for key, ours in settings.items():
        if theirs.get(key) != ours:
            raise SamplesError(
                f"{path} was measured with {key} {_short(theirs.get(key))}, not {_short(ours)}: "
                "name another file, or delete this one to measure again"
            )
    if tuple(means.shape) != shape or done < 0 or not torch.isfinite(means).all():
        raise SamplesError(f"{path} is broken: its table is {list(means.shape)}; delete it")
    return means, done


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 40 else f"{text[:12]}…"
