"""Simulated lessons on faces: how near the taught direction comes, by clicks.

    python benchmarks/teach.py                              # digiface64, z
    python benchmarks/teach.py --generator styleface64 --space w --features faces,pixels,none

A hidden oracle answers as a person would: it clicks the images of a sheet whose score is in the
highest third, and calls a strip less or more where the mean score of the second row differs from
that of the first by 0.35 standard deviations of the score, much less or much more by 1. The truth
is the ridge direction of 20,000 other labels of the same scores. Cosines and angles are of whitened
codes, which for z are the codes themselves; clicks are the images clicked and one a strip. Means
over attributes and lessons, with 95 % intervals over lessons.
"""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path

import torch
from torch import Tensor

from directions.classifiers import load_classifier
from directions.generators import load_generator
from directions.generators.base import Generator
from directions.scoring.kept import keep_scores
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from discovery.estimators.cones import angles
from discovery.estimators.linear import ridge
from discovery.sampling.sampler import sample
from discovery.sampling.samples import Samples
from discovery.supervised.teach import Teach
from discovery.teaching.answers import Answers
from discovery.teaching.lesson import Lesson, Question

ATTRIBUTES = ("smiling", "yaw", "mouth_open", "male", "age")
SEED = 2026
LABELS = 20_000
CUTS = (0.35, 1.0)
PREVALENCE = 1 / 3
STAGES = ((20, 1), (26, 4))  # strips, sheets


class Oracle:
    """What the scores say of an image, in standard deviations; ranks, so that they are normal."""

    def __init__(self, samples: Samples, scorer: Scorer) -> None:
        self.sorted = samples.scores.double().sort(0).values.contiguous()
        self.scorer = scorer

    def perceived(self, codes: Tensor) -> Tensor:
        """`[n, attributes]`."""
        scores = self.scorer.score(codes).double().T.contiguous()
        rank = torch.searchsorted(self.sorted.T.contiguous(), scores).double()
        n = len(self.sorted)
        return torch.special.ndtri(((rank + 0.5) / (n + 1)).clamp(1 / n, 1 - 1 / n)).T


def truth(samples: Samples, white: Tensor) -> Tensor:
    """Unit directions of all labels, `[attributes, r]`."""
    n = len(samples)
    ranks = samples.scores.double().argsort(0).argsort(0).double()
    weights = ridge(white, torch.special.ndtri((ranks + 0.5) / n).T).weights
    return weights / weights.norm(dim=1, keepdim=True)


def answered(question: Question, seen: Tensor, wrong: float, rng: torch.Generator) -> Tensor | int:
    """The oracle's answer to a question about images it sees so."""
    mistaken = torch.rand(len(seen), generator=rng) < wrong
    if question.kind == "sheet":
        level = float(torch.special.ndtri(torch.tensor(1 - PREVALENCE)))
        return (seen > level) ^ mistaken
    first, second = seen.split(question.columns)
    change = float(second.mean() - first.mean())
    if mistaken[0]:
        return int(torch.randint(-2, 3, (), generator=rng))
    size = sum(abs(change) > cut for cut in CUTS)
    return size if change > 0 else -size


def interval(values: list[float]) -> str:
    """Mean and 95 % interval."""
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.3f} ± {half:.3f}"


def run(
    generator: Generator, oracle: Oracle, target: Tensor, teach: Teach, space: str, n: int
) -> None:
    """Lessons with right answers, and with a tenth of them wrong."""
    name = teach.features
    for wrong in (0.0, 0.1):
        rows: dict[tuple[int, int], list[list[float]]] = {stage: [] for stage in STAGES}
        for seed in range(n):
            found = lessons(generator, oracle, target, teach, space, seed, wrong)
            for stage, figures in found.items():
                rows[stage].append(figures)
        for stage, figures in rows.items():
            cosine, off, clicks, covered, *each = map(list, zip(*figures, strict=True))
            by = ", ".join(
                f"{a} {statistics.mean(c):.2f}" for a, c in zip(ATTRIBUTES, each, strict=True)
            )
            print(
                f"{name:7} wrong {wrong:.0%} strips {stage[0]} sheets {stage[1]}: "
                f"{statistics.mean(clicks):.0f} clicks, cosine {interval(cosine)} ({by}), "
                f"expected minus true angle {interval(off)}°, cone {statistics.mean(covered):.2f}",
                flush=True,
            )


def lessons(
    generator: Generator,
    oracle: Oracle,
    target: Tensor,
    teach: Teach,
    space: str,
    seed: int,
    wrong: float,
) -> dict[tuple[int, int], list[float]]:
    """Cosine, expected minus true angle, clicks and coverage of a lesson for each."""
    rng = torch.Generator().manual_seed(seed)
    asked = Lesson(
        Answers.of("any", generator, space=space), generator, teach=teach, seed=10 * seed
    )
    strips = [asked.strip(k) for k in range(max(s for s, _ in STAGES))]
    sheets = [asked.sheet(k) for k in range(max(s for _, s in STAGES))]
    seen = [oracle.perceived(q.codes) for q in (*strips, *sheets)]
    found = {}
    for stage in STAGES:
        figures = []
        for a in range(len(ATTRIBUTES)):
            lesson = Lesson(Answers.of("any", generator, space=space), generator, teach=teach)
            for k, question in enumerate((*strips, *sheets)):
                if k in range(stage[0], len(strips)) or k >= len(strips) + stage[1]:
                    continue
                lesson.answer(question, answered(question, seen[k][:, a], wrong, rng))
            known = lesson.posterior
            cosine = float(known.mean @ target[a] / known.mean.norm())
            true = float(angles(target[a][None, None], known.mean[None]))
            figures.append(
                [cosine, lesson.angle - true, lesson.answers.clicks, float(known.cone() > true)]
            )
        columns = list(zip(*figures, strict=True))
        found[stage] = [statistics.mean(c) for c in columns] + list(columns[0])
    return found


def main() -> None:
    """Run the simulations and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space", default="z")
    parser.add_argument("--samples", type=Path, help="Folder of labels; drawn there if empty.")
    parser.add_argument("--features", default="faces,pixels,none")
    parser.add_argument("--lessons", type=int, default=10)
    parser.add_argument("--codes", type=int, default=Teach.n_codes)
    parser.add_argument("--keep", type=Path, help="Folder of kept scores, to go on after a stop.")
    given = parser.parse_args()
    folder = given.samples or Path("runs") / f"teach-{given.generator}"
    generator, classifier = load_generator(given.generator), load_classifier("faces")
    samples = sample(
        generator, classifier, LABELS, seed=SEED, space=given.space, out=folder,
        attributes=ATTRIBUTES,
    )  # fmt: skip
    with keep_scores(given.keep or folder / "kept"):
        rendering = Rendering(progress=False, precision="float32", batch_size=64)
        scorer = Scorer(
            generator, classifier, space=given.space, names=ATTRIBUTES, rendering=rendering
        )
        oracle = Oracle(samples, scorer)
        for features in given.features.split(","):
            teach = Teach(features=features, n_codes=given.codes)
            white = teach.model(generator, given.space).white
            target = truth(samples, white.coordinates(samples.codes))
            run(generator, oracle, target, teach, given.space, given.lessons)


if __name__ == "__main__":
    main()
