"""Male and age against the number and the kind of labels, by a labeler that took no part.

Directions of `digiface64` are found with the labels or gradients of one labeler, or with the mean
of two, and judged by another in two ways: measured, as in `judge.py`, and read from a plane fitted
to 8,000 labels of the judge on codes that no direction was found with, whose error is smaller. Of
labels there are more or fewer, means over mirror images and small shifts, and means over labelers;
of gradients the same.

    python benchmarks/label_kinds.py

Both attributes' figures are in `results/label-kinds.json`; finished kinds are not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from judge_panel import ATTRIBUTES, FAST, FIT, JUDGES, LABELS, Kept, Panel
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import DirectionBank, keep_freed_memory
from directions.classifiers import Classifier, Combined
from directions.classifiers.base import Attribute, logit
from directions.fingerprints import Precision, fingerprint
from discovery import Boundary, Gradient, Samples, sample

NAMES = ("male", "age")
TOTAL, FIRST = 24_000, 16_000  # codes with labels; those that directions are found with
COUNTS = (250, 1000, 4000, 16_000)
SUBSETS = 8
HELD_OUT = 256
AVERAGED = 2000
GRADIENTS = (300, 1200)
FEW = 300
STEP = 2  # pixels of 64
VIEWS = {  # mirrored or not, pixels right and down
    "plain": (False, 0, 0),
    "mirror": (True, 0, 0),
    "right": (False, STEP, 0),
    "left": (False, -STEP, 0),
    "down": (False, 0, STEP),
    "up": (False, 0, -STEP),
}
KINDS = {"plain": ("plain",), "mirror": ("plain", "mirror"), "mirror and shifts": tuple(VIEWS)}


class Views(Classifier):
    """Log-odds and values of images and of their mirror and moved images, each a column."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.name = classifier, f"{classifier.name}-views"
        self.attributes = tuple(
            Attribute(f"{classifier.name}/{a}/{view}") for view in VIEWS for a in NAMES
        )

    @property
    def fingerprint(self) -> str:
        """Over the classifier and the views."""
        return fingerprint({}, {"views": self.classifier.fingerprint, "of": list(self.names)})

    def __call__(self, images: Tensor) -> Tensor:
        """Every view's."""
        return self.inference()(images)

    def inference(
        self,
        *,
        precision: Precision = "float32",
        names: Sequence[str] | None = None,
        compile: bool = False,
    ) -> Callable[[Tensor], Tensor]:
        """By the classifier's own fast form; all columns."""
        run = self.classifier.inference(precision=precision, names=NAMES, compile=compile)
        kinds = [self.classifier.attributes[c] for c in self.classifier.columns(NAMES)]
        return lambda images: torch.cat([logit(run(seen(images, v)), kinds) for v in VIEWS], 1)


class Averaged(Classifier):
    """The mean log-odds or values of several classifiers over several views, differentiable."""

    differentiable = True

    def __init__(
        self,
        members: Sequence[Classifier],
        names: Sequence[str],
        *,
        views: str,
        scales: Sequence[Tensor],
    ) -> None:
        self.members, self.views = members, KINDS[views]
        self.name, self.scales = f"{'+'.join(m.name for m in members)} {views}", scales
        self.attributes = tuple(Attribute(a) for a in names)

    @property
    def fingerprint(self) -> str:
        """Over the members and views."""
        return fingerprint({}, {"of": [m.fingerprint for m in self.members], "name": self.name})

    def __call__(self, images: Tensor) -> Tensor:
        """Means, each member in units of its standard deviation."""
        moved = [seen(images, view) for view in self.views]
        found = [
            m.logits_of(view, self.names) / scale
            for m, scale in zip(self.members, self.scales, strict=True)
            for view in moved
        ]
        return torch.stack(found).mean(0)


def seen(images: Tensor, view: str) -> Tensor:
    """Images mirrored or moved, their edges repeated."""
    mirrored, right, down = VIEWS[view]
    size = images.shape[2]
    wide = F.pad(images.flip(3) if mirrored else images, (STEP,) * 4, mode="replicate")
    x, y = STEP - right, STEP - down
    return wide[:, :, y : y + size, x : x + size]


class Judged:
    """Directions read from the judge's plane, and measured."""

    def __init__(self, panel: Panel, judge: str) -> None:
        self.panel, self.judge = panel, judge
        scores = panel.labels([judge], slice(FIRST, TOTAL))
        self.weights = torch.stack([_plane(scores, a) for a in NAMES])

    def read(self, bank: DirectionBank) -> dict[str, float]:
        """Effect per sigma by the judge's plane, in its standard deviations."""
        steps = torch.stack([bank[a].sigma * bank[a].vector.flatten() for a in NAMES]).double()
        return dict(zip(NAMES, (steps * self.weights).sum(1).tolist(), strict=True))

    def both(self, *banks: DirectionBank) -> dict[str, dict[str, float]]:
        """The mean reading of several banks of one kind, and the first one's measured effects."""
        readings = [self.read(bank) for bank in banks]
        measured = self.panel.judged(banks[0].select(NAMES), self.judge, HELD_OUT, NAMES)
        return {
            a: {"reading": sum(r[a] for r in readings) / len(readings), **measured[a]}
            for a in NAMES
        }


