"""All methods on one generator: attributes found, leakage and cost.

Supervised methods know the attributes; the directions of unsupervised ones are named by
`analysis.naming.by_effects` on codes of their own. Every named direction is then measured on the
same held-out codes at equal effect. Random directions go through the same naming: whatever they
are credited with is what the others' names are worth. A judge that nothing was found with sees the
same images. Costs are seconds of one processor core, so that other work on the machine does not
count.

Labels, scores and finished methods are kept in `--out` and not made again while the settings stay
the same, so an interrupted run goes on.

    python benchmarks/compare.py --labels 20000 --count 64 --directions 15
    python benchmarks/compare.py --generator styleface64 --space w --methods ridge,conditioned,sefa

`--add benchmarks/results/comparison.json` keeps the other methods of a stored comparison; copied
there, `comparison.json` gives the tables of the documentation (`belief_tables.py`).
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from compare_settings import LAYERS, SUPERVISED, UNSUPERVISED, arguments
from compare_tables import show, stored, with_directions

from analysis import RandomNull, random_directions
from analysis.comparison import Comparison, Cost, EqualEffect, Metric, Row, compare_methods
from analysis.edits.effects import measure_effects
from analysis.intervals.mean import Estimate
from analysis.naming.by_effects import name_directions
from analysis.plots import plot_comparison_heatmap
from directions import (
    DirectionBank,
    LatdirError,
    Rendering,
    condition,
    keep_freed_memory,
    keep_scores,
)
from directions.classifiers import Classifier, load_classifier
from directions.disentangling import independent
from directions.generators import Generator, load_generator
from directions.seeds import HELD_OUT_SEED, NAMING_SEED
from discovery import find_method, sample
from discovery.sampling.samples import Samples

FAST = Rendering(precision="bfloat16", progress=False)
FIGURE: tuple[Metric, ...] = ("effect", "drift", "judged_drift")
AMOUNTS = (0.5, 1.0, 2.0, 3.5, 5.0)
NAMING_STEP = 2.0


def main() -> None:
    options = arguments()
    logging.basicConfig(level=logging.ERROR)
    options.out.mkdir(parents=True, exist_ok=True)
    run = Run(options)
    done: dict[str, Done] = {}
    for method in options.methods.split(","):
        try:
            done[method] = run.method(method)
        except LatdirError as error:
            print(f"{method}: left out: {error}")
            continue
        one = done[method]
        print(f"{method}: {one.cost.seconds or 0:.1f} s", end="")
        found = ", ".join(f"{e['attribute']} (t {e['t']:.1f})" for e in one.credited)
        print(f"; found without labels: {found or 'nothing'}" if one.naming else "", flush=True)
    done = run.added(done)
    comparison = Comparison(
        tuple(replace(row, method=method) for method, one in done.items() for row in one.rows),
        {method: one.cost for method, one in done.items()},
        change=1.0,
        count=options.count,
        seed=HELD_OUT_SEED,
        generator=run.generator.name,
        classifier=run.classifier.name,
        judge=None if run.judge is None else run.judge.name,
        per_code={},
        level=0.95,
        identity_baseline=next(
            (d.different_faces for d in done.values() if d.different_faces), None
        ),
    )
    show(comparison)
    plot_comparison_heatmap(with_directions(comparison), metrics=FIGURE).savefig(
        options.out / "comparison.png", dpi=150
    )
    table = {
        "settings": run.settings,
        **comparison.as_dict(),
        "naming": {method: one.naming for method, one in done.items() if one.naming},
    }
    (options.out / "comparison.json").write_text(json.dumps(table, indent=1))


@dataclass(frozen=True)
class Done:
    """A method's rows of the comparison, its cost, and the names of its directions."""

    cost: Cost
    rows: tuple[Row, ...]
    different_faces: float | None
    naming: dict[str, Any] | None

    @property
    def credited(self) -> list[dict[str, Any]]:
        """The named directions, best first."""
        return [e for e in (self.naming or {}).get("directions", []) if e["attribute"]]


