"""The built-in encoders beside ridge regression: one pass, and what refining from each costs.

    python benchmarks/encoders.py --generator styleface64 [--fit FOLDER]

256 held-out samples in one pass: PSNR, centered cosine of face embeddings, CPU time an image; then
16 of them refined by `hybrid` to a PSNR, without restarts: CPU seconds, ridge's fit not counted.
Results go to `results/encoders-X.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import directions as d
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.inversion import Ridge, find_solver, fitted, psnr
from directions.inversion.encoders.files import BUILT_IN
from directions.scoring.rendering import Rendering

HERE = Path(__file__).parent
SEED, COUNT, BATCH, REFINED, TARGET = 4242, 256, 32, 16, 40.0


def in_batches(function: Any, rows: Tensor) -> tuple[Tensor, float]:
    """What a function makes of rows, and CPU milliseconds a row."""
    with torch.no_grad():
        begun = time.process_time()
        made = torch.cat([function(part).clone() for part in torch.split(rows, BATCH)])
    return made, 1000 * (time.process_time() - begun) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", choices=sorted(BUILT_IN), default="styleface64")
    parser.add_argument("--repeat", type=int, default=3, help="refinements, alternating")
    parser.add_argument("--fit", type=Path, help="folder that keeps ridge's fit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator, space = d.load_generator(options.generator), BUILT_IN[options.generator]
    ridge = fitted(generator, space=space, metric=True, folder=options.fit)
    encoder, embed = d.load_encoder(options.generator), FaceEmbedding()
    render = generator.inference(space=space)
    images = in_batches(render, generator.sample(COUNT, seed=SEED, space=space))[0]
    faces = in_batches(embed, images)[0]
    center, made = faces.mean(0), {}
    for name, predict in (("encoder", encoder.encode), ("ridge", ridge.predicted)):
        codes, taken = in_batches(predict, images)
        again = in_batches(render, codes)[0]
        cosine = functional.cosine_similarity(in_batches(embed, again)[0] - center, faces - center)
        made[name] = {
            "psnr": float(psnr(again, images).mean()),
            "identity": float(cosine.mean()),
            "ms": taken,
            "seconds": [],
        }
    starts = {"encoder": "encoder", "ridge": Ridge(folder=options.fit)}
    solver = find_solver("hybrid", target=TARGET)
    for _ in range(options.repeat):
        for name, start in starts.items():
            begun = time.process_time()
            found = d.invert(
                generator, images[:REFINED], space=space, start=start, solver=solver, restarts=0,
                rendering=Rendering(progress=False),
            )  # fmt: skip
            made[name]["seconds"].append(time.process_time() - begun)
            made[name]["reached"] = float((found.psnr >= TARGET).float().mean())
    for name, row in made.items():
        row["median_seconds"] = statistics.median(row["seconds"])
        print(name, {k: v if isinstance(v, list) else round(v, 3) for k, v in row.items()})
    print("encoder/ridge", made["encoder"]["median_seconds"] / made["ridge"]["median_seconds"])
    path = HERE / "results" / f"encoders-{options.generator}.json"
    path.write_text(json.dumps({"refined": REFINED, "target": TARGET, **made}, indent=1) + "\n")


if __name__ == "__main__":
    main()
