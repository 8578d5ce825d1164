"""The effect matrix in tables and report: main and side effects of each direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from markupsafe import Markup
from torch import Tensor

from analysis import plots
from analysis.edits.effects import Effects
from analysis.edits.nulls import evident
from analysis.measures.base import Drawing, Measure, Part, Scored
from analysis.measures.remarks import Remark, remarks_on
from analysis.measures.tables import Cell, Row, Table, hundredths, interval, number
from analysis.plots.theme import STRONG

__all__ = ["EffectMatrix"]

KEY = Markup(
    '<span class="key own">Framed</span>: the attribute the direction is meant to move. '
    '<span class="quiet">Gray figures</span>: {}.'
)


class EffectMatrix(Measure[Scored]):
    """Mean changes per sigma; attributes are compared as log-odds, which do not saturate."""

    def from_scores(self, scored: Scored) -> Scored:
        """The effects themselves."""
        return scored

    def columns(self, found: Scored) -> dict[str, dict[str, Any]]:
        """The effect on the target."""
        effects = found.effects
        own = {name: effects.at(name, target) for name, target in effects.targets.items()}
        return {
            "attribute": dict(effects.targets),
            "per_sigma": {name: cell.mean for name, cell in own.items()},
            "in_sd": {name: cell.standardized for name, cell in own.items()},
            "rises": {name: cell.rises for name, cell in own.items()},
        }

    def summary(self, found: Scored) -> dict[str, dict[str, Cell]]:
        """Effect of each direction, its certainty, and its largest side effect."""
        effects = found.effects
        headings = ("moves", "per sigma", "in SD", f"rises at {effects.step:+g} σ")
        own = {name: _own(effects, name, effects.targets.get(name)) for name in effects.directions}
        side = {name: _side(effects, name) for name in effects.directions}
        return {
            **{h: {n: cells[i] for n, cells in own.items()} for i, h in enumerate(headings)},
            "largest side effect": side,
        }

    def part(self, found: Scored, anchors: Mapping[str, str]) -> Part:
        """The matrix with intervals, as log-odds, as raw scores and in the attributes' units."""
        effects, null = found.effects, found.null
        compared, counts = effects.logit, evident(effects, null)
        probabilities = any(a.kind == "probability" for a in effects.attributes)
        faint = "not evident: the interval holds zero"
        faint += "" if null is None else ", or random directions do as much"
        text = (
            "Each cell is the mean change of an attribute (column) for one sigma along a direction "
            "(row), in standard deviations of that attribute over unmoved codes"
            f"{', probabilities as log-odds' * probabilities}."
        )
        by = f"labels of {effects.source.classifier}"
        tables = [
            Table(
                effects.names,
                _rows(compared, anchors, evident(compared, null and null.logit)),
                f"Standard deviations per sigma, with {effects.level:.0%} intervals, {by}",
            )
        ]
        if compared.judged is not None:
            judge = compared.judged.source.classifier
            seen = Table(
                compared.judged.names,
                _rows(compared.judged, anchors, evident(compared.judged)),
                f"Standard deviations per sigma, with {effects.level:.0%} intervals, labels of "
                f"{judge}",
                f"The same by the judge, {judge}",
                "Gray figures: the interval holds zero. Random directions were not judged.",
            )
            tables.append(seen)
        if probabilities:
            raw = Table(
                effects.names,
                _rows(effects, anchors, counts),
                f"Standard deviations of the raw scores per sigma, {by}",
                "The same for raw probabilities",
                "Probabilities saturate: near 0 or 1 even a large change of the image hardly moves "
                "the score. Log-odds do not.",
            )
            tables.append(raw)
        units = Table(
            tuple(f"{a.name} ({_unit(a.kind, a.unit)})" for a in effects.attributes),
            _rows(effects, anchors, counts, units=True),
            f"Mean change per sigma, in the unit of each attribute, {by}",
            "The same in the units of the attributes",
        )
        return Part(Markup("{} ").format(text) + KEY.format(faint), tables=(*tables, units))

    def drawing(self, found: Scored, direction: str) -> Drawing:
        """The effects of one direction, over the band of random ones."""
        effects, null = found.effects.logit, found.null and found.null.logit
        sizes = {n: effects.at(direction, n).standardized for n in effects.names}
        ordered = sorted(
            (n for n in sizes if not math.isnan(sizes[n])), key=lambda n: -abs(sizes[n])
        )
        listed = ", ".join(f"{n} {number(sizes[n], sign=True)}" for n in ordered)
        logit = any(a.kind == "probability" for a in effects.attributes)
        return Drawing(
            plots.plot_direction_effects(effects, direction, null=null),
            f"Effects of {direction} in standard deviations per sigma: {listed}.",
            f"Effects of one sigma with their intervals, labels of {effects.source.classifier}"
            f"{', probabilities as log-odds' * logit}"
            f"{'' if null is None else '; the gray band is that of random directions'}.",
        )

    def remarks(self, found: Scored) -> list[Remark]:
        """Successes and failures of each direction."""
        return remarks_on(found.effects.logit, null=found.null and found.null.logit)

    def as_dict(self, found: Scored) -> dict[str, Any]:
        """The matrix."""
        return found.effects.as_dict()


