"""The margin at which the face classifier is most consistent: the table of its card.

    python benchmarks/face_margin.py [--count 256]

Rank correlation of the scores of digiface64 faces with those of the same faces flipped (yaw and
roll with their sign turned) and shifted by two pixels in the four directions, for several
margins. Nothing here says that the scores are right, only that they are steady.
"""

from __future__ import annotations

import argparse

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions.classifiers.faces.classifier import faces
from directions.generators.dcgan import digiface64

MARGINS = (-0.1, -0.05, 0.0, 0.05, 0.1, 0.2)
NAMES = ("smiling", "neutral", "male", "age", "yaw", "pitch", "roll", "mouth_open", "eyes_open")
ODD = ("yaw", "roll")
PIXELS = 2


def shifted(images: Tensor) -> list[Tensor]:
    """The images moved up, down, left and right, their edge repeated."""
    size, padded = images.shape[-1], F.pad(images, [PIXELS] * 4, mode="replicate")
    starts = ((0, PIXELS), (2 * PIXELS, PIXELS), (PIXELS, 0), (PIXELS, 2 * PIXELS))
    return [padded[:, :, y : y + size, x : x + size] for y, x in starts]


def steadiness(images: Tensor, *, margin: float) -> dict[str, list[float]]:
    """Rank correlations with the flipped and, on average, the shifted images."""
    run = faces(margin=margin).inference(names=NAMES, precision="bfloat16")
    scores, flipped = run(images), run(images.flip(3))
    moved = [run(copy) for copy in shifted(images)]
    signs = torch.tensor([-1.0 if name in ODD else 1.0 for name in NAMES])
    flips = [spearmanr(a, b)[0] for a, b in zip(scores.T, (flipped * signs).T, strict=True)]
    shifts = [
        sum(spearmanr(scores[:, j], copy[:, j])[0] for copy in moved) / len(moved)
        for j in range(len(NAMES))
    ]
    return {"flip": flips, "shift": shifts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=256, help="faces")
    count = parser.parse_args().count
    generator = digiface64()
    images = generator.inference()(generator.sample(count, seed=1))
    print("| margin | under | " + " | ".join(NAMES) + " | mean |")
    print("|---|---|" + "---|" * (len(NAMES) + 1))
    for margin in MARGINS:
        for under, values in steadiness(images, margin=margin).items():
            cells = [f"{v:.3f}" for v in [*values, sum(values) / len(values)]]
            print(f"| {margin:+.2f} | {under} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
