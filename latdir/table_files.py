"""Table files: CSV for spreadsheets, Parquet for data frames, JSON for programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from directions import LatdirError
from directions.storage.atomic import atomic

__all__ = ["TABLES", "table_format", "write_table"]

TABLES = ("csv", "parquet", "json")


def table_format(path: Path) -> str:
    """The format that a path's suffix asks for.

    Raises:
        LatdirError: A suffix that tables are not written as.

    Example:
        >>> table_format(Path("effects.csv"))
        'csv'
    """
    kind = path.suffix.lstrip(".").lower()
    if kind not in TABLES:
        raise LatdirError(f"tables are written as {', '.join(TABLES)}, not {path.name!r}")
    return kind


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Write columns of equal length in the format of the path's suffix, atomically.

    None is an empty cell, a null or null.

    Args:
        path: The file to write; its folder must exist.
        columns: Name to values.

    Returns:
        The path written.

    Raises:
        LatdirError: A suffix that tables are not written as, or a file that cannot be written.
    """
    kind = table_format(path)
    with atomic(path) as temporary:
        if kind == "parquet":
            parquet.write_table(pyarrow.table({k: list(v) for k, v in columns.items()}), temporary)
        elif kind == "json":
            rows = [dict(zip(columns, row, strict=True)) for row in _rows(columns)]
            temporary.write_text(json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=1))
        else:
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(_rows(columns))
    return path


def _rows(columns: Mapping[str, Sequence[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*columns.values(), strict=True))
