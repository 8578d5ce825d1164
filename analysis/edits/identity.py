"""Identity preservation: embedding similarity against the change of the target attribute.

Identity preservation as usual in the editing literature (InterFaceGAN, StyleFlow): the cosine
between face-recognition embeddings of the image before and after. Compared at equal effect, since
an edit that does nothing preserves identity perfectly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.edits.curves import Curves
from analysis.edits.leakage import CHANGES, reaching
from analysis.edits.targets import between
from analysis.intervals.bootstrap import mean_interval
from directions.errors import LatdirError

__all__ = ["Identity", "identity_preservation"]


@dataclass(frozen=True, eq=False)
class Identity:
    """Similarity of embeddings before and after, at equal change of the targets.

    Attributes:
        directions: Names of the directions that have a target.
        targets: Their targets.
        changes: `[x]`, change of the target, in its standard deviations.
        amounts: `[k, x]`, sigma of the direction that it takes; NaN where out of reach.
        cosine: `[k, x]`, mean cosine between embeddings before and after.
        low: `[k, x]`, lower ends of its bootstrap intervals.
        high: `[k, x]`, upper ends.
        baseline: Mean cosine between images of different codes, the level of unrelated
            identities.
    """

    directions: tuple[str, ...]
    targets: tuple[str, ...]
    changes: Float[Tensor, "x"]
    amounts: Float[Tensor, "k x"]
    cosine: Float[Tensor, "k x"]
    low: Float[Tensor, "k x"]
    high: Float[Tensor, "k x"]
    baseline: float


def identity_preservation(
    curves: Curves,
    *,
    changes: Sequence[float] = CHANGES,
    bootstrap: int = 1000,
    level: float = 0.95,
) -> Identity:
    """Embedding similarity of every direction that has a target, as a curve over its change.

    Args:
        curves: Scores and similarities, from `measure_curves(…, embed=…)`.
        changes: Changes of the target to compare at, in standard deviations of its log-odds, or
            of its value.
        bootstrap: Number of resamples of the codes.
        level: Share of the resampled means inside an interval.

    Returns:
        Cosines; NaN at changes that a direction does not reach within the measured amounts.

    Raises:
        LatdirError: The curves hold no similarities, or as `attribute_dependency`.
    """
    if curves.identity is None or curves.identity_baseline is None:
        raise LatdirError(
            "these curves were measured without embeddings: give measure_curves an embed=…, "
            "such as the faces classifier's embed"
        )
    reached = reaching(curves.logit, changes)
    similar = torch.stack(
        [
            between(curves.identity[k], curves.amounts, at)
            for k, at in zip(reached.rows, reached.amounts, strict=True)
        ]
    )
    return Identity(
        reached.directions,
        reached.targets,
        reached.changes,
        reached.amounts,
        *mean_interval(similar.movedim(2, 0), draws=bootstrap, level=level),
        curves.identity_baseline,
    )
