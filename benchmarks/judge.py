"""Directions judged by a labeler that none of them was found with.

Labelers of independent origin are held out in turn. From the labels of the others directions are
found and conditioned on one another; the labeler held out measures, on codes of another seed, the
effect on the attribute, the share of faces on which it rises at +2 sigma, and leakage over effect:
the mean absolute effect on the other attributes, in units of the effect. A labeler that was trained
on the scores of the one held out is held out with it. Banks:

    one          ridge on the labels of one labeler, not conditioned
    conditioned  the same, conditioned on the others as that labeler sees them
    together     ridge on the mean of the labels of all, conditioned
    measured     the same, its measured effects made diagonal in the mean of all (`independent`)
    ceiling      ridge on the labels of the judge itself: what is left for a linear direction

    python benchmarks/judge.py
    python benchmarks/judge.py --generator styleface64 --space w
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from analysis import Effects, measure_effects
from directions import (
    DirectionBank,
    Rendering,
    condition,
    keep_freed_memory,
    load_classifier,
    load_generator,
)
from directions.classifiers import Classifier, Combined, Renamed
from directions.classifiers.base import Attribute, logit
from directions.classifiers.rename import under_common_names
from directions.disentangling import independent
from directions.generators import Generator
from discovery import Boundary, Samples, sample

ATTRIBUTES = ("smiling", "male", "age", "yaw", "mouth_open")
LABELERS = "faces,mobile-faces,clip"
FAST = Rendering(precision="bfloat16", progress=False)
FIT = Boundary(validation=0.0, bootstrap=0)


class Bench:
    """Labels of every labeler on the same images, and banks found with some of them."""

    def __init__(self, generator: Generator, options: argparse.Namespace) -> None:
        self.generator, self.options = generator, options
        names = options.labelers.split(",")
        self.labelers = {name: under_common_names(load_classifier(name)) for name in names}
        self.attributes = options.attributes.split(",")
        panel = Combined(
            *(
                Renamed(labeler, {a: f"{name}/{a}" for a in labeler.names})
                for name, labeler in self.labelers.items()
            )
        )
        self.samples = sample(
            generator, panel, options.samples, seed=0, space=options.space,
            attributes=[f"{name}/{a}" for name in names for a in self.attributes],
            out=Path(options.out) / f"{generator.name}-{options.space}", rendering=FAST,
        )  # fmt: skip

    def labels(self, labelers: Sequence[str]) -> Samples:
        """Mean over labelers of their standardized log-odds and values."""
        found = []
        for name in labelers:
            columns = [self.samples.names.index(f"{name}/{a}") for a in self.attributes]
            kinds = [self.samples.attributes[c] for c in columns]
            scores = logit(self.samples.scores[:, columns], kinds)
            found.append((scores - scores.mean(0)) / scores.std(0))
        attributes = tuple(Attribute(a) for a in self.attributes)
        return replace(
            self.samples, scores=torch.stack(found).mean(0), attributes=attributes,
            classifier="+".join(labelers),
        )  # fmt: skip

    def bank(self, labelers: Sequence[str]) -> DirectionBank:
        """Ridge on their labels."""
        return FIT.discover(self.labels(labelers))

    def conditioned(self, bank: DirectionBank) -> DirectionBank:
        """Each direction conditioned on all others."""
        return condition(bank, on=list(bank), prior=self.generator.prior(self.options.space))

    def banks(self, judge: str) -> dict[str, DirectionBank]:
        """Banks by name, of labels of which none are the judge's or its students'."""
        taught = {n for n, c in self.labelers.items() if {judge} & _teachers(c)}
        own = [n for n in self.labelers if n != judge and n not in taught]
        whole = self.bank(own)
        return {
            "one": self.bank(own[:1]),
            "conditioned": self.conditioned(self.bank(own[:1])),
            "together": self.conditioned(whole),
            "measured": independent(
                whole, generator=self.generator, labelers=[self.labelers[n] for n in own],
                codes=self.options.count, rendering=FAST,
            ),
            "ceiling": self.conditioned(self.bank([judge])),
        }  # fmt: skip

    def judged(self, bank: DirectionBank, judge: str) -> Effects:
        """Effects by the judge, on codes of another seed."""
        return measure_effects(
            self.generator, self.labelers[judge], bank, attributes=self.attributes,
            count=self.options.count, rendering=FAST,
        ).logit  # fmt: skip


def _teachers(classifier: Classifier) -> set[str]:
    inner = classifier.classifier if isinstance(classifier, Renamed) else classifier
    return set(inner.teachers)


def figures(effects: Effects) -> dict[str, dict[str, float]]:
    """By attribute: effect, share that rises, leakage over effect."""
    found = {}
    for k, name in enumerate(effects.directions):
        row: Tensor = effects.standardized[k]
        own = effects.names.index(name)
        others = [i for i in range(len(effects.names)) if i != own]
        found[name] = {
            "effect": float(row[own]),
            "rises": float(effects.rises[k, own]),
            "leakage": float(row[others].abs().mean() / row[own].abs()),
        }
    return found


def show(judge: str, found: dict[str, dict[str, dict[str, float]]], count: int) -> None:
    table = Table(
        title=f"by {judge}, held out, {count} codes: effect, rises at +2σ, leakage/effect"
    )
    for column in ("attribute", *found, "leakage left", "effect kept"):
        table.add_column(column)
    for name in found["one"]:
        cells = [
            f"{v['effect']:.2f} {v['rises']:.0%} {v['leakage']:.2f}"
            for v in (bank[name] for bank in found.values())
        ]
        before, after = found["one"][name], found["measured"][name]
        left, kept = (after[m] / before[m] for m in ("leakage", "effect"))
        table.add_row(name, *cells, f"{left:.2f}", f"{kept:.2f}")
    Console(width=150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space", default="z")
    parser.add_argument("--labelers", default=LABELERS)
    parser.add_argument("--judges", default="mobile-faces,faces", help="to hold out in turn")
    parser.add_argument("--attributes", default=",".join(ATTRIBUTES))
    parser.add_argument("--samples", type=int, default=6000, help="labels of each labeler")
    parser.add_argument("--count", type=int, default=512, help="held-out codes")
    parser.add_argument("--out", default="out/benchmarks/judge")
    options = parser.parse_args()
    bench = Bench(load_generator(options.generator), options)
    results = {}
    for judge in options.judges.split(","):
        banks = bench.banks(judge)
        results[judge] = {n: figures(bench.judged(bank, judge)) for n, bank in banks.items()}
        show(judge, results[judge], options.count)
    path = Path(options.out) / f"{options.generator}-{options.space}.json"
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    main()
