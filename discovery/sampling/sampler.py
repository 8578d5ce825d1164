"""Sampling: codes drawn, rendered, scored and stored at the fastest measured settings.

Bits depend on the seed, the models, and the three settings (batch, precision, compile), which are
chosen once and kept with the samples: codes are cut into tiles at multiples of the batch in the
seed's sequence, and a tile is always computed whole. So it changes nothing where a run starts,
ends, or is killed and taken up again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from directions.arguments import checked, checked_fields
from directions.classifiers.base import (
    Classifier,
    Combined,
    check_classifier,
    check_finite,
    names_of,
)
from directions.devices import device_name
from directions.errors import LatdirError, SamplesError, whole_number
from directions.generators.base import Generator, check_generator
from directions.generators.checks import check_seed
from directions.images import grid, save_png
from directions.progress import tqdm
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.space import Prior
from discovery.estimators.cones import cone_angle
from discovery.sampling.prior_file import write_prior
from discovery.sampling.samples import Samples
from discovery.sampling.shard_format import ROWS, AttributeEntry, Header, Settings
from discovery.sampling.store import Memory, Rows, Store, opened

__all__ = ["Auto", "Interrupted", "sample"]

GROWTH = 1.5
SHEET_SIDE = 8
SHEETS = "_sheets"  # the underscore hides it from readers of Parquet folders

log = logging.getLogger(__name__)


@checked_fields
@dataclass(frozen=True)
class Auto:
    """Draw in growing rounds until directions are well determined.

    Attributes:
        cone: Degrees; rounds end when the bootstrap cone of each attribute's least-squares
            direction, in which 95 % of bootstrap directions fall, is narrower.
        max_samples: Number of samples at which they end anyway.

    Raises:
        LatdirError: One is not positive.
    """

    cone: float = 10.0
    max_samples: int = 200_000

    def __post_init__(self) -> None:
        if self.max_samples < 1 or not 0 < self.cone < math.inf:
            raise LatdirError(
                f"max_samples {self.max_samples} and cone {self.cone} must be positive and finite"
            )


class Interrupted(KeyboardInterrupt):
    """Sampling that was interrupted, by Ctrl-C or the stop button of a notebook.

    Attributes:
        samples: What there was by then, in whole tiles; None where nothing was.
    """

    def __init__(self, message: str, samples: Samples | None) -> None:
        super().__init__(message)
        self.samples = samples


@checked
def sample(
    generator: Generator,
    classifiers: Classifier | Sequence[Classifier],
    count: int | Auto,
    *,
    seed: int,
    out: str | Path | None = None,
    attributes: Sequence[str] | None = None,
    space: str | None = None,
    start: int = 0,
    sheets: int = 0,
    rendering: Rendering = Rendering(),
) -> Samples:
    """Draw codes, make their images, score them.

    With `out`, rows are stored as they come. A run killed at any moment resumes when
    called again, and ends bit-identical to an uninterrupted one; a larger count resumes as well.
    An interrupted run raises `Interrupted`, whose `samples` are those that were made.

    Args:
        generator: Makes the images.
        classifiers: One, or several side by side; on the generator's device.
        count: Number of samples; or `Auto(…)`, as many as directions need, which is logged
            and kept in the notes of the samples.
        seed: Of the codes, 0 … 2**64 - 1.
        out: Folder for Parquet shards and a manifest; without it, in memory only.
        attributes: Names of those wanted, in this order; by default all.
        space: Space of the codes; by default the generator's own first.
        start: Place of the first code in the seed's sequence.
        sheets: Save contact sheets of this many first images in `out/_sheets`, 64 per sheet.
        rendering: Rendering options; those left open are measured, on runs of 2,048 or more.

    Returns:
        That many rows, on the CPU.

    Raises:
        LatdirError: An unknown attribute or space, another run's folder, a broken shard, images
            that are invalid, scores that are not finite.
        Interrupted: Ctrl-C, or the stop button of a notebook.

    Example:
        >>> from directions.planted.world import planted
        >>> generator = planted()
        >>> samples = sample(generator, generator.classifier(), 100, seed=0)
        >>> samples.scores.shape
        torch.Size([100, 4])
    """
    check_generator(generator)
    if isinstance(classifiers, list | tuple):
        classifier: Classifier = Combined(*classifiers)
    else:
        classifier = check_classifier(classifiers)
    names = classifier.names if attributes is None else names_of(attributes)
    columns = classifier.columns(names)
    if not columns:
        raise LatdirError(f"name at least one attribute: there are {', '.join(classifier.names)}")
    if not isinstance(count, Auto):
        count = whole_number(count, "count")
        if count < 1:
            raise LatdirError(f"count {count} must be at least 1, or Auto(…)")
    if sheets and out is None:
        raise LatdirError("contact sheets need a folder: give out=…")
    check_seed(seed, start, 0 if isinstance(count, Auto) else count)
    seed, start = int(seed), int(start)
    named = generator.space(space or generator.default_space())
    header = Header(
        generator=generator.name,
        fingerprint=generator.fingerprint,
        classifier=classifier.name,
        classifier_fingerprint=classifier.fingerprint,
        attributes=tuple(AttributeEntry(**asdict(classifier.attributes[c])) for c in columns),
        space=named.name,
        shape=named.shape,
        seed=seed,
        start=start,
        truncation=rendering.psi,
        wanted=0,
        notes={"device": device_name(generator.device)},
    )
    with _store(out, header) as store:
        scorer = Scorer(
            generator,
            classifier,
            space=named.name,
            names=names,
            rendering=_agreed(rendering, store.header.rendering, out),
            n=count.max_samples if isinstance(count, Auto) else count,
        )
        begun, here = store.header.notes.get("device"), header.notes["device"]
        if begun not in (None, here):
            log.warning("%s was begun on %s: scores from %s differ by rounding", out, begun, here)
        if store.header.settings is None:
            store.describe(settings=Settings.of(scorer.rendering))
        prior = generator.truncated_prior(named.name, store.header.truncation)
        if out is not None:
            write_prior(Path(out), prior)
        run = _Run(generator, scorer, store, prior, seed)
        samples = run.until_narrow(count) if isinstance(count, Auto) else run.reach(count)
        if sheets and out is not None:
            run.draw_sheets(Path(out), min(sheets, len(samples)))
    return samples


def _agreed(asked: Rendering, there: Rendering, out: object) -> Rendering:
    """The requested settings, completed by those of an existing folder."""
    agreed = {}
    for name in ("batch_size", "precision", "compile"):
        wanted, begun = getattr(asked, name), getattr(there, name)
        if None not in (wanted, begun) and wanted != begun:
            raise SamplesError(
                f"{out} was begun with {name} {begun!r}, which its scores' bits depend on: "
                f"leave {name} out, or give another folder than for {wanted!r}"
            )
        agreed[name] = begun if wanted is None else wanted
    return replace(asked, **agreed)


@contextmanager
def _store(out: str | Path | None, header: Header) -> Iterator[Store]:
    if out is None:
        yield Memory(header)
    else:
        with opened(out, header) as folder:
            yield folder


@dataclass(frozen=True, eq=False)
class _Run:
    """A scorer that fills a store."""

    generator: Generator
    scorer: Scorer
    store: Store
    prior: Prior
    seed: int

    def reach(self, count: int) -> Samples:
        """Fill the store up to `count` rows."""
        wanted = max(self.store.header.wanted, count)
        if wanted != self.store.header.wanted:
            self.store.describe(wanted=wanted)
        shards = range(math.ceil(count / ROWS))
        there = [self.store.get(i) for i in shards]
        done = sum(min(len(part[0]), count) for part in there if part is not None)
        hidden = not self.scorer.rendering.progress
        with tqdm(total=count, initial=done, disable=hidden, unit="img", delay=1) as bar:
            try:
                for i in shards:
                    self._fill(i, min(ROWS, count - i * ROWS), there[i], bar)
            except KeyboardInterrupt as error:
                raise self._interrupted(count) from error
        return Samples.of(self.store.header, self.store.rows(count), prior=self.prior)

    def _fill(self, i: int, rows: int, old: Rows | None, bar: Any) -> None:
        """Complete one shard; what an interruption leaves of it is stored as well."""
        have = 0 if old is None else len(old[0])
        if have >= rows:
            return
        first = self.store.header.start + i * ROWS + have
        codes, scores, whole = self._labeled(first, rows - have, bar)
        if old is not None:
            codes, scores = torch.cat([old[0], codes]), torch.cat([old[1], scores])
        if len(codes) > have:
            self._note_halved(i * ROWS + have)
            self.store.put(i, codes, scores)
        if not whole:
            raise KeyboardInterrupt

    def _note_halved(self, row: int) -> None:
        """Put a batch that was halved for want of memory into the manifest."""
        settings, header = Settings.of(self.scorer.rendering), self.store.header
        if header.settings is not None and settings != header.settings:
            halved = [*header.notes.get("halved", ()), [row, self.scorer.batch_size]]
            self.store.describe(settings=settings, notes={**header.notes, "halved": halved})

    def _interrupted(self, count: int) -> Interrupted:
        """What is kept, and how to go on."""
        made = 0
        while (part := self.store.get(made // ROWS)) is not None:
            made += len(part[0])
            if made % ROWS:
                break
        samples = None
        if made:
            rows = self.store.rows(min(made, count))
            samples = Samples.of(self.store.header, rows, prior=self.prior)
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
        return Interrupted(f"{min(made, count):,} of {count:,} samples {way}", samples)

    def _labeled(self, first: int, count: int, bar: Any) -> tuple[Tensor, Tensor, bool]:
        """Codes and scores of some places of the sequence, computed in whole tiles.

        An interruption ends it early; then the last value is False.
        """
        scorer, seed = self.scorer, self.seed
        low = first // scorer.batch_size * scorer.batch_size
        high = math.ceil((first + count) / scorer.batch_size) * scorer.batch_size
        codes = self._codes(low, high - low)
        parts: list[Tensor] = []
        done = shown = 0
        try:
            for scores in scorer.parts(codes):
                parts.append(scores)
                done += len(scores)
                # Tiles begin before the first row and end after the last.
                now = min(max(done - (first - low), 0), count)
                bar.update(now - shown)
                shown = now
        except KeyboardInterrupt:
            if not parts:
                raise
        rows = slice(first - low, first - low + shown)
        # One transfer a shard, so that a device is not made to wait for each tile.
        scores = torch.cat(parts)[rows].float().cpu()
        check_finite(
            scores,
            names=scorer.names,
            classifier=self.store.header.classifier,
            first=first,
            seed=seed,
        )
        return codes[rows].cpu().clone(), scores, shown == count

    def _codes(self, start: int, count: int) -> Tensor:
        header = self.store.header
        return self.generator.sample(
            count,
            seed=self.seed,
            start=start,
            space=header.space,
            truncation=header.truncation,
        )

    def until_narrow(self, auto: Auto) -> Samples:
        """Grow in rounds until every cone is narrow enough."""
        cone, budget = auto.cone, auto.max_samples
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
        return replace(samples, notes=self.store.header.notes)

    def draw_sheets(self, folder: Path, count: int) -> None:
        """Contact sheets of the first images, where they are not there yet."""
        (folder / SHEETS).mkdir(exist_ok=True)
        for first in range(0, count, SHEET_SIDE**2):
            stop = min(first + SHEET_SIDE**2, count)
            path = folder / SHEETS / f"{first:08d}-{stop - 1:08d}.png"
            if not path.exists():
                offset = self.store.header.start + first
                made = self.scorer.images(self._codes(offset, stop - first))
                images = torch.cat([part.cpu() for part in made])
                blank = images.new_ones(-len(images) % SHEET_SIDE, *images.shape[1:])
                rows = torch.cat([images, blank]).reshape(-1, SHEET_SIDE, *images.shape[1:])
                save_png(grid(rows, tile=images.shape[-1]), path)


def _cones(samples: Samples) -> dict[str, float]:
    """Cone of each attribute, rounded; 180° where a constant attribute has no direction."""
    varied = samples.scores.std(0) > 0
    cones = torch.full((len(samples.names),), 180.0)
    if varied.any() and len(samples) > samples.codes[0].numel() + 1:
        cones[varied] = cone_angle(samples.codes.flatten(1), samples.scores[:, varied].T)
    return {name: round(float(c), 3) for name, c in zip(samples.names, cones, strict=True)}
