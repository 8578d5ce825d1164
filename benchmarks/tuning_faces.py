"""Tuning of styleface64 to photographs, and to eight of its faces warped out of its range.

    python benchmarks/tuning_faces.py [--bank smile.safetensors] [--only "Grace Hopper;rotated 1"]
    python benchmarks/tuning_faces.py --photographs FOLDER

The pivot is one by 4 steps of Levenberg-Marquardt from the encoder; `LocalPivotal` tunes to 35 dB,
in 500 steps at most. Of each image: PSNR of the pivot and after tuning, how near images of 64 other
codes stay, by how much a boundary of 2,000 labels raises the log odds of smiling from -3 to 3
standard deviations, bytes, and seconds of the processor on one thread for pivot and tuning, in
which other images are measured too. Two photographs are in the public domain and at hand: Eileen
Collins, by NASA, and Grace Hopper, by the U.S. Navy, of matplotlib's sample data; `--photographs`
reads more, named by their files. Results go to `results/tuning-faces.json`, beside those that are
there, with the sha256 of each photograph, pictures of the two and of warped faces to
`docs/images/tuned-faces.jpg`: the image, that of the pivot, that of the tuned copy, and it at -3
and 3 standard deviations of smiling.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import matplotlib
import torch
from torch import Tensor
from tuning import GOAL, HERE, PHOTO, QUIET, figures, smiling, warped

import directions as d
from directions.classifiers.faces import faces
from directions.generators.base import Generator
from directions.inversion import find_solver
from directions.seeds import HELD_OUT_SEED

OUT = HERE / "results" / "tuning-faces.json"
PICTURE = HERE.parent / "docs" / "images" / "tuned-faces.jpg"
METHOD = d.LocalPivotal(goal=GOAL, steps=500)
AMOUNTS = (-3.0, 3.0)
ROWS = ["image", "pivot", "tuned", "smiling −3 sd", "smiling +3 sd"]


def photographs(folder: Path | None) -> dict[str, Path]:
    """Files by the names of what they show."""
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    more = [] if folder is None else sorted(folder.glob("*.jpg"))
    return {"Eileen Collins": PHOTO, "Grace Hopper": hopper, **{file.stem: file for file in more}}


def own_faces(generator: Generator, count: int = 8) -> dict[str, Tensor]:
    """The generator's own, each rotated by 20 degrees or shifted by 0.15 of the side."""
    codes = generator.sample(count, seed=HELD_OUT_SEED, space="w")
    images = generator.synthesize(codes, "w").clamp(-1, 1)
    made = {}
    for i, image in enumerate(images.split(1)):
        if i % 2:
            made[f"shifted {i + 1}"] = warped(image, shift=0.15)
        else:
            made[f"rotated {i + 1}"] = warped(image, angle=20.0)
    return made


def tuned(
    generator: Generator, image: Tensor, bank: d.DirectionBank
) -> tuple[dict[str, Any], Tensor]:
    """Figures of an image, and its row of pictures."""
    solver, start = find_solver("levenberg_marquardt", steps=4), d.load_encoder("styleface64")
    begun = time.process_time()
    pivot = d.invert(
        generator, image, space="w", solver=solver, start=start, restarts=0, rendering=QUIET
    )
    made = d.tune(generator, image, pivot.codes, space="w", method=METHOD, progress=False)
    row = {
        "cpu_seconds": time.process_time() - begun,
        **figures(made),
    }
    moved = [
        d.move(made.codes, bank, {"smiling": amount}, generator=made.generator)
        for amount in (0.0, *AMOUNTS)
    ]
    shown = made.generator.synthesize(torch.cat(moved), "w").clamp(-1, 1)
    _, low, high = faces().logits_of(shown, ["smiling"])[:, 0].tolist()
    row["smiling"] = high - low
    return row, torch.cat([image, generator.synthesize(made.codes, "w").clamp(-1, 1), shown])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bank", type=Path, help="file that keeps the boundary")
    parser.add_argument("--photographs", type=Path, help="folder of further JPEG files")
    parser.add_argument("--only", help="names, with semicolons between; nothing is stored")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = d.load_generator("styleface64")
    bank, files = smiling(generator, options.bank), photographs(options.photographs)
    images = {name: d.open_photograph(file, generator).image for name, file in files.items()}
    images |= own_faces(generator)
    chosen = options.only.split(";") if options.only else list(images)
    # What is loaded or measured once for a generator is left out.
    d.invert(
        generator, images["rotated 1"], space="w", start=d.load_encoder("styleface64"), restarts=0,
        solver=find_solver("levenberg_marquardt", steps=1), rendering=QUIET,
    )  # fmt: skip
    rows: dict[str, dict[str, Any]] = {}
    pictures: dict[str, Tensor] = {}
    for name in chosen:
        rows[name], shown = tuned(generator, images[name], bank)
        print(name, {key: round(value, 2) for key, value in rows[name].items()}, flush=True)
        if name in files:
            rows[name]["sha256"] = hashlib.sha256(files[name].read_bytes()).hexdigest()
        pictures[name] = shown
    if options.only is None:
        known = json.loads(OUT.read_text())["faces"] if OUT.is_file() else {}
        OUT.write_text(json.dumps({"goal": GOAL, "faces": known | rows}, indent=1) + "\n")
        # A column an image.
        names = [*photographs(None), *list(own_faces(generator))[:6]]
        sheet = torch.stack([pictures[name] for name in names], 1)
        d.grid(sheet, columns=names, rows=ROWS, tile=112).save(PICTURE, quality=92)


if __name__ == "__main__":
    main()
