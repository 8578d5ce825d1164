"""Does a correction for noisy labels (errors in variables) help conditioning?

Noise of labels is harmless where codes explain labels, since it averages out. It is on the side of
the explanatory variables in two places. Conditional means regress codes on labels: the correction
takes the noise's variance, 1 - ρ of a retest, off the labels' correlations. And the planes that
`condition` takes out are themselves estimates: the correction takes the variance of their sampling
errors off their Gram matrix. Both are tried

* on `PlantedFaces`, whose true leakage is known: labels of a planted labeler with more noise, by
  the number of labels;
* on `digiface64` with a labeler held out, whose plane, fitted to other codes, reads the leakage
  (mean absolute effect on the other attributes over the own effect).

    python benchmarks/noisy_labels.py

Finished parts are in `results/noisy-labels.json` and are not made again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from judge_panel import ATTRIBUTES, FAST, JUDGES, LABELS, Kept, Panel
from reach import conditioned, plane, reading
from torch import Tensor

from directions import keep_freed_memory, load_generator
from directions.classifiers import measure_reliability
from directions.planted.faces import PlantedFaces
from discovery import Samples, sample

TOTAL = 24_000
COUNTS, NOISES = (300, 1000, 4000), (0.0, 0.5, 1.0)
PLANTED, REPEATS = 4000, 20
COSINE = 0.5
RETESTS = 256


def ways(samples: Samples, scores: Tensor, reliability: Tensor) -> dict[str, Tensor]:
    """Directions of all attributes, conditioned in each way, `[attributes, d]`."""
    rows = torch.arange(len(samples))
    y = ((scores - scores.mean(0)) / scores.std(0)).double()
    W = plane(samples, y, rows)
    x = samples.codes.double().flatten(1)
    x = x - x.mean(0)
    slopes, R = y.T @ x / len(y), y.T @ y / len(y)  # of codes on one label; labels' correlations
    residuals = y - x @ W.T
    freedom = max(1, len(y) - x.shape[1])
    noise = residuals.T @ residuals / freedom * torch.linalg.inv(x.T @ x).trace()
    gram = W @ W.T
    return {
        "not conditioned": W,
        "conditioned": conditioned(W),
        "conditioned, corrected": torch.linalg.solve(_positive(gram - noise, gram), W),
        "conditional means": torch.linalg.solve(R, slopes),
        "conditional means, corrected": torch.linalg.solve(
            _positive(R - torch.diag(1 - reliability.double()), R), slopes
        ),
    }


def _positive(corrected: Tensor, plain: Tensor) -> Tensor:
    """A corrected matrix, with no eigenvalue under a tenth of the least of the plain one."""
    values, vectors = torch.linalg.eigh(corrected)
    least = torch.linalg.eigvalsh(plain)[0] / 10
    return vectors * values.clamp_min(least) @ vectors.T


def planted(faces: PlantedFaces, samples: Samples, noise: float, count: int) -> Any:
    """True leakage and effect, means over factors and over sets of labels."""
    truth, total = faces.truth.double(), {}
    for repeat in range(REPEATS):
        random = torch.Generator().manual_seed(repeat)
        rows = torch.randperm(len(samples), generator=random)[:count]
        part = samples.rows(rows)
        spread = part.scores.std(0)
        added = noise * spread * torch.randn(part.scores.shape, generator=random)
        reliability = (1 / (1 + noise**2)) * torch.ones(len(spread))
        for way, directions in ways(part, part.scores + added, reliability).items():
            effect, leakage = (sum(v) / len(v) for v in reading(directions, truth))
            sums = total.setdefault(way, {"effect": 0.0, "leakage": 0.0})
            sums["effect"] += effect / REPEATS
            sums["leakage"] += leakage / REPEATS
    return total


def held_out(panel: Panel, judge: str, labeler: str, reliability: dict[str, float]) -> Any:
    """Leakage as the judge's plane reads it, by attribute."""
    even, odd = torch.arange(0, TOTAL, 2), torch.arange(1, TOTAL, 2)
    seen = plane(panel.samples, panel.scores(judge), odd)
    rho = torch.tensor([reliability[a] for a in ATTRIBUTES])
    found: dict[str, dict[str, Any]] = {a: {} for a in ATTRIBUTES}
    for way, directions in ways(panel.samples.rows(even), panel.scores(labeler)[even], rho).items():
        for a, effect, leakage in zip(ATTRIBUTES, *reading(directions, seen), strict=True):
            found[a][way] = {"effect": effect, "leakage": leakage}
    return found


def retests(panel: Panel, labeler: str) -> Any:
    """Correlation of the scores of images and of their mirror images."""
    with torch.inference_mode():
        images = panel.generator.synthesize(panel.generator.sample(RETESTS, seed=2))
    found = measure_reliability(panel.labelers[labeler], images, attributes=ATTRIBUTES)
    return {entry.attribute: entry.mirror for entry in found}


def main() -> None:
    kept = Kept("noisy-labels", {"generator": "digiface64", "labels": TOTAL, "cosine": COSINE})
    faces = PlantedFaces(load_generator("digiface64"), cosine=COSINE)
    samples = sample(
        faces, faces.labeler(0), PLANTED, seed=0, out=LABELS / "planted-faces",
        rendering=replace(FAST, precision="float32"),
    )  # fmt: skip
    for count in COUNTS:
        for noise in NOISES:
            key = f"planted/{count} labels, noise {noise:g}"
            kept.get(key, partial(planted, faces, samples, noise, count))
    panel = Panel("digiface64", "z", TOTAL)
    for judge in JUDGES:
        labeler = panel.beside(judge)[0]
        rho = kept.get(f"mirror/{labeler}", partial(retests, panel, labeler))
        kept.get(f"{judge}/held out", partial(held_out, panel, judge, labeler, rho))


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    main()
