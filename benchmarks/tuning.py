"""Tuning of styleface64 to a photograph and to faces out of range, beside the original's recipe.

    python benchmarks/tuning.py [--only "low rank"] [--targets photograph] [--bank F]

Each way goes to 35 dB: the original's, a pivot by 450 steps of the StyleGAN2-ADA projector and all
numbers by Adam at 3e-4, with its locality and without (pixels only: no LPIPS weights are needed,
which would cost it more); ours, a pivot by 4 steps of Levenberg-Marquardt from the encoder (2 where
other images are held as little as the original's locality does, or not) and `LocalPivotal`;
and `Pivotal` of rank 16, whose every step renders images of other codes, at a pivot by 12 steps.
Of each: seconds of pivot and tuning on one thread (the pivot's of the processor, the tuning's on
the wall, without those that measure other images), how near images of other codes stay, the size,
and by how much a boundary of 2,000 labels raises the log odds of smiling from -2 to 2 standard
deviations. Faces out of range are the generator's own, rotated by 20 degrees or shifted by an
eighth. Every run is added to the file of results as soon as it is measured; its medians are over
the runs in it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

import directions as d
import discovery
from directions.classifiers.faces import faces
from directions.generators.base import Generator
from directions.inversion import Best, find_recipe, find_solver
from directions.scoring.rendering import Rendering
from directions.seeds import HELD_OUT_SEED

HERE = Path(__file__).parent
PHOTO = HERE.parent / "docs" / "images" / "astronaut.jpg"
OUT = HERE / "results" / "tuning.json"
GOAL = 35.0
QUIET = Rendering(progress=False)


def ways() -> dict[str, tuple[object, object, d.Pivotal | d.LocalPivotal]]:
    careful = find_solver("levenberg_marquardt", steps=12), Best(128)
    encoder = d.load_encoder("styleface64")
    quick, quicker = ((find_solver("levenberg_marquardt", steps=n), encoder) for n in (4, 2))
    projector = find_recipe("stylegan2_ada", steps=450, rate=0.01), "mean"
    free = d.LocalPivotal(locality=0, probes=16, rate=0.015, style_rate=0.05, goal=GOAL)
    light = d.LocalPivotal(
        locality=1, others=None, probes=32, rate=0.015, style_rate=0.1, goal=GOAL
    )
    return {
        "original": (*projector, d.Pivotal.original(goal=GOAL)),
        "original, locality": (*projector, d.Pivotal.original(local=True, goal=GOAL)),
        "local, free": (*quicker, free),
        "local, light": (*quicker, light),
        "local": (*quick, d.LocalPivotal(goal=GOAL)),
        "low rank": (*careful, d.Pivotal(rate=3e-3, locality=0, goal=GOAL)),
        "low rank, locality": (*careful, d.Pivotal(goal=GOAL)),
    }


def warped(images: Tensor, *, angle: float = 0.0, shift: float = 0.0) -> Tensor:
    """Images rotated by an angle in degrees, and shifted by a share of their side."""
    turn = torch.tensor(angle).deg2rad()
    rows = [[turn.cos(), -turn.sin(), 2 * shift], [turn.sin(), turn.cos(), 0.0]]
    matrix = torch.tensor(rows)[None].expand(len(images), -1, -1)
    places = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, places, padding_mode="reflection", align_corners=False)


def targets(generator: Generator) -> dict[str, Tensor]:
    codes = generator.sample(2, seed=HELD_OUT_SEED, space="w")
    own = generator.synthesize(codes, "w").clamp(-1, 1)
    return {
        "photograph": d.open_photograph(PHOTO, generator).image,
        "rotated face": warped(own[:1], angle=20.0),
        "shifted face": warped(own[1:], shift=0.125),
    }


def smiling(generator: Generator, path: Path | None) -> d.DirectionBank:
    """A boundary of 2,000 labels, kept where a path is given."""
    if path is not None and path.is_file():
        return d.DirectionBank.load(path)
    samples = discovery.sample(
        generator, faces(), 2000, seed=0, attributes=["smiling"], space="w", rendering=QUIET
    )
    bank = discovery.Boundary().discover(samples)
    if path is not None:
        bank.save(path)
    return bank


def figures(made: d.Tuning) -> dict[str, float]:
    """How far a tuning came, how near other images stayed, and its size."""
    return {
        "steps": made.steps,
        "pivot_psnr": float(made.before),
        "psnr": float(made.psnr),
        "others_median": float(made.others.median()),
        "others_least": float(made.others.min()),
        "megabytes": made.deltas.size / 1e6,
    }


def raised(made: d.Tuning, bank: d.DirectionBank) -> float:
    """Log odds of smiling at 2 standard deviations less those at -2, by the tuned copy."""
    codes = [d.move(made.codes, bank, {"smiling": a}, generator=made.generator) for a in (-2, 2)]
    images = made.generator.synthesize(torch.cat(codes), "w").clamp(-1, 1)
    low, high = faces().logits_of(images, ["smiling"])[:, 0].tolist()
    return high - low


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names of ways, with semicolons between")
    parser.add_argument("--targets", default="photograph")
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = d.load_generator("styleface64")
    bank, images = smiling(generator, options.bank), targets(generator)
    # What is loaded or measured once for a generator is left out.
    quick, encoder, _ = ways()["local, free"]
    first = d.invert(
        generator, images["photograph"], space="w", solver=quick, start=encoder, restarts=0,
        rendering=QUIET,
    )  # fmt: skip
    d.tune(generator, images["photograph"], first.codes, space="w", method=d.Pivotal(steps=2),
           progress=False)  # fmt: skip
    chosen = options.only.split(";") if options.only else list(ways())
    for target in options.targets.split(";"):
        for name in chosen:
            solver, start, method = ways()[name]
            begun = time.process_time()
            pivot = d.invert(
                generator, images[target], space="w", solver=solver, start=start, restarts=0,
                rendering=QUIET,
            )  # fmt: skip
            middle = time.process_time()
            made = d.tune(
                generator, images[target], pivot.codes, space="w", method=method, progress=False
            )
            row = {
                "pivot_seconds": middle - begun,
                "seconds": middle - begun + made.seconds,
                **figures(made),
                "smiling": raised(made, bank),
            }
            print(target, name, {k: round(v, 2) for k, v in row.items()}, flush=True)
            kept(options.out, target, name, row)


def kept(path: Path, target: str, name: str, row: dict[str, float]) -> None:
    """Add a run to the file, with the medians over all of them."""
    found = json.loads(path.read_text()) if path.is_file() else {"goal": GOAL, "runs": {}}
    found["runs"].setdefault(target, {}).setdefault(name, []).append(row)
    found["median"] = {
        t: {n: {key: median(r[key] for r in rows) for key in row} for n, rows in by_way.items()}
        for t, by_way in found["runs"].items()
    }
    for by_way in found["median"].values():
        for way in by_way.values():
            if "original" in by_way:
                way["ratio"] = by_way["original"]["seconds"] / way["seconds"]
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
