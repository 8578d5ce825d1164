"""One pass over a bank that serves its report, its figures and its calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from analysis import (
    Curves,
    Effects,
    RandomNull,
    apply_calibrations,
    calibration_curves,
    effects_of,
    measure_curves,
    random_null,
    write_report,
)
from directions import DirectionBank
from directions.classifiers import Classifier, Combined
from directions.generators import Generator
from directions.generators.base import Precision

__all__ = ["Evaluation", "embedding", "evaluate"]

AMOUNTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A bank with everything measured on it.

    Attributes:
        bank: The bank, calibrated where a direction bears an attribute's name.
        curves: Scores of the held-out codes, moved.
        effects: The effect matrix.
        null: Effects of random directions.
    """

    bank: DirectionBank
    curves: Curves
    effects: Effects
    null: RandomNull

    def report(self, path: Path, generator: Generator) -> Path:
        """Write the HTML page."""
        return write_report(
            path, bank=self.bank, effects=self.effects, null=self.null, generator=generator
        )


def evaluate(
    generator: Generator,
    classifier: Classifier,
    bank: DirectionBank,
    *,
    count: int = 64,
    null: int = 16,
    precision: Precision = "float32",
) -> Evaluation:
    """Measure a bank on held-out codes, calibrate it, and measure random directions beside it.

    Args:
        generator: The bank's generator.
        classifier: Scores the images; its embedding, if it has one, measures identity.
        bank: What to measure.
        count: Held-out codes.
        null: Random directions.
        precision: Arithmetic of generator and classifier.
    """
    curves = measure_curves(
        generator,
        classifier,
        bank,
        amounts=AMOUNTS,
        count=count,
        precision=precision,
        embed=embedding(classifier),
    )
    effects = effects_of(curves)
    calibrated = apply_calibrations(bank, calibration_curves(curves))
    randoms = random_null(generator, classifier, effects, count=null)
    return Evaluation(calibrated, curves, effects, randoms)


def embedding(classifier: Classifier) -> Callable[[Tensor], Tensor] | None:
    """The identity embedding of a classifier, or of one of its parts, if there is one."""
    parts: tuple[Any, ...] = classifier.parts if isinstance(classifier, Combined) else (classifier,)
    found = [part.embed for part in parts if hasattr(part, "embed")]
    return found[0] if found else None
