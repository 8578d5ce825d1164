"""Scores and embeddings of batches of codes, wherever an executor computes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool, Float
from torch import Tensor

from directions.classifiers.base import Classifier
from directions.generators.base import Generator
from directions.scoring.kept import kept_scores
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer

__all__ = ["Judging", "judged"]

Batch = tuple[Float[Tensor, "n *shape"], Bool[Tensor, "n"] | None]
"""Codes, and those whose embeddings are wanted."""
Judged = tuple[Float[Tensor, "n a"], Float[Tensor, "m e"] | None]
"""Their scores, and those embeddings."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Judging:
    """A generator, what looks at its images, and the settings: a function of a batch.

    Attributes:
        generator: Makes the images.
        classifier: Scores them.
        embed: Embeds them, if embeddings are wanted.
        space: Space of the codes.
        names: Attributes wanted.
        rendering: Nothing in it is left open, and its executor is a loop.
    """

    generator: Generator
    classifier: Classifier
    embed: Callable[[Tensor], Tensor] | None
    space: str
    names: tuple[str, ...]
    rendering: Rendering

    @cached_property
    def scorer(self) -> Scorer:
        """Prepared once in each worker."""
        return Scorer(
            self.generator,
            self.classifier,
            space=self.space,
            names=self.names,
            embed=self.embed,
            rendering=self.rendering,
        )

    def __call__(self, batch: Batch) -> Judged:
        """Scores of the codes, and embeddings of some, on the CPU."""
        codes, seen = batch
        scores, embedded = _looked(self.scorer, (codes.to(self.generator.device), seen))
        return scores, None if embedded is None else embedded.cpu()


def judged(judging: Judging, scorer: Scorer, batches: Iterable[Batch]) -> Iterator[Judged]:
    """What each batch is given, in order, by the executor of the scorer's rendering.

    Args:
        judging: Sent to workers, its settings those of the scorer.
        scorer: Does the same here.
        batches: Codes, and which of them are to be embedded; None for none.
    """
    executor = scorer.rendering.executor
    if not executor.remote:
        for batch in batches:
            yield _looked(scorer, batch)
        return
    if kept_scores() is not None:
        log.warning("scores that are computed in other processes are not kept")
    device = judging.generator.device
    there = ((codes.cpu(), seen) for codes, seen in batches)
    for scores, embedded in executor.map(judging, there):
        yield scores, None if embedded is None else embedded.to(device)


def _looked(scorer: Scorer, batch: Batch) -> Judged:
    codes, seen = batch
    return (scorer.score(codes), None) if seen is None else scorer.score_and_embed(codes, seen)
