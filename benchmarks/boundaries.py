"""Comparison of boundary estimators on real labels of digiface64: the tables behind the default.

    python benchmarks/boundaries.py --samples runs/labels      # draws 120,000 if they are not there
    python benchmarks/boundaries.py --samples runs/labels --n 20000 --images 100

1. Estimators at equal labels: held-out rank correlation, accuracy on the extreme deciles, and
   the effect and leakage of a step of ±1.5 sigma on the images themselves.
2. The default and InterFaceGAN as published at 2,000, 6,000 and 20,000 labels: cosine to the
   direction of up to 100,000 other samples, found by the default and by InterFaceGAN.
3. The default's angle to that direction, and the cone that predicted it, against the samples.
4. Few labels: the default's cosine to the direction of 2,000 others, with as many labels as
   people give by hand (`--few` prints this table alone, from 3,500 samples).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from analysis import plots
from directions.bank import DirectionBank
from directions.classifiers import load_classifier
from directions.classifiers.base import logit
from directions.generators import load_generator
from discovery.estimators.cones import angles
from discovery.estimators.held_out import spearman
from discovery.sampling.sampler import sample
from discovery.sampling.samples import Samples
from discovery.supervised.boundary import Boundary

ATTRIBUTES = ("smiling", "surprised", "male", "age", "yaw", "mouth_open", "eyes_open", "brightness")
CANDIDATES = {
    "ridge, ranks": Boundary(bootstrap=0, validation=0),
    "ridge, log-odds": Boundary(scale="log_odds", bootstrap=0, validation=0),
    "ridge, raw": Boundary(scale="raw", bootstrap=0, validation=0),
    "lda": Boundary(estimator="lda", bootstrap=0, validation=0),
    "logistic": Boundary(estimator="logistic", bootstrap=0, validation=0),
    "squared hinge": Boundary(estimator="squared_hinge", bootstrap=0, validation=0),
    "hinge": Boundary(estimator="hinge", bootstrap=0, validation=0),
    "logistic, half": Boundary(estimator="logistic", ambiguous=0.5, bootstrap=0, validation=0),
    "mean difference": Boundary(estimator="mean_difference", bootstrap=0, validation=0),
    "interfacegan": Boundary(estimator="interfacegan", bootstrap=0),
}
DEFAULT, INTERFACEGAN = CANDIDATES["ridge, ranks"], CANDIDATES["interfacegan"]
SIZES = (2_000, 6_000, 20_000)
REFERENCE = 100_000
HELD_OUT = 5_000
STEP = 1.5
SEED = 2026


def drawn(folder: Path, n: int) -> Samples:
    """At least some of n labeled samples: those of the folder, or drawn into it."""
    if (folder / "_manifest.json").exists():
        there = Samples.load(folder, partial=True)
        if len(there) >= n or there.seed != SEED:
            return there
    classifier = load_classifier("faces+pixels")
    return sample(load_generator("digiface64"), classifier, n, seed=SEED, out=folder)


def unbounded(samples: Samples) -> Tensor:
    return logit(samples.scores, samples.attributes)


def effects(bank: DirectionBank, codes: Tensor, names: Sequence[str], scale: Tensor) -> Tensor:
    """Mean change of each attribute (columns), in standard deviations, per sigma of each direction.

    Measured on the images of codes moved by ±1.5 sigma along each direction (rows).
    """
    generator, classifier = load_generator("digiface64"), load_classifier("faces+pixels")
    render = generator.inference()
    score = classifier.inference(names=names)
    known = [classifier.attributes[c] for c in classifier.columns(names)]
    rows = []
    for direction in bank.values():
        up, down = (logit(score(render(direction.shift(codes, s * STEP))), known) for s in (1, -1))
        rows.append((up - down).mean(0) / (2 * STEP) / scale)
    return torch.stack(rows)


def estimators(samples: Samples, count: int, images: int) -> None:
    train = samples.rows(slice(0, count))
    held = samples.rows(slice(len(samples) - HELD_OUT, len(samples)))
    columns = [samples.names.index(name) for name in ATTRIBUTES]
    scale = unbounded(held)[:, columns].std(0)
    print(f"\nEstimators on {count:,} labels; held out {HELD_OUT:,}; images of {images} codes")
    print(f"{'':16} {'rank corr':>9} {'extremes':>9} {'effect':>7} {'leak':>6} {'ratio':>6}")
    each: dict[str, list[float]] = {}
    for title, method in CANDIDATES.items():
        bank = method.discover(train, attributes=ATTRIBUTES)
        matrix = effects(bank, held.codes[:images], ATTRIBUTES, scale)
        own = matrix.diag()
        leak = (matrix.abs().sum(1) - own.abs()) / (len(own) - 1)
        ranks, right = [], []
        for name, direction in bank.items():
            level, score = direction.level(held.codes), held.column(name)
            ranks.append(spearman(level, score))
            order, tenth = score.argsort(), len(score) // 10
            good = (level[order[-tenth:]] > 0).sum() + (level[order[:tenth]] < 0).sum()
            right.append(float(good) / (2 * tenth))
        each[title] = [*ranks, *right, *(own / leak).tolist()]
        print(
            f"{title:16} {statistics.mean(ranks):9.3f} {statistics.mean(right):9.3f} "
            f"{float(own.mean()):7.3f} {float(leak.mean()):6.3f} {float((own / leak).mean()):6.2f}"
        )
    for offset, figure in enumerate(("rank correlation", "extremes", "effect / leakage")):
        print(f"\n{figure:16} " + " ".join(f"{n:>10}" for n in ATTRIBUTES))
        for title, figures in each.items():
            part = figures[offset * len(ATTRIBUTES) :][: len(ATTRIBUTES)]
            print(f"{title:16} " + " ".join(f"{x:10.3f}" for x in part))


def cosines(a: DirectionBank, b: DirectionBank) -> Tensor:
    return (a.matrix() * b.matrix()).sum(1)


def equal_labels(samples: Samples) -> None:
    sizes = [n for n in SIZES if 2 * n <= len(samples)] or [len(samples) // 3]
    rest = samples.rows(slice(max(sizes), min(len(samples), max(sizes) + REFERENCE)))
    ours = DEFAULT.discover(rest)
    theirs = INTERFACEGAN.discover(rest)
    print(
        f"\nCosine to the direction of {len(rest):,} other samples, by the default | InterFaceGAN"
    )
    titles = [f"{n:,} {who}" for n in sizes for who in ("default", "interfacegan")]
    print(f"{'':22}" + " ".join(f"{t:>15}" for t in titles))
    found = [m.discover(samples.rows(slice(0, n))) for n in sizes for m in (DEFAULT, INTERFACEGAN)]
    to_ours = torch.stack([cosines(bank, ours) for bank in found], 1)
    to_theirs = torch.stack([cosines(bank, theirs) for bank in found], 1)
    for k, name in enumerate(samples.names):
        pairs = zip(to_ours[k].tolist(), to_theirs[k].tolist(), strict=True)
        print(f"{name:22}" + " ".join(f"{a:7.3f} |{b:6.3f}" for a, b in pairs))
    for title, table in (("default's", to_ours), ("InterFaceGAN's", to_theirs)):
        wins = int((table[:, ::2] > table[:, 1::2]).sum())
        total = table.numel() // 2
        print(f"the default is nearer to the {title} direction in {wins} of {total}")


def curve(samples: Samples, *, path: Path | None) -> None:
    method = Boundary(validation=0, bootstrap=200)
    half = len(samples) // 2
    rest = method.discover(samples.rows(slice(half, len(samples))), attributes=ATTRIBUTES)
    print(f"\nAngle in degrees to the direction of {len(samples) - half:,} others / predicted cone")
    print(f"{'samples':>10} " + " ".join(f"{n:>13}" for n in ATTRIBUTES))
    counts = [n for n in (250 << i for i in range(16)) if n <= half]
    turned = []
    for n in counts:
        bank = method.discover(samples.rows(slice(0, n)), attributes=ATTRIBUTES)
        turned.append(angles(bank.matrix()[None], rest.matrix())[0].tolist())
        cone = [d.evidence["cone_degrees"] for d in bank.values()]
        cells = (f"{a:6.1f} /{c:5.1f}" for a, c in zip(turned[-1], cone, strict=True))
        print(f"{n:10,} " + " ".join(f"{c:>13}" for c in cells))
    if path is not None:
        curves = dict(zip(ATTRIBUTES, zip(*turned, strict=True), strict=True))
        shown = {name: curves[name] for name in ("smiling", "male", "age", "yaw", "mouth_open")}
        plots.plot_convergence(counts, shown, goal=10.0).savefig(path, dpi=130)


def few_labels(samples: Samples) -> None:
    method = Boundary(validation=0, bootstrap=0)
    names = ("yaw", "smiling", "brightness", "mouth_open")
    far = method.discover(samples.rows(slice(len(samples) - 2_000, None)), attributes=names)
    size = (len(samples) - 2_000) // 9
    print("\nFew labels: cosine to the direction of 2,000 others, 9 subsets x 4 attributes")
    print(f"{'labels':>10} {'mean':>7} {'least':>7}")
    for n in (20, 40, 60, 80, 90, 95, 100, 105, 120, 150):
        found = [
            cosines(method.discover(samples.rows(slice(s, s + n)), attributes=names), far)
            for s in range(0, 9 * size, size)
        ]
        every = torch.cat(found)
        print(f"{n:10} {float(every.mean()):7.3f} {float(every.min()):7.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=Path, required=True, help="folder of labeled samples")
    parser.add_argument("--n", type=int, default=REFERENCE + max(SIZES), help="samples wanted")
    parser.add_argument("--images", type=int, default=200, help="codes that are moved and rendered")
    parser.add_argument("--figure", type=Path, help="PNG of the angle against the samples")
    parser.add_argument("--few", action="store_true", help="the table of few labels alone")
    options = parser.parse_args()
    if options.few:
        options.n = min(options.n, 3_500)
    samples = drawn(options.samples, options.n)
    samples = samples.rows(slice(0, options.n))
    print(f"{len(samples):,} samples of {samples.generator}, labels by {samples.classifier}")
    few_labels(samples)
    if options.few:
        return
    equal_labels(samples)
    curve(samples, path=options.figure)
    estimators(samples, min(20_000, (len(samples) - HELD_OUT) // 2), options.images)


if __name__ == "__main__":
    main()
