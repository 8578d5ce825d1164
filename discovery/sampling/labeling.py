"""Labels of one shard: a function of the manifest, the models and nothing else.

It runs wherever an executor sends it, and gives the same bits there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from directions.classifiers.base import Classifier, check_finite
from directions.errors import SamplesError
from directions.generators.base import Generator
from directions.scoring.scorer import Scorer
from discovery.sampling.shard_format import ROWS, Header, Settings

__all__ = ["Labeled", "Labeling", "Part", "drawn", "label_shard"]


class Part(NamedTuple):
    """Rows of one shard that are to be labeled.

    Attributes:
        shard: Number of the shard.
        have: Rows of it that are there already.
        rows: Rows that it is to have.
    """

    shard: int
    have: int
    rows: int


class Labeled(NamedTuple):
    """The new rows of a part.

    Attributes:
        codes: `[n, *shape]`, on the CPU.
        scores: `[n, k]`, float32, on the CPU.
        settings: What they were computed with; the batch is halved where memory is short.
        whole: Whether these are all; an interruption leaves fewer.
    """

    codes: Tensor
    scores: Tensor
    settings: Settings | None
    whole: bool


@dataclass(frozen=True, eq=False)
class Labeling:
    """`label_shard` with its models, to be sent to workers.

    Attributes:
        generator: Makes the images.
        classifier: Scores them.
        header: The manifest; its settings are chosen.
    """

    generator: Generator
    classifier: Classifier
    header: Header

    @cached_property
    def scorer(self) -> Scorer:
        """Prepared once in each worker."""
        return Scorer(
            self.generator,
            self.classifier,
            space=self.header.space,
            names=[a.name for a in self.header.attributes],
            rendering=replace(self.header.rendering, progress=False),
            n=self.header.wanted,
        )

    def __call__(self, part: Part) -> Labeled:
        """The rows of a part, which no interruption leaves unfinished."""
        made = label_shard(self.header, part, generator=self.generator, scorer=self.scorer)
        if not made.whole:
            raise SamplesError(f"the labeling of shard {part.shard} was interrupted")
        return made


def label_shard(
    header: Header,
    part: Part,
    *,
    generator: Generator,
    scorer: Scorer,
    seen: Callable[[int], object] = lambda count: None,
) -> Labeled:
    """Codes of a part of a shard and their scores, computed in whole tiles.

    Tiles start at multiples of the batch in the seed's sequence, so that scores depend neither on
    where a run starts nor on what computes it.

    Args:
        header: The manifest: seed, space, truncation.
        part: Which rows.
        generator: Draws the codes.
        scorer: Scores them.
        seen: Told how many more rows are done, tile by tile.

    Raises:
        LatdirError: Images that are invalid, or scores that are not finite.
    """
    first = header.start + part.shard * ROWS + part.have
    count = part.rows - part.have
    low = first // scorer.batch_size * scorer.batch_size
    high = math.ceil((first + count) / scorer.batch_size) * scorer.batch_size
    codes = drawn(header, generator, low, high - low)
    tiles: list[Tensor] = []
    done = shown = 0
    try:
        for scores in scorer.parts(codes):
            tiles.append(scores)
            done += len(scores)
            # Tiles begin before the first row and end after the last.
            now = min(max(done - (first - low), 0), count)
            seen(now - shown)
            shown = now
    except KeyboardInterrupt:
        if not tiles:
            raise
    rows = slice(first - low, first - low + shown)
    # One transfer a shard, so that a device is not made to wait for each tile.
    scores = torch.cat(tiles)[rows].float().cpu()
    check_finite(
        scores, names=scorer.names, classifier=header.classifier, first=first, seed=header.seed
    )
    settings = Settings.of(scorer.rendering)
    return Labeled(codes[rows].cpu().clone(), scores, settings, shown == count)


def drawn(header: Header, generator: Generator, start: int, count: int) -> Tensor:
    """Codes of the manifest's seed and space, from place `start` on."""
    if header.seed is None:
        raise SamplesError("these samples are of no seed: their codes cannot be drawn again")
    return generator.sample(
        count, seed=header.seed, start=start, space=header.space, truncation=header.truncation
    )
