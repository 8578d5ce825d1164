"""Simulated lessons on faces: how near the taught direction comes, by clicks.

    python benchmarks/teach.py                              # digiface64, z
    python benchmarks/teach.py --generator styleface64 --space w

Lessons 0 to 9 with labels of seed 2026 are those that settings were chosen on; the defaults are
others. Each lesson is kept in the file of results, from which an interrupted run goes on.

A hidden oracle answers as a person would: it clicks the images of a sheet whose score is in the
highest third, and calls a strip less or more where the mean score of the second row differs from
that of the first by 0.35 standard deviations of the score, much less or much more by 1. The truth
is the ridge direction of 20,000 other labels of the same scores. Cosines and angles are of whitened
codes, which for z are the codes themselves; clicks are the images clicked and one a strip. Means
over attributes and lessons, with 95 % intervals over lessons. `cone` is the share of lessons whose
95 % cone holds the truth.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from directions.classifiers import load_classifier
from directions.generators import load_generator
from directions.generators.base import Generator
from directions.scoring.kept import keep_scores
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.storage.atomic import atomic
from discovery.estimators.cones import angles
from discovery.estimators.linear import ridge
from discovery.sampling.sampler import sample
from discovery.sampling.samples import Samples
from discovery.supervised.teach import Teach
from discovery.teaching.answers import Answers
from discovery.teaching.lesson import Lesson, Question

ATTRIBUTES = ("smiling", "yaw", "mouth_open", "male", "age")
LABELS, SEED = 20_000, 2027
LESSONS = (200, 220)
CUTS = (0.35, 1.0)
PREVALENCE = 1 / 3
STAGES = ((20, 1), (23, 4))  # strips, sheets
WRONG = (0.0, 0.1)
RESULTS = Path(__file__).parent / "results"


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


def lesson_rows(
    generator: Generator,
    oracle: Oracle,
    target: Tensor,
    teach: Teach,
    space: str,
    seed: int,
) -> list[dict[str, Any]]:
    """A row for each fraction of wrong answers and each stage of one lesson."""
    asked = Lesson(
        Answers.of("any", generator, space=space), generator, teach=teach, seed=10 * seed
    )
    strips = [asked.strip(k) for k in range(max(s for s, _ in STAGES))]
    sheets = [asked.sheet(k) for k in range(max(s for _, s in STAGES))]
    seen = [oracle.perceived(q.codes) for q in (*strips, *sheets)]
    rows = []
    for wrong in WRONG:
        rng = torch.Generator().manual_seed(seed)
        for stage in STAGES:
            found = []
            for a in range(len(target)):
                lesson = Lesson(Answers.of("any", generator, space=space), generator, teach=teach)
                for k, question in enumerate((*strips, *sheets)):
                    if k in range(stage[0], len(strips)) or k >= len(strips) + stage[1]:
                        continue
                    lesson.answer(question, answered(question, seen[k][:, a], wrong, rng))
                known = lesson.posterior
                true = float(angles(target[a][None, None], known.mean[None]))
                cone = float(known.cone() > true)
                found.append([lesson.answers.clicks, true, lesson.angle, cone])
            columns = zip(*found, strict=True)
            clicks, true, expected, inside = ([round(v, 2) for v in c] for c in columns)
            rows.append({
                "features": teach.features, "wrong": wrong, "stage": stage, "lesson": seed,
                "clicks": clicks, "angle": true, "expected": expected, "inside": inside,
            })  # fmt: skip
    return rows


def summary(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    """A line for each prior, fraction of wrong answers and stage."""
    lines = []
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["features"], row["wrong"], *row["stage"]), []).append(row)
    for (features, wrong, strips, sheets), found in groups.items():
        cosines = [[math.cos(math.radians(a)) for a in row["angle"]] for row in found]
        off = [statistics.mean(row["expected"]) - statistics.mean(row["angle"]) for row in found]
        by = ", ".join(
            f"{name} {statistics.mean(c):.2f}"
            for name, c in zip(names, zip(*cosines, strict=True), strict=True)
        )
        clicks, inside = (
            statistics.mean(v for row in found for v in row[key]) for key in ("clicks", "inside")
        )
        lines.append(
            f"{features:7} wrong {wrong:.0%} strips {strips} sheets {sheets}: {clicks:.0f} clicks, "
            f"cosine {interval([statistics.mean(c) for c in cosines])} ({by}), "
            f"expected minus true angle {interval(off, 1)}°, cone {inside:.2f}, n {len(found)}"
        )
    return lines


def interval(values: list[float], digits: int = 3) -> str:
    """Mean and 95 % interval."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.{digits}f} ± {half:.{digits}f}"


def main() -> None:
    """Run the lessons that are not in the file of results and print a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space", default="z")
    parser.add_argument("--attributes", default=",".join(ATTRIBUTES))
    parser.add_argument("--labels-seed", type=int, default=SEED)
    parser.add_argument("--features", default="faces,pixels,none")
    parser.add_argument("--lessons", type=int, nargs=2, default=LESSONS, help="First, end.")
    parser.add_argument("--codes", type=int, default=Teach.n_codes)
    parser.add_argument("--runs", type=Path, help="Folder of labels and kept scores.")
    parser.add_argument("--out", type=Path, help="File of results.")
    given = parser.parse_args()
    name = f"teach-{given.generator}-{given.space}"
    folder = given.runs or Path("runs") / f"{name}-{given.labels_seed}"
    out = given.out or RESULTS / f"{name}.json"
    names = given.attributes.split(",")
    generator, classifier = load_generator(given.generator), load_classifier("faces")
    settings = {
        "generator": given.generator, "fingerprint": generator.fingerprint, "space": given.space,
        "attributes": names, "labels": LABELS, "labels_seed": given.labels_seed,
        "codes": given.codes,
    }  # fmt: skip
    kept = json.loads(out.read_text()) if out.exists() else {"settings": settings, "rows": []}
    if kept["settings"] != settings:
        raise SystemExit(f"{out} has results of other settings: give another --out")
    rows = kept["rows"]
    done = {(row["features"], row["lesson"]) for row in rows}
    samples = sample(
        generator, classifier, LABELS, seed=given.labels_seed, space=given.space,
        out=folder / "labels", attributes=names,
    )  # fmt: skip
    with keep_scores(folder):
        rendering = Rendering(progress=False, precision="float32", batch_size=64)
        scorer = Scorer(generator, classifier, space=given.space, names=names, rendering=rendering)
        oracle = Oracle(samples, scorer)
        for features in given.features.split(","):
            teach = Teach(features=features, n_codes=given.codes)
            white = teach.model(generator, given.space).white
            target = truth(samples, white.coordinates(samples.codes))
            for seed in range(*given.lessons):
                if (features, seed) in done:
                    continue
                rows += lesson_rows(generator, oracle, target, teach, given.space, seed)
                lines = ",\n  ".join(json.dumps(row) for row in rows)
                with atomic(out) as file:
                    file.write_text(
                        f'{{"settings": {json.dumps(settings)},\n "rows": [\n  {lines}\n]}}\n'
                    )
    print("\n".join(summary(rows, names)))


if __name__ == "__main__":
    main()
