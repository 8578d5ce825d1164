"""Response curves of the targets along their directions, and how far they are linear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis import plots
from analysis.edits.calibration import CalibrationCurve, calibration_curves
from analysis.edits.linear_range import LinearRange, linear_ranges
from analysis.measures.base import Drawing, Measure, Scored
from analysis.measures.remarks import Remark, on_curve
from analysis.measures.tables import Cell, hundredths, number

__all__ = ["Response", "ResponseCurves"]


@dataclass(frozen=True, eq=False)
class Response:
    """Calibration curves and linear ranges, by direction."""

    curves: dict[str, CalibrationCurve]
    ranges: dict[str, LinearRange]


class ResponseCurves(Measure[Response]):
    """The mean score of a target against the amount, with the line fitted near zero."""

    def from_scores(self, scored: Scored) -> Response | None:
        """From curves with amounts within one sigma."""
        effects, amounts = scored.effects, scored.effects.curves.amounts
        if not bool(((amounts != 0) & (amounts.abs() <= 1)).any()):
            return None
        curves = calibration_curves(effects.curves, level=effects.level)
        ranges = linear_ranges(effects.curves, level=effects.level)
        return Response({c.direction: c for c in curves}, {r.direction: r for r in ranges})

    def columns(self, found: Response) -> dict[str, dict[str, Any]]:
        """Ends of the linear range."""
        return {
            "linear_low": {name: r.low for name, r in found.ranges.items()},
            "linear_high": {name: r.high for name, r in found.ranges.items()},
        }

    def summary(self, found: Response) -> dict[str, dict[str, Cell]]:
        """The linear range."""
        cells = {
            name: Cell(" … ".join(hundredths(end, sign=True) for end in curve.linear))
            for name, curve in found.curves.items()
            if curve.significant
        }
        return {"linear (sigma)": cells} if found.curves else {}

    def drawing(self, found: Response, direction: str) -> Drawing | None:
        """The curve of one direction, its line and how far it holds."""
        curve = found.curves.get(direction)
        if curve is None:
            return None
        text = _text(curve, found.ranges.get(direction))
        return Drawing(plots.plot_calibration([curve]), text, text)

    def remarks(self, found: Response) -> list[Remark]:
        """Directions that are linear over a narrow range only."""
        return [r for curve in found.curves.values() for r in on_curve(curve)]


def _text(curve: CalibrationCurve, reach: LinearRange | None) -> str:
    if not curve.significant:
        return f"{curve.attribute.name} does not measurably respond."
    low, high = curve.linear
    text = (
        f"Mean {curve.attribute.name} against the amount; {number(curve.slope, sign=True)} "
        f"{curve.unit} per sigma near zero (dashed), within {curve.tolerance:.0%} of that line "
        f"from {number(low, sign=True)} to {number(high, sign=True)} sigma (shaded)"
    )
    return f"{text}{'' if reach is None else _uncertain(reach)}."


def _uncertain(reach: LinearRange) -> str:
    """The intervals of the ends of a linear range, or that they were not reached."""
    parts = []
    for side, measured, (low, high) in (
        ("lower", reach.measured[0], reach.low_interval),
        ("upper", reach.measured[1], reach.high_interval),
    ):
        if low == high == measured:
            parts.append(f"the {side} end was not met")
        else:
            ends = f"{number(low, sign=True)} and {number(high, sign=True)}"
            parts.append(f"the {side} end is between {ends}")
    return f"; {parts[0]}, {parts[1]}"
