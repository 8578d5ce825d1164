"""The effect matrix of a bank, from new images of held-out codes."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.edits.effects.matrix import Effects, checked_step, effects_of
from analysis.edits.held_out import measure_curves
from directions.arguments import checked
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.seeds import HELD_OUT_SEED

__all__ = ["measure_effects"]


@checked
def measure_effects(
    generator: Generator,
    classifier: Classifier,
    bank: DirectionBank,
    *,
    step: float = 2.0,
    symmetric: bool = False,
    attributes: Sequence[str] | None = None,
    count: int = 512,
    seed: int = HELD_OUT_SEED,
    judge: Classifier | None = None,
    rendering: Rendering = Rendering(),
) -> Effects:
    """Measure the effect of every direction of a bank on every attribute, on held-out codes.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        bank: Directions of that generator.
        step: Length of the step, in sigma, positive.
        symmetric: Compare `-step` with `step` rather than 0 with `step`: twice the images, less
            noise, and even (folding) effects cancel.
        attributes: Attributes to score; by default all of the classifier's.
        count: Number of held-out codes.
        seed: Seed of the codes. Not that of the samples the directions were found with.
        judge: A second labeler, by whom the directions were not found, to look at the same images:
            `Effects.judged`. `analysis.judge_agreement` sets the two side by side.
        rendering: How images are made; by default with the truncation of the codes that the bank
            was found with.

    Returns:
        The effect matrix, with 95 % intervals, and the scores it comes from; `effects_of` gives
        other intervals.

    Raises:
        LatdirError: As `measure_curves`; or a step that is not positive.
    """
    curves = measure_curves(
        generator,
        classifier,
        bank,
        amounts=(-checked_step(step), step) if symmetric else (checked_step(step),),
        attributes=attributes,
        count=count,
        seed=seed,
        judge=judge,
        rendering=rendering,
    )
    return effects_of(curves, step=step, symmetric=symmetric)
