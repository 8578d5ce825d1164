"""Output of the command: tables for people, or one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from directions.errors import LatdirError
from directions.storage.atomic import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

__all__ = [
    "FIGURES",
    "TABLES",
    "Json",
    "figure_format",
    "say",
    "table",
    "table_format",
    "write_figure",
    "write_table",
    "write_text",
]

FIGURES = ("png", "pdf", "svg")
TABLES = ("csv", "parquet", "json")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = ""
) -> Table:
    """A table whose numbers are right-aligned and whose first column names the row."""
    from rich.table import Table

    made = Table(title=title, title_justify="left", caption=note or None, caption_justify="left")
    body = [[_text(cell) for cell in row] for row in rows]
    for i, column in enumerate(columns):
        numeric = bool(body) and all(_is_number(row[i]) for row in body)
        made.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        made.add_row(*row)
    return made


def say(data: Mapping[str, Any], *shown: Table | str, as_json: bool) -> None:
    """Print `data` as JSON, or as tables for people."""
    if as_json:
        typer.echo(json.dumps(data, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for item in shown:
        console.print(item)


def write_text(path: Path, text: str) -> None:
    """Write a text file, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure in the format of the path's suffix, atomically.

    Raises:
        LatdirError: A suffix that figures are not written as.
    """
    kind = figure_format(path)
    with atomic(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=150)


def figure_format(path: Path) -> str:
    """The format that a path's suffix asks for.

    Raises:
        LatdirError: A suffix that figures are not written as.
    """
    return _format(path, FIGURES, "figures")


def table_format(path: Path) -> str:
    """The format that a path's suffix asks for.

    Raises:
        LatdirError: A suffix that tables are not written as.

    Example:
        >>> table_format(Path("effects.csv"))
        'csv'
    """
    return _format(path, TABLES, "tables")


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
    import pyarrow
    from pyarrow import csv, parquet

    kind = table_format(path)
    made = pyarrow.table({name: list(values) for name, values in columns.items()})
    with atomic(path) as temporary:
        if kind == "parquet":
            parquet.write_table(made, temporary)
        elif kind == "csv":
            csv.write_csv(made, temporary)
        else:
            text = json.dumps(made.to_pylist(), ensure_ascii=False, allow_nan=False, indent=1)
            temporary.write_text(text, encoding="utf-8")
    return path


def _format(path: Path, kinds: Sequence[str], things: str) -> str:
    kind = path.suffix.lstrip(".").lower()
    if kind not in kinds:
        raise LatdirError(f"{things} are written as {', '.join(kinds)}, not {path.name!r}")
    return kind


def _text(cell: object) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.3g}" if abs(cell) < 1000 else f"{cell:.0f}"
    return str(cell)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == "–"
    return True
