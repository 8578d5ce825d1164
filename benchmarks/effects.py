"""Measuring edits: images a second beside sampling, and effects against the plain double loop.

    python benchmarks/effects.py --generator digiface64 --classifier faces+pixels
    python benchmarks/effects.py --loop          # the planted generator, against the loop

Rates are of one run: sampling, `measure_effects`, `measure_curves` without and with identity
embeddings, and `measure_realism` take turns, at the precision and batch size that sampling
measures; medians of `--repeats`. The loop scores the moved and the unmoved codes anew for each
direction, one direction at a time. Both give the same matrix; the script checks it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from analysis import (
    HELD_OUT_SEED,
    effects_of,
    measure_curves,
    measure_effects,
    measure_realism,
    random_directions,
)
from analysis.evaluation import AMOUNTS, embedding
from directions import Rendering
from directions.classifiers import load_classifier
from directions.generators import load_generator
from directions.scoring.scorer import Scorer
from directions.scoring.tuning import MEASURE_FROM
from discovery import sample


def loop(generator, classifier, bank, *, count, step):
    """Effects by a loop."""
    means = []
    for direction in bank.directions:
        codes = generator.sample(count, seed=HELD_OUT_SEED, space=direction.space)
        with torch.inference_mode():
            before = classifier(generator.synthesize(codes, direction.space))
            after = classifier(generator.synthesize(direction.shift(codes, step), direction.space))
        means.append((after - before).double().mean(0) / step)
    return torch.stack(means)


def timed(ways, repeats):
    """Median seconds of ways that take turns, and their last results."""
    times = {name: [] for name in ways}
    results = {}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            results[name] = way()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}, results


def rates(generator, classifier, bank, args) -> None:
    """Print images a second of everything that renders."""
    embed = embedding(classifier)
    rendering = Scorer(generator, classifier, n=MEASURE_FROM).rendering
    quiet = Rendering(precision=rendering.precision, batch_size=rendering.batch_size, compile=False,
                      progress=False)  # fmt: skip
    shared = {"count": args.count, "rendering": quiet}
    moves = (len(AMOUNTS) - 1) * len(bank)
    reference = 2 * args.realism
    ways = {
        "sample": lambda: sample(generator, classifier, args.samples, seed=5, rendering=quiet),
        "measure_effects": lambda: measure_effects(generator, classifier, bank, **shared),
        "measure_curves": lambda: measure_curves(
            generator, classifier, bank, amounts=AMOUNTS, **shared
        ),
    }
    images = {
        "sample": args.samples,
        "measure_effects": args.count * (1 + len(bank)),
        "measure_curves": args.count * (1 + moves),
    }
    if embed is not None:
        ways["… with identity"] = lambda: measure_curves(
            generator, classifier, bank, amounts=AMOUNTS, embed=embed, **shared
        )
        ways["measure_realism"] = lambda: measure_realism(
            generator, bank, embed, amounts=(-2.0, 2.0), count=args.realism, reference=reference,
            rendering=quiet,
        )  # fmt: skip
        images["… with identity"] = images["measure_curves"]
        images["measure_realism"] = reference + args.realism * (1 + 2 * len(bank))
    seconds, _ = timed(ways, args.repeats)
    print(
        f"{quiet.precision}, batch {quiet.batch_size}, {len(bank)} directions, {args.count} codes"
    )
    fastest = images["sample"] / seconds["sample"]
    for name, taken in seconds.items():
        rate = images[name] / taken
        print(f"{name:16} {rate:8.1f} images/s   sampling is {fastest / rate:.2f} times as fast")


def against_the_loop(generator, classifier, bank, args) -> None:
    """Print seconds of one shared pass and of the loops, and check that they agree."""
    exact = Rendering(precision="float32", progress=False)

    def batched():
        curves = measure_curves(
            generator, classifier, bank, amounts=(2.0,), count=args.count, rendering=exact
        )
        return effects_of(curves, step=2.0)

    ways = {
        "plain loops": lambda: loop(generator, classifier, bank, count=args.count, step=2.0),
        "measure_effects": batched,
    }
    seconds, results = timed(ways, args.repeats)
    found = results["measure_effects"]
    torch.testing.assert_close(found.mean.double(), results["plain loops"], atol=1e-3, rtol=1e-3)
    print(f"{len(bank)} directions, {args.count} codes")
    for name, taken in seconds.items():
        print(f"{name:16} {taken:8.2f} s")
    print(f"ratio {seconds['plain loops'] / seconds['measure_effects']:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="planted")
    parser.add_argument("--classifier", help="by default the planted generator's own")
    parser.add_argument("--directions", type=int, default=16)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--realism", type=int, default=160, help="codes moved for realism")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--loop", action="store_true", help="against the plain loops")
    args = parser.parse_args()

    generator = load_generator(args.generator)
    classifier = load_classifier(args.classifier) if args.classifier else generator.classifier()
    bank = random_directions(generator, n_directions=args.directions)
    (against_the_loop if args.loop else rates)(generator, classifier, bank, args)


if __name__ == "__main__":
    main()
