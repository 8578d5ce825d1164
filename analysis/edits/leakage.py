"""Leakage at equal effect (attribute dependency): changes of all other attributes.

AD of StyleSpace (Wu, Lischinski, Shechtman 2021, arXiv:2011.12799; code never released): for
edits that change the target's logit by x σ(l_t), take |Δl_i| / σ(l_i) of every other attribute i;
mean-AD averages over i, max-AD takes the largest, both in expectation over images. Here the edit
that changes the target by x is the amount at which its mean over the held-out codes has changed
so, the same amount for every code; changes between measured amounts are interpolated. With
`match="image"` every code moves by its own amount, at which its own target has changed by x.

AD counts every change, also one that is up as often as down. The signed mean, `drift`, is what a
direction does systematically, and what conditioning can remove.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from analysis.edits.curves import Curves
from analysis.edits.targets import amount_influence, amounts_reaching, between
from analysis.intervals.delta import delta_method, std_influence
from analysis.intervals.mean import mean_interval
from directions.arguments import checked, checked_fields
from directions.classifiers.base import Attribute
from directions.errors import LatdirError

__all__ = [
    "CHANGES", "Leakage", "Match", "Reaching", "Standardized", "attribute_dependency", "reaching",
]  # fmt: skip

Match = Literal["mean", "image"]
CHANGES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


@checked_fields
@dataclass(frozen=True, eq=False)
class Leakage:
    """Attribute dependency of directions at equal change of their targets.

    Attributes:
        directions: Names of the directions that have a target.
        targets: Their targets.
        attributes: The attributes, constant ones left out.
        changes: `[x]`, change of the target, in its standard deviations.
        amounts: `[k, x]`, sigma of the direction that it takes, the mean where every code has its
            own; NaN where out of reach.
        dependency: `[k, x, a]`, mean |Δl_i| / σ(l_i); NaN for the target itself.
        drift: `[k, x, a]`, mean Δl_i / σ(l_i), signed; NaN for the target itself.
        mean_ad: `[k, x]`, dependency averaged over the other attributes.
        mean_low: `[k, x]`, lower ends of its intervals.
        mean_high: `[k, x]`, upper ends.
        max_ad: `[k, x]`, mean over codes of the largest |Δl_i| / σ(l_i).
        max_low: `[k, x]`, lower ends of its intervals.
        max_high: `[k, x]`, upper ends.
        reached: `[k, x]`, share of the codes that these figures are of.
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
    max_low: Float[Tensor, "k x"]
    max_high: Float[Tensor, "k x"]
    reached: Float[Tensor, "k x"]

    @property
    def ratio(self) -> Float[Tensor, "k x"]:
        """Effect to leakage: change of the target over mean-AD, both in standard deviations."""
        return self.changes / self.mean_ad

    @property
    def drift_ratio(self) -> Float[Tensor, "k x"]:
        """Effect to systematic leakage: change of the target over the mean |drift|."""
        return self.changes / self.drift.abs().nanmean(2)


@checked
def attribute_dependency(
    curves: Curves,
    *,
    changes: Sequence[float] = CHANGES,
    match: Match = "mean",
    level: float = 0.95,
) -> Leakage:
    """Attribute dependency of every direction that has a target, as a curve over its change.

    Args:
        curves: Scores at several positive amounts; taken on the scale of log-odds.
        changes: Changes of the target to compare at, in its standard deviations.
        match: `mean` moves all codes by one amount, at which their mean target has changed so;
            `image` moves each by its own, and leaves out codes that do not get there.
        level: Confidence level of the intervals.

    Returns:
        Dependencies; NaN at changes that a direction does not reach within the measured amounts,
        or that fewer than two codes reach.

    Raises:
        LatdirError: No direction has a target that varies, nothing else does, or a change is not
            positive.
    """
    logits = curves.logit
    varying = (logits.std > 0).nonzero()[:, 0]
    attributes = tuple(logits.attributes[a] for a in varying.tolist())
    at_equal = reaching(logits, changes)
    levels = at_equal.changes
    if len(attributes) < 2:
        raise LatdirError(
            "leakage is the effect on other attributes, but only "
            f"{attributes[0].name!r} was measured and varies: measure more of them"
        )

    standardized = Standardized(logits)
    shape = at_equal.amounts.shape
    dependency, drift = (torch.empty(*shape, len(attributes)) for _ in range(2))
    reached, taken = torch.empty(shape), torch.empty(shape)
    mean_ad, max_ad = torch.empty(3, *shape), torch.empty(3, *shape)
    for i, (k, target) in enumerate(zip(at_equal.rows, at_equal.columns, strict=True)):
        at = at_equal.amounts[i]
        if match == "image":
            own_change = logits.changes[k, :, :, target].T / logits.std[target]
            at = amounts_reaching(own_change, logits.amounts, levels).T
        moved = between(logits.changes[k], logits.amounts, at)
        moved = moved[..., varying] / logits.std[varying]
        there = ~moved[..., 0].isnan()
        reached[i] = there.float().mean(1)
        taken[i] = at if at.ndim == 1 else at.nanmean(1)
        own = varying == target
        moved[..., own] = torch.nan
        columns = varying[~own]
        for x, rest in enumerate(there):
            kept = rest if int(rest.sum()) > 1 else torch.zeros_like(rest)
            dependency[i, x] = moved[x, kept].abs().mean(0)
            drift[i, x] = moved[x, kept].mean(0)
            both = torch.full((3, 2), torch.nan)
            if kept.any():
                values = (
                    standardized.moved(k, target, at[x], columns, _mean_and_worst, linear=False)
                    if match == "mean"
                    else standardized.matched(k, target, levels[x], columns, kept)
                )
                both = torch.stack(mean_interval(values, level=level))
            mean_ad[:, i, x], max_ad[:, i, x] = both.unbind(1)
    return Leakage(
        at_equal.directions,
        at_equal.targets,
        attributes,
        levels,
        taken,
        dependency,
        drift,
        mean_ad[0],
        mean_ad[1],
        mean_ad[2],
        max_ad[0],
        max_ad[1],
        max_ad[2],
        reached,
    )


