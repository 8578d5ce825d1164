"""Tables: of a bank, as text and HTML; of any columns, as a data frame and HTML for a notebook."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from directions.direction import Direction

__all__ = ["columns_of", "evidence_of", "frame", "html", "html_table", "text"]

COLUMNS = ("direction", "space", "method", "sigma", "one sigma changes", "evidence")
FIGURES = 3
FIRST = ("cone_degrees",)  # figures of the evidence that every table of a bank shows
MOST_ROWS = 60


def text(directions: Sequence[Direction], *, owner: str) -> str:
    """Directions as lines of aligned columns, under a heading.

    Args:
        directions: One a line.
        owner: Their owner, for the heading.

    Example:
        >>> import torch
        >>> from directions import Direction
        >>> up = Direction("up", torch.tensor([0.0, 1.0]), "z", evidence={"auc": 0.93})
        >>> print(text([up], owner="toy (000000000000…)"))
        1 direction of toy (000000000000…)
        direction  space  method  sigma  one sigma changes  evidence
        up         z      given   1      not calibrated     auc 0.93
    """
    rows = [COLUMNS, *(_row(d) for d in directions)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([_heading(directions, owner), *(line.rstrip() for line in lines)])


def html(directions: Sequence[Direction], *, owner: str) -> str:
    """The same as an HTML table."""
    return html_table(_heading(directions, owner), COLUMNS, map(_row, directions))


def html_table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """An HTML table under a heading, for a notebook; it takes its colors from the page.

    Args:
        heading: One line of text.
        columns: Names of the columns.
        rows: Their cells: text, numbers, or None for none. Of many rows the first are shown.

    Example:
        >>> "<td style" in html_table("1 direction", ["direction", "sigma"], [("<up>", 1.0)])
        True
    """
    cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"

    def line(tag: str, row: Sequence[Any]) -> str:
        cells = (f"<{tag} style='{cell}'>{escape(_text(c))}</{tag}>" for c in row)
        return f"<tr>{''.join(cells)}</tr>"

    rows = list(rows)
    body = "".join(line("td", row) for row in rows[:MOST_ROWS])
    more = f"<p>… {len(rows)} rows in all: to_frame()</p>" if len(rows) > MOST_ROWS else ""
    return (
        f"<div><p>{escape(heading)}</p><table style='border-collapse:collapse'>"
        f"<thead>{line('th', columns)}</thead><tbody>{body}</tbody></table>{more}</div>"
    )


def frame(columns: Mapping[str, Sequence[Any]]) -> Any:
    """Columns of equal length as a pandas data frame, or an Arrow table without pandas.

    Args:
        columns: Name to values; None where there is no value.

    Example:
        >>> frame({"direction": ["smiling", "yaw"], "sigma": [1.0, None]}).shape
        (2, 2)
    """
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError:
        return importlib.import_module("pyarrow").table({n: list(v) for n, v in columns.items()})
    return pandas.DataFrame(dict(columns))


def columns_of(directions: Sequence[Direction]) -> dict[str, list[Any]]:
    """Directions by column: what they are, their calibration, every number of their evidence.

    Args:
        directions: One a row.

    Example:
        >>> import torch
        >>> from directions import Direction
        >>> up = Direction("up", torch.tensor([0.0, 1.0]), "z", evidence={"auc": 0.93})
        >>> columns_of([up])["auc"]
        [0.93]
    """
    scales = [d.calibration for d in directions]
    found: dict[str, list[Any]] = {
        "direction": [d.name for d in directions],
        "space": [d.space for d in directions],
        "layers": [None if d.layers is None else _ranges(d.layers) for d in directions],
        "method": [d.method for d in directions],
        "sigma": [d.sigma for d in directions],
        "attribute": [s and s.attribute for s in scales],
        "per_sigma": [s and s.per_sigma for s in scales],
        "unit": [s and s.unit for s in scales],
    }
    figures = [_numbers(d) for d in directions]
    names = dict.fromkeys(name for row in figures for name in row if name not in found)
    return found | {name: [row.get(name) for row in figures] for name in names}


def evidence_of(direction: Direction) -> str:
    """The first figures of a direction's evidence, and what it was conditioned on, on one line.

    Example:
        >>> import torch
        >>> evidence_of(Direction("up", torch.tensor([0.0, 1.0]), "z", evidence={"auc": 0.93}))
        'auc 0.93'
    """
    numbers = _numbers(direction)
    order = [*(n for n in FIRST if n in numbers), *(n for n in numbers if n not in FIRST)]
    figures = [f"{name} {numbers[name]:.{FIGURES}g}" for name in order]
    conditioned = direction.evidence.get("conditioned")
    if isinstance(conditioned, Mapping):
        figures.insert(0, "given " + ", ".join(map(str, conditioned.get("on", ()))))
    return ", ".join(figures[:FIGURES])


def _heading(directions: Sequence[Direction], owner: str) -> str:
    return f"{len(directions)} direction{'' if len(directions) == 1 else 's'} of {owner}"


def _row(direction: Direction) -> tuple[str, ...]:
    scale = direction.calibration
    answer = (
        f"{scale.attribute} {scale.per_sigma:+.{FIGURES}g} {scale.unit}".rstrip()
        if scale
        else "not calibrated"
    )
    space = direction.space
    if direction.layers is not None:
        space += f" layers {_ranges(direction.layers)}"
    return (
        direction.name,
        space,
        direction.method,
        f"{direction.sigma:.{FIGURES}g}",
        answer,
        evidence_of(direction),
    )


def _numbers(direction: Direction) -> dict[str, float]:
    """The finite numbers among a direction's evidence."""
    return {
        name: value
        for name, value in direction.evidence.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _text(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.{FIGURES}g}" if abs(cell) < 1000 else f"{cell:.0f}"
    return "–" if cell is None else str(cell)


def _ranges(layers: tuple[int, ...]) -> str:
    """Layer numbers with runs joined: (0, 1, 2, 5) as '0–2, 5'."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs)
