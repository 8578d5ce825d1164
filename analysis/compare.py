"""Several methods side by side, on the same held-out codes and at equal effect.

A direction that moves its attribute less also leaks less and keeps the person better, so nothing
is compared at equal amounts: each direction takes the amount at which the log-odds (or value) of
its attribute has changed by `change` standard deviations on average, and leakage and identity are
read there. Since all methods edit the same codes, differences between them are paired: their
bootstrap intervals resample codes, not methods, and are far narrower than those of each alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.bootstrap import mean_interval
from analysis.curves import HELD_OUT_SEED, Curves, measure_curves
from analysis.targets import amounts_reaching, between, match_targets
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.direction import Direction
from directions.errors import LatdirError
from directions.generators.base import Generator, Precision

__all__ = ["Comparison", "Cost", "Difference", "Metric", "Row", "compare_methods"]

Metric = Literal["effect", "success", "leakage", "worst", "identity"]
METRICS: tuple[Metric, ...] = ("effect", "success", "leakage", "worst", "identity")
COMPARED_AMOUNTS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5)
SEPARATOR = "\x1f"  # between method and direction name: occurs in neither


@dataclass(frozen=True)
class Cost:
    """What it took a method to find its directions.

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
    """One method's direction of one attribute, at equal effect.

    Attributes:
        method: The method's name.
        attribute: The attribute.
        direction: Name of its direction in the method's bank; None when it has none.
        amount: Sigmas it takes to change the attribute by the common change; None out of reach.
        effect: Change of the attribute per sigma between 0 and one sigma, in its standard
            deviations, with its interval (low, high) as the next two.
        success: Share of the codes whose attribute is higher at `amount`.
        leakage: Mean absolute change of the other attributes there, in their standard deviations.
        worst: Mean over codes of the largest of those changes.
        identity: Mean cosine between embeddings before and after; None without embeddings.
    """

    method: str
    attribute: str
    direction: str | None = None
    amount: float | None = None
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    success: float | None = None
    success_low: float | None = None
    success_high: float | None = None
    leakage: float | None = None
    leakage_low: float | None = None
    leakage_high: float | None = None
    worst: float | None = None
    worst_low: float | None = None
    worst_high: float | None = None
    identity: float | None = None
    identity_low: float | None = None
    identity_high: float | None = None


@dataclass(frozen=True)
class Difference:
    """How much one method's figure exceeds another's on the same codes.

    Attributes:
        mean: First minus second.
        low: Lower end of the paired bootstrap interval.
        high: Upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


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
        per_code: `[n]` of each metric, by (method, attribute, metric): what the means are of.
        bootstrap: Number of resamples.
        level: Share of the resampled means inside an interval.
    """

    rows: tuple[Row, ...]
    costs: Mapping[str, Cost]
    change: float
    count: int
    seed: int
    generator: str
    classifier: str
    per_code: Mapping[tuple[str, str, Metric], Float[Tensor, "n"]]
    bootstrap: int
    level: float

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in order."""
        return tuple(self.costs)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes, in order."""
        return tuple(dict.fromkeys(r.attribute for r in self.rows))

    def row(self, method: str, attribute: str) -> Row:
        """One cell of the comparison.

        Raises:
            LatdirError: No such method or attribute.
        """
        for row in self.rows:
            if (row.method, row.attribute) == (method, attribute):
                return row
        raise LatdirError(
            f"{method!r} and {attribute!r} were not compared: there are the methods "
            f"{', '.join(self.methods)} and the attributes {', '.join(self.attributes)}"
        )

    def difference(
        self, first: str, second: str, *, attribute: str, metric: Metric = "leakage"
    ) -> Difference:
        """First minus second, with the interval that pairs their codes.

        Args:
            first: A method.
            second: Another.
            attribute: The attribute both change by the same.
            metric: What to compare.

        Raises:
            LatdirError: Not compared, or one of the two has no figure there.
        """
        for method in (first, second):
            self.row(method, attribute)
            if (method, attribute, metric) not in self.per_code:
                raise LatdirError(
                    f"{method} has no {metric} for {attribute!r}: it has no such direction, does "
                    f"not reach a change of {self.change:g}, or nothing was embedded"
                )
        a, b = (self.per_code[m, attribute, metric] for m in (first, second))
        interval = mean_interval(a - b, draws=self.bootstrap, level=self.level)
        return Difference(*(float(v) for v in interval))

    def as_dict(self) -> dict[str, Any]:
        """The table, as JSON values."""
        return {
            "generator": self.generator,
            "classifier": self.classifier,
            "change": self.change,
            "count": self.count,
            "seed": self.seed,
            "level": self.level,
            "costs": {method: asdict(cost) for method, cost in self.costs.items()},
            "rows": [asdict(row) for row in self.rows],
        }


