"""Calibration: coverage of intervals, false alarms of differences, false names.

On planted worlds, labeled exactly or with noise of half a standard deviation, figures of many sets
of held-out codes are compared with those of 20,000 codes: 95 % intervals of `compare_methods`
should cover 92 to 98 % of the time. Both methods leak alike, each into another attribute, so that
they should differ significantly at most 8 % of the time. Random differences of codes should get a
name in at most 3 % of worlds at an alpha of 0.01.

    python benchmarks/calibration.py
    python benchmarks/calibration.py --only names --generator styleface64 --space w
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from analysis import measure_effects, random_directions
from analysis.comparison import Comparison, EqualEffect, compare_methods
from analysis.comparison.result import Metric
from analysis.edits.effects import Effects, effects_of
from analysis.naming.by_effects import _named, name_directions
from directions import Direction, DirectionBank, Rendering
from directions.classifiers import Classifier, load_classifier
from directions.generators import load_generator
from directions.planted.world import PlantedGenerator, planted
from directions.seeds import NAMING_SEED

QUIET = Rendering(precision="float32", batch_size=4096, progress=False, compile=False)
METRICS: tuple[Metric, ...] = ("effect", "leakage", "worst", "identity")
LEAK = 0.3
ROUNDING = 1e-4  # without noise both methods have the same effect up to this
TRUTH_COUNT = 20_000
NAMED, NULL, CODES = 10, 48, 32  # directions of a bank and of the null, codes they are moved on


class Noisy(Classifier):
    """Scores with noise that is fresh for every image."""

    def __init__(self, classifier: Classifier, noise: float, *, seed: int) -> None:
        self._exact, self._noise = classifier, noise
        self._random = torch.Generator().manual_seed(seed)
        self.name, self.attributes = "noisy", classifier.attributes

    @property
    def fingerprint(self) -> str:
        """That of the exact classifier."""
        return self._exact.fingerprint

    def __call__(self, images: Tensor) -> Tensor:
        """Scores of images, with noise."""
        scores = self._exact(images)
        return scores + self._noise * torch.randn(scores.shape, generator=self._random)


def compared(world: PlantedGenerator, noise: float, count: int, seed: int) -> Comparison:
    """Two methods that leak as much, into the next attribute and into the one before."""
    exact, banks = world.classifier(), {}
    for name, shift in (("next", -1), ("before", 1)):
        vectors = world.truth + LEAK * world.truth.roll(shift, 0)
        made = (
            Direction.from_vector(attribute, v, space="z", sigma=world.prior().sigma(v / v.norm()))
            for attribute, v in zip(world.names, vectors, strict=True)
        )
        banks[name] = DirectionBank(tuple(made), world.name, world.fingerprint)
    return compare_methods(
        world,
        Noisy(exact, noise, seed=seed),
        banks,
        attributes=world.names,
        at=EqualEffect(amounts=(0.5, 1.0, 1.5, 2.0)),
        count=count,
        seed=seed,
        embed=lambda images: torch.nn.functional.pad(exact(images), (0, 1), value=2.0),
        rendering=QUIET,
    )


def coverage(noise: float, count: int, repeats: int) -> dict[Metric, tuple[float, float]]:
    """By metric, the share of intervals that cover and that of differences that are significant."""
    world = planted(factors=4, dim=16)
    truth = compared(world, noise, TRUTH_COUNT, seed=1)
    found = [compared(world, noise, count, seed=1000 + r) for r in range(repeats)]
    result: dict[Metric, tuple[float, float]] = {}
    for metric in METRICS:
        covered, alarms = [], []
        for one in found:
            for row, exact in zip(one.rows, truth.rows, strict=True):
                interval, figure = row.figure(metric), exact.figure(metric)
                if interval is not None and figure is not None:
                    covered.append(interval.low <= figure.mean <= interval.high)
            differences = one.differences("before", metric=metric).values()
            alarms += [d.significant and abs(d.mean) > ROUNDING for d in differences]
        result[metric] = sum(covered) / len(covered), sum(alarms) / len(alarms)
    return result


def false_names(condition: float, repeats: int) -> float:
    """Share of planted worlds in which a random difference of codes gets a name."""
    wrong = 0
    for seed in range(repeats):
        world = planted(factors=4, dim=32, condition=condition, seed=seed)
        bank = random_directions(world, n_directions=NAMED, seed=seed + 1, spread="prior")
        settings: dict[str, Any] = {"count": CODES, "null": NULL, "rendering": QUIET}
        wrong += bool(name_directions(world, world.classifier(), bank, **settings).found)
    return wrong / repeats


def false_names_of(generator: str, space: str, pool: int, repeats: int) -> dict[str, float]:
    """The same of banks and nulls drawn from a pool of random directions measured once."""
    model, judge = load_generator(generator), load_classifier("faces+pixels")
    wrong = {}
    differences = random_directions(model, space=space, n_directions=pool, seed=7, spread="prior")
    uniform = random_directions(model, space=space, n_directions=NULL, seed=8, spread="uniform")
    whole = differences.replaced(
        [*differences.directions, *(d.evolve(name=f"u{d.name}") for d in uniform.directions)]
    )
    measured = measure_effects(
        model, judge, whole, symmetric=True, count=CODES, seed=NAMING_SEED,
        rendering=Rendering(precision="bfloat16", progress=False),
    )  # fmt: skip
    random = torch.Generator().manual_seed(0)
    for null in ("prior", "sphere"):
        wrong[null] = 0.0
        for _ in range(repeats):
            order = torch.randperm(pool, generator=random)
            rows = order[:NAMED]
            beside = order[NAMED : NAMED + NULL] if null == "prior" else pool + torch.arange(NULL)
            means = rows_of(measured, beside).logit.mean
            scale = means.square().mean(0).sqrt().expand(NAMED, -1)
            freedom = torch.full((NAMED, 1), float(len(means)), dtype=torch.float64)
            bank = whole.replaced(whole.directions[i] for i in rows.tolist())
            own = rows_of(measured, rows).logit
            kind = "prior" if null == "prior" else "sphere"
            wrong[null] += bool(_named(bank, own, scale, freedom, kind, alpha=0.01).found) / repeats
    return wrong


def rows_of(effects: Effects, rows: Tensor) -> Effects:
    """The effects of some of the directions."""
    curves, chosen = effects.curves, rows.tolist()
    part = replace(
        curves,
        directions=tuple(curves.directions[i] for i in chosen),
        spaces=tuple(curves.spaces[i] for i in chosen),
        scores=curves.scores[rows],
    )
    return effects_of(part, step=effects.step, symmetric=effects.symmetric)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["coverage", "names"])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--generator", help="names of random directions of this one")
    parser.add_argument("--space", default="w")
    parser.add_argument("--pool", type=int, default=240, help="random directions of --generator")
    options = parser.parse_args()
    if options.generator:
        found = false_names_of(options.generator, options.space, options.pool, options.repeats)
        for null, share in found.items():
            print(f"{options.generator} {options.space}, null {null}: {share:.1%} of banks named")
        return
    if options.only != "names":
        print("codes  noise  " + "  ".join(f"{m:>9} covered, alarms" for m in METRICS))
        for count in (64, 256):
            for noise in (0.0, 0.5):
                shares = coverage(noise, count, options.repeats)
                cells = "  ".join(f"{a:17.1%}, {b:6.1%}" for a, b in shares.values())
                print(f"{count:5}  {noise:5}  {cells}", flush=True)
    if options.only != "coverage":
        for condition in (1.0, 3.0, 10.0):
            share = false_names(condition, options.repeats)
            print(f"condition {condition:g}: {share:.1%} of worlds named", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
