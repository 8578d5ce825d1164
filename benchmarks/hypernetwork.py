"""Hypernetworks of styleface64 over its built-in encoder: training, and passes on unseen images.

    python benchmarks/hypernetwork.py --recipe hyperinverter --out h.safetensors --rate 1e-3
    python benchmarks/hypernetwork.py --beside h.safetensors,other.safetensors

With `--out` one is trained by the recipe on samples, half of them of two codes mixed by layer, and
on faces of digiface64, which styleface64 does not quite make; the same command goes on where a
killed one ended. Without it the built-in one and those `--beside` it are measured, on others of
each kind, on samples rotated and shifted, and on a photograph: PSNR and centered cosine of face
embeddings, with the encoder's code alone and with the change of weights after one pass, or after
more of those trained to look more than once. Results go to
`results/hypernetwork-styleface64.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import directions as d
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.inversion import psnr
from directions.inversion.hypernetworks import HYPERNETWORK_RECIPES, find_hypernetwork_recipe
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


def train(options: argparse.Namespace, encoder: d.Encoder) -> None:
    """By a recipe, without features and critic, into a file."""
    recipe = replace(find_hypernetwork_recipe(options.recipe), features=0.0, image_critic=0.0)
    training = d.train_hypernetwork(
        encoder,
        recipe=recipe if options.passes is None else replace(recipe, passes=options.passes),
        schedule=d.TrainingSchedule(steps=options.steps, batch_size=8, rate=options.rate),
        images=teacher_faces(REAL, 77),
        checkpoint=options.out.with_suffix(".run"),
        name=f"styleface64/{options.recipe}",
    )
    d.save_hypernetwork(training.hypernetwork, options.out)
    print(training)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", choices=sorted(HYPERNETWORK_RECIPES), default="gradient")
    parser.add_argument("--out", type=Path, help="file of one to train")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=3e-2, help="1e-3 for networks")
    parser.add_argument("--passes", type=int, help="of training; by default the recipe's")
    parser.add_argument("--beside", default="", help="files of others to measure, commas between")
    parser.add_argument("--images", type=int, default=48, help="of each kind")
    parser.add_argument("--looks", type=int, default=3, help="passes measured, at most")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = d.load_encoder("styleface64")
    if options.out:
        train(options, encoder)
        return
    files = ["styleface64", *filter(None, options.beside.split(","))]
    measure([d.load_hypernetwork(f, encoder=encoder) for f in files], encoder, options)


def measure(
    networks: list[d.Hypernetwork], encoder: d.Encoder, options: argparse.Namespace
) -> None:
    """All of them on the same images."""
    generator, count, embed = encoder.generator, options.images, FaceEmbedding()
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
    with torch.no_grad():
        center = embed(samples).mean(0)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for kind, images in kinds.items():

        def quality(made: Tensor, images: Tensor = images) -> dict[str, float]:
            with torch.no_grad():
                pair = (embed(x) - center for x in (made, images))
                identity = float(functional.cosine_similarity(*pair).mean())
            return {"psnr": float(psnr(made, images).mean()), "identity": identity}

        plain = generator.synthesize(encoder.encode(images), encoder.space)
        rows[kind] = {"encoder": quality(plain)}
        for hyper in networks:
            hyper.predict(images[:1])  # what is prepared once
            for looks in range(1, 1 + (options.looks if hyper.passes > 1 else 1)):
                begun = time.process_time()
                found = hyper.predict(images, passes=looks)
                taken = 1000 * (time.process_time() - begun) / len(images)
                rows[kind][f"{hyper.name.rpartition('/')[2]}, {looks}"] = {
                    **quality(found.images), "ms": taken, "bytes": found.deltas[0].size,
                }  # fmt: skip
        for way, row in rows[kind].items():
            print(kind, way, {k: round(v, 3) for k, v in row.items()}, flush=True)
    path = HERE / "results" / "hypernetwork-styleface64.json"
    path.write_text(json.dumps({"images": count, "kinds": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
