"""Identity kept, by embeddings, against the change of the target attribute.

The editing literature (InterFaceGAN, StyleFlow) reports the cosine c between face-recognition
embeddings of the image before and after. On images unlike those an embedding was trained on,
different faces are close too: the mean cosine b of different codes' images may be 0.9. Reported
here is the identity kept, (c - b) / (1 - b): 1 for the same image, 0 for a different face. Compared
at equal effect, since an edit that does nothing preserves identity perfectly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.edits.curves import Curves
from analysis.edits.leakage import CHANGES, Standardized, reaching
from analysis.edits.targets import between
from analysis.intervals.delta import delta_method, pair_influence
from analysis.intervals.mean import mean_interval
from directions.arguments import checked, checked_fields
from directions.errors import LatdirError

__all__ = ["Identity", "identity_preservation", "kept_identity"]


@checked_fields
@dataclass(frozen=True, eq=False)
class Identity:
    """Identity kept before and after, at equal change of the targets.

    Attributes:
        directions: Names of the directions that have a target.
        targets: Their targets.
        changes: `[x]`, change of the target, in its standard deviations.
        amounts: `[k, x]`, sigma of the direction that it takes; NaN where out of reach.
        kept: `[k, x]`, mean identity kept, (cosine - baseline) / (1 - baseline).
        low: `[k, x]`, lower ends of its intervals.
        high: `[k, x]`, upper ends.
        baseline: Mean cosine between embeddings of different codes' images: different faces.
    """

    directions: tuple[str, ...]
    targets: tuple[str, ...]
    changes: Float[Tensor, "x"]
    amounts: Float[Tensor, "k x"]
    kept: Float[Tensor, "k x"]
    low: Float[Tensor, "k x"]
    high: Float[Tensor, "k x"]
    baseline: float


@checked
def identity_preservation(
    curves: Curves, *, changes: Sequence[float] = CHANGES, level: float = 0.95
) -> Identity:
    """Identity kept by every direction that has a target, as a curve over its change.

    Args:
        curves: Scores and similarities, from `measure_curves(…, embed=…)`.
        changes: Changes of the target to compare at, in standard deviations of its log-odds, or
            of its value.
        level: Confidence level of the intervals.

    Returns:
        Identity kept; NaN at changes that a direction does not reach within the measured amounts.

    Raises:
        LatdirError: The curves hold no similarities, or as `attribute_dependency`.
    """
    if curves.identity_baseline is None:
        raise LatdirError(
            "these curves were measured without embeddings: give measure_curves an embed=…, "
            "such as the faces classifier's embed"
        )
    reached = reaching(curves.logit, changes)
    standardized = Standardized(curves.logit)
    kept = torch.full((curves.scores.shape[2], *reached.amounts.shape), torch.nan)
    for i, (k, a) in enumerate(zip(reached.rows, reached.columns, strict=True)):
        for x, at in enumerate(reached.amounts[i]):
            if not at.isnan():
                kept[:, i, x] = kept_identity(curves, k, at, standardized.of_amount(k, a, at))
    return Identity(
        reached.directions,
        reached.targets,
        reached.changes,
        reached.amounts,
        *mean_interval(kept, level=level, bound=1.0),
        float(curves.identity_baseline.mean()),
    )


def kept_identity(
    curves: Curves, k: int, at: Float[Tensor, ""], influence: Float[Tensor, "n"]
) -> Float[Tensor, "n"]:
    """Identity kept of each code moved by one amount, with the error of amount and baseline.

    Args:
        curves: Scores and similarities.
        k: Index of the direction.
        at: The amount, in sigma.
        influence: Of each code on the amount.
    """
    assert curves.identity is not None
    assert curves.identity_baseline is not None
    similar, others = curves.identity[k].double(), curves.identity_baseline.double()
    amounts = curves.amounts.double()

    def kept(estimates: Tensor) -> Tensor:
        amount, baseline = estimates[:1], estimates[1]
        return (between(similar, amounts, amount).T - baseline) / (1 - baseline)

    estimates = torch.stack([at.double(), others.mean()])
    return delta_method(kept, estimates, torch.stack([influence, pair_influence(others)], 1))[:, 0]
