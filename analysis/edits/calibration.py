"""Response curve of an attribute along its direction: slope, linear range, monotone function.

With it amounts can be given in the attribute's own unit: ten degrees of yaw rather than 0.8 sigma;
by the slope near zero, or by the curve itself, made monotone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from analysis.edits.curves import Curves
from analysis.edits.held_out import AMOUNTS, measure_curves
from analysis.edits.linear_range import linear_range, slope_near_zero
from analysis.edits.targets import match_targets
from analysis.intervals.mean import mean_interval
from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.classifiers.base import Attribute, Classifier
from directions.direction import Calibration
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.monotone import monotone_knots
from directions.scoring.rendering import Rendering
from directions.seeds import HELD_OUT_SEED

__all__ = ["CalibrationCurve", "apply_calibrations", "calibrate", "calibration_curves"]

Response = Literal["line", "monotone"]

log = logging.getLogger(__name__)


@checked_fields
@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Mean score of one attribute against the amount moved along one direction.

    Attributes:
        direction: Name of the direction.
        attribute: Attribute of the scores.
        amounts: `[t]`, in sigma, ascending, 0 among them.
        mean: `[t]`, mean score of the moved codes.
        low: `[t]`, lower ends of the intervals of the change, on top of `mean` at 0.
        high: `[t]`, upper ends.
        slope: Change per sigma near zero, in the attribute's unit.
        slope_low: Lower end of its interval.
        slope_high: Upper end.
        linear: Range of amounts over which the curve stays by the line.
        tolerance: Allowed deviation from the line, as a fraction of the predicted change.
    """

    direction: str
    attribute: Attribute
    amounts: Float[Tensor, "t"]
    mean: Float[Tensor, "t"]
    low: Float[Tensor, "t"]
    high: Float[Tensor, "t"]
    slope: float
    slope_low: float
    slope_high: float
    linear: tuple[float, float]
    tolerance: float

    @property
    def significant(self) -> bool:
        """Whether the slope's interval excludes zero."""
        return self.slope_low > 0 or self.slope_high < 0

    @property
    def unit(self) -> str:
        """Unit of the attribute; its name where it has none."""
        attribute = self.attribute
        if attribute.kind == "probability":
            return "probability"
        return attribute.unit or attribute.name

    @property
    def calibration(self) -> Calibration | None:
        """The calibration a direction stores, or None without a measurable response."""
        if not self.significant:
            return None
        low, high = self.linear
        return Calibration(self.attribute.name, self.unit, self.slope, low, high)

    @property
    def monotone(self) -> Calibration | None:
        """The calibration with the measured mean as a monotone function of the amount.

        Along this function amounts in the attribute's unit are converted, also where the response
        has left the line.
        """
        line = self.calibration
        if line is None:
            return None
        start = self.mean[self.amounts == 0]
        knots = monotone_knots(self.amounts, self.mean - start, rising=self.slope > 0)
        return replace(line, response=knots)


@checked
def calibration_curves(
    curves: Curves,
    *,
    near: float = 1.0,
    tolerance: float = 0.15,
    level: float = 0.95,
) -> tuple[CalibrationCurve, ...]:
    """Fit a line near zero to each direction's own attribute, with its linear range.

    The line goes through the mean score of the unmoved codes; its slope is the least-squares one
    over the amounts within `near`. The linear range grows from 0 as long as the mean score is
    within `tolerance` of the predicted change, or of that at one sigma if larger.

    Args:
        curves: Scores, with `targets` saying which attribute belongs to which direction.
        near: Amounts up to this, in sigma, are fitted to.
        tolerance: Share of the line's change by which the curve may miss it.
        level: Confidence level of the intervals.

    Returns:
        One curve for each direction that has a target.

    Raises:
        LatdirError: No measured amount but 0 within `near`, or a tolerance outside (0, 1).
    """
    amounts = curves.amounts
    made = []
    for k, name in enumerate(curves.directions):
        if name not in curves.targets:
            continue
        a = curves.names.index(curves.targets[name])
        change = curves.changes[k, :, :, a].T
        slopes = slope_near_zero(change, amounts, near=near)
        along = mean_interval(change, level=level)
        slope, slope_low, slope_high = mean_interval(slopes, level=level)
        start = curves.baseline[:, a].mean()
        linear = linear_range(along.mean, amounts, slope=slope, tolerance=tolerance)
        made.append(
            CalibrationCurve(
                name,
                curves.attributes[a],
                amounts,
                start + along.mean,
                start + along.low,
                start + along.high,
                float(slope),
                float(slope_low),
                float(slope_high),
                (float(linear[0]), float(linear[1])),
                tolerance,
            )
        )
    return tuple(made)


