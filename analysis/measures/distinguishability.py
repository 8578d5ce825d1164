"""RCA, in tables and report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.comparison.distinguishability import Distinguishability, measure_distinguishability
from analysis.measures.base import Measure, Part, Trial
from analysis.measures.tables import number

__all__ = ["TellingApart"]

MEANING = (
    "It measures whether directions can be told apart, not what they mean: a bank without a single "
    "nameable direction can have a high one."
)


class TellingApart(Measure[Distinguishability]):
    """How well a fresh network tells directions apart, beside random ones."""

    def from_edits(self, trial: Trial) -> Distinguishability | None:
        """For two or more directions of one space; the flag is the number of codes."""
        spaces = {d.acts_in(trial.generator.spaces) for d in trial.bank.directions}
        if len(trial.bank) < 2 or len(spaces) > 1:
            return None
        return measure_distinguishability(
            trial.generator,
            trial.bank,
            count=trial.amount,
            seed=trial.seed,
            rendering=trial.rendering,
        )

    def columns(self, found: Distinguishability) -> dict[str, dict[str, Any]]:
        """Share of each direction's moves that are told."""
        told = found.confusion.diagonal().tolist()
        return {"told_apart": dict(zip(found.directions, told, strict=True))}

    def part(self, found: Distinguishability, anchors: Mapping[str, str]) -> Part:
        """Both accuracies and what they do not say."""
        own = f"{number(found.accuracy)} [{number(found.low)}, {number(found.high)}]"
        low, high = number(found.random_low), number(found.random_high)
        return Part(
            f"A network tells the {len(found.directions)} directions apart in {own} of the moves, "
            f"as many random ones in {number(found.random)} [{low}, {high}]; chance is "
            f"{number(found.chance)}. Trained on half as many codes it tells "
            f"{number(found.half)} and {number(found.random_half)}: compare at one number of codes "
            f"only. {MEANING}"
        )

    def as_dict(self, found: Distinguishability) -> dict[str, Any]:
        """Accuracies and the table of confusions."""
        return found.as_dict()
