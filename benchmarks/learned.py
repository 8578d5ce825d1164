"""Leakage of learned paths and of straight directions, at equal effect, from the same labels.

    python benchmarks/learned.py                         both built-in generators, five minutes
    python benchmarks/learned.py --generator styleface64 --labels 20480 --cache labels

Boundaries, boundaries conditioned on the other attributes, conditional means and conditional flows
are made from the same labels with the same eight attributes held. For four of them each moves 256
held-out codes until the mean score has changed by one standard deviation. There the script reads

- `held`: mean over the seven held attributes of the mean change, in standard deviations (signed
  changes of single images cancel; their absolute value is taken of the mean);
- `all`: the same over all 19 others;
- `AD`: mean absolute change of single images, all others;
- `identity`: mean cosine of face embeddings before and after.

Intervals are of a bootstrap over codes, the amount being fixed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from directions import (
    DirectionBank,
    Rendering,
    condition,
    keep_freed_memory,
    load_classifier,
    load_generator,
)
from directions.classifiers.base import logit
from directions.classifiers.faces.classifier import faces
from directions.generators.base import Generator
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED
from discovery import Boundary, ConditionalFlow, ConditionalMean, Samples, sample

SPACES = {"digiface64": "z", "styleface64": "w"}
JUDGED = ("smiling", "yaw", "male", "age")
HELD = (*JUDGED, "pitch", "mouth_open", "brightness", "warmth")
AMOUNTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
RENDERING = Rendering(precision="bfloat16", progress=False, batch_size=64)

Shift = Callable[[Tensor, float], Tensor]


class Figures(NamedTuple):
    """One edit at one standard deviation of effect; intervals as (value, low, high)."""

    amount: float
    held: tuple[float, float, float]
    all: tuple[float, float, float]
    absolute: float
    identity: float


class Bench:
    """A generator, its labels and its held-out codes."""

    def __init__(self, generator: Generator, samples: Samples, count: int) -> None:
        self.judge = load_classifier("faces+pixels")
        space = samples.space
        self.scorer = Scorer(generator, self.judge, space=space, rendering=RENDERING)
        self.network = faces()
        self.codes = generator.sample(count, seed=HELD_OUT_SEED, space=space)
        known = samples.scores[:, [samples.names.index(n) for n in self.judge.names]]
        self.std = logit(known, self.judge.attributes).std(0)
        self.before = self.scores(self.codes)
        self.faces = self.embedded(self.codes)

    def scores(self, codes: Tensor) -> Tensor:
        """Scores of codes, probabilities as log-odds."""
        return logit(self.scorer.score(codes), self.judge.attributes)

    @torch.inference_mode()
    def embedded(self, codes: Tensor) -> Tensor:
        """Embeddings of the faces of codes."""
        parts = (images.float() for images in self.scorer.images(codes))
        return torch.cat([self.network.embed(part).clone() for part in parts])

    def judged(self, name: str, shift: Shift) -> Figures | None:
        """Figures of an edit; None where it does not get there."""
        column = self.judge.names.index(name)
        last, reached = 0.0, 0.0
        for amount in AMOUNTS:
            moved = self.scores(shift(self.codes, amount)) - self.before
            now = float(moved[:, column].mean() / self.std[column])
            if now >= 1:
                break
            last, reached = amount, now
        else:
            return None
        amount = last + (amount - last) * (1 - reached) / (now - reached)
        codes = shift(self.codes, amount)
        change = (self.scores(codes) - self.before) / self.std
        others = [i for i in range(len(self.std)) if i != column]
        named = [self.judge.names.index(n) for n in HELD if n != name]
        rng = torch.Generator().manual_seed(0)
        n = len(change)
        draws = torch.randint(n, (500, n), generator=rng)

        def interval(columns: list[int]) -> tuple[float, float, float]:
            part = change[:, columns]
            many = part[draws].mean(1).abs().mean(1).quantile(torch.tensor([0.025, 0.975]))
            return float(part.mean(0).abs().mean()), float(many[0]), float(many[1])

        kept = cosine_similarity(self.embedded(codes), self.faces)
        absolute = float(change[:, others].abs().mean())
        return Figures(amount, interval(named), interval(others), absolute, float(kept.mean()))


def methods(samples: Samples, generator: Generator) -> dict[str, tuple[dict[str, Shift], float]]:
    """Edits of every method by attribute, and the seconds it took."""
    made: dict[str, tuple[dict[str, Shift], float]] = {}

    def keep(title: str, start: float, paths: DirectionBank | dict[str, object]) -> None:
        edits = {name: paths[name].shift for name in JUDGED}  # type: ignore[attr-defined]
        made[title] = edits, time.perf_counter() - start

    start = time.perf_counter()
    plain = Boundary(bootstrap=0).discover(samples, attributes=HELD)
    keep("boundary", start, plain)
    prior = generator.prior(samples.space)
    single = [condition(plain, on={n: [m for m in HELD if m != n]}, prior=prior)[n] for n in JUDGED]
    keep("conditioned", start, {d.name: d for d in single})
    start = time.perf_counter()
    keep("conditional_mean", start, ConditionalMean().discover(samples, attributes=HELD))
    start = time.perf_counter()
    keep("conditional_flow", start, ConditionalFlow(progress=False).train(samples, attributes=HELD))
    return made


def round_trips(samples: Samples, codes: Tensor) -> None:
    """Reversal, commutation and the gap of training."""
    method = ConditionalFlow(progress=False)
    found = method.discover(samples, attributes=HELD)["smiling"].evidence
    gap = found["validation_nats"] - found["train_nats"]
    path = method.train(samples, attributes=HELD)
    a, b = path["smiling"], path["yaw"]
    moved = a.shift(codes, 2.0)
    returned = float((a.shift(moved, -2.0) - codes).abs().max())
    stayed = float((a.shift(codes, 0.0) - codes).abs().max())
    orders = b.shift(moved, 2.0) - a.shift(b.shift(codes, 2.0), 2.0)
    bends = {
        n: round(d.evidence["bend"], 3)
        for n, d in method.discover(samples, attributes=HELD).items()
    }
    print(
        f"gap {gap:.4f} nats a dimension, round trip {stayed:.1e}, there and back {returned:.1e}, "
        f"two orders {float(orders.abs().max()):.1e}, bend {bends}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", choices=SPACES, nargs="+", default=list(SPACES))
    parser.add_argument("--labels", type=int, default=20480)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--cache", type=Path, help="folder that keeps the labels")
    options = parser.parse_args()
    keep_freed_memory()
    for name in options.generator:
        generator, space = load_generator(name), SPACES[name]
        out = options.cache and options.cache / f"{name}-{space}"
        judge = load_classifier("faces+pixels")
        rendering = Rendering(precision="bfloat16", progress=False)
        samples = sample(
            generator, judge, options.labels, seed=2026, space=space, out=out, rendering=rendering
        )
        bench = Bench(generator, samples, options.count)
        print(
            f"\n## {name}, {space}\n\n"
            "| attribute | method | seconds | amount | held | all | AD | identity |"
        )
        print("|---|---|---:|---:|---:|---:|---:|---:|")
        means: dict[str, list[Tensor]] = {}
        made = methods(samples, generator)
        for attribute in JUDGED:
            for title, (edits, seconds) in made.items():
                found = bench.judged(attribute, edits[attribute])
                if found is None:
                    print(f"| {attribute} | {title} | {seconds:.1f} | — | — | — | — | — |")
                    continue
                held, rest = ("{:.3f} [{:.3f}, {:.3f}]".format(*v) for v in found[1:3])
                print(
                    f"| {attribute} | {title} | {seconds:.1f} | {found.amount:.2f} | {held} "
                    f"| {rest} | {found.absolute:.3f} | {found.identity:.4f} |",
                    flush=True,
                )
                row = torch.tensor([found.held[0], found.all[0], found.absolute, found.identity])
                means.setdefault(title, []).append(row)
        for title, rows in means.items():
            mean = torch.stack(rows).mean(0).tolist()
            print(
                f"| mean of {len(rows)} | {title} | | | "
                + " | ".join(f"{v:.3f}" for v in mean)
                + " |"
            )
        round_trips(samples, bench.codes)


if __name__ == "__main__":
    main()
