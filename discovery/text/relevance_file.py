"""The resumable file of a channel relevance measurement.

It holds the table `means` and a manifest of the settings of the run and `done`, how far it has
come.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import SamplesError
from directions.storage.container import FileFormat, read_tensors, write_tensors

__all__ = ["read_partial", "write_partial"]

FORMAT = FileFormat(
    "latdir.relevance", "relevance", SamplesError, hint="delete it, or name another"
)


def write_partial(
    path: str | Path, settings: Mapping[str, Any], means: Float[Tensor, "c e"], *, done: int
) -> None:
    """Write the table and its progress, atomically.

    Args:
        path: The file.
        settings: Settings of the run.
        means: The table.
        done: Number of finished rows.

    Raises:
        LatdirError: The file cannot be written.
    """
    manifest = {"settings": dict(settings), "done": done}
    write_tensors(path, {"means": means.float()}, manifest, format=FORMAT)


def read_partial(
    path: str | Path | None, settings: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[Float[Tensor, "c e"], int]:
    """Table and progress of a run so far; zeros where there is no file.

    Args:
        path: The file, if one is kept.
        settings: Settings of this run.
        shape: Shape of its table.

    Raises:
        LatdirError: The file is broken, or of another run.

    Example:
        >>> read_partial(None, {}, (2, 3))[1]
        0
    """
    if path is None or not Path(path).exists():
        return torch.zeros(shape), 0
    manifest, tensors = read_tensors(path, FORMAT)
    theirs, done, means = manifest.get("settings"), manifest.get("done"), tensors.get("means")
    if not isinstance(theirs, dict) or not isinstance(done, int) or means is None:
        raise SamplesError(f"{path} is not a readable relevance file; {FORMAT.hint}")
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
