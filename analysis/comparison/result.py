"""Results of a comparison of methods: table, differences and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.intervals.mean import Estimate, estimate
from directions.arguments import checked_fields
from directions.errors import LatdirError, UnknownNameError
from directions.table import frame, html_table

__all__ = ["Comparison", "Cost", "Metric", "Row"]

Metric = Literal[
    "effect", "success", "leakage", "worst", "drift", "identity",
    "judged", "judged_leakage", "judged_drift",
]  # fmt: skip
METRICS: tuple[Metric, ...] = get_args(Metric)


@checked_fields
@dataclass(frozen=True)
class Cost:
    """Cost of a method's discovery of its directions.

    Attributes:
        seconds: Wall-clock time.
        images: Images made.
        labels: Images scored by the classifier.
    """

    seconds: float | None = None
    images: int | None = None
    labels: int | None = None


@dataclass(frozen=True)
class Row:
    """One method's direction of one attribute, at equal effect; None where there is no figure.

    Figures are means over the codes with their intervals.

    Attributes:
        method: The method's name.
        attribute: The attribute.
        direction: Name of its direction in the method's bank; None when it has none.
        amount: Sigmas it takes to change the attribute by the common change; None out of reach.
        effect: Change of the attribute per sigma between 0 and one sigma, in its standard
            deviations.
        success: Share of the codes whose attribute is higher at `amount`.
        leakage: Mean absolute change of the other attributes there, in their standard deviations:
            of single images, so that the labeler's noise counts.
        worst: Mean over codes of the largest of those changes.
        drift: Mean over the other attributes of their absolute mean change there, over the change
            of the target: what the direction does to all faces alike, and conditioning removes.
        identity: Identity kept there: cosine between embeddings before and after, 1 for the same
            image, 0 for the mean of different faces; None without embeddings.
        judged: Change of the attribute there as the second labeler sees it, in its standard
            deviations; None without one.
        judged_leakage: Mean absolute change of the second labeler's other attributes.
        judged_drift: As `drift`, over the change of the target, all as the second labeler sees it;
            None where that change is not evident.
    """

    method: str
    attribute: str
    direction: str | None = None
    amount: float | None = None
    effect: Estimate | None = None
    success: Estimate | None = None
    leakage: Estimate | None = None
    worst: Estimate | None = None
    drift: Estimate | None = None
    identity: Estimate | None = None
    judged: Estimate | None = None
    judged_leakage: Estimate | None = None
    judged_drift: Estimate | None = None

    def figure(self, metric: Metric) -> Estimate | None:
        """One figure by the name of its metric."""
        found: Estimate | None = getattr(self, metric)
        return found

    def as_dict(self) -> dict[str, Any]:
        """One record; after each figure the ends of its interval, such as `leakage_low`."""
        record: dict[str, Any] = {
            "method": self.method,
            "attribute": self.attribute,
            "direction": self.direction,
            "amount": self.amount,
        }
        for metric in METRICS:
            ends = self.figure(metric) or (None, None, None)
            record |= zip((metric, f"{metric}_low", f"{metric}_high"), ends, strict=True)
        return record


@checked_fields
@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods on the same codes at equal effect.

    Attributes:
        rows: One a method and attribute, methods in the order given.
        costs: Of each method.
        change: Common change of the target, in its standard deviations.
        count: Number of held-out codes.
        seed: Their seed.
        generator: Name of the generator.
        classifier: Name of the classifier.
        per_code: `[n]` of each metric, by (method, attribute, metric): the values under the means,
            with the error of what was estimated from the same codes.
        level: Confidence level of the intervals.
        judge: Name of the second labeler, if there was one.
        identity_baseline: Mean cosine between embeddings of different faces, of which no identity
            is kept; None without embeddings.
    """

    rows: tuple[Row, ...]
    costs: Mapping[str, Cost]
    change: float
    count: int
    seed: int
    generator: str
    classifier: str
    per_code: Mapping[tuple[str, str, Metric], Float[Tensor, "n"]]
    level: float
    judge: str | None = None
    identity_baseline: float | None = None

    @property
    def labelers(self) -> str:
        """By whose labels: the classifier, and the judge beside it."""
        return self.classifier + ("" if self.judge is None else f", judged by {self.judge}")

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in order."""
        return tuple(self.costs)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes, in order."""
        return tuple(dict.fromkeys(r.attribute for r in self.rows))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that were measured of at least one method."""
        found = {metric for _, _, metric in self.per_code}
        return tuple(m for m in METRICS if m in found)

    def with_costs(self, costs: Mapping[str, Cost]) -> Comparison:
        """The same with what methods cost.

        Args:
            costs: Method name to its cost; the others keep theirs.

        Raises:
            LatdirError: A method that was not compared.
        """
        stray = [method for method in costs if method not in self.costs]
        if stray:
            raise LatdirError(
                f"there is a cost of {stray[0]!r} but no such bank: there are "
                f"{', '.join(self.methods)}"
            )
        return replace(self, costs={**self.costs, **costs})

    def row(self, method: str, attribute: str) -> Row:
        """One cell of the comparison.

        Raises:
            LatdirError: No such method or attribute.
        """
        for row in self.rows:
            if (row.method, row.attribute) == (method, attribute):
                return row
        raise UnknownNameError(
            f"{method!r} and {attribute!r} were not compared: there are the methods "
            f"{', '.join(self.methods)} and the attributes {', '.join(self.attributes)}"
        )

    def difference(
        self, first: str, second: str, *, attribute: str | None = None, metric: Metric = "leakage"
    ) -> Estimate:
        """First minus second, with the interval that pairs their codes.

        Args:
            first: A method.
            second: Another.
            attribute: The attribute both change by the same; by default the mean over all that
                both have a figure for.
            metric: The metric to compare.

        Raises:
            LatdirError: Not compared, or one of the two has no figure there.
        """
        names = [attribute] if attribute is not None else self._shared((first, second), metric)
        for method in (first, second):
            for name in names or self.attributes[:1]:
                self.row(method, name)
                if (method, name, metric) not in self.per_code:
                    raise LatdirError(
                        f"{method} has no {metric} for {name!r}: it has no such direction, does "
                        f"not reach a change of {self.change:g}, or nothing was embedded or judged"
                    )
        a, b = (self._mean_per_code(method, names, metric) for method in (first, second))
        return self._interval(a - b)

    def differences(
        self, reference: str, *, metric: Metric = "leakage"
    ) -> dict[tuple[str, str], Estimate]:
        """Every other method minus the reference, by (method, attribute), where both have figures.

        With many cells some intervals leave out zero by chance.

        Raises:
            LatdirError: No such method.
        """
        self.row(reference, self.attributes[0])
        found = {}
        for method in self.methods:
            for name in self._shared((method, reference), metric) if method != reference else []:
                found[method, name] = self.difference(
                    method, reference, attribute=name, metric=metric
                )
        return found

    def overall(self, metric: Metric = "leakage") -> dict[str, Estimate]:
        """Each method's mean over the attributes that all methods have a figure for.

        The interval is over codes; attributes are fixed. Empty where no attribute is
        common to all.
        """
        shared = self._shared(self.methods, metric)
        return {
            method: self._interval(self._mean_per_code(method, shared, metric))
            for method in (self.methods if shared else ())
        }

    def columns(self) -> dict[str, list[Any]]:
        """The table by column, for CSV, Parquet or a data frame."""
        records = [row.as_dict() for row in self.rows]
        return {name: [record[name] for record in records] for name in records[0]}

    def to_frame(self) -> Any:
        """`columns` as a pandas data frame, or an Arrow table where pandas is not installed."""
        return frame(self.columns())

    def __repr__(self) -> str:
        return (
            f"Comparison({self.generator}: {', '.join(self.methods)} on "
            f"{', '.join(self.attributes)}; {self.count} codes, change {self.change:g}, "
            f"labels of {self.labelers})"
        )

    def _repr_html_(self) -> str:
        names = ["method", "attribute", "amount", *self.metrics]
        columns = self.columns()
        rows = zip(*(columns[name] for name in names), strict=True)
        return html_table(repr(self), [name.replace("_", " ") for name in names], rows)

    def as_dict(self) -> dict[str, Any]:
        """The table, as JSON values."""
        return {
            "generator": self.generator,
            "classifier": self.classifier,
            "judge": self.judge,
            "change": self.change,
            "count": self.count,
            "seed": self.seed,
            "level": self.level,
            "identity_baseline": self.identity_baseline,
            "costs": {method: asdict(cost) for method, cost in self.costs.items()},
            "rows": [row.as_dict() for row in self.rows],
            "overall": {
                metric: {method: v._asdict() for method, v in self.overall(metric).items()}
                for metric in self.metrics
            },
        }

    def _shared(self, methods: Sequence[str], metric: Metric) -> list[str]:
        return [a for a in self.attributes if all((m, a, metric) in self.per_code for m in methods)]

    def _mean_per_code(
        self, method: str, attributes: Sequence[str], metric: Metric
    ) -> Float[Tensor, "n"]:
        return torch.stack([self.per_code[method, a, metric] for a in attributes]).mean(0)

    def _interval(self, values: Tensor) -> Estimate:
        return estimate(values, level=self.level)
