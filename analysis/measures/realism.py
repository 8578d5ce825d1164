"""Realism of edited images, in tables and report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.edits.realism import Realism, measure_realism
from analysis.measures.base import Measure, Part, Trial
from analysis.measures.tables import number

__all__ = ["EditRealism"]

AMOUNTS = (-2.0, 2.0)


class EditRealism(Measure[Realism]):
    """Distance of edited images from the generator's own, by the features of an embedding."""

    def from_edits(self, trial: Trial) -> Realism | None:
        """With a classifier that embeds images; the flag is the number of codes."""
        if trial.embed is None:
            return None
        return measure_realism(
            trial.generator,
            trial.bank,
            trial.embed,
            amounts=AMOUNTS,
            count=trial.amount,
            reference=2 * trial.amount,
            seed=trial.seed,
            rendering=trial.rendering,
        )

    def columns(self, found: Realism) -> dict[str, dict[str, Any]]:
        """Fréchet distance at the largest amount, above its floor."""
        excess = found.excess[:, -1].tolist()
        return {"frechet_excess": dict(zip(found.directions, excess, strict=True))}

    def part(self, found: Realism, anchors: Mapping[str, str]) -> Part:
        """The same at the farthest amount, in words."""
        farthest = int(found.amounts.abs().argmax())
        figures = zip(found.directions, found.excess[:, farthest].tolist(), strict=True)
        said = ", ".join(f"{name} {number(more, sign=True)}" for name, more in figures)
        amount = number(float(found.amounts[farthest]), sign=True)
        floor = number(float(found.frechet[:, found.amounts == 0].mean()))
        return Part(
            f"Fréchet distance at {amount} sigma above that of unedited images ({floor}): {said}."
        )

    def as_dict(self, found: Realism) -> dict[str, Any]:
        """Distances and densities."""
        return found.as_dict()
