"""Edits of inverted codes, in tables and report."""

from __future__ import annotations

from typing import Any

from analysis.inversions.kept_edits import KeptEdits, kept_edits
from analysis.measures.base import Measure, Part, Trial
from analysis.measures.tables import number
from directions.inversion import invert

__all__ = ["EditsOfInversions"]


class EditsOfInversions(Measure[KeptEdits]):
    """The same edits on inverted and on native codes."""

    def from_edits(self, trial: Trial) -> KeptEdits | None:
        """For directions of the space that images are inverted into; the flag is their number."""
        generator = trial.generator
        space = generator.default_space("w")
        names = [d.name for d in trial.bank.directions if d.acts_in(generator.spaces) == space]
        bank = trial.bank.select(names)
        if not len(bank) or trial.amount < 2:
            return None
        native = generator.sample(trial.amount, seed=trial.seed, space=space)
        images = generator.synthesize(native, space).detach()
        found = invert(generator, images, space=space, rendering=trial.rendering)
        return kept_edits(
            found, bank, trial.classifier, native=native, embed=trial.embed,
            rendering=trial.rendering,
        )  # fmt: skip

    def columns(self, found: KeptEdits) -> dict[str, dict[str, Any]]:
        """Effect kept on inverted codes, and the error image by image."""
        return {
            "effect_kept_inverted": dict(zip(found.directions, found.kept.tolist(), strict=True)),
            "edit_error_inverted": dict(zip(found.directions, found.error.tolist(), strict=True)),
        }

    def part(self, found: KeptEdits, anchors: Any) -> Part:
        """What edits keep, over all directions."""
        least, most = float(found.kept.min()), float(found.kept.max())
        return Part(
            f"Edits by {found.amount:g} standard deviations keep {number(least)} to {number(most)} "
            "of their effect on codes found by inversion, beside the codes that the images were "
            "made from."
        )

    def as_dict(self, found: KeptEdits) -> dict[str, Any]:
        """One row a direction."""
        return {"rows": found.table(), "unedited_identity": found.unedited_identity}
