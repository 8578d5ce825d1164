"""Output of the command: tables for people, or one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from directions.errors import LatdirError
from directions.storage.atomic import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

__all__ = [
    "FIGURES",
    "TABLES",
    "Grid",
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
WIDEST = 24  # characters of a column of text before its cells are folded, where space is short

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@dataclass(frozen=True)
class Grid:
    """A table for people, in blocks below each other where it is wider than the terminal.

    Attributes:
        title: Its heading.
        columns: Names of the columns; the first names the rows and is repeated in every block.
        rows: Cells as text.
        note: A line below.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def blocks(self, width: int) -> list[Table]:
        """The table for a terminal of some width.

        Example:
            >>> grid = table("effects", ["direction", "smiling", "yaw"], [["smiling", 1.0, 0.5]])
            >>> len(grid.blocks(80)), len(grid.blocks(28))
            (1, 2)
        """
        cells = list(zip(*self.rows, strict=True)) or [()] * len(self.columns)
        numeric = [bool(column) and all(map(_is_number, column)) for column in cells]
        full = [max(map(len, (n, *c))) for n, c in zip(self.columns, cells, strict=True)]
        if sum(full) + 3 * len(full) < width:
            return [self._block(range(len(full)), full, numeric)]
        least = [
            max(*map(len, name.split()), most if number else min(most, WIDEST))
            for name, most, number in zip(
                self.columns, (max(map(len, c), default=1) for c in cells), numeric, strict=True
            )
        ]
        groups: list[list[int]] = [[0]]
        for i in range(1, len(least)):
            if 1 + sum(least[j] + 3 for j in (*groups[-1], i)) > width and len(groups[-1]) > 1:
                groups.append([0])
            groups[-1].append(i)
        made = []
        for group in groups:
            widths = {i: least[i] for i in group}
            spare = width - 1 - sum(w + 3 for w in widths.values())
            for i in group:
                widths[i] += max(min(spare, full[i] - widths[i]), 0)
                spare -= widths[i] - least[i]
            made.append(self._block(group, [widths.get(i, 0) for i in range(len(full))], numeric))
            made[-1].title = self.title if group is groups[0] else None
            made[-1].caption = (self.note or None) if group is groups[-1] else None
        return made

    def _block(self, group: Sequence[int], widths: Sequence[int], numeric: Sequence[bool]) -> Table:
        from rich.table import Table

        made = Table(
            title=self.title, title_justify="left", caption=self.note or None,
            caption_justify="left",
        )  # fmt: skip
        for i in group:
            justify: Literal["left", "right"] = "right" if numeric[i] else "left"
            made.add_column(self.columns[i], justify=justify, overflow="fold", width=widths[i])
        for row in self.rows:
            made.add_row(*(row[i] for i in group))
        return made


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = ""
) -> Grid:
    """A table whose numbers are right-aligned and whose first column names the row."""
    body = tuple(tuple(_text(cell) for cell in row) for row in rows)
    return Grid(title, tuple(columns), body, note)


def say(data: Mapping[str, Any], *shown: Grid | str, as_json: bool) -> None:
    """Print `data` as JSON, or as tables and lines for people; empty lines are left out."""
    if as_json:
        typer.echo(json.dumps(data, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for item in (item for item in shown if item):
        for part in [item] if isinstance(item, str) else item.blocks(console.width):
            console.print(part)


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
