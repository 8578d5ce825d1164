"""Coverage of the cones of logistic boundaries: one step a replicate, beside refits.

    python benchmarks/cone_coverage.py --rows 2000 --size 461 --noise 1 0.3 --repeats 200

Codes are standard normal, labels the sign of one coordinate plus noise. Of each repetition's fit
the angle to the truth is compared with the cone by `one_step_cone`, as `Boundary` has it, and, for
each tenth, with that of 50 fits with random weights of the rows. Results go to
`results/cone-coverage.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from larger_than_memory import refitted

from discovery.estimators.chunks import InMemory
from discovery.estimators.cones import angles
from discovery.estimators.one_step import one_step_cone
from discovery.estimators.smooth_margin import smooth_margin

STORED = Path(__file__).parent / "results" / "cone-coverage.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--size", type=int, default=461)
    parser.add_argument("--noise", type=float, nargs="+", default=[1.0])
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    for noise in options.noise:
        found = measured(options.rows, options.size, noise, options.repeats)
        stored[f"{options.rows} x {options.size}, noise {noise:g}"] = found
        print(noise, json.dumps(found), flush=True)
        STORED.write_text(json.dumps(stored, indent=1) + "\n")


def measured(n: int, d: int, noise: float, repeats: int) -> dict[str, float]:
    """Median angles and the share of repetitions whose cone holds the truth."""
    true, steps, refits = [], [], []
    for seed in range(repeats):
        rng = torch.Generator().manual_seed(seed)
        codes, axis = torch.randn(n, d, generator=rng), torch.eye(d)[:1]
        labels = (codes[:, 0] + noise * torch.randn(n, generator=rng)).sign()[None]
        bounds = torch.ones_like(labels)
        plane = smooth_margin(codes, labels, bounds, loss="logistic")
        true.append(angles(plane.weights[None], axis)[0])
        steps.append(
            one_step_cone(InMemory(codes), labels, bounds, plane, loss="logistic", seed=seed)
        )
        if seed % 10 == 0:
            refits.append(refitted(codes, labels, plane))
    angle, step, refit = (torch.cat(part) for part in (true, steps, refits))
    return {
        "repeats": repeats,
        "angle_median": round(float(angle.median()), 1),
        "angle_95": round(float(angle.quantile(0.95)), 1),
        "one_step_cone": round(float(step.median()), 1),
        "one_step_coverage": round(float((angle <= step).float().mean()), 3),
        "refits_cone": round(float(refit.median()), 1),
        "refits_coverage": round(float((angle[::10] <= refit).float().mean()), 3),
    }


if __name__ == "__main__":
    main()
