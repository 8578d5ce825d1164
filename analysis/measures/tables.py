"""Tables and figures of a report as plain rows of text, apart from how a page shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Cell", "Row", "Table", "flattened", "hundredths", "interval", "number"]

LONGEST_LIST = 12


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        value: Its text.
        under: A second, smaller line.
        classes: CSS classes: `up`, `down`, `strong`, `faint`, `own`.
        heat: How deep its color is, in percent.
        word: Whether it reads as a word rather than a figure.
    """

    value: str
    under: str = ""
    classes: str = ""
    heat: int = 0
    word: bool = False


@dataclass(frozen=True)
class Row:
    """One row: its name, where the name leads, and its cells."""

    name: str
    anchor: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: Names of the columns.
        rows: The rows.
        caption: Description of the cells.
        fold: Heading under which the table is folded away; shown at once without one.
        text: A paragraph before a folded table.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    fold: str = ""
    text: str = ""


def number(value: float, *, sign: bool = False) -> str:
    """A number for display: three significant digits, a true minus sign, an en dash for None.

    Example:
        >>> number(-0.012345), number(1234.5), number(0.5, sign=True), number(float("nan"))
        ('−0.0123', '1,234', '+0.5', '–')
    """
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        text = f"{value:,.0f}"
    else:
        digits = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:.{min(digits, 9)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return ("+" if sign and value > 0 else "") + text.replace("-", "−")


def hundredths(value: float, *, sign: bool = False) -> str:
    """A figure with two decimals, so that those of a column align.

    Example:
        >>> hundredths(-0.5), hundredths(0.126, sign=True)
        ('−0.50', '+0.13')
    """
    if not math.isfinite(value):
        return "–"
    text = f"{value:+.2f}" if sign else f"{value:.2f}"
    return text.replace("-", "−")


def interval(low: float, high: float, show: Callable[[float], str] = number) -> str:
    """The ends of an interval as text.

    Example:
        >>> interval(-0.5, 0.25)
        '−0.5 … 0.25'
    """
    return f"{show(low)} … {show(high)}"


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings and figures as pairs of a dotted name and a text.

    Example:
        >>> list(flattened({"auc": 0.93456, "bootstrap": {"draws": 200, "seeds": [1, 2]}}))
        [('auc', '0.935'), ('bootstrap.draws', '200'), ('bootstrap.seeds', '1, 2')]
    """
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flattened(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            shown = ", ".join(_plain(v) for v in value[:LONGEST_LIST])
            more = f", … ({len(value)} in all)" if len(value) > LONGEST_LIST else ""
            yield name, shown + more
        else:
            yield name, _plain(value)


def _plain(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
