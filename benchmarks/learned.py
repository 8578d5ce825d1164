"""Leakage of learned paths and of straight directions, at equal effect, from the same labels.

    python benchmarks/learned.py                         both built-in generators, ten minutes
    python benchmarks/learned.py --generator styleface64 --labels 20480 --cache labels
    python -m benchmarks.belief_tables                   its tables in docs/methods/learned.md

Boundaries, boundaries conditioned on the other attributes, conditional means and conditional flows
are made from the same labels with the same eight attributes held. For four of them each moves 256
held-out codes until the mean score has changed by one standard deviation. There the script reads

- `held`: mean over the seven held attributes of the mean change, in standard deviations (signed
  changes of single images cancel; their absolute value is taken of the mean);
- `all`: the same over all 19 others;
- `AD`: mean absolute change of single images, all others;
- `identity`: mean cosine of face embeddings before and after.

Intervals are of a bootstrap over codes, the amount being fixed. Seconds are processor time of one
thread. Finished methods are kept in `results/learned-<generator>.json` and not made again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from directions import (
    Direction,
    Rendering,
    condition,
    keep_freed_memory,
    load_classifier,
    load_generator,
)
from directions.classifiers.base import logit
from directions.classifiers.faces.classifier import faces
from directions.generators.base import Generator
from directions.paths.base import CurvedPath
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED
from discovery import Boundary, ConditionalFlow, ConditionalMean, Samples, sample

SPACES = {"digiface64": "z", "styleface64": "w"}
JUDGED = ("smiling", "yaw", "male", "age")
HELD = (*JUDGED, "pitch", "mouth_open", "brightness", "warmth")
METHODS = ("boundary", "conditioned", "conditional_mean", "conditional_flow")
AMOUNTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
RENDERING = Rendering(precision="bfloat16", progress=False, batch_size=64)

RESULTS = Path(__file__).parent / "results"

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


def made(method: str, samples: Samples, generator: Generator) -> tuple[dict[str, Shift], float]:
    """Edits of a method by attribute, and the seconds it took."""
    start = time.process_time()
    found: Mapping[str, Direction | CurvedPath]
    if method == "conditional_flow":
        found = ConditionalFlow(progress=False).train(samples, attributes=HELD)
    elif method == "conditional_mean":
        found = ConditionalMean().discover(samples, attributes=HELD)
    else:
        found = bank = Boundary(bootstrap=0).discover(samples, attributes=HELD)
        if method == "conditioned":
            prior = generator.prior(samples.space)
            found = {
                n: condition(bank, on={n: [m for m in HELD if m != n]}, prior=prior)[n]
                for n in JUDGED
            }
    return {name: found[name].shift for name in JUDGED}, time.process_time() - start


def row(bench: Bench, method: str, samples: Samples, generator: Generator) -> dict[str, Any]:
    """What is kept of a method."""
    edits, seconds = made(method, samples, generator)
    record: dict[str, Any] = {"seconds": round(seconds, 1)}
    for name, shift in edits.items():
        figures = bench.judged(name, shift)
        record[name] = figures and {k: _rounded(v) for k, v in figures._asdict().items()}
    if method == "conditional_flow":
        record["exactness"] = exactness(edits, samples, bench.codes)
    return record


def exactness(edits: dict[str, Shift], samples: Samples, codes: Tensor) -> dict[str, Any]:
    """Largest errors of the flow's codes, and the gap of training to held-out codes."""
    bank = ConditionalFlow(progress=False).discover(samples, attributes=HELD)
    known = {name: direction.evidence for name, direction in bank.items()}
    a, b = edits["smiling"], edits["yaw"]
    moved = a(codes, 2.0)
    errors = {
        "round_trip": a(codes, 0.0) - codes,
        "there_and_back": a(moved, -2.0) - codes,
        "two_orders": b(moved, 2.0) - a(b(codes, 2.0), 2.0),
    }
    return {
        **{name: float(f"{float(error.abs().max()):.1e}") for name, error in errors.items()},
        **{name: _rounded(known["smiling"][name]) for name in ("train_nats", "validation_nats")},
        "bend": {name: _rounded(figures["bend"]) for name, figures in known.items()},
    }


def _rounded(figure: Any) -> Any:
    return [_rounded(v) for v in figure] if isinstance(figure, tuple) else round(figure, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", choices=SPACES, nargs="+", default=list(SPACES))
    parser.add_argument("--labels", type=int, default=20480)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--cache", type=Path, help="folder that keeps the labels")
    options = parser.parse_args()
    torch.set_num_threads(1)
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
        kept = RESULTS / f"learned-{name}.json"
        settings = {
            "generator": name,
            "labels": options.labels,
            "codes": options.count,
            "space": space,
        }
        held = json.loads(kept.read_text()) if kept.exists() else {}
        if held.get("settings") != settings:
            held = {"settings": settings}
        for method in METHODS:
            if method not in held:
                held[method] = row(bench, method, samples, generator)
                kept.write_text(json.dumps(held, indent=1) + "\n")
            print(name, method, held[method], flush=True)


if __name__ == "__main__":
    main()
