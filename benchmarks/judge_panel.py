"""Labels of several labelers on the same images, banks found with some, effects judged by another.

Labels are kept in a folder and made once; results in a JSON file, entry by entry, so that an
interrupted run goes on. Used by `judge.py`, `reach.py`, `label_kinds.py` and `noisy_labels.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis import measure_effects
from directions import DirectionBank, Rendering, condition, load_classifier, load_generator
from directions.classifiers import Classifier, Combined, Renamed
from directions.classifiers.base import Attribute, logit
from directions.classifiers.rename import under_common_names
from discovery import Boundary, Samples, sample

ATTRIBUTES = ("smiling", "male", "age", "yaw", "mouth_open")
LABELERS = ("faces", "mobile-faces", "clip")
JUDGES = ("mobile-faces", "faces")
FAST = Rendering(precision="bfloat16", progress=False)
FIT = Boundary(validation=0.0, bootstrap=0)
RESULTS = Path(__file__).parent / "results"
LABELS = Path("out/benchmarks/judge")

Figures = dict[str, dict[str, float]]


class Panel:
    """Scores of every labeler on images of the same codes."""

    def __init__(self, generator: str, space: str, count: int) -> None:
        self.generator, self.space = load_generator(generator), space
        self.labelers = {name: under_common_names(load_classifier(name)) for name in LABELERS}
        beside = Combined(
            *(
                Renamed(labeler, {a: f"{name}/{a}" for a in labeler.names})
                for name, labeler in self.labelers.items()
            )
        )
        self.samples = sample(
            self.generator, beside, count, seed=0, space=space,
            attributes=[f"{name}/{a}" for name in LABELERS for a in ATTRIBUTES],
            out=LABELS / f"{generator}-{space}", rendering=FAST,
        )  # fmt: skip

    def beside(self, judge: str) -> list[str]:
        """The labelers that are neither the judge nor trained on its scores."""
        return [n for n in LABELERS if n != judge and judge not in _teachers(self.labelers[n])]

    def labels(self, labelers: Sequence[str], rows: slice | Tensor = slice(None)) -> Samples:
        """Mean over labelers of their standardized log-odds and values."""
        found = [self.scores(name)[rows] for name in labelers]
        attributes = tuple(Attribute(a) for a in ATTRIBUTES)
        return replace(
            self.samples.rows(rows), scores=torch.stack(found).mean(0), attributes=attributes,
            classifier="+".join(labelers),
        )  # fmt: skip

    def scores(self, labeler: str) -> Tensor:
        """Its standardized log-odds and values, `[n, attributes]`."""
        columns = [self.samples.names.index(f"{labeler}/{a}") for a in ATTRIBUTES]
        kinds = [self.samples.attributes[c] for c in columns]
        scores = logit(self.samples.scores[:, columns], kinds)
        return (scores - scores.mean(0)) / scores.std(0)

    def bank(self, labelers: Sequence[str], rows: slice | Tensor = slice(None)) -> DirectionBank:
        """Ridge on their labels."""
        return FIT.discover(self.labels(labelers, rows))

    def conditioned(self, bank: DirectionBank) -> DirectionBank:
        """Each direction conditioned on all others."""
        return condition(bank, on=list(bank), prior=self.generator.prior(self.space))

    def judged(
        self, bank: DirectionBank, judge: str, count: int, attributes: Sequence[str] = ATTRIBUTES
    ) -> Figures:
        """By attribute, as the judge sees codes of another seed at +2 sigma.

        Effect in standard deviations per sigma and its standard error, the share of faces on which
        the attribute rises, and the mean absolute effect on the others over the effect.
        """
        seen = measure_effects(
            self.generator, self.labelers[judge], bank, attributes=attributes, count=count,
            rendering=FAST,
        ).logit  # fmt: skip
        found = {}
        for k, name in enumerate(seen.directions):
            own = seen.names.index(name)
            row = seen.standardized[k]
            error = seen.deltas[k, :, own].std() / count**0.5 / seen.std[own]
            others = torch.arange(len(row)) != own
            found[name] = {
                "effect": float(row[own]),
                "error": float(error),
                "rises": float(seen.rises[k, own]),
                "leakage": float(row[others].abs().mean() / row[own].abs()),
            }
        return found


def _teachers(classifier: Classifier) -> tuple[str, ...]:
    return (
        classifier.classifier.teachers if isinstance(classifier, Renamed) else classifier.teachers
    )


class Kept:
    """Results in a JSON file, each made once."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.path = RESULTS / f"{name}.json"
        self.found: dict[str, Any] = {"settings": dict(settings)}
        if self.path.exists():
            self.found = json.loads(self.path.read_text(encoding="utf-8"))
            if self.found["settings"] != settings:
                raise SystemExit(
                    f"{self.path} has results of other settings ({self.found['settings']}): "
                    "delete it, or run with those"
                )

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """The result of that name; made and kept where there is none."""
        if key not in self.found:
            self.found[key] = _rounded(make())
            self.path.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
            print(f"{key}: {json.dumps(self.found[key])}", flush=True)
        return self.found[key]


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return round(value, 4) if isinstance(value, float) else value
