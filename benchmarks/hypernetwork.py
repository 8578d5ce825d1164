"""A hypernetwork of styleface64 over its built-in encoder: training, and one pass on unseen images.

    python benchmarks/hypernetwork.py --out hyper.safetensors [--steps 2000] [--images 48]

Trained on samples, half of them of two codes mixed by layer, and on faces of digiface64, which
styleface64 does not quite make. Measured on others of each kind, on samples rotated and shifted,
and on a photograph: PSNR and centered cosine of face embeddings, with the encoder's code alone and
with the change of weights. The same command goes on where a killed one ended; a file that is there
is only measured. Results go to `results/hypernetwork-styleface64.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import directions as d
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.inversion import psnr
from directions.inversion.hypernetworks.learner import Images

HERE = Path(__file__).parent
REAL = 4096


def teacher_faces(count: int, seed: int) -> Tensor:
    """Faces of digiface64."""
    teacher = d.load_generator("digiface64")
    render = teacher.inference()
    codes = teacher.sample(count, seed=seed)
    return torch.cat([render(part).clone() for part in torch.split(codes, 64)]).clamp(-1, 1)


def shifted(images: Tensor) -> Tensor:
    """Rotated by 6 degrees and shifted by a few pixels."""
    matrix = torch.tensor([[[0.97, 0.1, 0.08], [-0.1, 0.97, -0.06]]]).expand(len(images), -1, -1)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--images", type=int, default=48, help="of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = d.load_encoder("styleface64")
    generator, count = encoder.generator, options.images
    if not options.out.is_file():
        trained = d.train_hypernetwork(
            encoder,
            recipe=d.HypernetworkRecipe(passes=1, features=0.0),
            schedule=d.TrainingSchedule(steps=options.steps, batch_size=8),
            images=teacher_faces(REAL, 77),
            checkpoint=options.out.with_suffix(".run"),
            name="hyperstyle",
        )
        d.save_hypernetwork(trained.hypernetwork, options.out)
    hyper, embed = d.load_hypernetwork(options.out, encoder=encoder), FaceEmbedding()
    samples = generator.synthesize(generator.sample(count, seed=4243, space="w"), "w").clamp(-1, 1)
    kinds = {
        "samples of w": samples,
        "mixes in w+": Images(encoder, 1.0, 1.0, None).generated(count, seed=4244, step=0),
        "samples, rotated and shifted": shifted(samples),
        "faces of digiface64": teacher_faces(count, 4245),
        "the astronaut": d.open_photograph(
            HERE.parent / "docs" / "images" / "astronaut.jpg", generator
        ).image,
    }
    center, rows = embed(samples).mean(0), {}
    for kind, images in kinds.items():
        begun = time.process_time()
        found = hyper.predict(images)
        taken = 1000 * (time.process_time() - begun) / len(images)
        plain = generator.synthesize(found.codes, found.space)
        rows[kind] = {"ms": taken, "bytes": found.deltas[0].size}
        for name, made in (("encoder", plain), ("hypernetwork", found.images)):
            faces = embed(images) - center
            rows[kind] |= {
                f"{name}_psnr": float(psnr(made, images).mean()),
                f"{name}_identity": float(
                    functional.cosine_similarity(embed(made) - center, faces).mean()
                ),
            }
        print(kind, {k: round(v, 3) for k, v in rows[kind].items()}, flush=True)
    path = HERE / "results" / "hypernetwork-styleface64.json"
    path.write_text(json.dumps({"images": count, "kinds": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