class Run:
    """The networks, and what all methods share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.generator: Generator = load_generator(options.generator)
        self.classifier: Classifier = load_classifier(options.classifier)
        self.judge = load_classifier(options.judge) if options.judge else None
        self.space: str = options.space
        self.attributes: list[str] = options.attributes.split(",")
        names = ("space", "labels", "directions", "random", "naming", "count", "attributes",
                 "identity", "judge")  # fmt: skip
        self.settings = {
            **{name: getattr(options, name) for name in names},
            "generator": self.generator.fingerprint,
            "classifier": self.classifier.fingerprint,
        }

    def method(self, name: str) -> Done:
        """Its stored result, or its result now."""
        if name not in SUPERVISED | UNSUPERVISED:
            raise LatdirError(
                f"no method {name!r}: there are {', '.join(SUPERVISED | UNSUPERVISED)}"
            )
        kept = self.options.out / f"{name.replace(' ', '_')}.json"
        settings = {**self.settings, "method": (SUPERVISED | UNSUPERVISED)[name][1]}
        if kept.exists():
            held = json.loads(kept.read_text())
            if held.pop("settings") == settings:
                rows = tuple(Row(**_figures(row)) for row in held["rows"])
                return Done(Cost(**held["cost"]), rows, held["different_faces"], held["naming"])
        bank, cost = self._found(name)
        # Only what is no cost of a method: kept scores would make labels look free.
        with keep_scores(self.options.out):
            done = self._measured(name, bank, cost)
        kept.write_text(json.dumps({"settings": settings, **asdict(done)}, indent=1))
        return done

    def _measured(self, name: str, bank: DirectionBank, cost: Cost) -> Done:
        """Names, if it has none yet, and figures."""
        naming = None
        if name in UNSUPERVISED:
            named = name_directions(
                self.generator,
                self.classifier,
                bank,
                attributes=self.attributes,
                step=NAMING_STEP,
                count=self.options.naming,
                null=self._null,
                rendering=FAST,
            )
            bank, naming = named.bank, named.as_dict()
        bank.save(self.options.out / f"{name.replace(' ', '_')}.bank.safetensors")
        return Done(cost, *self._rows(name, bank), naming)

    def added(self, done: dict[str, Done]) -> dict[str, Done]:
        """The methods of a stored comparison, if there is one, then these."""
        if self.options.add is None:
            return done
        held = json.loads(self.options.add.read_text())
        if held["settings"] != self.settings:
            raise LatdirError(f"{self.options.add} has other settings: {held['settings']}")
        known = stored(held)
        others = {
            method: Done(
                cost,
                tuple(row for row in known.rows if row.method == method),
                known.identity_baseline,
                held["naming"].get(method),
            )
            for method, cost in known.costs.items()
        }
        order = list(SUPERVISED | UNSUPERVISED)
        return dict(sorted((others | done).items(), key=lambda pair: order.index(pair[0])))

    def _rows(self, name: str, bank: DirectionBank) -> tuple[tuple[Row, ...], float | None]:
        # A bank in which nothing could be named has no direction to compare.
        if not {d.name for d in bank.directions} & set(self.attributes):
            return tuple(Row(name, attribute) for attribute in self.attributes), None
        identity = self.options.identity
        found = compare_methods(
            self.generator,
            self.classifier,
            {name: bank},
            attributes=self.attributes,
            count=self.options.count,
            at=EqualEffect(amounts=AMOUNTS),
            embed=load_classifier(identity).embed if identity else None,
            judge=self.judge,
            rendering=FAST,
        )
        return found.rows, found.identity_baseline

    @cached_property
    def _null(self) -> RandomNull:
        """What random directions do; one for all methods, as they share the space."""
        measured = measure_effects(
            self.generator,
            self.classifier,
            random_directions(
                self.generator, space=self.space, n_directions=self.options.random, spread="prior"
            ),
            step=NAMING_STEP,
            symmetric=True,
            attributes=self.attributes,
            count=self.options.naming,
            seed=NAMING_SEED,
            rendering=FAST,
        )
        return RandomNull(measured, 0.95, "prior")

    def _found(self, name: str) -> tuple[DirectionBank, Cost]:
        registered, settings = (SUPERVISED | UNSUPERVISED)[name]
        kind = find_method(registered)
        chosen = {"space": self.space, "n_directions": self.options.directions}
        settings = settings | {k: v for k, v in chosen.items() if k in kind.__dataclass_fields__}
        if registered == "pca":
            settings["layer"] = LAYERS.get(self.generator.name)
        given: dict[str, Any] = {}
        for need in kind.needs:
            if need == "samples":
                given |= {"samples": self._labels[0], "attributes": self.attributes}
            elif need == "classifier":
                given |= {"classifier": self.classifier, "attributes": self.attributes}
            else:
                given["generator"] = self.generator
        start = time.process_time()
        bank = self._freed(name, kind(**settings).discover(**given))
        spent = time.process_time() - start
        if (found := bank.directions[0].space) != self.space:
            raise LatdirError(f"its directions are of the space {found}")
        if "samples" in kind.needs:
            samples, seconds = self._labels
            return bank, Cost(spent + seconds, len(samples), len(samples))
        return bank, Cost(spent)

    def _freed(self, name: str, bank: DirectionBank) -> DirectionBank:
        """The bank with each direction freed of the others, if the method says so."""
        if name == "conditioned":
            return condition(bank, on=list(bank), prior=self.generator.prior(self.space))
        if name == "independent":
            return independent(
                bank, generator=self.generator, labelers=[self.classifier], rendering=FAST
            )
        return bank

    @cached_property
    def _labels(self) -> tuple[Samples, float]:
        """Labeled samples, and the seconds that as many take."""
        source, few = self.options.labels, 1024
        start = time.process_time()
        self._drawn(few, seed=1)
        spent = time.process_time() - start
        if source.isdigit():
            made = self._drawn(int(source), seed=0, out=self.options.out / "labels")
        else:
            made = Samples.load(source, partial=True)
        return made, spent * len(made) / few

    def _drawn(self, count: int, *, seed: int, out: Path | None = None) -> Samples:
        return sample(
            self.generator,
            self.classifier,
            count,
            seed=seed,
            out=out,
            attributes=self.attributes,
            space=self.space,
            rendering=FAST,
        )


def _figures(record: dict[str, Any]) -> dict[str, Any]:
    """A row's fields, whose intervals JSON keeps as lists."""
    return {k: Estimate(*v) if isinstance(v, list) else v for k, v in record.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    main()
