"""The effect matrix: the effect of each direction on each attribute, with intervals.

The re-scoring analysis of InterFaceGAN (Shen et al. 2020, arXiv:2005.09635) and SeFa (Shen, Zhou
2021, arXiv:2007.06600): move held-out codes along direction i by a fixed step and take the mean
change of predictor j. The papers give bare means in the units of each predictor; here the change
is per sigma of the direction, with an interval over the codes, on the scale of the
scores and of log-odds, and in standard deviations of the attribute for comparison across
attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.edits.curves import Curves, Source
from analysis.intervals.mean import mean_interval
from directions.arguments import checked, checked_fields
from directions.classifiers.base import Attribute
from directions.errors import LatdirError, UnknownNameError
from directions.table import frame, html_table

__all__ = ["Effect", "Effects", "effects_of"]


@checked_fields
@dataclass(frozen=True)
class Effect:
    """One cell of the effect matrix.

    Attributes:
        mean: Mean change of the attribute per sigma.
        low: Lower end of its interval.
        high: Upper end.
        standardized: The mean in standard deviations of the attribute; NaN for a constant one.
        rises: Share of the codes whose score is higher after a step forward.
    """

    mean: float
    low: float
    high: float
    standardized: float
    rises: float


@checked_fields
@dataclass(frozen=True, eq=False)
class Effects:
    """Effect of each direction on each attribute, per sigma.

    Attributes:
        curves: The scores it was computed from.
        step: Length of the step, in sigma.
        symmetric: Whether the change is that from `-step` to `step`, halved, or from 0 to `step`.
        mean: `[k, a]`, mean change per sigma, in the attribute's unit.
        low: `[k, a]`, lower ends of the intervals.
        high: `[k, a]`, upper ends.
        level: Confidence level of the intervals.
    """

    curves: Curves
    step: float
    symmetric: bool
    mean: Float[Tensor, "k a"]
    low: Float[Tensor, "k a"]
    high: Float[Tensor, "k a"]
    level: float

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the directions, in the order of the rows."""
        return self.curves.directions

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Attributes of the columns."""
        return self.curves.attributes

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes."""
        return self.curves.names

    @property
    def targets(self) -> Mapping[str, str]:
        """The attribute each direction is meant to move."""
        return self.curves.targets

    @property
    def scale(self) -> str:
        """`score`, or `logit` where probabilities are given as log-odds."""
        return self.curves.scale

    @property
    def source(self) -> Source:
        """Provenance of the measurement."""
        return self.curves.source

    @property
    def labelers(self) -> str:
        """By whose labels: the classifier, and the judge beside it."""
        judged = self.curves.judged
        beside = "" if judged is None else f", judged by {judged.source.classifier}"
        return f"{self.source.classifier}{beside}"

    @property
    def std(self) -> Float[Tensor, "a"]:
        """Standard deviation of each attribute over the unmoved codes."""
        return self.curves.std

    @property
    def deltas(self) -> Float[Tensor, "k n a"]:
        """Change per sigma of each code."""
        return _deltas(self.curves, self.step, self.symmetric)

    @property
    def rises(self) -> Float[Tensor, "k a"]:
        """Share of the codes whose score is higher at `step` than at 0."""
        return (self.curves.changes[:, self.curves.at(self.step)] > 0).float().mean(1)

    @property
    def standardized(self) -> Float[Tensor, "k a"]:
        """`mean` divided by `std`: comparable across attributes; NaN for a constant one.

        It is per sigma of the direction whatever the length of `step`, and its unit is the
        attribute's standard deviation over the unmoved codes.
        """
        return self.mean / torch.where(self.std > 0, self.std, torch.nan)

    @cached_property
    def judged(self) -> Effects | None:
        """The same by the second labeler, on the attributes that both have; None without one."""
        judged = self.curves.judged
        if judged is None:
            return None
        return effects_of(judged, step=self.step, symmetric=self.symmetric, level=self.level)

    @cached_property
    def logit(self) -> Effects:
        """The same with probabilities as log-odds: saturated scores hide effects, these do not."""
        return effects_of(
            self.curves.logit,
            step=self.step,
            symmetric=self.symmetric,
            level=self.level,
        )

    def aimed(self, targets: Mapping[str, str]) -> Effects:
        """The same with the attributes that directions are meant to move, as `Curves.aimed`."""
        return replace(self, curves=self.curves.aimed(targets))

    def at(self, direction: str, attribute: str) -> Effect:
        """One cell.

        Raises:
            LatdirError: No such direction or attribute.
        """
        k = _index(direction, self.directions, "direction")
        a = _index(attribute, self.names, "attribute")
        columns = (self.mean, self.low, self.high, self.standardized, self.rises)
        return Effect(*(float(column[k, a]) for column in columns))

    def columns(self) -> dict[str, list[Any]]:
        """The matrix by column, one row per direction and attribute; None for what is undefined.

        `per_sigma`, `low` and `high` are in the attribute's unit, `in_sd` is the mean in standard
        deviations of the attribute, `logit_in_sd` the same on the scale of log-odds, `target`
        tells whether the direction is meant to move the attribute, and `labeler` by whose labels.
        With a judge, `judge` names it, and `judge_per_sigma` and so on are its figures.
        """
        cells = [(d, a) for d in self.directions for a in self.attributes]
        found: dict[str, list[Any]] = {
            "direction": [d for d, _ in cells],
            "attribute": [a.name for _, a in cells],
            "unit": [a.unit for _, a in cells],
            "target": [self.targets.get(d) == a.name for d, a in cells],
            **{name: _nulled(m.flatten()[None])[0] for name, m in self._figures().items()},
            "labeler": [self.source.classifier] * len(cells),
        }
        if self.judged is None:
            return found
        found["judge"] = [self.judged.source.classifier] * len(cells)
        for name, matrix in self.judged._figures().items():
            wide = torch.full(self.mean.shape, torch.nan)
            wide[:, [self.names.index(n) for n in self.judged.names]] = matrix
            found[f"judge_{name}"] = _nulled(wide.flatten()[None])[0]
        return found

    def _figures(self) -> dict[str, Float[Tensor, "k a"]]:
        return {
            "per_sigma": self.mean,
            "low": self.low,
            "high": self.high,
            "in_sd": self.standardized,
            "logit_in_sd": self.logit.standardized,
            "rises": self.rises,
        }

    def to_frame(self) -> Any:
        """`columns` as a pandas data frame, or an Arrow table where pandas is not installed."""
        return frame(self.columns())

    def __repr__(self) -> str:
        return (
            f"Effects({self.source.generator}: {len(self.directions)} directions on "
            f"{len(self.names)} attributes, {self.source.count} codes, step {self.step:g}, "
            f"labels of {self.labelers})"
        )

    def _repr_html_(self) -> str:
        cells = [[f"{v:+.2f}" for v in row] for row in self.standardized.tolist()]
        rows = [(d, *row) for d, row in zip(self.directions, cells, strict=True)]
        heading = f"{self!r}: change per sigma, in standard deviations of the attribute"
        return html_table(heading, ("direction", *self.names), rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON; null where a figure is not defined."""
        columns = ("mean", "low", "high", "standardized", "rises")
        return {
            "directions": list(self.directions),
            "attributes": [asdict(a) for a in self.attributes],
            "targets": dict(self.targets),
            "step": self.step,
            "symmetric": self.symmetric,
            "scale": self.curves.scale,
            "level": self.level,
            "std": self.std.tolist(),
            **{name: _nulled(getattr(self, name)) for name in columns},
            "source": self.source.as_dict(),
            "judge": None if self.judged is None else self.judged.as_dict(),
        }


@checked
def effects_of(
    curves: Curves,
    *,
    step: float = 2.0,
    symmetric: bool = False,
    level: float = 0.95,
) -> Effects:
    """The effect matrix of scores that are already measured.

    Args:
        curves: Scores at 0 and `step`, and at `-step` if symmetric.
        step: Length of the step, in sigma, positive.
        symmetric: Compare `-step` with `step` rather than 0 with `step`.
        level: Confidence level of the intervals.

    Returns:
        Means and intervals on the scale of the curves.

    Raises:
        LatdirError: The step is not positive or was not measured.
    """
    deltas = _deltas(curves, checked_step(step), symmetric)
    interval = mean_interval(deltas.transpose(0, 1), level=level)
    return Effects(curves, step, symmetric, *interval, level)


def _deltas(curves: Curves, step: float, symmetric: bool) -> Tensor:
    ahead = curves.changes[:, curves.at(step)]
    if symmetric:
        return (ahead - curves.changes[:, curves.at(-step)]) / (2 * step)
    return ahead / step


def checked_step(step: float) -> float:
    """A step's length, refused unless it is positive."""
    if not step > 0:
        raise LatdirError(f"step {step:g} must be positive: a usual one is 2 sigma")
    return step


def _index(name: str, names: Sequence[str], what: str) -> int:
    if name not in names:
        raise UnknownNameError(f"no {what} {name!r} was measured: there are {', '.join(names)}")
    return list(names).index(name)


def _nulled(matrix: Tensor) -> list[list[float | None]]:
    return [[None if v != v else v for v in row] for row in matrix.tolist()]
