"""Codes and their scores: drawn, generated, labeled and stored, as fast as the machine allows.

Bits depend on the seed, the models, and the three settings (batch, precision, compile), which are
chosen once and kept with the samples: codes are cut into tiles at multiples of the batch in the
seed's sequence, and a tile is always computed whole. So it changes nothing where a run starts,
ends, or is killed and taken up again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm.auto import tqdm

from directions.classifiers.base import Classifier, Combined
from directions.errors import LatdirError, SamplesError
from directions.fingerprints import Precision
from directions.generators.base import Generator, check_images, check_seed
from directions.images import grid, save_png
from discovery.estimators.cones import cone_angle
from discovery.sampling.samples import Samples
from discovery.sampling.shard_format import ROWS, Header, header_of
from discovery.sampling.store import Memory, Store, opened
from discovery.sampling.tuning import choose

__all__ = ["sample"]

GROWTH = 1.5
SHEET_SIDE = 8

log = logging.getLogger(__name__)


def sample(
    generator: Generator,
    classifiers: Classifier | Sequence[Classifier],
    n: int | Literal["auto"],
    *,
    seed: int,
    out: str | Path | None = None,
    attributes: Sequence[str] | None = None,
    space: str | None = None,
    start: int = 0,
    truncation: float = 1.0,
    batch: int | None = None,
    precision: Precision | None = None,
    compile: bool | None = None,
    max_samples: int = 200_000,
    cone: float = 10.0,
    sheets: int = 0,
    progress: bool = True,
) -> Samples:
    """Draw codes, make their images, score them.

    With `out`, rows are stored as they come. A run killed at any moment goes on where it was when
    called again, and ends bit-identical to one that was left alone; a larger n goes on as well.

    Args:
        generator: Makes the images.
        classifiers: One, or several side by side; on the generator's device.
        n: How many; or `auto`: in growing rounds, until the bootstrap cone of each attribute's
            least-squares direction is narrower than `cone`, or `max_samples` are drawn. What
            happened is logged and in the notes of the samples.
        seed: Of the codes, 0 … 2**64 - 1.
        out: Folder for Parquet shards and a manifest; without it, in memory only.
        attributes: Names of those wanted, in this order; by default all.
        space: Space of the codes; by default the generator's own first.
        start: Place of the first code in the seed's sequence.
        truncation: ψ; below 1 codes are drawn towards the mean.
        batch: Rows computed at once; by default measured, on runs of 2,048 or more.
        precision: By default bfloat16 where it was measured to be at least 10 % faster with
            scores that agree, on runs of 2,048 or more; else float32.
        compile: Use the classifier's compiled form; by default when n is large enough to pay
            the compilation back, by the speed measured.
        max_samples: Budget of `auto`.
        cone: Degrees; 95 % of bootstrap directions fall within it. For `auto`.
        sheets: Save contact sheets of the first so many images in `out`, 64 to a sheet.
        progress: Show a bar.

    Returns:
        n rows, on the CPU.

    Raises:
        LatdirError: An unknown attribute or space, another run's folder, a broken shard, images
            that are none, scores that are not finite.

    Example:
        >>> from directions.planted.world import planted
        >>> generator = planted()
        >>> samples = sample(generator, generator.classifier(), 100, seed=0, progress=False)
        >>> samples.scores.shape
        torch.Size([100, 4])
    """
    classifier = classifiers if isinstance(classifiers, Classifier) else Combined(*classifiers)
    names = classifier.names if attributes is None else tuple(attributes)
    columns = classifier.columns(names)
    if not columns:
        raise LatdirError(f"name at least one attribute: there are {', '.join(classifier.names)}")
    _check_numbers(n, max_samples, cone, batch, sheets, out)
    check_seed(seed, start)
    named = generator.space(space or generator.default_space())
    budget = max_samples if n == "auto" else n
    header = header_of(
        Samples(
            codes=torch.empty(0, *named.shape),
            scores=torch.empty(0, len(names)),
            attributes=tuple(classifier.attributes[c] for c in columns),
            space=named.name,
            generator=generator.name,
            fingerprint=generator.fingerprint,
            classifier=classifier.name,
            classifier_fingerprint=classifier.fingerprint,
            seed=seed,
            start=start,
            truncation=float(truncation),
        )
    )
    fixed = {"batch": batch, "precision": precision, "compile": compile}
    with _store(out, header) as store:
        if store.header.settings is None:
            codes = lambda count: _codes(generator, header, 0, count)  # noqa: E731
            settings = choose(generator, classifier, codes, header=header, n=budget, fixed=fixed)
            store.describe(settings=settings)
        _check_settings(store.header, fixed, out)
        run = _Run(generator, classifier, store, progress=progress)
        if n != "auto":
            run.reach(n)
            samples = store.samples(n)
        else:
            samples = run.until_narrow(cone, max_samples)
        if sheets and out is not None:
            run.draw_sheets(Path(out), min(sheets, len(samples)))
    return samples


@contextmanager
def _store(out: str | Path | None, header: Header) -> Iterator[Store]:
    if out is None:
        yield Memory(header)
    else:
        with opened(out, header) as folder:
            yield folder


@dataclass(frozen=True, eq=False)
class _Run:
    """A generator and a classifier joined, filling a store."""

    generator: Generator
    classifier: Classifier
    store: Store
    progress: bool

    @cached_property
    def _models(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        header = self.store.header
        assert header.settings is not None
        precision, compile = header.settings.precision, header.settings.compile
        names = [a.name for a in header.attributes]
        make = self.generator.inference(precision=precision, space=header.space)
        return make, self.classifier.inference(precision=precision, names=names, compile=compile)

    @property
    def _batch(self) -> int:
        assert self.store.header.settings is not None
        return self.store.header.settings.batch

    def reach(self, count: int) -> None:
        """Fill the store up to `count` rows."""
        wanted = max(self.store.header.wanted, count)
        if wanted != self.store.header.wanted:
            self.store.describe(wanted=wanted)
        shards = range(math.ceil(count / ROWS))
        there = [self.store.get(i) for i in shards]
        done = sum(min(len(part[0]), count) for part in there if part is not None)
        with tqdm(total=count, initial=done, disable=not self.progress, unit="img") as bar:
            for i in shards:
                rows = min(ROWS, count - i * ROWS)
                have = 0 if (old := there[i]) is None else len(old[0])
                if have >= rows:
                    continue
                first = self.store.header.start + i * ROWS
                codes, scores = self._labeled(first + have, rows - have, bar)
                if old is not None:
                    codes, scores = torch.cat([old[0], codes]), torch.cat([old[1], scores])
                self.store.put(i, codes, scores)

    def _labeled(self, first: int, count: int, bar: Any) -> tuple[Tensor, Tensor]:
        """Codes and scores of some places of the sequence, computed in whole tiles."""
        low = first // self._batch * self._batch
        high = math.ceil((first + count) / self._batch) * self._batch
        codes = _codes(self.generator, self.store.header, low, high - low)
        make, score = self._models
        parts: list[Tensor] = []
        for tile in torch.split(codes, self._batch):
            images = check_images(make(tile), name=self.generator.name, count=len(tile))
            parts.append(self._checked(score(images), low + self._batch * len(parts)))
            bar.update(len(tile))
        bar.update(count - len(codes))
        rows = slice(first - low, first - low + count)
        # One transfer a shard, so that a device is not made to wait for each tile.
        scores = torch.cat(parts)[rows].float().cpu()
        self._check_finite(scores, first)
        return codes[rows].cpu().clone(), scores

    def _checked(self, scores: Tensor, first: int) -> Tensor:
        expected = (self._batch, len(self.store.header.attributes))
        if tuple(scores.shape) != expected:
            raise SamplesError(
                f"{self.classifier.name} gave scores of shape {list(scores.shape)} for codes "
                f"{first} …, not {list(expected)}: one row an image, one column an attribute"
            )
        return scores

    def _check_finite(self, scores: Tensor, first: int) -> None:
        bad = (~torch.isfinite(scores)).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            name = self.store.header.attributes[column].name
            raise SamplesError(
                f"{self.classifier.name} scored {name!r} as {float(scores[row, column])} for code "
                f"{first + row} of seed {self.store.header.seed}: mend the classifier, or leave "
                "that attribute out with attributes=[…]"
            )

    def until_narrow(self, cone: float, budget: int) -> Samples:
        """Grow in rounds until every cone is narrow enough."""
        size = math.prod(self.store.header.shape)
        count = min(budget, math.ceil(max(ROWS, 2 * size + 2) / ROWS) * ROWS)
        rounds: list[dict[str, Any]] = []
        while True:
            self.reach(count)
            samples = self.store.samples(count)
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
        auto = {"cone": cone, "max_samples": budget, "reached": reached, "rounds": rounds}
        self.store.describe(notes={**self.store.header.notes, "auto": auto})
        return self.store.samples(count)

    def draw_sheets(self, folder: Path, count: int) -> None:
        """Contact sheets of the first images, where they are not there yet."""
        (folder / "sheets").mkdir(exist_ok=True)
        for first in range(0, count, SHEET_SIDE**2):
            stop = min(first + SHEET_SIDE**2, count)
            path = folder / "sheets" / f"{first:08d}-{stop - 1:08d}.png"
            if not path.exists():
                offset = self.store.header.start + first
                codes = _codes(self.generator, self.store.header, offset, stop - first)
                images = self._models[0](codes).cpu()
                blank = images.new_ones(-len(images) % SHEET_SIDE, *images.shape[1:])
                rows = torch.cat([images, blank]).reshape(-1, SHEET_SIDE, *images.shape[1:])
                save_png(grid(rows, tile=images.shape[-1]), path)


def _codes(generator: Generator, header: Header, start: int, count: int) -> Tensor:
    return generator.sample(
        count,
        seed=header.seed,
        start=start,
        space=header.space,
        truncation=header.truncation,
    )


def _cones(samples: Samples) -> dict[str, float]:
    """Cone of each attribute, rounded; 180° where a constant attribute has no direction."""
    varied = samples.scores.std(0) > 0
    cones = torch.full((len(samples.names),), 180.0)
    if varied.any() and len(samples) > samples.codes[0].numel() + 1:
        cones[varied] = cone_angle(samples.codes.flatten(1), samples.scores[:, varied].T)
    return {name: round(float(c), 3) for name, c in zip(samples.names, cones, strict=True)}


def _check_numbers(
    n: object, max_samples: int, cone: float, batch: int | None, sheets: int, out: object
) -> None:
    if n != "auto" and (not isinstance(n, int) or n < 1):
        raise LatdirError(f"n is a positive number or 'auto', not {n!r}")
    if max_samples < 1 or not cone > 0:
        raise LatdirError(f"max_samples {max_samples} and cone {cone} must be positive")
    if batch is not None and batch < 1:
        raise LatdirError(f"batch {batch} must be positive; leave it out to have it measured")
    if sheets and out is None:
        raise LatdirError("contact sheets need a folder: give out=…")


def _check_settings(header: Header, fixed: dict[str, Any], out: object) -> None:
    for name, asked in fixed.items():
        there = getattr(header.settings, name)
        if asked is not None and asked != there:
            raise SamplesError(
                f"{out} was begun with {name} {there!r}, which its scores' bits depend on: "
                f"leave {name} out, or give another folder than for {asked!r}"
            )
