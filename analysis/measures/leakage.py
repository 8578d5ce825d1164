"""Attribute dependency at equal effect, in tables and report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.edits.curves import Curves
from analysis.edits.leakage import Leakage, attribute_dependency
from analysis.measures.base import Measure, Part, Scored
from analysis.measures.tables import number

__all__ = ["LeakageAtEqualEffect", "at_one_sd", "comparable"]


class LeakageAtEqualEffect(Measure[Leakage]):
    """Change of the other attributes at a given change of the target."""

    def from_scores(self, scored: Scored) -> Leakage | None:
        """From several positive amounts and at least two attributes that vary."""
        curves = scored.effects.curves
        several = int((curves.std > 0).sum()) > 1
        return attribute_dependency(curves) if several and comparable(curves) else None

    def columns(self, found: Leakage) -> dict[str, dict[str, Any]]:
        """The figures where the target has changed by one standard deviation."""
        values = {
            "amount_for_one_sd": found.amounts,
            "mean_ad_at_one_sd": found.mean_ad,
            "max_ad_at_one_sd": found.max_ad,
        }
        at = at_one_sd(found.changes)
        return {
            column: dict(zip(found.directions, value[:, at].tolist(), strict=True))
            for column, value in values.items()
        }

    def part(self, found: Leakage, anchors: Mapping[str, str]) -> Part:
        """Mean-AD and max-AD at one standard deviation, in words."""
        at = at_one_sd(found.changes)
        figures = zip(found.directions, found.mean_ad[:, at], found.max_ad[:, at], strict=True)
        listed = "; ".join(
            f"{name} {number(float(mean))} and {number(float(largest))}"
            for name, mean, largest in figures
        )
        return Part(
            label="Attribute dependency, mean and largest, against the change of the target, one "
            f"curve per direction. At {number(float(found.changes[at]))} SD: {listed}."
        )


def comparable(curves: Curves) -> bool:
    """Whether directions can be compared at equal effect: amounts to choose from, and a target."""
    varying = {n for n, s in zip(curves.names, curves.std, strict=True) if s > 0}
    return int((curves.amounts > 0).sum()) > 1 and bool(varying & set(curves.targets.values()))


def at_one_sd(changes: Any) -> int:
    """Index of the change nearest one standard deviation."""
    return int((changes - 1).abs().argmin())
