"""Changes of attributes with others held: one linear solution against corrections on the images.

Two requests to every face: smiling higher by two standard deviations, and age 50, each with three
attributes held. The first is answered by the linear solution that measured effects predict, with
and without the directions' ranges, and by the solution corrected on each image. Every answer is
then rendered and scored anew. Scores of a noisy classifier can be met by its noise: the same
images shifted by one pixel, which the search never saw, tell how much of the change remains.

    python benchmarks/solve.py --out results/solve.json --grid solve.png
    python benchmarks/solve.py --bank faces.safetensors
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

import analysis
import directions as d
import discovery
from directions.editing.response import SHIFTS, shifted_images
from directions.scoring.scorer import Scorer

HELD = 0.15  # in standard deviations
NEAR = 0.15  # of the change asked for


def main() -> None:
    logging.disable(logging.WARNING)
    options = arguments()
    names = ["smiling", "yaw", "male", "age"]
    generator, classifier = d.load_generator("digiface64"), d.load_classifier("faces")
    quiet = d.Rendering(progress=False)
    if options.bank is None:
        samples = discovery.sample(
            generator, classifier, options.labels, seed=0, attributes=names, rendering=quiet
        )
        bank = discovery.Boundary().discover(samples)
    else:
        bank = d.DirectionBank.load(options.bank, generator).select(names)
    bank = analysis.calibrate(generator, classifier, bank, rendering=quiet)
    effects = analysis.measure_effects(
        generator, classifier, bank, attributes=names, count=256, rendering=quiet
    )
    codes = generator.sample(options.faces, seed=options.seed)
    judge = Judge(Scorer(generator, classifier, names=names), codes, effects.std)
    models = {"codes": codes, "generator": generator, "classifier": classifier, "rendering": quiet}
    result = {"faces": options.faces, "labels": options.labels, "smiling +2 sd": {}, "age 50": {}}

    asked = {"targets": {"smiling": 2.0}, "hold": names[1:], "effects": effects}
    goal = judge.before[:, 0] + 2 * effects.std[0]
    for label, bound in (("linear, no bound", None), ("linear, in ranges", "range")):
        try:
            found = d.solve(bank, bound=bound, **asked)
        except d.InfeasibleError as error:
            print(f"{label}: {error}")
            found = error.best
        result["smiling +2 sd"][label] = judge.line(label, bank, found, 0, goal)
    start = time.perf_counter()
    found = d.solve(bank, **asked, **models)
    seconds = time.perf_counter() - start
    result["smiling +2 sd"]["on images"] = judge.line("on images", bank, found, 0, goal)
    result["smiling +2 sd"]["on images"] |= told(found, seconds)
    images = judge.pictures(d.move(codes, bank, found), options.rows)
    if options.grid:
        d.save_png(
            d.grid(images, columns=["original", "smiling +2 sd"], marked=0),
            options.grid,
        )

    goal = torch.full((options.faces,), 50.0)
    for label, held in (("on images, three held", names[:3]), ("on images, none held", [])):
        asked = {"targets": {"age": d.Level(50.0, "years")}, "hold": held, "effects": effects}
        start = time.perf_counter()
        found = d.solve(bank, **asked, **models)
        seconds = time.perf_counter() - start
        result["age 50"][label] = judge.line(label, bank, found, 3, goal)
        result["age 50"][label] |= told(found, seconds)
    if options.grid:
        images = judge.pictures(d.move(codes, bank, found), options.rows)
        picture = d.grid(images, columns=["original", "age 50"], marked=0)
        d.save_png(picture, options.grid.with_stem(f"{options.grid.stem}_age"))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1))


class Judge:
    """Scores of rendered answers against what was asked."""

    def __init__(self, scorer: Scorer, codes: Tensor, std: Tensor) -> None:
        self.scorer, self.codes, self.std = scorer, codes, std.double()
        self.before = scorer.score(codes).double()
        self.shifted_before = self.shifted(codes)

    def shifted(self, codes: Tensor) -> Tensor:
        """Mean scores of images shifted by one pixel."""
        parts = []
        for images in self.scorer.images(codes):
            views = [self.scorer.score_images(shifted_images(images, *by)) for by in SHIFTS]
            parts.append(torch.stack(views).double().mean(0))
        return torch.cat(parts)

    def pictures(self, codes: Tensor, rows: int) -> Tensor:
        """Images before and after, side by side."""
        both = [torch.cat(list(self.scorer.images(c[:rows]))) for c in (self.codes, codes)]
        return torch.stack(both, 1)

    def line(
        self, label: str, bank: d.DirectionBank, found: d.Solution, target: int, goal: Tensor
    ) -> dict[str, object]:
        """Print and return the figures of one answer."""
        n = len(self.codes)
        amounts = {name: a.expand(n) for name, a in found.amounts.items()}
        moved = d.move(self.codes, bank, amounts)
        after = self.scorer.score(moved).double()
        changes = (after - self.before) / self.std
        held = [i for i in range(len(self.std)) if i != target]
        drift = changes[:, held].abs()
        wanted = (goal - self.before[:, target]) / self.std[target]
        miss = (changes[:, target] - wanted).abs()
        possible = torch.ones(n, dtype=torch.bool) if target else goal <= 1
        near, still = miss <= NEAR * wanted.abs(), (drift <= HELD).all(1)
        views = (self.shifted(moved) - self.shifted_before) / self.std
        names = [self.scorer.names[i] for i in held]
        figures: dict[str, object] = {
            "held, mean absolute sd": dict(zip(names, drift.mean(0).tolist(), strict=True)),
            "held within 0.15 sd, share of faces": float(still.float().mean()),
            "target within 15 %, share of faces": float(near.float().mean()),
            "possible, faces": int(possible.sum()),
            "target within 15 %, share of possible": float(near[possible].float().mean()),
            "both, share of possible": float((near & still)[possible].float().mean()),
            "target change, mean share of asked": float((changes[:, target] / wanted).mean()),
            "distance, mean": float(found.distance.mean()),
            "shifted views: target change, mean share": float((views[:, target] / wanted).mean()),
            "shifted views: held, mean absolute sd": views[:, held].abs().mean(0).tolist(),
        }
        print(f"\n{label}")
        for name, value in figures.items():
            print(f"  {name}: {value}")
        return figures


def told(found: d.Solution, seconds: float) -> dict[str, object]:
    """What the solver says of its own answer."""
    reasons = dict(Counter(s for s in found.stopped if s).most_common())
    print(f"  seconds: {seconds:.1f}; reached: {int(found.reached.sum())}")
    print(f"  tolerance: {found.tolerance}")
    for remark in found.remarks[:8]:
        print(f"  {remark}")
    return {"seconds": seconds, "reached": int(found.reached.sum()), "stopped": reasons}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=64)
    parser.add_argument("--labels", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--grid", type=Path)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