class Standardized:
    """Changes in standard deviations, with the error of amounts and standard deviations.

    Args:
        curves: Scores at several positive amounts.

    Attributes:
        influence: `[n, a]`, of each code on the standard deviations.
    """

    def __init__(self, curves: Curves) -> None:
        self.curves = curves
        self.influence = std_influence(curves.baseline.double())

    def of_amount(self, k: int, target: int, at: Float[Tensor, ""]) -> Float[Tensor, "n"]:
        """Influence of each code on the amount that changes the target equally."""
        change = self.curves.changes[k, :, :, target].double()
        unit = self.influence[:, target] / self.curves.std[target]
        return amount_influence(change, self.curves.amounts.double(), at.double(), unit)

    def moved(
        self,
        k: int,
        target: int,
        at: Float[Tensor, ""],
        columns: Sequence[int] | Int[Tensor, "c"],
        figures: Callable[[Float[Tensor, "n c"]], Float[Tensor, "n f"]],
        *,
        linear: bool = True,
    ) -> Float[Tensor, "n f"]:
        """Figures of changes at the amount of equal effect, as of `delta_method`.

        Figures that are not linear in the changes of single images, such as absolute values, are
        taken at the measured amounts and interpolated: interpolated changes have less noise
        between two amounts than at them, so that the figure would depend on where these lie.

        Args:
            k: Index of the direction.
            target: Its attribute.
            at: Its amount.
            columns: Attributes whose changes are taken.
            figures: Changes of every code, in standard deviations, to figures of every code.
            linear: Whether changes are interpolated, or figures.
        """
        changes = self.curves.changes[k][..., columns].double()
        amounts = self.curves.amounts.double()
        estimates = torch.cat([at.double()[None], self.curves.std[columns].double()])
        influence = torch.cat(
            [self.of_amount(k, target, at)[:, None], self.influence[:, columns]], 1
        )
        after = int(torch.searchsorted(amounts, at.double()).clamp(1, len(amounts) - 1))
        near = slice(after - 1, after + 1)

        def found(e: Tensor) -> Tensor:
            if linear:
                return figures(between(changes, amounts, e[:1])[0] / e[1:])
            both = torch.stack([figures(part / e[1:]) for part in changes[near]])
            return between(both, amounts[near], e[:1])[0]

        return delta_method(found, estimates, influence)

    def matched(
        self,
        k: int,
        target: int,
        level: Float[Tensor, ""],
        columns: Int[Tensor, "c"],
        kept: Bool[Tensor, "n"],
    ) -> Float[Tensor, "n 2"]:
        """Mean and worst leakage where every kept code has its own amount."""
        changes = self.curves.changes[k][:, kept].double()
        amounts, n = self.curves.amounts.double(), len(kept)

        def figures(std: Tensor) -> Tensor:
            own = changes[..., target].T / std[target]
            at = amounts_reaching(own, amounts, level[None].double())
            moved = between(changes, amounts, at.T)[0][:, columns] / std[columns]
            found = _mean_and_worst(moved)
            mean = found.mean(0).detach()
            # Codes left out have the mean, so that the mean over all codes is that of the kept.
            whole = mean.expand(n, -1).clone()
            whole[kept] = mean + (found - mean) * (n / len(found))
            return whole

        return delta_method(figures, self.curves.std.double(), self.influence)


def _mean_and_worst(moved: Float[Tensor, "n c"]) -> Float[Tensor, "n 2"]:
    return torch.stack([moved.abs().mean(1), moved.abs().amax(1)], 1)


class Reaching(NamedTuple):
    """Directions whose targets vary, and the amounts at which these change equally.

    Attributes:
        directions: Names of the directions.
        targets: Their targets.
        rows: Places of the directions in the curves.
        columns: Places of the targets.
        changes: `[x]`, changes of the targets, in their standard deviations.
        amounts: `[k, x]`, sigma of the direction that it takes; NaN where out of reach.
    """

    directions: tuple[str, ...]
    targets: tuple[str, ...]
    rows: list[int]
    columns: list[int]
    changes: Tensor
    amounts: Tensor


def reaching(curves: Curves, changes: Sequence[float]) -> Reaching:
    """The amounts at which directions change their targets by some standard deviations.

    Args:
        curves: Scores at several positive amounts.
        changes: Positive changes, in standard deviations of the target.

    Returns:
        The directions whose target varies, and their amounts.

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
            "which moves which with curves.aimed({…})"
        )
    amounts = torch.stack(
        [
            amounts_reaching(
                curves.changes[k, :, :, a].mean(1) / curves.std[a], curves.amounts, levels
            )
            for k, a in pairs
        ]
    )
    rows, columns = map(list, zip(*pairs, strict=True))
    return Reaching(
        tuple(curves.directions[k] for k in rows),
        tuple(curves.names[a] for a in columns),
        rows,
        columns,
        levels,
        amounts,
    )
