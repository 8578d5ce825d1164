"""Target attributes of directions, and the amounts that change them equally.

Directions are compared at equal effect: one that moves its own attribute less leaks less too, and
is no better for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import UnknownNameError

__all__ = [
    "amount_influence",
    "amounts_reaching",
    "attributes_about",
    "between",
    "match_targets",
]


def match_targets(
    bank: DirectionBank,
    attributes: Sequence[str],
    targets: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The target attribute of each direction.

    In this order: the entry of `targets`, the attribute it is already calibrated in, the attribute
    that has its name, or its name before `|` for a conditioned one. Directions without one (a
    principal component, say) are left out.

    Args:
        bank: The directions.
        attributes: Names of the attributes that were or will be measured.
        targets: Direction name to attribute name, where the names differ.

    Returns:
        Direction name to attribute name, in the order of the bank.

    Raises:
        LatdirError: `targets` names an unknown direction or attribute.

    Example:
        >>> from directions import Direction, DirectionBank
        >>> smile = Direction("smile", torch.tensor([0.0, 1.0]), "z")
        >>> bank = DirectionBank((smile,), generator="toy", fingerprint="0" * 64)
        >>> match_targets(bank, ["smiling", "age"], {"smile": "smiling"})
        {'smile': 'smiling'}
    """
    given = dict(targets or {})
    bank.select(given)
    unknown = [a for a in given.values() if a not in attributes]
    if unknown:
        raise UnknownNameError(
            f"no attribute {unknown[0]!r} was measured: there are {', '.join(attributes)}"
        )
    found = {}
    for d in bank.directions:
        known = d.calibration.attribute if d.calibration else d.name.split(" | ")[0]
        target = given.get(d.name, known)
        if target in attributes:
            found[d.name] = target
    return found


def attributes_about(bank: DirectionBank, attributes: Sequence[str]) -> list[str]:
    """The attributes a bank is about: those its directions target or were conditioned on.

    Args:
        bank: The directions.
        attributes: Names of the attributes that can be measured.

    Returns:
        Some of `attributes`, in their order; all of them where the bank is about fewer than two,
        since a direction's side effects would then go unmeasured.

    Example:
        >>> from directions import Direction, DirectionBank
        >>> evidence = {"conditioned": {"on": ["yaw"]}}
        >>> smile = Direction("smiling", torch.tensor([0.0, 1.0]), "z", evidence=evidence)
        >>> bank = DirectionBank((smile,), generator="toy", fingerprint="0" * 64)
        >>> attributes_about(bank, ["age", "smiling", "yaw"])
        ['smiling', 'yaw']
    """
    about = set(match_targets(bank, attributes).values())
    for d in bank.directions:
        conditioned = d.evidence.get("conditioned")
        about.update(map(str, conditioned["on"]) if conditioned else ())
    found = [name for name in attributes if name in about]
    return found if len(found) > 1 else list(attributes)


def amounts_reaching(
    change: Float[Tensor, "*codes t"], amounts: Float[Tensor, "t"], levels: Float[Tensor, "x"]
) -> Float[Tensor, "*codes x"]:
    """The smallest positive amounts at which curves reach some levels.

    Args:
        change: Change at each amount, of a mean or of each code; 0 at amount 0.
        amounts: Ascending, 0 among them.
        levels: Positive changes to reach.

    Returns:
        Amounts, by linear interpolation; NaN where a curve does not come that far.

    Example:
        >>> amounts = torch.tensor([-1.0, 0.0, 1.0, 2.0])
        >>> amounts_reaching(2 * amounts, amounts, torch.tensor([1.0, 3.0, 5.0]))
        tensor([0.5000, 1.5000,    nan])
    """
    ahead = amounts >= 0
    curve, at = change[..., ahead].contiguous(), amounts[ahead]
    peak = curve.cummax(-1).values
    wanted = levels.to(peak).expand(*peak.shape[:-1], -1).contiguous()
    after = torch.searchsorted(peak, wanted).clamp(1, len(at) - 1)
    before = after - 1
    # Where the peak first passes a level it is the curve itself that passes it.
    start, end = curve.gather(-1, before), curve.gather(-1, after)
    found = at[before] + (wanted - start) / (end - start) * (at[after] - at[before])
    return torch.where(wanted <= peak[..., -1:], found, torch.nan)


def amount_influence(
    change: Float[Tensor, "t n"],
    amounts: Float[Tensor, "t"],
    at: Float[Tensor, ""],
    unit: Float[Tensor, "n"],
) -> Float[Tensor, "n"]:
    """Influence of each code on the amount at which the mean change reaches a level.

    Args:
        change: Change of every code at each amount.
        amounts: Ascending, 0 among them.
        at: The amount.
        unit: Influence of each code on the unit of the level, such as a standard deviation,
            relative to it.

    Example:
        >>> amounts, slopes = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 1.5])
        >>> amount_influence(amounts[:, None] * slopes, amounts, torch.tensor(1.0), torch.zeros(2))
        tensor([ 0.5000, -0.5000])
    """
    there = between(change, amounts, at[None])[0]
    mean = there.mean()
    after = int(torch.searchsorted(amounts, at[None].contiguous()).clamp(1, len(amounts) - 1)[0])
    # One amount more on both sides: noise of the labels in two of them would make the slope, and
    # with it the interval, wide here and narrow there.
    first, last = max(after - 2, 0), min(after + 1, len(amounts) - 1)
    rise = (change[last] - change[first]).mean() / (amounts[last] - amounts[first])
    return (mean * unit - (there - mean)) / rise


def between(
    values: Float[Tensor, "t *rest"], amounts: Float[Tensor, "t"], at: Float[Tensor, "x *n"]
) -> Float[Tensor, "x *rest"]:
    """Values at amounts between the measured ones, by linear interpolation; NaN stays NaN.

    Args:
        values: One at each amount.
        amounts: Ascending.
        at: `[x]`, the same for all that is measured, or `[x, n]`, one for each code `[t, n, ...]`.

    Example:
        >>> between(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.25]))
        tensor([0.5000])
    """
    after = torch.searchsorted(amounts, at.nan_to_num().contiguous()).clamp(1, len(amounts) - 1)
    width = amounts[after] - amounts[after - 1]
    share = ((at - amounts[after - 1]) / width).reshape(*at.shape, *[1] * (values.ndim - at.ndim))
    codes = (torch.arange(at.shape[1]),) if at.ndim == 2 else ()
    return values[(after - 1, *codes)] * (1 - share) + values[(after, *codes)] * share
