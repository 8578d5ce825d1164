"""Mean gradients against labels: angle to a long run's direction, by samples and by seconds.

The reference is the default boundary (ridge) of three quarters of the labels; estimates from labels
use the last quarter, so that nothing is compared with a fit to itself. Gradients are taken once at
`--codes` other codes. Estimates from n codes use disjoint groups of n; each point is the median
over up to `--repeats` groups. The reference has an error of its own: with c the cosine of the
directions of its two halves, its cosine to its limit is √(2c / (1 + c)) at best, and cosines are
also given divided by that. Seconds are those of n codes at the speed measured here: gradients of
all attributes together, and labels by the generator's and the classifier's fast forms.

    python benchmarks/gradient.py --reference 20000
    python benchmarks/gradient.py --labels folder-written-by-latdir-sample
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from analysis.plots.theme import LIGHT, dress
from directions.classifiers import load_classifier
from directions.generators import load_generator
from directions.scoring.gradients import ScoreGradients, score_gradients
from discovery.sampling.sampler import sample
from discovery.sampling.samples import Samples
from discovery.supervised.boundary import Boundary
from discovery.supervised.gradient import Gradient, estimate_direction

SEED = 77


def main() -> None:
    options = arguments()
    attributes = options.attributes.split(",")
    generator, classifier = load_generator(options.generator), load_classifier(options.classifier)
    samples = (
        Samples.load(options.labels, partial=True)
        if options.labels
        else sample(generator, classifier, options.reference, seed=0, attributes=attributes)
    )
    space = samples.space
    split = 3 * len(samples) // 4
    fitted, rest = samples.rows(slice(split)), samples.rows(slice(split, None))
    fit = Boundary(validation=0, bootstrap=0)
    reference = fit.discover(fitted, attributes=attributes)
    halves = [fit.discover(fitted.rows(slice(k, None, 2)), attributes=attributes) for k in (0, 1)]

    codes = generator.sample(options.codes, seed=SEED, space=space)
    start = time.perf_counter()
    found = score_gradients(
        generator, classifier, codes, attributes=attributes, space=space, batch_size=options.batch
    )
    per_gradient = (time.perf_counter() - start) / len(codes)
    per_label = label_seconds(generator, classifier, attributes, space)
    print(
        f"{len(fitted):,} labels for the reference; a gradient of {len(attributes)} attributes "
        f"takes {per_gradient * 1e3:.0f} ms, a label {per_label * 1e3:.1f} ms"
    )

    prior = generator.prior(space)
    makers = {
        "gradient": (per_gradient, lambda rows, j: one(found, rows, j, prior, Gradient())),
        "plain mean gradient": (
            per_gradient,
            lambda rows, j: one(found, rows, j, prior, Gradient(center="mean", values=False)),
        ),
        "ridge": (per_label, lambda rows, j: labels_only(rest, rows, attributes[j], "ridge")),
        "interfacegan": (
            per_label,
            lambda rows, j: labels_only(rest, rows, attributes[j], "interfacegan"),
        ),
    }
    results: dict[str, dict[str, list[tuple[int, float, float]]]] = {}
    for j, attribute in enumerate(attributes):
        target = reference[attribute].vector.flatten().double()
        c = cosine(*(half[attribute].vector.flatten().double() for half in halves))
        reliable = (2 * c / (1 + c)) ** 0.5 if c > 0 else float("nan")
        print(f"\n{attribute}: the reference's own cosine to its limit is {reliable:.3f}")
        results[attribute] = {}
        for method, (cost, make) in makers.items():
            available = options.codes if "gradient" in method else len(rest)
            curve = []
            for n in (30, 100, 300, 1000, 3000, 10000, 30000):
                groups = min(available // n, options.repeats)
                if not groups or (method == "interfacegan" and n < 300):
                    continue
                cosines = [
                    cosine(make(torch.arange(g * n, (g + 1) * n), j), target) for g in range(groups)
                ]
                middle = float(torch.tensor(cosines).median())
                corrected = min(middle / reliable, 1.0)
                curve.append((n, n * cost, math.degrees(math.acos(corrected))))
                print(
                    f"  {method:20s} n = {n:6d}  {n * cost:7.1f} s  cosine {middle:.3f}, "
                    f"corrected {corrected:.3f}"
                )
            results[attribute][method] = curve
    if options.figure:
        options.figure.parent.mkdir(parents=True, exist_ok=True)
        draw(results).savefig(options.figure, dpi=150)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def one(found: ScoreGradients, rows: Tensor, j: int, prior, settings: Gradient) -> Tensor:
    part = ScoreGradients(found.codes[rows], found.values[rows], found.gradients[rows])
    return estimate_direction(part, j, prior=prior, settings=settings)


def labels_only(samples: Samples, rows: Tensor, attribute: str, estimator: str) -> Tensor:
    made = Boundary(estimator=estimator, validation=0, bootstrap=0)
    own = samples.rows(rows)
    return made.discover(own, attributes=[attribute])[attribute].vector.flatten().double()


def label_seconds(generator, classifier, attributes: list[str], space: str) -> float:
    codes = generator.sample(256, seed=SEED, space=space)
    render = generator.inference(precision="bfloat16", space=space)
    score = classifier.inference(precision="bfloat16", names=attributes)
    score(render(codes))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        for part in codes.split(64):
            score(render(part))
        times.append(time.perf_counter() - start)
    return min(times) / len(codes)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def draw(results: dict[str, dict[str, list[tuple[int, float, float]]]]) -> Figure:
    figure = Figure(figsize=(9.6, 2.7 * len(results)), layout="constrained")
    figure.set_facecolor(LIGHT.background)
    for row, (attribute, curves) in enumerate(results.items()):
        for column, label in enumerate(("codes", "seconds")):
            axes = figure.add_subplot(len(results), 2, 2 * row + column + 1)
            for i, (method, curve) in enumerate(curves.items()):
                color, marker, dash = LIGHT.line(i)
                axes.plot(
                    [point[column] for point in curve],
                    [point[2] for point in curve],
                    color=color, marker=marker, linestyle=dash, markersize=5, label=method,
                )  # fmt: skip
            axes.set_xscale("log")
            axes.set_ylim(0, 90)
            axes.set_xlabel(label)
            axes.set_ylabel("angle (degrees)")
            if row == column == 0:
                axes.legend(frameon=False)
            dress(axes, LIGHT, title=attribute)
    return figure


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--classifier", default="faces+pixels")
    parser.add_argument("--attributes", default="smiling,yaw,mouth_open")
    parser.add_argument("--labels", type=Path, help="folder of samples for the reference")
    parser.add_argument("--reference", type=int, default=20_000, help="labels to draw instead")
    parser.add_argument("--codes", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--figure", type=Path, default=Path("out/benchmarks/gradient.png"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
