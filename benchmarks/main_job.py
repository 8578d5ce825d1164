"""Accuracy, effect and leakage of the main job on digiface64, before and after conditioning.

    python benchmarks/main_job.py --samples runs/labels               # draws 20,000 if not there
    python benchmarks/main_job.py --samples runs/steady --mirrored    # labels with less noise

1. Held-out accuracy on the extreme deciles of each attribute, 15,000 labels against 5,000.
2. Moving +2 sigma along `smiling`: on how many held-out faces its score rises, before and after
   conditioning on yaw, male, age and mouth_open; the leakage into each, beside the interval that
   random directions fall in; and how much of the effect is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from analysis import Effects, measure_effects, random_null
from directions import Rendering, condition, load_classifier, load_generator
from directions.classifiers import Classifier, Mirrored
from discovery.sampling.sampler import sample
from discovery.sampling.samples import Samples
from discovery.supervised.boundary import Boundary

LABELS = 20_000
CONDITIONS = ("yaw", "male", "age", "mouth_open")
PROMISED = {"yaw": 0.98, "smiling": 0.95, "mouth_open": 0.88, "male": 0.85}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--mirrored", action="store_true", help="average over mirror images")
    parser.add_argument("--count", type=int, default=256, help="held-out faces moved")
    parser.add_argument("--null", type=int, default=32, help="random directions")
    options = parser.parse_args()
    generator, faces = load_generator("digiface64"), load_classifier("faces")
    judge: Classifier = Mirrored(faces, odd=("yaw", "roll")) if options.mirrored else faces
    samples = labels(options.samples, judge)

    held_out = Boundary(validation=0.25).discover(samples, attributes=list(PROMISED))
    print("held-out accuracy on the extreme deciles")
    for name, least in PROMISED.items():
        figures = held_out[name].evidence
        print(f"  {name:12} {figures['accuracy_extremes']:.3f} (at least {least})")

    names = ["smiling", *CONDITIONS]
    bank = Boundary().discover(samples, attributes=names)
    clean = condition(bank, on={"smiling": CONDITIONS}, prior=generator.prior())
    both = bank.replaced([bank["smiling"], clean["smiling"].evolve(name="smiling | others")])
    # Found with another seed: these faces are new to both.
    measured = measure_effects(
        generator,
        faces,
        both,
        attributes=names,
        count=options.count,
        rendering=Rendering(precision="bfloat16"),
    )
    null = random_null(generator, faces, measured, count=options.null)
    show(measured.logit, *null.logit.interval)
    rises = measured.rises[:, 0].tolist()
    print(f"smiling rises at +2 sigma on {rises[0]:.1%} of faces, conditioned {rises[1]:.1%}")


def labels(folder: Path, judge: Classifier) -> Samples:
    """The first 20,000 of a folder of labels, drawn if it is not there."""
    if (folder / "_manifest.json").is_file():
        return Samples.load(folder).rows(slice(LABELS))
    return sample(load_generator("digiface64"), judge, LABELS, seed=2026, out=folder)


def show(effects: Effects, low: Tensor, high: Tensor) -> None:
    """Effects per sigma in standard deviations, log-odds for probabilities."""
    plain, conditioned = effects.standardized.tolist()
    spread = effects.std.tolist()
    lows, highs = ((x / effects.std).tolist() for x in (low, high))
    print(f"effect kept: {conditioned[0] / plain[0]:.1%} of {plain[0]:+.3f} SD per sigma")
    for k, name in enumerate(effects.names[1:], 1):
        inside = lows[k] <= conditioned[k] <= highs[k]
        third = abs(conditioned[k]) < abs(plain[k]) / 3
        print(
            f"  into {name:12} {plain[k]:+.3f} -> {conditioned[k]:+.3f} "
            f"(null {lows[k]:+.3f} … {highs[k]:+.3f}; below a third: {third}, inside: {inside}; "
            f"one standard deviation is {spread[k]:.3g})"
        )


if __name__ == "__main__":
    main()
