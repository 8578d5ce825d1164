"""Comparison of methods on the same held-out codes at equal effect.

A direction that moves its attribute less also leaks less and keeps the person better, so nothing
is compared at equal amounts: each direction takes the amount at which the log-odds (or value) of
its attribute has changed by `change` standard deviations on average, and leakage and identity are
read there. Since all methods edit the same codes, differences between them are paired: their
intervals are over codes, not methods, and are far narrower than those of each alone. Intervals
include the errors of the amount and of the standard deviations (`analysis.intervals.delta`).

A method that was fitted to a classifier may have found what pleases that classifier rather than
what people would call the attribute. A second labeler as the judge sees the same edited images:
at equal effect for the first, a direction true to its name moves the second's attribute as
much as the others do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.comparison.result import Comparison, Cost, Metric, Row
from analysis.edits.held_out import measure_curves
from analysis.edits.identity import kept_identity
from analysis.edits.leakage import Standardized
from analysis.edits.targets import amounts_reaching, between, match_targets
from analysis.intervals.delta import delta_method
from analysis.intervals.mean import estimate
from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.classifiers.panel import JUDGED, Panel
from directions.direction import Direction
from directions.errors import LatdirError, UnknownNameError
from directions.generators.base import Generator
from directions.scoring.held_out import warn_of_known_judge
from directions.scoring.rendering import Rendering
from directions.seeds import HELD_OUT_SEED

__all__ = ["EqualEffect", "compare_methods"]

AMOUNTS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5)
SEPARATOR = "\x1f"  # between method and direction name: occurs in neither


@checked_fields
@dataclass(frozen=True)
class EqualEffect:
    """Settings of a comparison: the common change, and the intervals.

    Attributes:
        change: Common change of each target, in standard deviations of its log-odds or value.
        amounts: Positive sigmas at which to measure; changes in between are interpolated.
        level: Confidence level of the intervals.

    Raises:
        LatdirError: A change or an amount that is not positive.
    """

    change: float = 1.0
    amounts: tuple[float, ...] = AMOUNTS
    level: float = 0.95

    def __post_init__(self) -> None:
        if not all(0 < a < math.inf for a in (self.change, *self.amounts)):
            raise LatdirError(
                f"change {self.change:g} and amounts {list(self.amounts)} must be positive: a "
                "bank's directions raise their attributes"
            )
        if not 0 < self.level < 1:
            raise LatdirError(f"level {self.level:g} must be between 0 and 1, such as 0.95")


@checked
def compare_methods(
    generator: Generator,
    classifier: Classifier,
    banks: Mapping[str, DirectionBank],
    *,
    attributes: Sequence[str],
    at: EqualEffect = EqualEffect(),
    count: int = 128,
    seed: int = HELD_OUT_SEED,
    embed: Callable[[Tensor], Tensor] | None = None,
    judge: Classifier | None = None,
    rendering: Rendering = Rendering(),
) -> Comparison:
    """Measure every method's direction of every attribute on the same held-out codes.

    A method's direction of an attribute is the first of its bank that is meant to move it: by
    calibration or by name. Give banks of unsupervised methods their names with
    `analysis.naming.by_effects.name_directions` first.

    Args:
        generator: Makes the images.
        classifier: Scores them; leakage is into all of its attributes.
        banks: Method name to its bank.
        attributes: Attributes to compare on.
        at: The common change of each target, and the amounts at which it is looked for.
        count: Number of held-out codes.
        seed: Seed of the codes; not one that names or directions were found with.
        embed: Images to embeddings, for identity.
        judge: A second labeler, that no method was fitted to, to judge the same images; its
            attributes are matched as `directions.classifiers.panel.Panel` says. Attributes that it
            does not have get no judgment.
        rendering: How images are made.

    Returns:
        The table; a method without a direction for an attribute has an empty row. Add what the
        methods cost with `Comparison.with_costs`.

    Raises:
        LatdirError: No methods, no bank with any of the attributes, a judge without any of them
            or that is not a second labeler, or as `measure_curves`.
    """
    if not banks:
        raise LatdirError("give at least one bank: {'pca': bank, …}")
    classifier.columns(attributes)
    panel = None
    if judge is not None:
        panel = Panel.of(classifier, judge, classifier.names, every=True)
        if not set(panel.judged) & set(attributes):
            raise UnknownNameError(
                f"the judge {judge.name} has none of {', '.join(attributes)}: it has "
                f"{', '.join(panel.judged)}; rename them with directions.classifiers.Renamed"
            )
    chosen: list[Direction] = []
    targets: dict[str, str] = {}
    used: dict[tuple[str, str], str] = {}
    for method, bank in banks.items():
        bank.check(generator)
        if judge is not None:
            warn_of_known_judge(judge, bank)
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
            "with analysis.naming.by_effects.name_directions"
        )
    provenance = next(
        (b.provenance for b in banks.values() if b.provenance.get("seed") == seed), {}
    )
    found_at = {bank.provenance.get("truncation", 1.0) for bank in banks.values()}
    if len(found_at) == 1:
        rendering = rendering.of_bank({"truncation": found_at.pop()})
    together = DirectionBank(tuple(chosen), generator.name, generator.fingerprint, provenance)
    curves = measure_curves(
        generator,
        classifier if panel is None else panel.classifier,
        together,
        amounts=[0.0, 1.0, *at.amounts],
        count=count,
        seed=seed,
        rendering=rendering,
        embed=embed,
    ).aimed(targets)
    curves = curves.logit
    standardized = Standardized(curves)
    per_code: dict[tuple[str, str, Metric], Tensor] = {}
    rows = []
    for method in banks:
        for attribute in attributes:
            found = used.get((method, attribute))
            if found is None:
                rows.append(Row(method, attribute))
                continue
            k = curves.directions.index(f"{method}{SEPARATOR}{found}")
            amount, figures = _figures(standardized, k, attribute, at.change, len(classifier.names))
            per_code |= {(method, attribute, metric): v for metric, v in figures.items()}
            cells = {
                m: estimate(values, level=at.level, bound=1.0 if m == "identity" else None)
                for m, values in figures.items()
            }
            rows.append(Row(method, attribute, found, amount, **cells))
    return Comparison(
        tuple(rows),
        {method: Cost() for method in banks},
        at.change,
        count,
        seed,
        generator.name,
        classifier.name,
        per_code,
        at.level,
        None if judge is None else judge.name,
        None if curves.identity_baseline is None else float(curves.identity_baseline.mean()),
    )


def _figures(
    standardized: Standardized, k: int, attribute: str, change: float, own_count: int
) -> tuple[float | None, dict[Metric, Float[Tensor, "n"]]]:
    """The amount of equal effect, and every metric of every code, as of `delta_method`.

    The first `own_count` attributes are the labeler's, the others the judge's.
    """
    curves = standardized.curves
    a, std = curves.names.index(attribute), curves.std
    if not std[a] > 0:
        raise LatdirError(f"{attribute!r} is constant over the held-out codes: leave it out")
    ahead = curves.changes[k, curves.at(1.0), :, a].double()
    figures: dict[Metric, Tensor] = {
        "effect": delta_method(
            lambda s: ahead[:, None] / s, std[[a]].double(), standardized.influence[:, [a]]
        )[:, 0]
    }
    mean = curves.changes[k, :, :, a].mean(1) / std[a]
    at = amounts_reaching(mean, curves.amounts, torch.tensor([change]))
    if bool(at.isnan()):
        return None, figures
    own = between(curves.changes[k, :, :, a], curves.amounts, at)[0]
    figures["success"] = (own > 0).float()

    def moved(
        columns: list[int], reduce: Callable[[Tensor], Tensor], *, linear: bool = True
    ) -> Tensor:
        reduced = standardized.moved(
            k, a, at[0], columns, lambda m: reduce(m)[:, None], linear=linear
        )
        return reduced[:, 0]

    varying = [c for c in range(len(std)) if std[c] > 0]
    others = [c for c in varying if c < own_count and c != a]
    if others:
        figures["leakage"] = moved(others, lambda m: m.abs().mean(1), linear=False)
        figures["worst"] = moved(others, lambda m: m.abs().amax(1), linear=False)
        figures["drift"] = moved(others, lambda m: _drift(m) / change)
    name = JUDGED + attribute
    judged = curves.names.index(name) if name in curves.names else None
    if judged in varying:
        figures["judged"] = moved([judged], lambda m: m[:, 0])
        seen = [c for c in varying if c >= own_count and c != judged]
        if seen:
            figures["judged_leakage"] = moved(seen, lambda m: m.abs().mean(1), linear=False)
            if estimate(figures["judged"]).low > 0:
                both = [judged, *seen]
                figures["judged_drift"] = moved(both, lambda m: _ratio(_drift(m[:, 1:]), m[:, 0]))
    if curves.identity is not None:
        error = standardized.of_amount(k, a, at[0])
        figures["identity"] = kept_identity(curves, k, at[0], error)
    return float(at), figures


def _drift(moved: Float[Tensor, "n c"]) -> Float[Tensor, "n"]:
    """Values per code whose mean is the mean over attributes of |mean change|."""
    return (moved * moved.mean(0).sign()).mean(1)


def _ratio(values: Float[Tensor, "n"], scale: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Values per code whose mean is the ratio of the means, with the error of both."""
    ratio = values.mean() / scale.mean()
    return ratio + (values - ratio * scale) / scale.mean()
