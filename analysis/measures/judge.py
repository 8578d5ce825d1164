"""The second opinion in tables and report: labeler and judge side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.comparison.agreement import Agreement, Opinions, judge_agreement
from analysis.edits.effects import Effects
from analysis.intervals.mean import Estimate
from analysis.measures.base import Measure, Part, Scored
from analysis.measures.remarks import Remark
from analysis.measures.tables import Cell, Row, Table, hundredths, interval

__all__ = ["SecondOpinion"]


class SecondOpinion(Measure[Agreement]):
    """Effects, share of rising faces and leakage, by the labeler and by the judge."""

    def from_scores(self, scored: Scored) -> Agreement | None:
        """From effects that were measured with a judge and have targets that it sees."""
        judged = scored.effects.judged
        return judge_agreement(scored.effects) if judged and _comparable(judged) else None

    def columns(self, found: Agreement) -> dict[str, dict[str, float | None]]:
        """The judge's figures for the target, and leakage by both."""
        return {
            "judge_in_sd": {r.direction: r.judged.mean for r in found},
            "judge_rises": {r.direction: r.judged_rises for r in found},
            "judge_ratio": {r.direction: _mean(r.ratio) for r in found},
            "leakage_over_effect": {r.direction: _mean(r.leakage) for r in found},
            "judge_leakage_over_effect": {r.direction: _mean(r.judged_leakage) for r in found},
        }

    def summary(self, found: Agreement) -> dict[str, dict[str, Cell]]:
        """The judge's effect and share of rising faces."""
        return {
            f"in SD by {found.judge}": {r.direction: _cell(r.judged, sign=True) for r in found},
            f"rises by {found.judge}": {
                r.direction: Cell(f"{100 * r.judged_rises:.3g}%") for r in found
            },
        }

    def part(self, found: Agreement, anchors: Mapping[str, str]) -> Part:
        """Every figure by both, with intervals."""
        names = (found.labeler, found.judge)
        columns = (
            *(f"effect by {name}" for name in names), "ratio", "correlation over faces",
            *(f"rises by {name}" for name in names), *(f"leakage by {name}" for name in names),
        )  # fmt: skip
        table = Table(
            columns,
            tuple(Row(r.direction, anchors.get(r.direction, ""), _cells(r)) for r in found),
            f"Effects in standard deviations per sigma, leakage over the effect on the target, "
            f"with {found.level:.0%} intervals",
        )
        text = (
            f"{found.judge} scored the same images as {found.labeler}. A direction that means what "
            "its name says moves its attribute for both; the ratio of the two effects is about the "
            "correlation of the two over unmoved faces or more. Leakage is the mean absolute "
            f"effect on the other attributes that both measure ({', '.join(found.shared)})."
        )
        return Part(text, tables=(table,))

    def remarks(self, found: Agreement) -> list[Remark]:
        """Directions that move their attribute for their labeler only."""
        return [
            Remark(
                "warning",
                f"pleases its labeler only: moves {r.attribute} by "
                f"{hundredths(r.effect.mean, sign=True)} for {found.labeler}, by "
                f"{hundredths(r.judged.mean, sign=True)} "
                f"({interval(*r.judged[1:], hundredths)}) for {found.judge}, where faces alike "
                f"would give {hundredths(r.effect.mean * r.correlation, sign=True)}.",
                r.direction,
            )
            for r in found
            if r.labeler_only
        ]

    def as_dict(self, found: Agreement) -> dict[str, Any]:
        """The table."""
        return found.as_dict()


def _comparable(judged: Effects) -> bool:
    return any(
        judged.targets.get(name) in judged.names
        and judged.std[judged.names.index(judged.targets[name])] > 0
        for name in judged.directions
    )


def _mean(found: Estimate | None) -> float | None:
    return None if found is None else found.mean


def _cell(found: Estimate | None, *, sign: bool = False) -> Cell:
    if found is None:
        return Cell("–")
    return Cell(hundredths(found.mean, sign=sign), interval(*found[1:], hundredths))


def _cells(row: Opinions) -> tuple[Cell, ...]:
    return (
        _cell(row.effect, sign=True),
        _cell(row.judged, sign=True),
        _cell(row.ratio),
        Cell(hundredths(row.correlation)),
        Cell(f"{100 * row.rises:.3g}%"),
        Cell(f"{100 * row.judged_rises:.3g}%"),
        _cell(row.leakage),
        _cell(row.judged_leakage),
    )
