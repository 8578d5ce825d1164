"""One pass over a bank that serves its report, its figures, its tables and its calibration."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis import (
    Accuracy,
    Consistency,
    Curves,
    Effects,
    RandomNull,
    Realism,
    apply_calibrations,
    attribute_dependency,
    calibration_curves,
    edit_consistency,
    editing_accuracy,
    effects_of,
    identity_preservation,
    linear_ranges,
    measure_curves,
    measure_realism,
    random_null,
    remarks_on,
    shift_edits,
    write_report,
)
from analysis.edits.nulls import evident
from directions import DirectionBank
from directions.classifiers import Classifier, Combined
from directions.generators import Generator
from directions.generators.base import Precision
from directions.seeds import TRIAL_SEED

__all__ = ["Evaluation", "direction_columns", "effect_columns", "embedding", "evaluate", "in_use"]

AMOUNTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
# Edits that are combined, and how far each goes, in sigma.
COMBINED, COMBINED_AMOUNT = 3, 1.0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A bank with everything measured on it.

    Attributes:
        bank: The bank, calibrated where a direction bears an attribute's name.
        curves: Scores of the held-out codes, moved.
        effects: The effect matrix.
        null: Effects of random directions.
        accuracy: Whether edits reach what is asked; None unless tried.
        consistency: Whether edits combine; None unless tried.
        realism: Whether edited images stay real; None unless tried.
    """

    bank: DirectionBank
    curves: Curves
    effects: Effects
    null: RandomNull
    accuracy: Accuracy | None = None
    consistency: Consistency | None = None
    realism: Realism | None = None

    def report(self, path: Path, generator: Generator) -> Path:
        """Write the HTML page."""
        return write_report(
            path,
            bank=self.bank,
            effects=self.effects,
            null=self.null,
            generator=generator,
            accuracy=self.accuracy,
            consistency=self.consistency,
            realism=self.realism,
        )

    def remarks(self) -> list[dict[str, str]]:
        """What to know before using the bank, in words."""
        said = remarks_on(
            self.effects.logit,
            null=self.null.logit,
            calibrations=calibration_curves(self.curves),
        )
        return [{"direction": r.direction, "kind": r.kind, "text": r.text} for r in said]

    def as_dict(self) -> dict[str, Any]:
        """Everything measured as plain data."""
        tried = {
            "accuracy": self.accuracy,
            "consistency": self.consistency,
            "realism": self.realism,
        }
        return {
            "effects": self.effects.as_dict(),
            "directions": _records(direction_columns(self)),
            "remarks": self.remarks(),
            **{name: value.as_dict() for name, value in tried.items() if value is not None},
        }


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


def in_use(
    evaluation: Evaluation, generator: Generator, classifier: Classifier, *, realism: int = 0
) -> Evaluation:
    """Try the calibrated directions on fresh codes: accuracy, combination, realism.

    Args:
        evaluation: A bank that is measured.
        generator: The bank's generator.
        classifier: The classifier it was measured with.
        realism: Codes to move for realism, more than twice the embedding's size; 0 leaves it out.

    Returns:
        The evaluation with what could be tried: accuracy needs a calibrated direction,
        combination two of one space, realism an embedding.
    """
    source = evaluation.curves.source
    bank, count = evaluation.bank, source.count
    ready = [d.name for d in bank.directions if d.calibration is not None]
    if ready:
        accuracy = editing_accuracy(
            generator, classifier, bank, count=count, seed=TRIAL_SEED, precision=source.precision
        )
        evaluation = replace(evaluation, accuracy=accuracy)
    spaces = {name: bank[name].acts_in(generator.spaces) for name in ready}
    space = spaces[ready[0]] if ready else ""
    together = [name for name in ready if spaces[name] == space][:COMBINED]
    if len(together) > 1:
        consistency = edit_consistency(
            generator,
            classifier,
            shift_edits(bank, dict.fromkeys(together, COMBINED_AMOUNT)),
            space=space,
            orders=2,
            count=count,
            seed=TRIAL_SEED,
            precision=source.precision,
        )
        evaluation = replace(evaluation, consistency=consistency)
    features = embedding(classifier)
    if realism and features is not None:
        found = measure_realism(
            generator,
            bank,
            features,
            amounts=(-2.0, 2.0),
            count=realism,
            reference=2 * realism,
            seed=TRIAL_SEED,
            precision=source.precision,
        )
        evaluation = replace(evaluation, realism=found)
    return evaluation


