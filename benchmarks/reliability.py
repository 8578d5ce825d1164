"""Reliability of the built-in face classifiers, their agreement, and the weights of their ensemble.

    python benchmarks/reliability.py                    the tables of the cards
    python benchmarks/reliability.py --weights          the numbers in face_ensemble.py

Retests are mirror images and images moved by 1/32 of their side;
`directions.classifiers.reliability` has the definitions. Correlations are of log-odds and values.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--weights", action="store_true", help="print the ensemble's weights only")
    options = parser.parse_args()
    images = images_of(options.generator, options.count)
    members = [load_classifier(name) for name in MEMBERS]
    if options.weights:
        for attribute, numbers in Ensemble.fit(members, images).weights.items():
            print(f'    "{attribute}": ({", ".join(f"{number:.4f}" for number in numbers)}),')
        return
    print(f"{options.count} images of {options.generator}, seed {SEED}\n")
    print_table(measure_reliability(members, images))


if __name__ == "__main__":
    main()
