"""Cosines between the directions of each space, in the report."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from analysis.measures.base import Measure, Part, Scored
from analysis.measures.tables import Cell, Row, Table, hundredths
from analysis.plots.theme import STRONG
from analysis.spaces.cosines import cosine_matrix

__all__ = ["Cosines"]

Matrices = dict[str, tuple[list[str], Float[Tensor, "k k"]]]


class Cosines(Measure[Matrices]):
    """Space to its directions and their cosines, where it has more than one direction."""

    def from_scores(self, scored: Scored) -> Matrices | None:
        """From the vectors alone."""
        bank, found = scored.bank, {}
        for space in dict.fromkeys(d.space for d in bank.directions):
            names = [d.name for d in bank.directions if d.space == space]
            if len(names) > 1:
                found[space] = names, cosine_matrix(bank.select(names))
        return found or None

    def part(self, found: Matrices, anchors: Mapping[str, str]) -> Part:
        """A table for each space."""
        tables = [
            Table(
                tuple(names),
                tuple(
                    Row(name, anchors[name], tuple(map(_cell, line)))
                    for name, line in zip(names, cosines.tolist(), strict=True)
                ),
                f"Space {space}",
            )
            for space, (names, cosines) in found.items()
        ]
        text = "Small cosines do not show that effects are disentangled: see the effect matrix."
        return Part(text, tables=tuple(tables))


def _cell(value: float) -> Cell:
    classes = ("up" if value > 0 else "down") + " strong" * (abs(value) > STRONG)
    return Cell(hundredths(value), classes=classes, heat=round(100 * min(abs(value), 1)))
