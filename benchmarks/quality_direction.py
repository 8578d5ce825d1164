"""A direction of image quality, and codes far from the prior moved along it.

    python benchmarks/quality_direction.py

The quality of an image is minus the mean distance of its face embedding from the five nearest of
images that the generator made of typical codes: no person has to say which images are good. A
boundary is fitted to the scores of samples of the prior. Codes of 1.6 times the prior's size are
then moved along it, or drawn toward the mean by the same length; their quality is measured by the
distance from other reference images than those that the direction was found with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import directions as d
import discovery
from directions.classifiers.faces import faces
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering

QUIET = Rendering(progress=False)
STORE = Path(__file__).parent / "results" / "quality-direction.json"


EMBED = faces().embed.inference()


def embedded(images: Tensor) -> Tensor:
    """Face embeddings of unit length."""
    return functional.normalize(torch.cat([EMBED(part).clone() for part in images.split(32)]))


def of_codes(generator: Generator, codes: Tensor) -> Tensor:
    """Embeddings of the images of codes."""
    render = generator.inference(space="z")
    return torch.cat([embedded(render(part).clone()) for part in codes.split(32)])


def quality(seen: Tensor, typical: Tensor) -> Tensor:
    """Minus the mean distance of embeddings from the five nearest typical ones."""
    return -torch.cdist(seen, typical).topk(5, largest=False).values.mean(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=1200)
    parser.add_argument("--references", type=int, default=600)
    parser.add_argument("--codes", type=int, default=96)
    options = parser.parse_args()
    generator = d.load_generator("digiface64")
    typical, others = (
        of_codes(generator, generator.sample(options.references, seed=seed)) for seed in (900, 901)
    )
    scored = d.wrap_classifier(
        lambda images: quality(embedded(images), typical), attributes=["quality"], version="1"
    )
    samples = discovery.sample(generator, scored, options.labels, seed=1, rendering=QUIET)
    bank = discovery.Boundary().discover(samples)
    far = 1.6 * generator.sample(options.codes, seed=77)

    before = of_codes(generator, far)

    def measured(codes: Tensor) -> dict[str, float]:
        seen = of_codes(generator, codes)
        same = float((seen * before).sum(1).mean())
        return {"quality": float(quality(seen, others).mean()), "cosine": same}

    found: dict[str, object] = {
        "evidence": dict(bank["quality"].evidence), "options": vars(options), "far": measured(far),
        "typical": measured(generator.sample(options.codes, seed=78)),
    }  # fmt: skip
    for amount in (2.0, 4.0):
        moved = d.move(far, bank, {"quality": amount})
        length = (moved - far).norm(dim=1, keepdim=True)
        found[f"direction {amount:g}"] = measured(moved)
        found[f"toward the mean {amount:g}"] = measured(
            far * (1 - length / far.norm(dim=1, keepdim=True))
        )
    STORE.write_text(json.dumps(found, indent=1, default=str) + "\n")
    print(json.dumps(found, indent=1, default=str))


if __name__ == "__main__":
    main()