def _plane(samples: Samples, attribute: str) -> Tensor:
    """Least squares of one attribute's standardized scores on the codes."""
    x = samples.codes.double().flatten(1)
    y = samples.scores[:, samples.names.index(attribute)].double()
    return torch.linalg.lstsq(x - x.mean(0), ((y - y.mean()) / y.std())[:, None]).solution[:, 0]


def of_labels(
    panel: Panel, judged: Judged, labelers: Sequence[str], count: int, *, conditioned: bool = False
) -> Any:
    """Ridge on so many labels, of as many disjoint sets as there are."""
    starts = range(0, FIRST - count + 1, count)[:SUBSETS]
    banks = [panel.bank(labelers, slice(s, s + count)) for s in starts]
    return judged.both(*(panel.conditioned(b) if conditioned else b for b in banks))


def cones(panel: Panel, labeler: str) -> Any:
    """Degrees within which directions of so many labels lie of that of endless ones, at 95 %."""
    fit = Boundary(validation=0.0)
    found = {n: fit.discover(panel.labels([labeler], slice(n)), attributes=NAMES) for n in COUNTS}
    return {
        f"{n}": {a: bank[a].evidence["cone_degrees"] for a in NAMES} for n, bank in found.items()
    }


def of_views(samples: Samples, judged: Judged, labeler: str, kind: str) -> Any:
    """Ridge on means of a labeler's scores over views."""
    columns = [[samples.names.index(f"{labeler}/{a}/{v}") for a in NAMES] for v in KINDS[kind]]
    means = torch.stack([samples.scores[:, c] for c in columns]).mean(0)
    attributes = tuple(Attribute(a) for a in NAMES)
    return judged.both(FIT.discover(replace(samples, scores=means, attributes=attributes)))


def of_gradients(
    panel: Panel,
    judged: Judged,
    labelers: Sequence[str],
    count: int,
    *,
    views: str = "plain",
    conditioned: bool = False,
) -> Any:
    """Mean gradients at so many codes; conditioned on all five attributes, or of two alone."""
    members = [panel.labelers[name] for name in labelers]
    names = ATTRIBUTES if conditioned else NAMES
    scales = [torch.ones(len(names))]
    if len(members) > 1:
        with torch.no_grad():
            images = panel.generator.synthesize(panel.samples.codes[:256])
            scales = [member.logits_of(images, names).std(0) for member in members]
    found = Gradient(n_codes=count, progress=False).discover(
        panel.generator, classifier=Averaged(members, names, views=views, scales=scales), seed=1
    )
    return judged.both(panel.conditioned(found) if conditioned else found)


def main() -> None:
    settings = {"generator": "digiface64", "labels": TOTAL, "count": HELD_OUT}
    kept = Kept("label-kinds", settings)
    panel = Panel("digiface64", "z", TOTAL)
    views = sample(
        panel.generator, Combined(*(Views(panel.labelers[name]) for name in JUDGES)), AVERAGED,
        seed=0, out=LABELS / "digiface64-z-views", rendering=FAST,
    )  # fmt: skip
    for judge in JUDGES:
        judged = Judged(panel, judge)
        own = panel.beside(judge)
        one = own[:1]
        labels = partial(of_labels, panel, judged)
        gradients = partial(of_gradients, panel, judged)
        jobs: dict[str, Callable[[], Any]] = {
            **{f"labels {n}": partial(labels, one, n) for n in COUNTS},
            **{f"labels {n}, {'+'.join(own)}": partial(labels, own, n) for n in COUNTS[2:]},
            **{
                f"labels {AVERAGED}, {kind}": partial(of_views, views, judged, one[0], kind)
                for kind in KINDS
            },
            **{f"gradients {n}": partial(gradients, one, n) for n in GRADIENTS},
            **{
                f"gradients {FEW}, {kind}": partial(gradients, one, FEW, views=kind)
                for kind in KINDS
                if kind != "plain"
            },
            f"gradients {FEW}, {'+'.join(own)}": partial(gradients, own, FEW),
            **{
                f"labels {n}, conditioned": partial(labels, one, n, conditioned=True)
                for n in COUNTS[2:]
            },
            **{
                f"gradients {n}, conditioned": partial(gradients, one, n, conditioned=True)
                for n in GRADIENTS
            },
        }
        kept.get(f"cones/{one[0]}", partial(cones, panel, one[0]))
        for key, make in jobs.items():
            if not key.endswith(f", {one[0]}"):  # the mean of one labeler is itself
                kept.get(f"{judge}/{key}", make)


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    main()
