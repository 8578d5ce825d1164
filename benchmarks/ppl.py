"""Perceptual path length of a generator, and the cost of its exact limit.

    python benchmarks/ppl.py --generator digiface64 --count 1000

For every space and sampling, the path length with its standard error. Then, on the same pairs, the
exact limit, with tangents in float32 and in bfloat16, against finite differences of several ε: how
far they are apart, the processor time of one thread, each side's median of `--repeats` in turn, and
the time to the same standard error (time x variance) over that of the published differences.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from functools import partial

import torch

from analysis.spaces.path_length import perceptual_path_length
from directions.generators import load_generator
from directions.scoring.features import face_crop, face_features, lpips_features, pixel_features
from directions.scoring.rendering import Rendering

DISTANCES = {"faces": face_features, "lpips": lpips_features, "pixels": lambda: pixel_features}


def timed(function):
    """Result and processor seconds."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--distance", choices=DISTANCES, default="faces")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--compare-count", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compare-only", action="store_true", help="the second part alone")
    parser.add_argument("--crop", action="store_true", help="FFHQ's crop of the middle of a face")
    args = parser.parse_args()
    torch.set_num_threads(1)

    generator = load_generator(args.generator)
    features = DISTANCES[args.distance]()
    options = {"features": features, "view": partial(face_crop, crop=args.crop)}
    spaces = [] if args.compare_only else [s for s in ("z", "w") if s in generator.spaces]
    for space in spaces:
        for sampling in ("full", "end"):
            found = perceptual_path_length(
                generator, space=space, sampling=sampling, count=args.count, **options
            )
            print(replace(found, distance=args.distance), flush=True)

    ways = {
        "exact": {},
        "exact, bfloat16": {"rendering": Rendering(precision="bfloat16", progress=False)},
    }
    for epsilon in (1e-4, 1e-3, 1e-2):
        ways[f"ε = {epsilon:g}"] = {"epsilon": epsilon}
    # The first call prepares kernels.
    perceptual_path_length(generator, count=16, **options)
    times = {name: [] for name in ways}
    lengths = {}
    for _ in range(args.repeats):
        for name, way in ways.items():
            lengths[name], seconds = timed(
                lambda way=way: perceptual_path_length(
                    generator, count=args.compare_count, **options, **way
                )
            )
            times[name].append(seconds)
    exact = lengths["exact"]
    seconds = {name: statistics.median(runs) for name, runs in times.items()}
    cost = {name: seconds[name] * found.standard_error**2 for name, found in lengths.items()}
    for name, found in lengths.items():
        apart = 100 * (found.mean / exact.mean - 1)
        worst = 100 * float((found.values / exact.values - 1).abs().max())
        print(
            f"{name:15} {found.mean:9.4f} ± {found.standard_error:.3f}  {apart:+.2f} %, values "
            f"up to {worst:.2f} %  {1000 * seconds[name] / args.compare_count:5.1f} ms a pair, "
            f"{cost[name] / cost['ε = 0.0001']:.2f} to the same standard error"
        )


if __name__ == "__main__":
    main()
