"""Images repaired by inversion: a hole, few pixels, gray, noise; PSNR of the image before it.

    python benchmarks/repair.py [--count 64] [--figure repair.png]

Faces are digiface64's own, of codes that nothing was fitted to, so that the truth is known.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

import directions as d
from directions.inversion import Degradation, Gray, Mask, Noise, Ridge, Shrink, psnr
from directions.inversion.degradations import transpose

SEED, SHOWN = 77, 6


def kinds() -> dict[str, Degradation]:
    visible = torch.ones(64, 64, dtype=torch.bool)
    visible[16:40, 20:44] = False
    return {"hole": Mask(visible), "÷ 4": Shrink(4), "gray": Gray(), "noise 0.1": Noise(0.1)}


def shown(degradation: Degradation, seen: torch.Tensor) -> torch.Tensor:
    """What was observed as an image of full size."""
    if isinstance(degradation, Mask):
        there = degradation.visible.float()
        return transpose(degradation, seen, (3, 64, 64)) + (1 - there)
    if isinstance(degradation, Shrink):
        return seen.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return seen.expand(-1, 3, -1, -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    generator = d.load_generator("digiface64")
    images = generator.synthesize(generator.sample(options.count, seed=SEED))
    rows, labels = [images[:SHOWN]], ["truth"]
    for name, degradation in kinds().items():
        seen = degradation(images)
        rng = torch.Generator().manual_seed(SEED)
        seen = seen + degradation.noise * torch.randn(seen.shape, generator=rng)
        start = Ridge()
        d.invert(generator, seen[:1], degradation=degradation, start=start)  # fits the start
        begun = time.perf_counter()
        found = d.invert(generator, seen, degradation=degradation, start=start)
        seconds = (time.perf_counter() - begun) / options.count
        made = found.reconstruct()
        quality = psnr(made, images)
        figures = {
            "degradation": name,
            "images": options.count,
            "before": float(psnr(seen, images).median()) if degradation.noise else None,
            "median": float(quality.median()),
            "lowest_tenth": float(quality.quantile(0.1)),
            "seconds_an_image": seconds,
            "statuses": {status: found.statuses.count(status) for status in set(found.statuses)},
        }
        print(json.dumps(figures))
        rows += [shown(degradation, seen)[:SHOWN], made[:SHOWN]]
        labels += [name, "repaired"]
    if options.figure:
        d.save_png(d.grid(torch.stack(rows), rows=labels, tile=96), options.figure)


if __name__ == "__main__":
    main()
