"""The tables of a report as plain rows of text, apart from how a page shows them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from analysis.edits.calibration import CalibrationCurve
from analysis.edits.effects import Effects
from analysis.edits.identity import Identity

__all__ = [
    "Cell",
    "Row",
    "Table",
    "cosine_table",
    "effect_table",
    "flattened",
    "hundredths",
    "number",
    "summary_table",
]

STRONG = 0.62
LONGEST_LIST = 12


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        value: What it says.
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
    """Column names and rows; `space` where a table belongs to one latent space."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    space: str = ""


def number(value: float, *, sign: bool = False) -> str:
    """A figure for people: three significant digits, a real minus, an en dash for none.

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


def effect_table(
    effects: Effects,
    anchors: Mapping[str, str],
    *,
    counts: Bool[Tensor, "k a"],
    units: bool = False,
) -> Table:
    """The effect matrix with intervals.

    Args:
        effects: What was measured.
        anchors: Where the name of each direction leads.
        counts: Which effects are evidence; the others are printed pale.
        units: Give figures in the attributes' units instead of standard deviations.
    """
    scale = torch.ones_like(effects.std) if units else effects.std
    mean, low, high = (
        m / torch.where(effects.std > 0, scale, torch.nan)
        for m in (effects.mean, effects.low, effects.high)
    )
    tint = effects.standardized.nan_to_num()
    limit = max(float(tint.abs().max()), 0.1)
    rows = []
    for k, name in enumerate(effects.directions):
        cells = []
        for a, attribute in enumerate(effects.names):
            own = effects.targets.get(name) == attribute
            depth = float(tint[k, a]) / limit
            if effects.std[a] == 0:
                cells.append(Cell("constant", classes="faint" + " own" * own))
                continue
            show = number if units else hundredths
            ends = f"{show(float(low[k, a]))} … {show(float(high[k, a]))}"
            classes = (
                ("up" if depth > 0 else "down", True),
                ("strong", abs(depth) > STRONG),
                ("faint", not counts[k, a]),
                ("own", own),
            )
            cells.append(
                Cell(
                    show(float(mean[k, a]), sign=True),
                    ends,
                    " ".join(c for c, holds in classes if holds),
                    round(100 * abs(depth)),
                )
            )
        rows.append(Row(name, anchors[name], tuple(cells)))
    columns = effects.names
    if units:
        columns = tuple(f"{a.name} ({_unit(a.kind, a.unit)})" for a in effects.attributes)
    return Table(columns, tuple(rows))


def _unit(kind: str, unit: str) -> str:
    return "probability" if kind == "probability" else unit or "its own unit"


def cosine_table(
    cosines: Float[Tensor, "k k"],
    names: Sequence[str],
    anchors: Mapping[str, str],
    *,
    space: str,
) -> Table:
    """Cosines between directions of one space."""
    rows = []
    for name, line in zip(names, cosines.tolist(), strict=True):
        cells = [
            Cell(
                hundredths(value),
                classes=("up" if value > 0 else "down") + " strong" * (abs(value) > STRONG),
                heat=round(100 * min(abs(value), 1)),
            )
            for value in line
        ]
        rows.append(Row(name, anchors[name], tuple(cells)))
    return Table(tuple(names), tuple(rows), space)


def summary_table(
    effects: Effects,
    anchors: Mapping[str, str],
    *,
    calibrations: Sequence[CalibrationCurve] = (),
    identity: Identity | None = None,
) -> Table:
    """One line a direction: what it moves, how surely, what else, and over what range.

    Standard deviations are those of `effects.logit`, for comparison across attributes.
    """
    ranges = {c.direction: c for c in calibrations}
    columns = ["direction", "moves", "per sigma", "in sd", f"rises at {effects.step:+g} σ"]
    columns += ["largest side effect"]
    columns += ["linear (sigma)"] * bool(ranges) + ["identity at +1 sd"] * bool(identity)
    rows = []
    for name in effects.directions:
        target = effects.targets.get(name)
        cells = [*_own(effects, name, target), _side(effects, name, target)]
        if ranges:
            curve = ranges.get(name)
            cells.append(_range(curve))
        if identity is not None:
            cells.append(_kept(identity, name))
        rows.append(Row(name, anchors[name], tuple(cells)))
    return Table(tuple(columns), tuple(rows))


def _own(effects: Effects, name: str, target: str | None) -> list[Cell]:
    if target is None:
        return [Cell("no attribute of its own", word=True), *[Cell("–")] * 3]
    cell = effects.at(name, target)
    attribute = effects.attributes[effects.names.index(target)]
    return [
        Cell(target, _unit(attribute.kind, attribute.unit), word=True),
        Cell(number(cell.mean, sign=True), f"{number(cell.low)} … {number(cell.high)}"),
        Cell(hundredths(effects.logit.at(name, target).standardized, sign=True)),
        Cell(f"{100 * cell.rises:.3g}%"),
    ]


def _side(effects: Effects, name: str, target: str | None) -> Cell:
    sizes = effects.logit.standardized[effects.directions.index(name)]
    others = {
        a: float(size)
        for a, size in zip(effects.names, sizes, strict=True)
        if a != target and math.isfinite(float(size))
    }
    if not others:
        return Cell("–", word=True)
    most = max(others, key=lambda a: abs(others[a]))
    return Cell(f"{most} {hundredths(others[most], sign=True)}", word=True)


def _range(curve: CalibrationCurve | None) -> Cell:
    if curve is None or not curve.significant:
        return Cell("–")
    low, high = curve.linear
    return Cell(f"{hundredths(low, sign=True)} … {hundredths(high, sign=True)}")


def _kept(identity: Identity, name: str) -> Cell:
    reached = (identity.changes == 1).nonzero()
    if name not in identity.directions or not len(reached):
        return Cell("–")
    k, x = identity.directions.index(name), int(reached[0])
    low, high = float(identity.low[k, x]), float(identity.high[k, x])
    if math.isnan(low):
        return Cell("–", "out of reach")
    return Cell(f"{float(identity.cosine[k, x]):.2f}", f"{low:.2f} … {high:.2f}")


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
