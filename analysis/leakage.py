"""What else moves when a direction moves its own attribute: attribute dependency at equal effect.

AD of StyleSpace (Wu, Lischinski, Shechtman 2021, arXiv:2011.12799; code never released): for
edits that change the target's logit by x σ(l_t), take |Δl_i| / σ(l_i) of every other attribute i;
mean-AD averages over i, max-AD takes the largest, both in expectation over images. Here the edit
that changes the target by x is the amount at which its mean over the held-out codes has changed
so, the same amount for every code; changes between measured amounts are interpolated.

AD counts every change, also one that is as often up as down. The signed mean, `drift`, is what a
direction does systematically, and what conditioning can remove.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.bootstrap import mean_interval
from analysis.curves import Curves
from analysis.targets import amounts_reaching, between
from directions.classifiers.base import Attribute
from directions.errors import LatdirError

__all__ = ["CHANGES", "Leakage", "attribute_dependency", "reaching"]

CHANGES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


@dataclass(frozen=True, eq=False)
class Leakage:
    """Attribute dependency of directions at equal change of their targets.

    Attributes:
        directions: Names of the directions that have a target.
        targets: Their targets.
        attributes: The attributes, constant ones left out.
        changes: `[x]`, change of the target, in its standard deviations.
        amounts: `[k, x]`, sigma of the direction that it takes; NaN where out of reach.
        dependency: `[k, x, a]`, mean |Δl_i| / σ(l_i); NaN for the target itself.
        drift: `[k, x, a]`, mean Δl_i / σ(l_i), signed; NaN for the target itself.
        mean_ad: `[k, x]`, dependency averaged over the other attributes.
        mean_low: `[k, x]`, lower ends of its bootstrap intervals.
        mean_high: `[k, x]`, upper ends.
        max_ad: `[k, x]`, mean over codes of the largest |Δl_i| / σ(l_i).
    """

    directions: tuple[str, ...]
    targets: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    changes: Float[Tensor, "x"]
    amounts: Float[Tensor, "k x"]
    dependency: Float[Tensor, "k x a"]
    drift: Float[Tensor, "k x a"]
    mean_ad: Float[Tensor, "k x"]
    mean_low: Float[Tensor, "k x"]
    mean_high: Float[Tensor, "k x"]
    max_ad: Float[Tensor, "k x"]

    @property
    def ratio(self) -> Float[Tensor, "k x"]:
        """Effect to leakage: change of the target over mean-AD, both in standard deviations."""
        return self.changes / self.mean_ad

    @property
    def drift_ratio(self) -> Float[Tensor, "k x"]:
        """Effect to systematic leakage: change of the target over the mean |drift|."""
        return self.changes / self.drift.abs().nanmean(2)


def attribute_dependency(
    curves: Curves,
    *,
    changes: Sequence[float] = CHANGES,
    bootstrap: int = 1000,
    level: float = 0.95,
) -> Leakage:
    """Attribute dependency of every direction that has a target, as a curve over its change.

    Args:
        curves: Scores at several positive amounts; taken on the scale of log-odds.
        changes: Changes of the target to compare at, in its standard deviations.
        bootstrap: Number of resamples of the codes.
        level: Share of the resampled means inside an interval.

    Returns:
        Dependencies; NaN at changes that a direction does not reach within the measured amounts.

    Raises:
        LatdirError: No direction has a target that varies, nothing else does, or a change is not
            positive.
    """
    logits = curves.logit
    varying = (logits.std > 0).nonzero()[:, 0]
    attributes = tuple(logits.attributes[a] for a in varying.tolist())
    levels, rows, columns, amounts = reaching(logits, changes)
    if len(attributes) < 2:
        raise LatdirError(
            "leakage is what happens to other attributes, but only "
            f"{attributes[0].name!r} was measured and varies: measure more of them"
        )

    shape = (len(rows), len(levels))
    dependency, drift = (torch.empty(*shape, len(attributes)) for _ in range(2))
    means, lows, highs, largest = (torch.empty(shape) for _ in range(4))
    for i, (k, target) in enumerate(zip(rows, columns, strict=True)):
        moved = between(logits.changes[k], logits.amounts, amounts[i])
        moved = moved[..., varying] / logits.std[varying]
        own = varying == target
        moved[..., own] = torch.nan
        dependency[i] = moved.abs().mean(1)
        drift[i] = moved.mean(1)
        others = moved[..., ~own].abs()
        means[i], lows[i], highs[i] = mean_interval(others.mean(2).T, draws=bootstrap, level=level)
        largest[i] = others.amax(2).mean(1)
    return Leakage(
        tuple(logits.directions[k] for k in rows),
        tuple(logits.names[a] for a in columns),
        attributes,
        levels,
        amounts,
        dependency,
        drift,
        means,
        lows,
        highs,
        largest,
    )


def reaching(
    curves: Curves, changes: Sequence[float]
) -> tuple[Float[Tensor, "x"], list[int], list[int], Float[Tensor, "k x"]]:
    """The amounts at which directions change their targets by some standard deviations.

    Args:
        curves: Scores at several positive amounts.
        changes: Positive changes, in standard deviations of the target.

    Returns:
        The changes; rows of the directions whose target varies, and their targets' columns; and
        the amounts `[k, x]`, NaN where out of reach.

    Raises:
        LatdirError: No direction has a target that varies, or a change is not positive.
    """
    levels = torch.tensor([float(c) for c in changes])
    if not len(levels) or not (levels > 0).all():
        raise LatdirError(
            f"changes {list(changes)} must be positive, in standard deviations of the target: "
            "such as (0.5, 1, 2)"
        )
    pairs = [
        (k, curves.names.index(curves.targets[name]))
        for k, name in enumerate(curves.directions)
        if name in curves.targets and curves.std[curves.names.index(curves.targets[name])] > 0
    ]
    if not pairs:
        raise LatdirError(
            "no direction has a target that varies: name directions after attributes, or say "
            "which moves which with measure_curves(…, targets={…})"
        )
    amounts = torch.stack(
        [
            amounts_reaching(
                curves.changes[k, :, :, a].mean(1) / curves.std[a], curves.amounts, levels
            )
            for k, a in pairs
        ]
    )
    return levels, [k for k, _ in pairs], [a for _, a in pairs], amounts
