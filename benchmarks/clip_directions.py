"""Measured effects of text directions, by classifiers that have never seen the texts.

    python benchmarks/clip_directions.py --labels folder-written-by-latdir-sample

Each text has an attribute of the face or pixel classifiers that it should move. For every text and
method: the largest effect of the direction, in standard deviations of the attribute per sigma, and
whether the text's own attribute is it; the effect on its own with the 95 % interval of random
directions; the cosine to the direction that labels give (ridge on all of them); and the leakage,
mean |change| of the other attributes in their standard deviations, when the own one has changed by
half of its, for the text's direction and for the labels'. `--grids` writes pictures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from analysis import attribute_dependency, effects_of, measure_curves, random_null
from directions import DirectionBank, Rendering, edit_grid, save_png
from directions.classifiers import load_classifier
from directions.classifiers.clip.model import load_clip
from directions.generators import load_generator
from discovery.sampling.sampler import sample
from discovery.sampling.samples import Samples
from discovery.supervised.boundary import Boundary
from discovery.text.clip_boundary import ClipBoundary
from discovery.text.clip_global import ClipGlobal
from discovery.text.clip_gradient import ClipGradient

TEXTS = {
    "smiling": "a smiling face vs a face",
    "male": "a man vs a woman",
    "age": "an old person vs a young person",
    "yaw": "a face looking to the right vs a face looking to the left",
    "mouth_open": "a face with an open mouth vs a face with a closed mouth",
    "pitch": "a face looking up vs a face looking down",
    "warmth": "a face in warm light vs a face in cold light",
    "brightness": "a bright image of a face vs a dark image of a face",
    "background_brightness": (
        "a face in front of a bright background vs a face in front of a dark background"
    ),
}
CHANGE = 0.5


def main() -> None:
    options = arguments()
    generator, classifier = load_generator(options.generator), load_classifier("faces+pixels")
    clip, texts = load_clip(options.clip), options.texts.split(",")
    words = {name: TEXTS[name] for name in texts}
    samples = (
        Samples.load(options.labels)
        if options.labels
        else sample(generator, classifier, 20_000, seed=0)
    )
    supervised = Boundary(validation=0, bootstrap=0).discover(samples, attributes=texts)
    methods = {
        "clip_boundary": ClipBoundary(n_codes=options.samples),
        "clip_gradient": ClipGradient(n_codes=options.gradients),
        "clip_global": ClipGlobal(
            channels=options.channels or len(generator.prior().mean), precision="bfloat16"
        ),
    }
    banks = {"labels": supervised} | {
        name: methods[name].discover(generator, text=words, clip=clip)
        for name in options.methods.split(",")
    }
    whole = banks["labels"].replaced([])
    for name, bank in banks.items():
        whole = whole.merge(bank, prefix=f"{name}/")
    targets = {name: name.partition("/")[2] for name in whole}
    curves = measure_curves(
        generator, classifier, whole, amounts=(0.5, 1.0, 2.0, 3.0),
        count=options.codes, rendering=Rendering(precision="bfloat16"),
    )  # fmt: skip
    curves = curves.aimed(targets)
    effects = effects_of(curves, step=2.0).logit
    null = random_null(generator, classifier, effects_of(curves, step=2.0), count=options.random)
    low, high = null.logit.matching(effects)
    leakage = attribute_dependency(curves, changes=(CHANGE,))
    table = []
    for k, name in enumerate(whole):
        target = targets[name]
        a = effects.names.index(target)
        row = effects.standardized[k]
        top = int(row.abs().nan_to_num().argmax())
        own = supervised[target].vector.flatten()
        line = {
            "method": name.partition("/")[0],
            "text": target,
            "effect": float(row[a]),
            "largest": effects.names[top],
            "largest_effect": float(row[top]),
            "null": [float(v[a] / effects.std[a]) for v in (low, high)],
            "outside": bool(not low[a] <= effects.mean[k, a] <= high[a]),
            "cosine": float(whole[name].vector.flatten() @ own),
            "leakage": _at(leakage.mean_ad, list(leakage.directions), name),
        }
        table.append(line)
        print(
            f"{name:32s} effect {line['effect']:+.2f} (chance {line['null'][0]:+.2f} … "
            f"{line['null'][1]:+.2f}, {'outside' if line['outside'] else 'INSIDE'})  largest "
            f"{line['largest']} {line['largest_effect']:+.2f}  cosine {line['cosine']:+.2f}  "
            f"leakage {line['leakage']:.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))
    if options.grids:
        options.grids.mkdir(parents=True, exist_ok=True)
        draw(options.grids, generator, banks)


def draw(folder: Path, generator, banks: dict[str, DirectionBank]) -> None:
    code = generator.sample(1, seed=11)
    for name, bank in banks.items():
        save_png(edit_grid(generator, code, bank, title=name), folder / f"{name}.png")


def _at(values: Tensor, names: list[str], name: str) -> float:
    return float(values[names.index(name), 0]) if name in names else float("nan")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--clip", default="tinyclip-faces", help="whatever load_clip takes")
    parser.add_argument("--texts", default=",".join(TEXTS), help=", ".join(TEXTS))
    parser.add_argument("--methods", default="clip,clip_gradient")
    parser.add_argument("--labels", type=Path, help="folder of samples for the reference")
    parser.add_argument("--samples", type=int, default=4000, help="codes that clip labels")
    parser.add_argument("--gradients", type=int, default=300)
    parser.add_argument("--channels", type=int, help="of clip_global; by default all")
    parser.add_argument("--codes", type=int, default=128, help="held-out codes")
    parser.add_argument("--random", type=int, default=32, help="random directions")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--grids", type=Path, help="folder for pictures")
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
