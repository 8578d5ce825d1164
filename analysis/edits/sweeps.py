"""Sweeps with scores: images of a few codes along a direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Attribute, Classifier
from directions.direction import Direction
from directions.editing.grids import AMOUNTS
from directions.editing.moves import sweep
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED
from directions.weight_space import widened

__all__ = ["ScoredSweep", "scored_sweep"]


@dataclass(frozen=True, eq=False)
class ScoredSweep:
    """A few codes moved along one direction.

    Attributes:
        direction: Its name.
        amounts: `[t]`, in sigma, ascending, 0 among them.
        images: `[n, t, 3, h, w]`.
        scores: `[n, t, a]`.
        attributes: Attributes of the scores.
    """

    direction: str
    amounts: Float[Tensor, "t"]
    images: Float[Tensor, "n t 3 h w"]
    scores: Float[Tensor, "n t a"]
    attributes: tuple[Attribute, ...]


def scored_sweep(
    generator: Generator,
    classifier: Classifier,
    direction: Direction,
    *,
    attributes: Sequence[str],
    amounts: Sequence[float] = AMOUNTS,
    count: int = 3,
    seed: int = HELD_OUT_SEED,
    start: int = 0,
) -> ScoredSweep:
    """Move codes `start` … of a seed along a direction, draw and score them.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        direction: Of that generator.
        attributes: Which scores to keep: the direction's own, and those it should leave alone.
        amounts: In sigma; 0 is added.
        count: Number of codes.
        seed: Seed of the codes.
        start: Index of the first code.

    Raises:
        LatdirError: No codes, an unknown attribute, or a direction that does not fit.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> first = Direction("factor_0", world.truth[0], "z")
        >>> found = scored_sweep(world, world.classifier(), first, attributes=["factor_0"])
        >>> found.images.shape, found.scores.shape
        (torch.Size([3, 7, 3, 16, 16]), torch.Size([3, 7, 1]))
    """
    if count < 1:
        raise LatdirError(f"a sweep of {count} codes shows nothing: give 1 or more")
    columns = classifier.columns(attributes)
    generator = widened(generator, [direction])
    steps = sorted({0.0, *map(float, amounts)})
    space = direction.acts_in(generator.spaces)
    codes = generator.sample(count, seed=seed, start=start, space=space)
    scorer = Scorer(generator, classifier, space=space, names=attributes)
    rows = [
        torch.cat(list(scorer.images(part)))
        for part in sweep(codes, direction, steps).transpose(0, 1)
    ]
    return ScoredSweep(
        direction.name,
        torch.tensor(steps),
        torch.stack([row.float().cpu() for row in rows]).clamp(-1, 1),
        torch.stack([scorer.score_images(row) for row in rows]),
        tuple(classifier.attributes[c] for c in columns),
    )
