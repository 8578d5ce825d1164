"""How many faces can rise, and what a plane of the judge's own labels says of the rest.

On `digiface64`, from 24,000 labels of each labeler, not conditioned: directions of all labelers but
the judge, and of the judge itself, measured on other codes at +2 sigma; the same way of two sigma
along each face's own gradient of the judge, in two steps; and, from planes fitted to halves of the
labels, the angle between the two directions and the leakage that conditioning on further
attributes leaves.

    python benchmarks/reach.py

Finished parts are in `results/reach.json` and are not made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from compare_settings import ATTRIBUTES as ALL
from judge_panel import ATTRIBUTES, FAST, JUDGES, LABELS, Kept, Panel
from torch import Tensor

from directions import keep_freed_memory, load_classifier
from directions.classifiers.base import logit
from directions.scoring.gradients import score_gradients
from directions.seeds import HELD_OUT_SEED
from discovery import Samples, sample

TOTAL, MORE = 24_000, 20_000
COUNT, OWN = 384, 96
RIDGE = 0.01
BESIDE = {
    "pixels": ("brightness", "contrast", "background_brightness", "warmth"),
    "pose": ("pitch", "roll"),
    "eyes": ("eyes_open",),
}


def own_gradients(panel: Panel, judge: str) -> Any:
    """Share of faces that rise along their own gradient."""
    labeler = panel.labelers[judge]
    start = panel.generator.sample(OWN, seed=HELD_OUT_SEED)
    rises = {}
    for attribute in ATTRIBUTES:
        codes, scores = start, []
        for _ in range(2):
            found = score_gradients(
                panel.generator, labeler, codes, attributes=[attribute], space="z"
            )
            scores.append(found.values[:, 0])
            gradient = found.gradients[:, 0]
            codes = codes + gradient / gradient.norm(dim=1, keepdim=True)
        with torch.inference_mode():
            last = labeler.logits_of(panel.generator.synthesize(codes), [attribute])[:, 0]
        rises[attribute] = {"rises": float((last > scores[0]).float().mean())}
    return rises


def planes(panel: Panel, more: Samples, judge: str) -> Any:
    """The judge's reading of directions of the others, conditioned on one another and on more.

    Directions come from the even codes, the judge's plane from the odd ones.
    """
    own = panel.beside(judge)
    even, odd = torch.arange(0, MORE, 2), torch.arange(1, MORE, 2)
    mean = torch.stack([panel.scores(name) for name in own]).mean(0)
    found = plane(panel.samples, mean, even)
    one = plane(panel.samples, panel.scores(own[0]), even)
    seen = plane(panel.samples, panel.scores(judge), odd)
    extra = logit(more.scores, more.attributes).double()
    extra = (extra - extra.mean(0)) / extra.std(0)
    sets = {"nothing more": (), **BESIDE}
    columns = {k: [more.names.index(n) for n in names] for k, names in sets.items()}
    ways = {
        way: conditioned(torch.cat([found, plane(more, extra[:, c], even)]))[: len(found)]
        for way, c in columns.items()
    }
    before = reading(one, seen)
    after = {way: reading(v, seen) for way, v in ways.items()}
    cosines = torch.cosine_similarity(found, seen)
    return {
        attribute: {
            "degrees": float(cosines[k].arccos().rad2deg()),
            "before": before[1][k],
            **{
                way: {"leakage": leakage[k], "effect kept": effect[k] / before[0][k]}
                for way, (effect, leakage) in after.items()
            },
        }
        for k, attribute in enumerate(ATTRIBUTES)
    }


def plane(samples: Samples, scores: Tensor, rows: Tensor) -> Tensor:
    """Ridge of scores on codes, `[attributes, d]`."""
    x, y = samples.codes[rows].double(), scores[rows].double()
    gram = x.T @ x / len(x) + RIDGE * torch.eye(x.shape[1]).double()
    return torch.linalg.solve(gram, x.T @ (y - y.mean(0)) / len(x)).T


def conditioned(planes: Tensor) -> Tensor:
    """Each freed from its components along all others."""
    return torch.linalg.inv(planes @ planes.T) @ planes


def reading(directions: Tensor, plane: Tensor) -> tuple[list[float], list[float]]:
    """Effects, and mean absolute effects on the others over them."""
    effects = directions / directions.norm(dim=1, keepdim=True) @ plane.T
    own = effects.diagonal()
    leakage = (effects.abs().sum(1) - own.abs()) / (len(own) - 1) / own.abs()
    return own.tolist(), leakage.tolist()


def measured(panel: Panel, judge: str, labelers: Sequence[str]) -> Any:
    return panel.judged(panel.bank(labelers), judge, COUNT)


def main() -> None:
    kept = Kept("reach", {"generator": "digiface64", "labels": TOTAL, "count": COUNT})
    panel = Panel("digiface64", "z", TOTAL)
    more = sample(
        panel.generator, load_classifier("faces+pixels"), MORE, seed=0, space="z",
        attributes=ALL.split(","), out=LABELS / "digiface64-z-all", rendering=FAST,
    )  # fmt: skip
    for judge in JUDGES:
        kept.get(f"{judge}/planes", partial(planes, panel, more, judge))
        kept.get(f"{judge}/others", partial(measured, panel, judge, panel.beside(judge)))
        kept.get(f"{judge}/its own labels", partial(measured, panel, judge, [judge]))
        kept.get(f"{judge}/own gradients", partial(own_gradients, panel, judge))


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    main()
