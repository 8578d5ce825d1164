"""Tuning of styleface64 to a photograph: seconds to 35 dB beside the original's recipe.

    python benchmarks/tuning.py [--turns 3] [--out benchmarks/results/tuning.json]

In turns, in one run: pivot by 450 steps of the StyleGAN2-ADA projector and all numbers of the
convolutions by Adam at 3e-4 (pixels only: no LPIPS weights are needed), and ours, a pivot by 12
steps of Levenberg-Marquardt and changes of rank 16, with and without locality. Both stop at the
same PSNR. The paper's LPIPS would cost its recipe more.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

import directions as d
from directions.inversion import Best, find_recipe, find_solver

PHOTO = Path(__file__).parents[1] / "docs" / "images" / "astronaut.jpg"
GOAL = 35.0


def ways() -> dict[str, tuple[object, object, d.Pivotal]]:
    quick = find_solver("levenberg_marquardt", steps=12)
    projector = find_recipe("stylegan2_ada", steps=450, rate=0.01)
    return {
        "original": (projector, "mean", d.Pivotal.original(goal=GOAL)),
        "low rank": (quick, Best(128), d.Pivotal(rate=3e-3, locality=0, goal=GOAL)),
        "low rank, locality": (quick, Best(128), d.Pivotal(goal=GOAL)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = d.load_generator("styleface64")
    photo = d.open_photograph(PHOTO, generator)
    d.tune(generator, photo.image, generator.sample(1, seed=0, space="w"), space="w",
           method=d.Pivotal(steps=2), progress=False)  # fmt: skip
    rows: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.turns):
        for name, (solver, start, method) in ways().items():
            begun = time.perf_counter()
            pivot = d.invert(
                generator, photo.image, space="w", solver=solver, start=start, restarts=0
            )
            middle = time.perf_counter()
            made = d.tune(
                generator, photo.image, pivot.codes, space="w", method=method, progress=False
            )
            rows.setdefault(name, []).append(
                {
                    "pivot_seconds": middle - begun,
                    "seconds": middle - begun + made.seconds,
                    "steps": made.steps,
                    "pivot_psnr": float(made.before),
                    "psnr": float(made.psnr),
                    "others_median": float(made.others.median()),
                    "others_least": float(made.others.min()),
                    "megabytes": made.deltas.size / 1e6,
                }
            )
            print(name, {k: round(v, 2) for k, v in rows[name][-1].items()}, flush=True)
    result = {
        name: {key: float(torch.tensor([r[key] for r in runs]).median()) for key in runs[0]}
        for name, runs in rows.items()
    }
    for found in result.values():
        found["ratio"] = result["original"]["seconds"] / found["seconds"]
    print(json.dumps(result, indent=1))
    if options.out is not None:
        options.out.write_text(
            json.dumps({"turns": options.turns, "ways": result}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
