"""Identity preservation at equal effect, in tables and report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analysis.edits.identity import Identity, identity_preservation
from analysis.measures.base import Measure, Part, Scored
from analysis.measures.leakage import at_one_sd, comparable
from analysis.measures.tables import Cell, interval, number

__all__ = ["IdentityAtEqualEffect"]


class IdentityAtEqualEffect(Measure[Identity]):
    """Identity kept at a given change of the target."""

    def from_scores(self, scored: Scored) -> Identity | None:
        """From several positive amounts, measured with embeddings."""
        curves = scored.effects.curves
        embedded = curves.identity is not None
        return identity_preservation(curves) if embedded and comparable(curves) else None

    def columns(self, found: Identity) -> dict[str, dict[str, Any]]:
        """Identity kept where the target has changed by one standard deviation."""
        kept = found.kept[:, at_one_sd(found.changes)].tolist()
        return {
            "identity_kept_at_one_sd": dict(zip(found.directions, kept, strict=True)),
            "different_faces": dict.fromkeys(found.directions, found.baseline),
        }

    def summary(self, found: Identity) -> dict[str, dict[str, Cell]]:
        """The same with its interval."""
        x = at_one_sd(found.changes)
        figures = zip(found.kept[:, x], found.low[:, x], found.high[:, x], strict=True)
        cells = {
            name: Cell("–", "out of reach")
            if math.isnan(low)
            else Cell(f"{float(mean):.2f}", interval(float(low), float(high), "{:.2f}".format))
            for name, (mean, low, high) in zip(found.directions, figures, strict=True)
        }
        return {"identity kept at +1 SD": cells}

    def part(self, found: Identity, anchors: Mapping[str, str]) -> Part:
        """Description of the figure."""
        return Part(
            text="Different faces have a mean cosine of embeddings of "
            f"{number(found.baseline)}: there no identity is kept.",
            label="Identity kept against the change of the target, one curve per direction.",
        )
