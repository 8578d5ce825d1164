"""Commutativity and additivity of several edits, in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from analysis.edits.consistency import Consistency, edit_consistency, shift_edits
from analysis.measures.base import Measure, Part, Trial
from analysis.measures.tables import Cell, Row, Table, hundredths, interval, number

__all__ = ["EditConsistency"]

# Edits that are combined, and the amount of each, in sigma.
COMBINED, COMBINED_AMOUNT = 3, 1.0
# A change of the scores that is hardly visible, in standard deviations.
SLIGHT = 0.1


class EditConsistency(Measure[Consistency]):
    """Commutativity and additivity of edits."""

    def from_edits(self, trial: Trial) -> Consistency | None:
        """Of the first calibrated directions of one space, two at least."""
        bank = trial.bank
        ready = [d for d in bank.directions if d.calibration is not None]
        spaces = [d.acts_in(trial.generator.spaces) for d in ready]
        together = [d.name for d, s in zip(ready, spaces, strict=True) if s == spaces[0]][:COMBINED]
        if len(together) < 2:
            return None
        return edit_consistency(
            trial.generator,
            trial.classifier,
            shift_edits(bank, dict.fromkeys(together, COMBINED_AMOUNT)),
            space=spaces[0],
            orders=2,
            count=trial.count,
            seed=trial.seed,
            rendering=trial.rendering,
        )

    def part(self, found: Consistency, anchors: Mapping[str, str]) -> Part:
        """Each edit alone and all together, as a table and in words."""
        singles = zip(found.edits, found.single, strict=True)
        rows = [
            *(Row(f"{name} alone", anchors.get(name, ""), _cells(v)) for name, v in singles),
            Row("all together", "", _cells(found.joint)),
            Row(
                "off the sum, per image",
                "",
                _cells(found.interaction, found.interaction_low, found.interaction_high),
            ),
            Row("between orders", "", _cells(found.disagreement, found.low, found.high)),
        ]
        caption = (
            "Mean change in standard deviations, each edit alone and together; differences in "
            "absolute value"
        )
        table = Table(found.names, tuple(rows), caption)
        return Part(f"{_order(found)} {_sum(found)}", tables=(table,))

    def as_dict(self, found: Consistency) -> dict[str, Any]:
        """All of it."""
        return found.as_dict()


def _cells(mean: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> tuple[Cell, ...]:
    if low is None or high is None:
        return tuple(Cell(hundredths(value, sign=True)) for value in mean.tolist())
    figures = zip(mean.tolist(), low.tolist(), high.tolist(), strict=True)
    return tuple(Cell(hundredths(m), interval(a, b, hundredths)) for m, a, b in figures)


def _order(consistency: Consistency) -> str:
    most = int(consistency.disagreement.argmax())
    size = float(consistency.disagreement[most])
    many = len(consistency.orders)
    if size < SLIGHT:
        return f"In {many} orders the edits agree within {number(max(size, 0.01))} SD."
    return (
        f"In {many} orders the edits disagree: {consistency.names[most]} differs by "
        f"{hundredths(size)} SD between two orders."
    )


def _sum(consistency: Consistency) -> str:
    most = int(consistency.interaction.argmax())
    size = float(consistency.interaction[most])
    what = "add up" if size < SLIGHT else "do not quite add up"
    return (
        f"Together they {what}: the joint change of {consistency.names[most]} is off the sum of "
        f"the single changes by {hundredths(size)} SD on an image."
    )
