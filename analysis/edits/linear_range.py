"""Linear range: the amounts over which an attribute responds in proportion.

A bank's amounts can be given in an attribute's unit only as long as the response is linear. The
range grows from 0, on both sides, while the mean score stays near the line fitted at small
amounts; its ends are uncertain, and a bootstrap over the codes says by how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.edits.curves import Curves
from analysis.intervals.bootstrap import resamples
from directions.arguments import checked, checked_fields
from directions.errors import LatdirError

__all__ = ["LinearRange", "linear_range", "linear_ranges", "slope_near_zero"]


@checked_fields
@dataclass(frozen=True)
class LinearRange:
    """The amounts over which one attribute responds linearly to one direction.

    Attributes:
        direction: Name of the direction.
        attribute: Name of the attribute.
        slope: Change of the attribute per sigma near zero.
        low: Lower end, in sigma.
        high: Upper end, in sigma.
        low_interval: Bootstrap interval of the lower end.
        high_interval: Bootstrap interval of the upper end.
        measured: Smallest and largest amount measured: a range that ends there may extend further.
        tolerance: Allowed deviation from the line, as a fraction of the predicted change.
    """

    direction: str
    attribute: str
    slope: float
    low: float
    high: float
    low_interval: tuple[float, float]
    high_interval: tuple[float, float]
    measured: tuple[float, float]
    tolerance: float


def slope_near_zero(
    change: Float[Tensor, "*codes t"], amounts: Float[Tensor, "t"], *, near: float = 1.0
) -> Float[Tensor, "*codes"]:
    """Least-squares slope of lines through 0, over the amounts within `near`.

    Raises:
        LatdirError: No measured amount but 0 is within `near`.

    Example:
        >>> amounts = torch.tensor([-1.0, 0.0, 1.0, 2.0])
        >>> slope_near_zero(3 * amounts, amounts)
        tensor(3.)
    """
    fitted = (amounts != 0) & (amounts.abs() <= near)
    if not fitted.any():
        raise LatdirError(
            f"no amount within {near:g} sigma was measured: there are "
            f"{', '.join(f'{a:g}' for a in amounts.tolist())}; add -1 and 1"
        )
    steps = amounts[fitted].to(change)
    return change[..., fitted] @ steps / steps.square().sum()


def linear_range(
    change: Float[Tensor, "*curves t"],
    amounts: Float[Tensor, "t"],
    *,
    slope: Float[Tensor, "*curves"],
    tolerance: float = 0.15,
) -> tuple[Float[Tensor, "*curves"], Float[Tensor, "*curves"]]:
    """Ends of the range around 0 where `|change - slope · amount|` is within the tolerance.

    Allowed is `tolerance` of the predicted change, or of that at one sigma if larger.
    Between measured amounts the excess is interpolated.

    Args:
        change: Change at each amount; 0 at amount 0.
        amounts: Ascending, 0 among them.
        slope: Change per sigma near zero.
        tolerance: Share of the line's change by which a curve may miss it.

    Returns:
        Lower and upper ends, in sigma; the smallest and largest amounts where a curve stays by
        its line throughout.

    Raises:
        LatdirError: A tolerance outside (0, 1).

    Example:
        >>> amounts = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
        >>> bent = torch.tensor([-2.0, -1.0, 0.0, 1.0, 1.0])
        >>> low, high = linear_range(bent, amounts, slope=torch.tensor(1.0))
        >>> float(low), round(float(high), 3)
        (-2.0, 1.176)
    """
    if not 0 < tolerance < 1:
        raise LatdirError(f"tolerance {tolerance:g} must be in (0, 1): a usual one is 0.15")
    steps = amounts.to(change)
    allowed = tolerance * slope[..., None].abs() * steps.abs().clamp_min(1)
    excess = (change - slope[..., None] * steps).abs() - allowed
    zero = int((amounts == 0).nonzero()[0])
    low = _reach(excess[..., : zero + 1].flip(-1), steps[: zero + 1].flip(0))
    return low, _reach(excess[..., zero:], steps[zero:])


def _reach(excess: Tensor, amounts: Tensor) -> Tensor:
    """Distance from the first amount before the excess becomes positive."""
    if len(amounts) == 1:
        return amounts[0].expand(excess.shape[:-1])
    beyond = excess > 0
    outer = beyond.int().argmax(-1, keepdim=True).clamp_min(1)
    before, after = excess.gather(-1, outer - 1), excess.gather(-1, outer)
    inner = amounts[outer - 1]
    end = inner + before / (before - after) * (amounts[outer] - inner)
    return torch.where(beyond.any(-1), end.squeeze(-1), amounts[-1])


@checked
def linear_ranges(
    curves: Curves,
    *,
    near: float = 1.0,
    tolerance: float = 0.15,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[LinearRange, ...]:
    """The linear range of each direction in its own attribute.

    Args:
        curves: Scores, with `targets` saying which attribute belongs to which direction.
        near: The line is fitted to amounts up to this, in sigma.
        tolerance: Share of the line's change by which the mean score may miss it.
        bootstrap: Number of resamples of the codes.
        level: Share of the resampled ends inside an interval.
        seed: Seed of the resampling.

    Returns:
        One for each direction that has a target. The range of a slope that is not distinguishable
        from 0 is meaningless: check `calibration_curves` first.

    Raises:
        LatdirError: No measured amount but 0 within `near`, or a tolerance outside (0, 1).
    """
    if bootstrap < 1:
        raise LatdirError(f"bootstrap {bootstrap} must be at least 1: 1000 resamples are usual")
    weights = resamples(curves.scores.shape[2], draws=bootstrap, seed=seed)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    made = []
    for k, name in enumerate(curves.directions):
        if name not in curves.targets:
            continue
        a = curves.names.index(curves.targets[name])
        change = curves.changes[k, :, :, a].T.double()
        mean, resampled = change.mean(0), weights @ change
        slope = slope_near_zero(mean, curves.amounts, near=near)
        low, high = linear_range(mean, curves.amounts, slope=slope, tolerance=tolerance)
        spread = linear_range(
            resampled,
            curves.amounts,
            slope=slope_near_zero(resampled, curves.amounts, near=near),
            tolerance=tolerance,
        )
        (low_from, low_to), (high_from, high_to) = (
            torch.quantile(side, ends).tolist() for side in spread
        )
        made.append(
            LinearRange(
                name,
                curves.names[a],
                float(slope),
                float(low),
                float(high),
                (low_from, low_to),
                (high_from, high_to),
                (float(curves.amounts[0]), float(curves.amounts[-1])),
                tolerance,
            )
        )
    return tuple(made)