def compare_methods(
    generator: Generator,
    classifier: Classifier,
    banks: Mapping[str, DirectionBank],
    *,
    attributes: Sequence[str],
    costs: Mapping[str, Cost] | None = None,
    change: float = 1.0,
    amounts: Sequence[float] = COMPARED_AMOUNTS,
    count: int = 128,
    seed: int = HELD_OUT_SEED,
    embed: Callable[[Tensor], Tensor] | None = None,
    bootstrap: int = 1000,
    level: float = 0.95,
    precision: Precision = "float32",
    batch: int = 128,
) -> Comparison:
    """Measure every method's direction of every attribute on the same held-out codes.

    A method's direction of an attribute is the first of its bank that is meant to move it: by
    calibration or by name. Give banks of unsupervised methods their names with
    `analysis.naming.name_directions` first.

    Args:
        generator: Makes the images.
        classifier: Scores them; leakage is into all of its attributes.
        banks: Method name to its bank.
        attributes: Attributes to compare on.
        costs: Method name to what it cost.
        change: Common change of each target, in standard deviations of its log-odds or value.
        amounts: Positive sigmas at which to measure; changes in between are interpolated.
        count: Number of held-out codes.
        seed: Seed of the codes; not one that names or directions were found with.
        embed: Images to embeddings, for identity.
        bootstrap: Number of resamples.
        level: Share of the resampled means inside an interval.
        precision: Arithmetic of generator and classifier.
        batch: Images at a time.

    Returns:
        The table; a method without a direction for an attribute has an empty row.

    Raises:
        LatdirError: No methods, costs of a method that is not compared, no bank with any of the
            attributes, or as `measure_curves`.
    """
    costs = dict(costs or {})
    stray = [m for m in costs if m not in banks]
    if not banks or stray:
        raise LatdirError(
            f"there is a cost of {stray[0]!r} but no such bank: there are {', '.join(banks)}"
            if stray
            else "give at least one bank: {'pca': bank, …}"
        )
    if not change > 0 or not all(a > 0 for a in amounts):
        raise LatdirError(
            f"change {change:g} and amounts {list(amounts)} must be positive: a bank's directions "
            "raise their attributes"
        )
    classifier.columns(attributes)
    chosen: list[Direction] = []
    targets: dict[str, str] = {}
    used: dict[tuple[str, str], str] = {}
    for method, bank in banks.items():
        bank.check(generator)
        aims = match_targets(bank, attributes)
        for name, attribute in aims.items():
            if (method, attribute) not in used:
                used[method, attribute] = name
                unique = f"{method}{SEPARATOR}{name}"
                chosen.append(bank[name].evolve(name=unique))
                targets[unique] = attribute
    if not chosen:
        raise LatdirError(
            f"no bank has a direction named after one of {', '.join(attributes)}: name them first "
            "with analysis.naming.name_directions"
        )
    provenance = next(
        (b.provenance for b in banks.values() if b.provenance.get("seed") == seed), {}
    )
    together = DirectionBank(tuple(chosen), generator.name, generator.fingerprint, provenance)
    curves = measure_curves(
        generator,
        classifier,
        together,
        amounts=[0.0, 1.0, *amounts],
        targets=targets,
        count=count,
        seed=seed,
        precision=precision,
        batch=batch,
        embed=embed,
    ).logit
    per_code: dict[tuple[str, str, Metric], Tensor] = {}
    rows = []
    for method in banks:
        for attribute in attributes:
            found = used.get((method, attribute))
            if found is None:
                rows.append(Row(method, attribute))
                continue
            k = curves.directions.index(f"{method}{SEPARATOR}{found}")
            amount, figures = _figures(curves, k, attribute, change)
            per_code |= {(method, attribute, metric): v for metric, v in figures.items()}
            cells: dict[str, float] = {}
            for metric, values in figures.items():
                interval = mean_interval(values, draws=bootstrap, level=level)
                ends = ("", "_low", "_high")
                cells |= {metric + end: float(v) for end, v in zip(ends, interval, strict=True)}
            rows.append(Row(method, attribute, direction=found, amount=amount, **cells))
    return Comparison(
        tuple(rows),
        {method: costs.get(method, Cost()) for method in banks},
        change,
        count,
        seed,
        generator.name,
        classifier.name,
        per_code,
        bootstrap,
        level,
    )


def _figures(
    curves: Curves, k: int, attribute: str, change: float
) -> tuple[float | None, dict[Metric, Float[Tensor, "n"]]]:
    """The amount of equal effect, and every metric of every code."""
    a = curves.names.index(attribute)
    std = curves.std
    if not std[a] > 0:
        raise LatdirError(f"{attribute!r} is constant over the held-out codes: leave it out")
    figures: dict[Metric, Tensor] = {"effect": curves.changes[k, curves.at(1.0), :, a] / std[a]}
    mean = curves.changes[k, :, :, a].mean(1) / std[a]
    at = amounts_reaching(mean, curves.amounts, torch.tensor([change]))
    if bool(at.isnan()):
        return None, figures
    moved = between(curves.changes[k], curves.amounts, at)[0]
    figures["success"] = (moved[:, a] > 0).float()
    others = (std > 0) & (torch.arange(len(std)) != a)
    if others.any():
        leaked = (moved[:, others] / std[others]).abs()
        figures["leakage"], figures["worst"] = leaked.mean(1), leaked.amax(1)
    if curves.identity is not None:
        figures["identity"] = between(curves.identity[k], curves.amounts, at)[0]
    return float(at), figures
