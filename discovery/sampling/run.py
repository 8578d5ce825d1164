"""One run of sampling: a store filled shard by shard, resumed, interrupted, grown."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from directions.classifiers.base import Classifier
from directions.generators.base import Generator
from directions.images import grid, save_png
from directions.progress import tqdm
from directions.scoring.scorer import Scorer
from directions.space import Prior
from directions.storage.atomic import made_folder
from discovery.estimators.cones import sandwich_cone
from discovery.estimators.sums import influences, sums
from discovery.sampling.labeling import Labeled, Labeling, Part, drawn, label_shard
from discovery.sampling.samples import Samples
from discovery.sampling.shard_format import ROWS
from discovery.sampling.store import Store

__all__ = ["Interrupted", "Run"]

GROWTH = 1.5
SHEET_SIDE = 8
SHEETS = "_sheets"  # the underscore hides it from readers of Parquet folders

log = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """Sampling that was interrupted, by Ctrl-C or the stop button of a notebook.

    Attributes:
        samples: What there was by then, in whole tiles; None where nothing was.
    """

    def __init__(self, message: str, samples: Samples | None) -> None:
        super().__init__(message)
        self.samples = samples


@dataclass(frozen=True, eq=False)
class Run:
    """Models that fill a store.

    Attributes:
        generator: Draws the codes and makes the images.
        classifier: Scores them.
        scorer: Both, prepared; its executor says where shards are labeled.
        store: Where rows go. This process alone writes there.
        prior: Distribution of the codes.
    """

    generator: Generator
    classifier: Classifier
    scorer: Scorer
    store: Store
    prior: Prior

    def reach(self, count: int) -> Samples:
        """Fill the store up to `count` rows."""
        wanted = max(self.store.header.wanted, count)
        if wanted != self.store.header.wanted:
            self.store.describe(wanted=wanted)
        shards = [(i, min(ROWS, count - i * ROWS)) for i in range(math.ceil(count / ROWS))]
        held = [min(self.store.held(i), rows) for i, rows in shards]
        parts = [
            Part(i, have, rows) for (i, rows), have in zip(shards, held, strict=True) if have < rows
        ]
        hidden = not self.scorer.rendering.progress
        with tqdm(total=count, initial=sum(held), disable=hidden, unit="img", delay=1) as bar:
            try:
                for part, made in zip(parts, self._labeled(parts, bar.update), strict=True):
                    self._keep(part, made)
                    if not made.whole:
                        raise KeyboardInterrupt
            except KeyboardInterrupt as error:
                raise self._interrupted(count) from error
        return self._samples(count)

    def _labeled(self, parts: Sequence[Part], seen: Callable[[int], object]) -> Iterator[Labeled]:
        """The rows of each part, in order, wherever they are labeled."""
        header, executor = self.store.header, self.scorer.rendering.executor
        if not executor.remote:
            here = partial(
                label_shard, header, generator=self.generator, scorer=self.scorer, seen=seen
            )
            yield from executor.map(here, parts)
        elif parts:
            for made in executor.map(Labeling(self.generator, self.classifier, header), parts):
                seen(len(made.codes))
                yield made

    def _keep(self, part: Part, made: Labeled) -> None:
        """Store new rows after those that were there; what an interruption leaves is stored too."""
        if not len(made.codes):
            return
        self._note_halved(part.shard * ROWS + part.have, made)
        codes, scores = made.codes, made.scores
        if part.have and (old := self.store.get(part.shard)) is not None:
            codes, scores = torch.cat([old[0], codes]), torch.cat([old[1], scores])
        self.store.put(part.shard, codes, scores)

    def _note_halved(self, row: int, made: Labeled) -> None:
        """Put a batch that was halved for want of memory into the manifest."""
        header = self.store.header
        if header.settings is not None and made.settings not in (None, header.settings):
            batch = made.settings.batch if made.settings else 0
            halved = [*header.notes.get("halved", ()), [row, batch]]
            self.store.describe(settings=made.settings, notes={**header.notes, "halved": halved})

    def _samples(self, count: int) -> Samples:
        return Samples.of(self.store.header, self.store.rows(count), prior=self.prior)

    def _interrupted(self, count: int) -> Interrupted:
        """What is kept, and how to go on."""
        made = 0
        while made % ROWS == 0 and (held := self.store.held(made // ROWS)):
            made += held
        made = min(made, count)
        place = self.store.place
        if place is not None:
            way = f"are kept in {place}: run the same again, which resumes"
        elif made:
            way = (
                "were made: in a notebook take them with `import sys; samples = "
                "sys.last_value.samples`; with out=… a run resumes where it was"
            )
        else:
            way = "were made"
        samples = self._samples(made) if made else None
        return Interrupted(f"{made:,} of {count:,} samples {way}", samples)

    def until_narrow(self, cone: float, budget: int) -> Samples:
        """Grow in rounds until the cone of every attribute is narrow enough."""
        size = math.prod(self.store.header.shape)
        count = min(budget, math.ceil(max(ROWS, 2 * size + 2) / ROWS) * ROWS)
        rounds: list[dict[str, Any]] = []
        while True:
            samples = self.reach(count)
            cones = _cones(samples)
            rounds.append({"n": count, "cones": cones})
            widest = max(cones, key=lambda name: cones[name])
            log.info("%d samples: widest cone %.1f° (%s)", count, cones[widest], widest)
            reached = cones[widest] <= cone
            if reached or count >= budget:
                break
            count = min(budget, math.ceil(GROWTH * count / ROWS) * ROWS)
        log.info(
            "took %d samples: every cone is %s %g°",
            count,
            "within" if reached else "still not within",
            cone,
        )
        told = {"cone": cone, "max_samples": budget, "reached": reached, "rounds": rounds}
        self.store.describe(notes={**self.store.header.notes, "auto": told})
        return self._samples(count)

    def draw_sheets(self, folder: Path, count: int) -> None:
        """Contact sheets of the first images, where they are not there yet."""
        made_folder(folder / SHEETS)
        for first in range(0, count, SHEET_SIDE**2):
            stop = min(first + SHEET_SIDE**2, count)
            path = folder / SHEETS / f"{first:08d}-{stop - 1:08d}.png"
            if not path.exists():
                header = self.store.header
                codes = drawn(header, self.generator, header.start + first, stop - first)
                images = torch.cat([part.cpu() for part in self.scorer.images(codes)])
                blank = images.new_ones(-len(images) % SHEET_SIDE, *images.shape[1:])
                rows = torch.cat([images, blank]).reshape(-1, SHEET_SIDE, *images.shape[1:])
                save_png(grid(rows, tile=images.shape[-1]), path)


def _cones(samples: Samples) -> dict[str, float]:
    """Cone of each attribute, rounded; 180° where a constant attribute has no direction."""
    scores, rows = samples.scores, samples.chunks()
    varied = scores.std(0) > 0
    cones = torch.full((len(samples.names),), 180.0)
    if varied.any() and rows.count > rows.size + 1:
        used, targets = torch.ones(rows.count, dtype=torch.bool), scores[:, varied].T
        [found] = sums(rows, targets, (~used).byte())
        fit = found.regression(found.axes())
        plane = fit.ridge(0.0, torch.float64)
        steps = influences(rows, targets, used, plane=plane, mean=found.mean)
        cones[varied] = sandwich_cone(fit, steps).float()
    return {name: round(float(c), 3) for name, c in zip(samples.names, cones, strict=True)}
