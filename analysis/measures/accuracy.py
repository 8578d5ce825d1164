"""Editing accuracy of calibrated directions, in tables and report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.edits.accuracy import Accuracy, editing_accuracy
from analysis.measures.base import Measure, Part, Trial
from analysis.measures.tables import hundredths

__all__ = ["EditingAccuracy"]


class EditingAccuracy(Measure[Accuracy]):
    """Achieved against requested change of edits in the unit of the attribute."""

    def from_edits(self, trial: Trial) -> Accuracy | None:
        """Of a bank with a calibrated direction."""
        if all(d.calibration is None for d in trial.bank.directions):
            return None
        return editing_accuracy(
            trial.generator,
            trial.classifier,
            trial.bank,
            count=trial.count,
            seed=trial.seed,
            rendering=trial.rendering,
        )

    def columns(self, found: Accuracy) -> dict[str, dict[str, Any]]:
        """The mean error."""
        return {"misses_by_sd": _missed(found)}

    def part(self, found: Accuracy, anchors: Mapping[str, str]) -> Part:
        """The mean errors, in words."""
        said = [f"{name} by {hundredths(error)} SD" for name, error in _missed(found).items()]
        text = f"On average an edit misses the requested change: {', '.join(said)}."
        how = (
            "Changes are requested in the unit of the attribute, and made by the amount of the "
            "calibration on codes that it was not fitted to."
        )
        return Part(f"{text} {how}", text)

    def as_dict(self, found: Accuracy) -> dict[str, Any]:
        """Errors and their quantiles."""
        return found.as_dict()


def _missed(accuracy: Accuracy) -> dict[str, float]:
    return dict(zip(accuracy.directions, accuracy.relative.mean(1).tolist(), strict=True))
