"""Warnings and notes about a bank: successes, leakage, and recommended actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from analysis.edits.calibration import CalibrationCurve
from analysis.edits.effects import Effects
from analysis.edits.nulls import RandomNull, evident
from analysis.measures.tables import hundredths
from directions.arguments import checked, checked_fields

__all__ = ["Remark", "on_curve", "remarks_on"]

LEAKS = 0.5
AS_MUCH = 0.9
RISES = 0.9
NARROW = 1.0
FEW = 100


@checked_fields
@dataclass(frozen=True)
class Remark:
    """One sentence about a measurement.

    Attributes:
        kind: `warning` when a direction's effect contradicts its name, else `note`.
        text: The sentence; about a direction it starts in lower case, to follow its name.
        direction: Name of the direction it is about; empty for the whole measurement.
    """

    kind: Literal["warning", "note"]
    text: str
    direction: str = ""


@checked
def remarks_on(
    effects: Effects,
    *,
    null: RandomNull | None = None,
    calibrations: Sequence[CalibrationCurve] = (),
) -> list[Remark]:
    """Warnings and notes on a bank, by direction and then for the whole measurement.

    Effects of different attributes are compared in standard deviations, on the scale of
    `effects`: give `effects.logit` (and `null.logit`) where probabilities saturate.

    Args:
        effects: The effect matrix.
        null: Effects of random directions, measured in the same way.
        calibrations: Calibration curves of some of the directions.

    Returns:
        Remarks in the order of the directions; those on the whole measurement last.
    """
    counts = evident(effects, null)
    found = []
    for k, name in enumerate(effects.directions):
        texts = _on_direction(effects, k, counts[k])
        found += [Remark(kind, text, name) for kind, text in texts]
        found += [r for c in calibrations if c.direction == name for r in on_curve(c)]
    return found + _on_the_whole(effects, null)


def _on_direction(
    effects: Effects, k: int, counts: Tensor
) -> list[tuple[Literal["warning", "note"], str]]:
    sizes = effects.standardized[k]
    moved = [a for a in sizes.nan_to_num().abs().argsort(descending=True).tolist() if counts[a]]
    target = effects.targets.get(effects.directions[k])
    if target is None:
        if not moved:
            return [("warning", "moves nothing that was measured.")]
        most = ", ".join(f"{effects.names[a]} ({_signed(float(sizes[a]))})" for a in moved[:3])
        return [("note", f"moves {most} most, in standard deviations per sigma.")]
    own = effects.names.index(target)
    size = float(sizes[own])
    if effects.std[own] == 0:
        return [("warning", f"cannot be judged: {target} is the same for every code.")]
    if own not in moved:
        return [("warning", f"does not measurably move {target} ({_signed(size)}).")]
    found: list[tuple[Literal["warning", "note"], str]] = []
    if size < 0:
        found.append(("warning", f"decreases {target} ({_signed(size)}): negate the direction."))
    rises = float(effects.rises[k, own])
    if size > 0 and rises < RISES:
        found.append(
            (
                "warning",
                f"raises {target} on only {rises:.0%} of held-out images at "
                f"{effects.step:+g} sigma.",
            )
        )
    leaks = [a for a in moved if a != own and abs(float(sizes[a])) >= LEAKS * abs(size)]
    found += [("warning", text) for text in _leaks(effects, k, leaks, own)]
    return found


def _leaks(effects: Effects, k: int, leaks: Sequence[int], own: int) -> list[str]:
    """Attributes that move at least half as much as the target, largest first."""
    if not leaks:
        return []
    sizes = effects.standardized[k]
    target, size = effects.names[own], abs(float(sizes[own]))

    def listed(chosen: Sequence[int]) -> str:
        return _joined([f"{effects.names[a]} ({_signed(float(sizes[a]))})" for a in chosen])

    much = [a for a in leaks if abs(float(sizes[a])) >= AS_MUCH * size]
    some = [a for a in leaks if a not in much]
    parts = []
    if much:
        parts.append(f"{listed(much)} at least about as much")
    if some:
        parts.append(f"{listed(some)} more than half as much")
    names = _joined([effects.names[a] for a in leaks])
    they = "it" if len(leaks) == 1 else "they"
    return [
        f"moves {' and '.join(parts)} as {target} ({_signed(float(sizes[own]))}): "
        f"if {they} should stay, condition on {names}."
    ]


def _signed(value: float) -> str:
    return hundredths(value, sign=True)


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def on_curve(curve: CalibrationCurve) -> list[Remark]:
    """That a direction is linear over a narrow range only, where it is."""
    low, high = curve.linear
    if not curve.significant or (low <= -NARROW and high >= NARROW):
        return []
    text = (
        f"moves {curve.attribute.name} linearly only from {_signed(low)} to {_signed(high)} sigma: "
        f"beyond, amounts in its unit ({curve.unit}) miss by more than {curve.tolerance:.0%}."
    )
    return [Remark("note", text, curve.direction)]


def _on_the_whole(effects: Effects, null: RandomNull | None) -> list[Remark]:
    found = []
    constant = [n for n, s in zip(effects.names, effects.std.tolist(), strict=True) if s == 0]
    if constant:
        found.append(
            Remark(
                "warning",
                f"Constant over the codes, so not measurable: {', '.join(constant)}.",
            )
        )
    if effects.source.count < FEW:
        found.append(
            Remark(
                "warning",
                f"Only {effects.source.count} codes were measured: intervals are wide and their "
                "ends rough; 512 is a good number.",
            )
        )
    varying = len(effects.names) - len(constant)
    cells = len(effects.directions) * varying
    chance = cells * (1 - effects.level)
    if chance >= 1:
        found.append(
            Remark(
                "note",
                f"Of {cells} intervals at {effects.level:.0%}, about {chance:.0f} leave out the "
                "true value by chance.",
            )
        )
    if null is None:
        found.append(Remark("note", "No null was measured: random directions may achieve as much."))
    saturated = _saturated(effects)
    if saturated:
        found.append(
            Remark(
                "note",
                f"Within 1 % of 0 or 1 for more than half of the codes: {', '.join(saturated)}. "
                "Read these effects on the scale of log-odds.",
            )
        )
    return found


def _saturated(effects: Effects) -> list[str]:
    if effects.curves.scale == "logit":
        return []
    scores = effects.curves.baseline
    share = ((scores < 0.01) | (scores > 0.99)).float().mean(0)
    extreme = torch.tensor([a.kind == "probability" for a in effects.attributes]) & (share > 0.5)
    return [n for n, e in zip(effects.names, extreme.tolist(), strict=True) if e]
