"""Output of the command: tables for people, or one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from directions import LatdirError
from directions.storage.atomic import atomic

__all__ = ["Json", "figure_format", "say", "table", "write_figure", "write_text"]

FIGURES = ("png", "pdf", "svg")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = ""
) -> Table:
    """A table whose numbers are right-aligned and whose first column names the row."""
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
    kind = path.suffix.lstrip(".").lower()
    if kind not in FIGURES:
        raise LatdirError(f"figures are written as {', '.join(FIGURES)}, not {path.name!r}")
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