def effect_columns(evaluation: Evaluation) -> dict[str, list[Any]]:
    """The effect matrix as a table: one row a direction and attribute."""
    effects, null = evaluation.effects, evaluation.null
    ends = torch.stack(null.matching(effects))
    counts = evident(effects, null)
    found: dict[str, list[Any]] = {}
    for k, direction in enumerate(effects.directions):
        for a, attribute in enumerate(effects.attributes):
            cell = effects.at(direction, attribute.name)
            row = {
                "direction": direction,
                "attribute": attribute.name,
                "unit": attribute.unit,
                "target": effects.targets.get(direction) == attribute.name,
                "per_sigma": cell.mean,
                "low": cell.low,
                "high": cell.high,
                "in_sd": cell.standardized,
                "logit_in_sd": float(effects.logit.standardized[k, a]),
                "rises": cell.rises,
                "random_low": float(ends[0, a]),
                "random_high": float(ends[1, a]),
                "evident": bool(counts[k, a]),
            }
            for name, value in row.items():
                found.setdefault(name, []).append(_finite(value))
    return found


def direction_columns(evaluation: Evaluation) -> dict[str, list[Any]]:
    """One row a direction: its effect, leakage, identity, linear range and accuracy."""
    effects, curves = evaluation.effects, evaluation.curves
    names = effects.directions
    aims = [effects.targets.get(name) for name in names]
    own = [None if t is None else effects.at(n, t) for n, t in zip(names, aims, strict=True)]
    found: dict[str, list[Any]] = {
        "direction": list(names),
        "attribute": aims,
        "per_sigma": [c and c.mean for c in own],
        "in_sd": [c and c.standardized for c in own],
        "rises": [c and c.rises for c in own],
    }
    aimed = any(t is not None and curves.std[curves.names.index(t)] > 0 for t in aims)
    if aimed and int((curves.std > 0).sum()) > 1:
        leakage = attribute_dependency(curves, changes=[1.0])
        found["amount_for_one_sd"] = _by_name(names, leakage.directions, leakage.amounts[:, 0])
        found["mean_ad_at_one_sd"] = _by_name(names, leakage.directions, leakage.mean_ad[:, 0])
        found["max_ad_at_one_sd"] = _by_name(names, leakage.directions, leakage.max_ad[:, 0])
    if aimed and curves.identity is not None:
        kept = identity_preservation(curves, changes=[1.0])
        found["identity_at_one_sd"] = _by_name(names, kept.directions, kept.cosine[:, 0])
    ranges = {r.direction: r for r in linear_ranges(curves)}
    for side in ("low", "high"):
        found[f"linear_{side}"] = [getattr(ranges.get(name), side, None) for name in names]
    if evaluation.accuracy is not None:
        missed = evaluation.accuracy.relative.mean(1)
        found["misses_by_sd"] = _by_name(names, evaluation.accuracy.directions, missed)
    if evaluation.realism is not None:
        excess = evaluation.realism.excess[:, -1]
        found["frechet_excess"] = _by_name(names, evaluation.realism.directions, excess)
    return {name: [_finite(v) for v in values] for name, values in found.items()}


def _by_name(
    names: tuple[str, ...], measured: tuple[str, ...], values: Tensor
) -> list[float | None]:
    found = dict(zip(measured, values.tolist(), strict=True))
    return [found.get(name) for name in names]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _records(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def embedding(classifier: Classifier) -> Callable[[Tensor], Tensor] | None:
    """The identity embedding of a classifier, or of one of its parts, if there is one."""
    parts: tuple[Any, ...] = classifier.parts if isinstance(classifier, Combined) else (classifier,)
    found = [part.embed for part in parts if hasattr(part, "embed")]
    return found[0] if found else None
