"""Reliability of the built-in face classifiers, their agreement, and the weights of their ensemble.

    python benchmarks/reliability.py                    the tables of the cards
    python benchmarks/reliability.py --weights          the numbers in face_ensemble.py
    python benchmarks/reliability.py --identity         the rule of identity in the card of faces

Retests are mirror images and images moved by 1/32 of their side;
`directions.classifiers.reliability` has the definitions. Correlations are of log-odds and values.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import load_classifier, load_generator
from directions.classifiers import Ensemble, Reliability, measure_reliability

MEMBERS = ("faces", "mobile-faces")
SEED = 2


def images_of(name: str, count: int) -> Tensor:
    generator = load_generator(name)
    codes = generator.sample(count, seed=SEED)
    with torch.inference_mode():
        return torch.cat([generator.synthesize(part) for part in codes.split(64)])


def print_table(found: list[Reliability]) -> None:
    print("| attribute | classifier | mirror | shift | agreement | corrected | loading |")
    print("|---|---|---|---|---|---|---|")
    for entry in sorted(found, key=lambda e: [f.attribute for f in found].index(e.attribute)):
        two = (entry.agreement, entry.corrected)
        agreement, corrected = ("" if r is None else f"{r:.2f}" for r in two)
        print(
            f"| {entry.attribute} | {entry.classifier} | {entry.mirror:.2f} | {entry.shift:.2f} "
            f"| {agreement} | {corrected} | {entry.loading:.2f} |"
        )


def print_identity(images: Tensor) -> None:
    """Identity kept by retests of one face and between different ones, and what parts them."""
    embed = load_classifier("faces").embed
    assert embed is not None
    step = images.shape[3] // 32
    moved = F.pad(images, (step, 0, 0, 0), mode="replicate")[..., : images.shape[3]]
    plain, mirrored, shifted = (
        F.normalize(torch.cat([embed(part) for part in images.split(64)]))
        for images in (images, images.flip(3), moved)
    )
    different = (plain @ plain.T)[~torch.eye(len(plain), dtype=torch.bool)]
    baseline = different.mean()

    def kept(cosines: Tensor) -> Tensor:
        return (cosines - baseline) / (1 - baseline)

    same = kept(torch.cat([(plain * mirrored).sum(1), (plain * shifted).sum(1)]))
    others = kept(different)
    levels = torch.linspace(-1, 1, 401)
    missed = torch.tensor([(same < level).float().mean() for level in levels])
    wrong = torch.tensor([(others >= level).float().mean() for level in levels])
    best = int((missed - wrong).abs().argmin())
    ends = torch.tensor([0.05, 0.5, 0.95])
    print(f"different faces: mean cosine {baseline:.3f}")
    for name, values in (
        ("different", others), ("mirror", kept((plain * mirrored).sum(1))),
        ("shift", kept((plain * shifted).sum(1))),
    ):  # fmt: skip
        low, middle, high = values.quantile(ends).tolist()
        print(f"identity kept, {name}: median {middle:.2f}, 5 to 95 % {low:.2f} to {high:.2f}")
    print(f"equal error {(missed[best] + wrong[best]) / 2:.1%} at {levels[best]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--weights", action="store_true", help="print the ensemble's weights only")
    parser.add_argument("--identity", action="store_true", help="the rule of identity only")
    options = parser.parse_args()
    images = images_of(options.generator, options.count)
    if options.identity:
        print_identity(images)
        return
    members = [load_classifier(name) for name in MEMBERS]
    if options.weights:
        for attribute, numbers in Ensemble.fit(members, images).weights.items():
            print(f'    "{attribute}": ({", ".join(f"{number:.4f}" for number in numbers)}),')
        return
    print(f"{options.count} images of {options.generator}, seed {SEED}\n")
    print_table(measure_reliability(members, images))


if __name__ == "__main__":
    main()
