"""What users have, as tensors: arrays, lists and frames of codes and labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int
from pyarrow import csv
from pyarrow import parquet as pq
from torch import Tensor

from directions.errors import SamplesError, UnknownNameError

__all__ = [
    "columns_of",
    "numbers",
    "read_table",
    "stacked_codes",
    "whole_numbers",
]


def numbers(value: Any, what: str) -> Tensor:
    """A floating-point tensor of numbers in any array, nested list or frame.

    Raises:
        SamplesError: It holds something else, or rows of different lengths.

    Example:
        >>> numbers([True, False], "labels")
        tensor([1., 0.])
    """
    if isinstance(value, Tensor) and not value.is_complex():
        return value if value.is_floating_point() else value.float()
    try:
        if (found := np.asarray(value)).dtype.kind == "c":
            raise TypeError("complex ones")
        return torch.from_numpy(np.array(found, dtype=np.float32))
    except (TypeError, ValueError, RuntimeError) as error:
        raise SamplesError(
            f"{what} are numbers in an array or a list, not {type(value).__name__} ({error})"
        ) from None


def whole_numbers(value: Any, what: str) -> Int[Tensor, "n"]:
    """Whole numbers of 0 or more, in a row.

    Raises:
        SamplesError: There are others.

    Example:
        >>> whole_numbers([3.0, 1.0], "index")
        tensor([3, 1])
    """
    found = np.asarray(value)
    if found.ndim != 1 or found.dtype.kind not in "iuf" or (found != np.floor(found)).any():
        raise SamplesError(f"{what} holds whole numbers, one for each row, not {value!r:.60}")
    if (found < 0).any() or (found >= 2**63).any():
        wrong = found.min() if (found < 0).any() else found.max()
        raise SamplesError(f"{what} holds numbers from 0 to 2**63 - 1, not {wrong:g}")
    return torch.from_numpy(found.astype(np.int64))


def columns_of(frame: Any) -> dict[str, Any]:
    """Columns of a pandas, polars or Arrow table, or of a mapping of names to columns.

    Raises:
        SamplesError: Something else, or columns of different lengths.

    Example:
        >>> columns_of({"seed": [0, 0], "glasses": [1, 0]})["glasses"]
        array([1, 0])
    """
    if isinstance(frame, pa.Table):
        names = frame.column_names
        columns = {n: np.asarray(_listed(frame[n])) for n in names}
    elif isinstance(frame, Mapping) or hasattr(frame, "columns"):
        names = list(frame if isinstance(frame, Mapping) else frame.columns)
        columns = {str(n): _column(frame[n]) for n in names}
    else:
        raise SamplesError(
            f"a frame is a pandas or Arrow table, or a dict of columns, not {type(frame).__name__}"
        )
    flat = [name for name, column in columns.items() if not np.ndim(column)]
    if flat:
        raise SamplesError(
            f"column {flat[0]!r} is one value: give a list of them, one for each row"
        )
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise SamplesError(f"columns have equal lengths of at least one row, not {lengths}")
    return columns


def _column(values: Any) -> Any:
    found = np.asarray(values)
    # A column of arrays is an array of objects.
    return np.stack(list(found)) if found.dtype == object and _nested(found) else found


def _nested(found: Any) -> bool:
    return found.ndim == 1 and len(found) > 0 and np.ndim(found[0]) > 0


def _listed(column: Any) -> Any:
    return column.to_pylist() if pa.types.is_nested(column.type) else column.to_numpy()


def stacked_codes(columns: Mapping[str, Any]) -> tuple[Any | None, set[str]]:
    """Codes among the columns, and the names of their columns.

    They are one column `code` of arrays, or columns `code_0`, `code_1`, …; none is None.

    Raises:
        SamplesError: A coordinate is missing.

    Example:
        >>> codes, used = stacked_codes({"code_1": np.ones(2), "code_0": np.zeros(2)})
        >>> codes.tolist(), sorted(used)
        ([[0.0, 1.0], [0.0, 1.0]], ['code_0', 'code_1'])
    """
    if "code" in columns:
        return columns["code"], {"code"}
    numbered = [name for name in columns if name.startswith("code_") and name[5:].isdigit()]
    if not numbered:
        return None, set()
    ordered = [f"code_{i}" for i in range(len(numbered))]
    missing = [name for name in ordered if name not in columns]
    if missing:
        raise SamplesError(f"there are {len(numbered)} columns of codes, but no {missing[0]!r}")
    return np.stack([columns[name] for name in ordered], 1), set(ordered)


def read_table(path: Path) -> pa.Table:
    """A CSV or Parquet file as a table.

    Raises:
        SamplesError: It cannot be read.
        UnknownNameError: A file of another kind.
    """
    readers = {".csv": csv.read_csv, ".parquet": pq.read_table}
    if path.suffix.lower() not in readers:
        raise UnknownNameError(f"labels are read from .csv and .parquet files, not {path.name!r}")
    try:
        return readers[path.suffix.lower()](path)
    except (OSError, pa.ArrowException) as error:
        raise SamplesError(f"{path} cannot be read: {error}") from error