@checked
def apply_calibrations(
    bank: DirectionBank,
    calibrations: Sequence[CalibrationCurve],
    *,
    response: Response = "line",
) -> DirectionBank:
    """The bank with the measured calibrations.

    A direction along which its attribute does not measurably change stays uncalibrated: a log
    message and its evidence state it.

    Args:
        bank: The directions.
        calibrations: Curves of some of them.
        response: How amounts in an attribute's unit are converted: as for `calibrate`.

    Raises:
        LatdirError: A curve of a direction that the bank does not have.
    """
    bank.select(c.direction for c in calibrations)
    measured = {c.direction: c for c in calibrations}
    made = []
    for direction in bank.directions:
        curve = measured.get(direction.name)
        if curve is None:
            made.append(direction)
            continue
        figures = {
            "attribute": curve.attribute.name,
            "per_sigma": [curve.slope_low, curve.slope, curve.slope_high],
            "linear": list(curve.linear),
            "tolerance": curve.tolerance,
        }
        if not curve.significant:
            log.warning(
                "direction %r is left uncalibrated: %s changes by %.3g per sigma, "
                "with an interval of %.3g … %.3g that holds 0",
                direction.name,
                curve.attribute.name,
                curve.slope,
                curve.slope_low,
                curve.slope_high,
            )
        evidence = {**direction.evidence, "calibration": figures}
        scale = curve.calibration if response == "line" else curve.monotone
        made.append(replace(direction, calibration=scale, evidence=evidence))
    return bank.replaced(made)


@checked
def calibrate(
    generator: Generator,
    classifier: Classifier,
    bank: DirectionBank,
    *,
    targets: Mapping[str, str] | None = None,
    amounts: Sequence[float] = AMOUNTS,
    near: float = 1.0,
    response: Response = "line",
    count: int = 128,
    seed: int = HELD_OUT_SEED,
    rendering: Rendering = Rendering(),
) -> DirectionBank:
    """Measure each direction's effect on its own attribute, and store it in the bank.

    Only the attributes that are some direction's target are scored. To keep the curves too, or for
    another tolerance of the linear range, use `measure_curves`, `calibration_curves` and
    `apply_calibrations`.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        bank: Directions of that generator.
        targets: Direction name to its attribute, where the names differ.
        amounts: In sigma; 0 is added.
        near: Amounts up to this, in sigma, are fitted to by the line.
        response: How amounts in an attribute's unit are converted to sigma: by the `line`, or by a
            `monotone` function of all amounts measured, which holds beyond the linear range too.
        count: Number of held-out codes.
        seed: Seed of the codes. Not that of the samples the directions were found with.
        rendering: How images are made.

    Returns:
        The bank, each direction with a target calibrated; amounts may then be given in the
        target's unit.

    Raises:
        LatdirError: No direction has a target, or as `measure_curves` and `calibration_curves`.
    """
    aims = match_targets(bank, classifier.names, targets)
    if not aims:
        raise LatdirError(
            f"no direction of this bank has the name of an attribute: map names to attributes with "
            f"targets={{{next(iter(bank), 'direction')!r}: {classifier.names[0]!r}}}"
        )
    curves = measure_curves(
        generator,
        classifier,
        bank.select(aims),
        amounts=amounts,
        attributes=sorted(set(aims.values())),
        count=count,
        seed=seed,
        rendering=rendering,
    )
    found = calibration_curves(curves.aimed(aims), near=near)
    return apply_calibrations(bank, found, response=response)
