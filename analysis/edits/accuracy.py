"""Editing accuracy: achieved against requested change of an attribute.

Three kinds of requests, by the information that the edit uses:

- `change`: "ten degrees more": every code moves by the amount that the calibration says, and the
  change of its score is compared with the target;
- `value`: "to ten degrees": the score of every code is measured first, and it moves by the
  difference; its final score is compared;
- `level`: the same without measuring: every code is set to the one position along the direction
  at which the calibration expects the value. What misses here is all that position along the
  direction does not say about the attribute.

Errors are reported by their quantiles over held-out codes: a mean of nearly zero hides a wide
spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.classifiers.base import Attribute, Classifier
from directions.direction import Calibration, Direction
from directions.editing.levels import set_level
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.held_out import check_held_out
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED

__all__ = ["Accuracy", "Goal", "editing_accuracy"]

Goal = Literal["change", "value", "level"]
GOALS = get_args(Goal)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Quantiles of the attribute's distribution requested by default.
ASKED_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
# Fractions of the calibrated range requested by default.
ASKED_SHARES = (0.25, 0.5, 1.0)


@checked_fields
@dataclass(frozen=True, eq=False)
class Accuracy:
    """Requested and achieved changes or values, in the unit of each attribute.

    Attributes:
        goal: `change`, `value` or `level`.
        directions: Names of the calibrated directions.
        attributes: The attribute of each.
        asked: `[k, x]`, ascending.
        reached: `[k, x, n]`, the achieved change or value of each code.
        std: `[k]`, standard deviation of each attribute over the unmoved codes.
    """

    goal: str
    directions: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    asked: Float[Tensor, "k x"]
    reached: Float[Tensor, "k x n"]
    std: Float[Tensor, "k"]

    @property
    def errors(self) -> Float[Tensor, "k x n"]:
        """Achieved minus requested, for each code."""
        return self.reached - self.asked[..., None]

    @property
    def bias(self) -> Float[Tensor, "k x"]:
        """Mean error."""
        return self.errors.mean(2)

    @property
    def absolute(self) -> Float[Tensor, "k x"]:
        """Mean absolute error."""
        return self.errors.abs().mean(2)

    @property
    def relative(self) -> Float[Tensor, "k x"]:
        """Mean absolute error in standard deviations of the attribute; NaN for a constant one."""
        return self.absolute / torch.where(self.std > 0, self.std, torch.nan)[:, None]

    def quantiles(self, levels: Sequence[float] = QUANTILES) -> Float[Tensor, "q k x"]:
        """Quantiles of the errors over the codes.

        Args:
            levels: In [0, 1].
        """
        return torch.quantile(self.errors, torch.tensor([float(q) for q in levels]), dim=2)

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {
            "goal": self.goal,
            "directions": list(self.directions),
            "attributes": [asdict(a) for a in self.attributes],
            "asked": self.asked.tolist(),
            "bias": self.bias.tolist(),
            "absolute": self.absolute.tolist(),
            "std": self.std.tolist(),
            "quantile_levels": list(QUANTILES),
            "quantiles": self.quantiles().tolist(),
        }


@checked
def editing_accuracy(
    generator: Generator,
    classifier: Classifier,
    bank: DirectionBank,
    *,
    goal: Goal | str = "change",
    asked: Mapping[str, Sequence[float]] | None = None,
    count: int = 256,
    seed: int = HELD_OUT_SEED,
    rendering: Rendering = Rendering(),
) -> Accuracy:
    """Accuracy of calibrated directions: request changes or values and measure the result.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        bank: Directions of that generator; those without a calibration are left out.
        goal: The kind of target.
        asked: Direction name to what to ask of it, in its attribute's unit, equally many for
            each; only these directions are measured. By default changes over the calibrated
            linear range, or values at quantiles of the attribute over the unmoved codes.
        count: Number of held-out codes.
        seed: Seed of the codes. Neither that of the samples the directions were found with, nor,
            for an honest figure, that of the codes they were calibrated on.
        rendering: How images are made.

    Returns:
        Requested and achieved changes or values.

    Raises:
        LatdirError: An unknown goal or direction, no calibrated direction, a direction asked
            that is not calibrated, lists of unequal length, or codes the bank was found with.

    Example:
        >>> from analysis import calibrate
        >>> from directions import Direction
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> first = Direction("factor_0", world.truth[0], "z")
        >>> bank = DirectionBank((first,), world.name, world.fingerprint)
        >>> bank = calibrate(world, world.classifier(), bank)
        >>> found = editing_accuracy(world, world.classifier(), bank, asked={"factor_0": [1.5]})
        >>> bool(found.absolute.max() < 1e-3)
        True
    """
    if goal not in GOALS:
        raise LatdirError(f"goal is one of {', '.join(GOALS)}, not {goal!r}")
    check_held_out(generator, bank, count=count, seed=seed)
    rendering = rendering.of_bank(bank.provenance)
    chosen = _calibrated(bank, asked)
    targets, reached, spreads, attributes = [], [], [], []
    hidden = not rendering.progress
    for direction, calibration in tqdm(
        chosen, desc="accuracy", unit="direction", delay=1, disable=hidden
    ):
        [column] = classifier.columns([calibration.attribute])
        attributes.append(classifier.attributes[column])
        space = direction.acts_in(generator.spaces)
        codes = generator.sample(count, seed=seed, space=space, truncation=rendering.psi)
        score = Scorer(
            generator,
            classifier,
            space=space,
            names=[calibration.attribute],
            rendering=rendering,
        ).score
        before = score(codes)[:, 0]
        spreads.append(before.std() if before.max() > before.min() else torch.tensor(0.0))
        wanted = torch.tensor(
            _defaults(goal, calibration, before)
            if asked is None
            else sorted(float(a) for a in asked[direction.name])
        )
        achieved = []
        for target in wanted.tolist():
            moved = _edited(goal, codes, direction, calibration, target, before)
            after = score(moved)[:, 0]
            achieved.append(after - before if goal == "change" else after)
        targets.append(wanted)
        reached.append(torch.stack(achieved))
    return Accuracy(
        goal,
        tuple(d.name for d, _ in chosen),
        tuple(attributes),
        torch.stack(targets),
        torch.stack(reached),
        torch.stack(spreads),
    )


def _edited(
    goal: str,
    codes: Tensor,
    direction: Direction,
    calibration: Calibration,
    target: float,
    before: Tensor,
) -> Tensor:
    if goal == "change":
        return direction.shift(codes, target, unit="attribute")
    if goal == "value":
        sigmas = calibration.sigmas(target - before)
        return direction.shift(codes, sigmas.to(codes.device))
    typical = float(direction.level(codes).mean()) / direction.sigma
    level = typical + float(calibration.sigmas(target - before.mean()))
    return set_level(codes, direction, level)


def _defaults(goal: str, calibration: Calibration, before: Tensor) -> list[float]:
    if goal != "change":
        return torch.quantile(before, torch.tensor(ASKED_QUANTILES)).tolist()
    sides = (calibration.low, calibration.high)
    return sorted(share * side * calibration.per_sigma for side in sides for share in ASKED_SHARES)


def _calibrated(
    bank: DirectionBank, asked: Mapping[str, Sequence[float]] | None
) -> list[tuple[Direction, Calibration]]:
    names = list(bank) if asked is None else list(asked)
    directions = bank.select(names).directions
    found = [(d, d.calibration) for d in directions if d.calibration is not None]
    if not found or (asked is not None and len(found) < len(asked)):
        bare = next((d.name for d in directions if d.calibration is None), "none of them")
        raise LatdirError(
            f"{bare!r} is not calibrated, so that nothing can be asked of it in its attribute's "
            "unit: use analysis.calibrate(generator, classifier, bank) first"
        )
    lengths = {len(targets) for targets in (asked or {}).values()}
    if asked is not None and (len(lengths) != 1 or 0 in lengths):
        raise LatdirError(
            f"asked holds {sorted(lengths)} values for its directions: give equally many, "
            "at least one, for each"
        )
    return found