def _rows(
    effects: Effects,
    anchors: Mapping[str, str],
    counts: Bool[Tensor, "k a"],
    *,
    units: bool = False,
) -> tuple[Row, ...]:
    """The matrix with intervals, evident effects dark, in standard deviations or in units."""
    scale = torch.ones_like(effects.std) if units else effects.std
    mean, low, high = (
        m / torch.where(effects.std > 0, scale, torch.nan)
        for m in (effects.mean, effects.low, effects.high)
    )
    tint = effects.standardized.nan_to_num()
    depth = tint / max(float(tint.abs().max()), 0.1)
    show = number if units else hundredths

    def cell(k: int, a: int) -> Cell:
        own = effects.targets.get(effects.directions[k]) == effects.names[a]
        if effects.std[a] == 0:
            return Cell("constant", classes="faint" + " own" * own)
        color = float(depth[k, a])
        classes = {
            "up" if color > 0 else "down": True,
            "strong": abs(color) > STRONG,
            "faint": not counts[k, a],
            "own": own,
        }
        return Cell(
            show(float(mean[k, a]), sign=True),
            interval(float(low[k, a]), float(high[k, a]), show),
            " ".join(c for c, holds in classes.items() if holds),
            round(100 * abs(color)),
        )

    return tuple(
        Row(name, anchors[name], tuple(cell(k, a) for a in range(len(effects.names))))
        for k, name in enumerate(effects.directions)
    )


def _unit(kind: str, unit: str) -> str:
    return "probability" if kind == "probability" else unit or "its own unit"


def _own(effects: Effects, name: str, target: str | None) -> list[Cell]:
    if target is None:
        return [Cell("no target attribute", word=True), *[Cell("–")] * 3]
    cell = effects.at(name, target)
    attribute = effects.attributes[effects.names.index(target)]
    return [
        Cell(target, _unit(attribute.kind, attribute.unit), word=True),
        Cell(number(cell.mean, sign=True), interval(cell.low, cell.high)),
        Cell(hundredths(effects.logit.at(name, target).standardized, sign=True)),
        Cell(f"{100 * cell.rises:.3g}%"),
    ]


def _side(effects: Effects, name: str) -> Cell:
    sizes = effects.logit.standardized[effects.directions.index(name)]
    others = {
        a: float(size)
        for a, size in zip(effects.names, sizes, strict=True)
        if a != effects.targets.get(name) and math.isfinite(float(size))
    }
    if not others:
        return Cell("–", word=True)
    most = max(others, key=lambda a: abs(others[a]))
    return Cell(f"{most} {hundredths(others[most], sign=True)}", word=True)
