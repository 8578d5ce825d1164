"""Measuring effects: one batched pass with shared originals against the plain double loop.

    python benchmarks/effects.py --generator digiface64 --classifier faces

The plain way scores the moved and the unmoved codes anew for each direction, one direction at a
time, and resamples codes in a Python loop. Both give the same matrix; the script checks it. Times
are medians of `--repeats`, the two ways alternating.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from analysis import HELD_OUT_SEED, measure_effects, random_directions
from directions.classifiers import load_classifier
from directions.generators import load_generator


def plain(generator, classifier, bank, *, count, step, draws):
    """Effects and intervals by loops."""
    rng = torch.Generator().manual_seed(0)
    picks = torch.randint(count, (draws, count), generator=rng)
    means, lows, highs = [], [], []
    for direction in bank.directions:
        codes = generator.sample(count, seed=HELD_OUT_SEED, space=direction.space)
        with torch.inference_mode():
            before = classifier(generator.synthesize(codes, direction.space))
            after = classifier(generator.synthesize(direction.shift(codes, step), direction.space))
        deltas = (after - before).double() / step
        resampled = torch.stack([deltas[row].mean(0) for row in picks])
        low, high = torch.quantile(resampled, torch.tensor([0.025, 0.975]).double(), dim=0)
        means.append(deltas.mean(0))
        lows.append(low)
        highs.append(high)
    return torch.stack(means), torch.stack(lows), torch.stack(highs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="planted")
    parser.add_argument("--classifier", help="by default the planted generator's own")
    parser.add_argument("--directions", type=int, default=16)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    generator = load_generator(args.generator)
    classifier = load_classifier(args.classifier) if args.classifier else generator.classifier()
    bank = random_directions(generator, count=args.directions)
    ways = {
        "plain loops": lambda: plain(
            generator, classifier, bank, count=args.count, step=2.0, draws=args.draws
        ),
        "measure_effects": lambda: measure_effects(
            generator, classifier, bank, count=args.count, step=2.0, bootstrap=args.draws
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    results = {}
    for _ in range(args.repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            results[name] = way()
            times[name].append(time.perf_counter() - start)
    loops, batched = results["plain loops"], results["measure_effects"]
    for mine, theirs in zip((batched.mean, batched.low, batched.high), loops, strict=True):
        torch.testing.assert_close(mine.double(), theirs, atol=1e-3, rtol=1e-3)
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"{args.directions} directions, {args.count} codes, {args.draws} resamples")
    for name, seconds in median.items():
        print(f"{name:16} {seconds:8.2f} s")
    print(f"ratio {median['plain loops'] / median['measure_effects']:.1f}")


if __name__ == "__main__":
    main()
