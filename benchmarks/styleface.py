"""Quality of `styleface64` and its teacher `digiface64`: the figures of its card.

    python benchmarks/styleface.py                      everything, about ten minutes
    python benchmarks/styleface.py --only separability  one part
    python benchmarks/styleface.py --grids out          pictures: teacher above, student below

- likeness: PSNR and SSIM of images of the same z.
- realism: Fréchet distance of face embeddings, student against teacher, beside two halves of the
  teacher's own and beside the teacher's images blurred.
- attributes: quantiles of the student's scores among the teacher's, and rank correlation of the
  scores of the same z.
- ppl: perceptual path lengths in z and w.
- separability: linear separability in z and w.
- directions: what SeFa, PCA, boundaries and StyleSpace find, named by the effect matrix.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from scipy.stats import ks_2samp, spearmanr
from torch import Tensor
from torch.nn import functional

from analysis.edits.realism import frechet_distance
from analysis.edits.reconstruction import reconstruction_quality
from analysis.naming.by_effects import name_directions
from analysis.spaces.path_length import perceptual_path_length
from analysis.spaces.separability import linear_separability
from directions import DirectionBank, Rendering, load_classifier, load_generator, sweep
from directions.classifiers.base import logit
from directions.classifiers.faces.classifier import faces
from directions.generators.base import Generator
from directions.generators.progressive import pixel_norm
from directions.images import grid, save_png
from directions.seeds import HELD_OUT_SEED
from discovery import PCA, Boundary, SeFa
from discovery.sampling.sampler import sample
from discovery.sampling.samples import Samples
from discovery.supervised.stylespace import StyleSpace

SEED = 77
SHOWN = ("smiling", "male", "age", "yaw", "pitch", "mouth_open", "brightness", "warmth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--count", type=int, default=4096)
    parser.add_argument("--grids", type=Path, help="where to write pictures instead")
    options = parser.parse_args()
    teacher, student = load_generator("digiface64"), load_generator("styleface64")
    if options.grids:
        pictures(teacher, student, options.grids)
        return
    for part in options.only:
        print(f"## {part}", flush=True)
        PARTS[part](teacher, student, options.count)


def codes_of(teacher: Generator, count: int) -> Tensor:
    """Codes at the one scale at which both generators mean the same."""
    return pixel_norm(teacher.sample(count, seed=SEED))


@torch.inference_mode()
def images_of(generator: Generator, codes: Tensor) -> Tensor:
    """Images in float32."""
    paint = generator.inference()
    return torch.cat([paint(part).clamp(-1, 1) for part in codes.split(128)])


def likeness(teacher: Generator, student: Generator, count: int) -> None:
    """Images of the same z."""
    codes = codes_of(teacher, min(count, 1024))
    pair = images_of(student, codes), images_of(teacher, codes)
    print(reconstruction_quality(*pair).summary())


@torch.inference_mode()
def realism(teacher: Generator, student: Generator, count: int) -> None:
    """Fréchet distances in the space of face embeddings."""
    network = faces()

    def described(images: Tensor) -> Tensor:
        return torch.cat([network.embed(part).clone() for part in images.split(128)])

    first, second = codes_of(teacher, 2 * count).chunk(2)
    reference = described(images_of(teacher, first))
    others = images_of(teacher, second)
    blurred = functional.interpolate(functional.avg_pool2d(others, 2), scale_factor=2)
    sets = {
        "teacher, other codes": others,
        "student, other codes": images_of(student, second),
        "teacher at 32 pixels": blurred,
        "teacher at 16 pixels": functional.interpolate(
            functional.avg_pool2d(others, 4), scale_factor=4, mode="bilinear"
        ),
    }
    for name, images in sets.items():
        print(f"{name:24} {frechet_distance(reference, described(images)):.4f}", flush=True)


def attributes(teacher: Generator, student: Generator, count: int) -> None:
    """What classifiers say of both."""
    judge = load_classifier("faces+pixels")
    score = judge.inference(rendering=Rendering(precision="bfloat16"))
    codes = codes_of(teacher, count)
    told = [
        torch.cat([score(part).float().clone() for part in images_of(g, codes).split(128)]).numpy()
        for g in (teacher, student)
    ]
    print("| attribute | teacher, mean ± SD | student, mean ± SD | KS | rank correlation |")
    print("|---|---|---|---|---|")
    for k, name in enumerate(judge.names):
        a, b = told[0][:, k], told[1][:, k]
        apart, alike = ks_2samp(a, b).statistic, spearmanr(a, b).statistic
        moments = " | ".join(f"{x.mean():.3f} ± {x.std():.3f}" for x in (a, b))
        print(f"| {name} | {moments} | {apart:.3f} | {alike:+.2f} |")


def ppl(teacher: Generator, student: Generator, count: int) -> None:
    """Perceptual path lengths."""
    for generator, space in ((teacher, "z"), (student, "z"), (student, "w")):
        for sampling in ("full", "end"):
            found = perceptual_path_length(
                generator, space=space, sampling=sampling, count=min(count, 1000)
            )
            print(f"{generator.name:12} {found}", flush=True)


def separability(teacher: Generator, student: Generator, count: int) -> None:
    """Linear separability of z and of w on the same images.

    The probabilities are what training asked w to tell; the values, split at their medians, are
    not.
    """
    judge = load_classifier("faces+pixels")
    told = sample(
        student, judge, 4 * count, seed=HELD_OUT_SEED, rendering=Rendering(precision="bfloat16")
    )
    logits = logit(told.scores, judge.attributes)
    kinds = [a.kind == "probability" for a in judge.attributes]
    values = [not kind and a.name != "age" for kind, a in zip(kinds, judge.attributes, strict=True)]
    sets = {
        "asked for, held out": (logits[:, kinds], False),
        "asked for, as published": (logits[:, kinds], True),
        "not asked for, held out": (logits[:, values] - logits[:, values].median(0).values, False),
    }
    spaces = {"z": told.codes, "w": student.sample(4 * count, seed=HELD_OUT_SEED, space="w")}
    for title, (table, as_published) in sets.items():
        for space, codes in spaces.items():
            found = linear_separability(codes, table, as_published=as_published)
            entropies = " ".join(f"{float(h):.3f}" for h in found.entropy)
            print(
                f"{title:24} {space} {found.score:.3f} [{found.low:.3f}, {found.high:.3f}]  "
                f"{entropies}",
                flush=True,
            )


def labeled(student: Generator, count: int) -> Samples:
    """Labeled codes of w."""
    judge = load_classifier("faces+pixels")
    return sample(
        student, judge, count, seed=2026, space="w", rendering=Rendering(precision="bfloat16")
    )


def directions(teacher: Generator, student: Generator, count: int) -> None:
    """Directions that four methods find, and the names the effect matrix gives them."""
    judge = load_classifier("faces+pixels")
    rendering = Rendering(precision="bfloat16", progress=False)
    settings = {"attributes": SHOWN, "count": 32, "null": 24, "rendering": rendering}
    banks: dict[str, DirectionBank] = {
        "SeFa": SeFa(n_directions=16).discover(student),
        "SeFa, late layers": SeFa(n_directions=8, layers="5-9").discover(student),
        "PCA": PCA(n_directions=16, space="w").discover(student),
        "boundary": Boundary().discover(labeled(student, 2 * count), attributes=SHOWN),
        "StyleSpace": StyleSpace(n_directions=1, n_codes=1500).discover(
            student, classifier=judge, attributes=SHOWN
        ),
    }
    for method, bank in banks.items():
        # One channel is a small part of a code: such edits are made with many of its sigmas.
        step = 8.0 if method == "StyleSpace" else 2.0
        naming = name_directions(student, judge, bank, step=step, **settings)
        print(f"{method}: {len(naming.found)} named of {len(bank)}")
        for entry in naming.entries:
            if entry.attribute:
                print(f"    {entry.name:24} found as {entry.found_as:28} t {entry.t:6.1f}")


def pictures(teacher: Generator, student: Generator, out: Path) -> None:
    """Teacher above student; and samples, mixed styles and boundaries in w in one picture."""
    out.mkdir(parents=True, exist_ok=True)
    codes = codes_of(teacher, 48)
    rows = [images_of(g, codes).unflatten(0, (-1, 12)) for g in (teacher, student)]
    save_png(grid(torch.stack(rows, 1).flatten(0, 1), tile=96), out / "pairs.png")

    paint = student.inference(space="w+")
    coarse, fine = (student.sample(7, seed=seed, space="w+") for seed in (11, 12))
    mixed = torch.cat([coarse[:, :2], fine[:, 2:]], 1)
    made = [paint(c).clone() for c in (coarse, fine, mixed)]
    bank = Boundary().discover(labeled(student, 4096), attributes=SHOWN)
    names = ("smiling", "yaw", "mouth_open", "brightness", "warmth")
    swept = [sweep(fine[:1, 0], bank[name], range(-3, 4))[:, 0] for name in names]
    paint = student.inference(space="w")
    made += [paint(codes).clone() for codes in swept]
    labels = ["one code", "another", "pose of the one, light of the other"]
    labels += [f"{name}, −3σ … +3σ" for name in names]
    save_png(grid(torch.stack(made).clamp(-1, 1), rows=labels, tile=96), out / "styleface64.png")


PARTS = {
    "likeness": likeness,
    "realism": realism,
    "attributes": attributes,
    "ppl": ppl,
    "separability": separability,
    "directions": directions,
}

if __name__ == "__main__":
    main()
