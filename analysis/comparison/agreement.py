"""Agreement of two labelers on the effects of directions.

A direction that means what its name says moves its attribute for every labeler that sees the
attribute at all. Labelers are noisy, so even then a second one, the judge, rarely sees as large a
change in its own standard deviations: where the judge's score changes with the labeler's among
unmoved faces with correlation r, faces that differ by one standard deviation to the labeler differ
by r to the judge. An edit that stays far below r pleases the labeler more than faces do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.edits.effects import Effects
from analysis.intervals.delta import delta_method, std_influence
from analysis.intervals.mean import Estimate, estimate
from directions.arguments import checked, checked_fields
from directions.errors import LatdirError, UnknownNameError
from directions.table import frame, html_table

__all__ = ["Agreement", "Opinions", "judge_agreement"]

FAR = 0.5  # a ratio surely below this share of the correlation is not the labeler's noise


@dataclass(frozen=True)
class Opinions:
    """What labeler and judge see along one direction.

    Effects are changes per sigma in standard deviations of each one's scores, probabilities as
    log-odds.

    Attributes:
        direction: Name of the direction.
        attribute: The attribute it is meant to move.
        effect: Its effect on that attribute, by the labeler.
        judged: The same, by the judge.
        ratio: The judge's over the labeler's; None where the labeler's is not positive.
        correlation: Of the two on the attribute, over the unmoved codes.
        rises: Share of the codes whose attribute rises at the step, by the labeler.
        judged_rises: The same, by the judge.
        leakage: Mean absolute effect on the other attributes that both have, over the effect on
            the target, by the labeler; None where there are none or the effect is not positive.
        judged_leakage: The same, by the judge.
    """

    direction: str
    attribute: str
    effect: Estimate
    judged: Estimate
    ratio: Estimate | None
    correlation: float
    rises: float
    judged_rises: float
    leakage: Estimate | None
    judged_leakage: Estimate | None

    @property
    def labeler_only(self) -> bool:
        """Whether the direction moves its attribute for its labeler, but hardly for the judge."""
        if not self.effect.low > 0:
            return False
        unseen = not self.judged.low > 0
        return unseen or (self.ratio is not None and self.ratio.high < FAR * self.correlation)

    def as_dict(self) -> dict[str, Any]:
        """One record; after each estimate the ends of its interval, such as `ratio_low`."""
        record: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            record[name] = value.mean if isinstance(value, Estimate) else value
            if name in ESTIMATES:
                record[f"{name}_low"] = None if value is None else value.low
                record[f"{name}_high"] = None if value is None else value.high
        return record


ESTIMATES = ("effect", "judged", "ratio", "leakage", "judged_leakage")


@checked_fields
@dataclass(frozen=True, eq=False)
class Agreement:
    """Opinions on every direction whose attribute both labelers have.

    Attributes:
        rows: One a direction, in the order of the bank.
        labeler: Name of the first labeler.
        judge: Name of the second.
        shared: Attributes that both have and that vary: those leakage is counted on.
        step: Step that `rises` is at, in sigma.
        count: Number of held-out codes.
        level: Confidence level of the intervals.
    """

    rows: tuple[Opinions, ...]
    labeler: str
    judge: str
    shared: tuple[str, ...]
    step: float
    count: int
    level: float

    def __iter__(self) -> Iterator[Opinions]:
        return iter(self.rows)

    def row(self, direction: str) -> Opinions:
        """The opinions on one direction.

        Raises:
            UnknownNameError: There are none.
        """
        for row in self.rows:
            if row.direction == direction:
                return row
        raise UnknownNameError(
            f"{direction!r} was not judged: there are {', '.join(r.direction for r in self.rows)}"
        )

    def columns(self) -> dict[str, list[Any]]:
        """The table by column, for CSV, Parquet or a data frame."""
        records = [row.as_dict() for row in self.rows]
        return {name: [record[name] for record in records] for name in records[0]}

    def to_frame(self) -> Any:
        """`columns` as a pandas data frame, or an Arrow table where pandas is not installed."""
        return frame(self.columns())

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "labeler": self.labeler,
            "judge": self.judge,
            "shared": list(self.shared),
            "step": self.step,
            "count": self.count,
            "level": self.level,
            "rows": [row.as_dict() for row in self.rows],
        }

    def __repr__(self) -> str:
        return (
            f"Agreement({self.labeler} and {self.judge} on "
            f"{', '.join(r.direction for r in self.rows)}; {self.count} codes)"
        )

    def _repr_html_(self) -> str:
        columns = self.columns()
        names = [name for name in columns if not name.endswith(("_low", "_high"))]
        rows = zip(*(columns[name] for name in names), strict=True)
        return html_table(repr(self), [name.replace("_", " ") for name in names], rows)


@checked
def judge_agreement(effects: Effects) -> Agreement:
    """What the labeler and the judge see along each direction, side by side.

    Intervals are over the codes and include the errors of the standard deviations (delta method).
    Leakage is a mean of absolute values, so noise alone gives it about 0.8 standard errors of an
    effect.

    Args:
        effects: Measured with a judge; probabilities are taken as log-odds.

    Raises:
        LatdirError: There was no judge, or no direction is meant to move an attribute that both
            labelers have and that varies.

    Example:
        >>> from analysis.edits.effects import measure_effects
        >>> from directions import Direction, DirectionBank
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8, names=("smile", "age"))
        >>> smile = Direction("smile", world.truth[0], "z")
        >>> bank = DirectionBank((smile,), world.name, world.fingerprint)
        >>> judge = world.classifier(kind="probability")
        >>> effects = measure_effects(world, world.classifier(), bank, count=32, judge=judge)
        >>> seen = judge_agreement(effects).row("smile")
        >>> round(seen.ratio.mean, 2), round(seen.correlation, 2), seen.judged_rises
        (1.0, 1.0, 1.0)
    """
    own, judged = effects.logit, effects.logit.judged
    if judged is None:
        raise LatdirError(
            "the effects have no judge: measure them with measure_effects(…, judge=classifier)"
        )
    shared = tuple(
        n for n in judged.names if all(e.std[e.names.index(n)] > 0 for e in (own, judged))
    )
    rows = [
        _opinions(own, judged, direction, own.targets[direction], shared)
        for direction in own.directions
        if own.targets.get(direction) in shared
    ]
    if not rows:
        raise LatdirError(
            f"no direction is meant to move an attribute that varies for {own.source.classifier} "
            f"and {judged.source.classifier} alike: those are {', '.join(shared) or 'none'}"
        )
    return Agreement(
        tuple(rows),
        own.source.classifier,
        judged.source.classifier,
        shared,
        effects.step,
        effects.source.count,
        effects.level,
    )


def _opinions(
    own: Effects, judged: Effects, direction: str, attribute: str, shared: tuple[str, ...]
) -> Opinions:
    others = [n for n in shared if n != attribute]
    (mine, m_influence), (theirs, t_influence) = (
        _standardized(e, direction, [attribute, *others]) for e in (own, judged)
    )
    both = torch.cat([mine[:1], theirs[:1]])
    errors = torch.cat([m_influence[:, :1], t_influence[:, :1]], 1)

    def estimated(figure: Any, values: Tensor, influence: Tensor) -> Estimate:
        return estimate(_per_code(figure, values, influence), level=own.level)

    effect, seen = (estimated(lambda v, i=i: v[i], both, errors) for i in (0, 1))
    baselines = [e.curves.baseline[:, e.names.index(attribute)] for e in (own, judged)]
    return Opinions(
        direction,
        attribute,
        effect,
        seen,
        estimated(lambda v: v[1] / v[0], both, errors) if effect.low > 0 else None,
        float(torch.corrcoef(torch.stack(baselines).double())[0, 1]),
        own.at(direction, attribute).rises,
        judged.at(direction, attribute).rises,
        *(
            estimated(lambda v: v[1:].abs().mean() / v[0], values, influence)
            if others and known.low > 0
            else None
            for values, influence, known in (
                (mine, m_influence, effect), (theirs, t_influence, seen),
            )
        ),
    )  # fmt: skip


def _standardized(
    effects: Effects, direction: str, names: list[str]
) -> tuple[Float[Tensor, "a"], Float[Tensor, "n a"]]:
    """Effects in standard deviations, and the influence of each code on them."""
    columns = [effects.names.index(n) for n in names]
    deltas = effects.deltas[effects.directions.index(direction)][:, columns].double()
    baseline = effects.curves.baseline[:, columns].double()
    mean, std = deltas.mean(0), baseline.std(0)
    return mean / std, (deltas - mean) / std - mean / std.square() * std_influence(baseline)


def _per_code(figure: Any, values: Tensor, influence: Tensor) -> Float[Tensor, "n"]:
    n = len(influence)
    return delta_method(lambda v: figure(v).expand(n)[:, None], values, influence)[:, 0]
