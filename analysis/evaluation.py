"""One pass over a bank that serves its report, figures, tables and calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis.edits.calibration import apply_calibrations, calibration_curves
from analysis.edits.effects import Effects, effects_of
from analysis.edits.held_out import HeldOut, moves_of
from analysis.edits.nulls import (
    RandomMoves,
    RandomNull,
    curves_beside_random,
    evident,
    only_space,
)
from analysis.measures.base import Scored, Trial
from analysis.measures.remarks import Remark
from analysis.registry import MEASURES, find_measure, remarks
from analysis.report.page import write_report
from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier, Combined
from directions.errors import UnknownNameError
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.seeds import HELD_OUT_SEED, TRIAL_SEED
from directions.table import frame, html_table

__all__ = ["Evaluation", "embedding", "evaluate"]

AMOUNTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


@checked_fields
@dataclass(frozen=True, eq=False)
class Evaluation:
    """A bank with everything measured on it.

    Attributes:
        bank: The bank, calibrated where a direction has an attribute's name.
        effects: The effect matrix; `effects.curves` are the scores of the held-out codes, moved.
        null: Effects of random directions.
        results: The result of each measure of `analysis.registry`, by its name.
    """

    bank: DirectionBank
    effects: Effects
    null: RandomNull
    results: Mapping[str, Any]

    @property
    def remarks(self) -> list[Remark]:
        """Warnings and notes on the use of the bank."""
        return remarks(self.results, self.effects.directions)

    def columns(self) -> dict[str, list[Any]]:
        """The measures by column, one row per direction, for CSV, Parquet or a data frame."""
        names = self.effects.directions
        found: dict[str, list[Any]] = {"direction": list(names)}
        for measure, result in self.results.items():
            for column, values in find_measure(measure).columns(result).items():
                found[column] = [_finite(values.get(name)) for name in names]
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The measures, one record a direction; None where there is no figure."""
        columns = self.columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def effect_columns(self) -> dict[str, list[Any]]:
        """The effect matrix by column, one row per direction and attribute."""
        ends = torch.stack(self.null.matching(self.effects)).tolist()
        times = len(self.effects.directions)
        return self.effects.columns() | {
            "random_low": [_finite(v) for v in ends[0]] * times,
            "random_high": [_finite(v) for v in ends[1]] * times,
            "evident": evident(self.effects, self.null).flatten().tolist(),
        }

    def to_frame(self) -> Any:
        """`columns` as a pandas data frame, or an Arrow table where pandas is not installed."""
        return frame(self.columns())

    def __repr__(self) -> str:
        return f"Evaluation({self.bank!r}, {', '.join(self.results)})"

    def _repr_html_(self) -> str:
        columns = self.columns()
        names = [name.replace("_", " ") for name in columns]
        return html_table(repr(self), names, zip(*columns.values(), strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Everything measured as plain data."""
        data = {name: find_measure(name).as_dict(found) for name, found in self.results.items()}
        return {
            **{name: value for name, value in data.items() if value is not None},
            "null": self.null.kind,
            "labelers": self.effects.labelers,
            "directions": self.rows(),
            "remarks": [
                {"direction": r.direction, "kind": r.kind, "text": r.text} for r in self.remarks
            ],
        }

    def report(self, path: str | Path, generator: Generator | None = None) -> Path:
        """Write one self-contained HTML page, as `analysis.write_report`.

        Args:
            path: The file to write; its folder must exist.
            generator: Draws the strips of images; without it there are none.
        """
        return write_report(
            path,
            bank=self.bank,
            effects=self.effects,
            null=self.null,
            generator=generator,
            results=self.results,
        )


@checked
def evaluate(
    bank: DirectionBank,
    generator: Generator,
    classifier: Classifier,
    *,
    attributes: Sequence[str] | None = None,
    count: int = 128,
    null: int = 16,
    measures: Mapping[str, int] | None = None,
    judge: Classifier | None = None,
    rendering: Rendering = Rendering(),
) -> Evaluation:
    """Measure all there is to measure of a bank, calibrate it, and try the calibrated directions.

    Directions are measured and calibrated on held-out codes, beside random directions. Measures
    that edit images of their own do so on other codes still.

    Args:
        bank: The bank to measure; directions named after an attribute target it.
        generator: The bank's generator.
        classifier: Scores the images; its embedding, if it has one, measures identity and realism.
        attributes: Attributes to measure, also as side effects; by default all of the classifier's.
        count: Number of held-out codes, at least 2.
        null: Number of random directions, at least 3.
        measures: Name of a measure to the number of its flag, such as `{"realism": 512}`; 0
            leaves it out. The others are those of `analysis.registry.MEASURES` without a flag.
        judge: A second labeler, by whom the bank was not found, to look at the same images:
            effects, rises and leakage are reported by both, and directions that please their
            labeler only are warned of.
        rendering: How images are made; by default with the truncation of the codes that the bank
            was found with.

    Returns:
        The calibrated bank with the result of every measure that could be computed: accuracy
        needs a calibrated direction, combination two of one space, realism an embedding.

    Raises:
        LatdirError: An unknown measure, an empty bank or one of another generator, too few codes
            or random directions, or a judge that is not a second labeler.

    Example:
        >>> from directions import Direction, DirectionBank
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8, names=("smile", "age"))
        >>> smile = Direction("smile", world.truth[0], "z")
        >>> bank = DirectionBank((smile,), world.name, world.fingerprint)
        >>> found = evaluate(bank, world, world.classifier(), count=8, null=3)
        >>> [row] = found.rows()
        >>> row["attribute"], round(row["per_sigma"], 2), round(row["misses_by_sd"], 2)
        ('smile', 1.0, 0.0)
    """
    amounts = {name: entry.flag.default if entry.flag else 1 for name, entry in MEASURES.items()}
    unknown = [name for name in measures or {} if name not in amounts]
    if unknown:
        raise UnknownNameError(f"no measure {unknown[0]!r}: there are {', '.join(amounts)}")
    amounts |= measures or {}
    embed = embedding(classifier)
    held_out = HeldOut.of(
        generator,
        classifier,
        bank,
        attributes=attributes,
        count=count,
        seed=HELD_OUT_SEED,
        rendering=rendering,
        embed=embed,
        judge=judge,
    )
    kind = (only_space(d.space for d in bank.directions), None)
    curves, [randoms] = curves_beside_random(
        held_out, moves_of(bank, AMOUNTS), RandomMoves(count=null), [kind]
    )
    effects = effects_of(curves)
    calibrated = apply_calibrations(bank, calibration_curves(curves))
    scored = Scored(calibrated, effects, randoms)
    results = {}
    for name, amount in amounts.items():
        if not amount:
            continue
        measure = find_measure(name)
        result = measure.from_scores(scored)
        if result is None:
            trial = Trial(
                calibrated,
                generator,
                classifier,
                embed,
                amount,
                count,
                TRIAL_SEED,
                effects.source.rendering,
            )
            result = measure.from_edits(trial)
        if result is not None:
            results[name] = result
    return Evaluation(calibrated, effects, randoms, results)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def embedding(classifier: Classifier) -> Callable[[Tensor], Tensor] | None:
    """The identity embedding of a classifier, or of one of its parts, if there is one."""
    parts: tuple[Any, ...] = classifier.parts if isinstance(classifier, Combined) else (classifier,)
    found = [part.embed for part in parts if hasattr(part, "embed")]
    return found[0] if found else None
