"""The part of a report that is about one direction: its strip, effects, calibration, evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis import plots
from analysis.edits.calibration import CalibrationCurve
from analysis.edits.effects import Effects
from analysis.edits.linear_range import LinearRange
from analysis.edits.nulls import RandomNull
from analysis.report.inline import data_url, inline_svg, mosaic
from analysis.report.remarks import Remark
from analysis.report.tables import flattened, number
from directions.bank import DirectionBank
from directions.direction import Direction
from directions.editing.moves import sweep
from directions.generators.base import Generator

__all__ = ["articles", "strips", "svg"]


def articles(
    bank: DirectionBank,
    effects: Effects,
    null: RandomNull | None,
    calibrations: Sequence[CalibrationCurve],
    ranges: Sequence[LinearRange],
    said: Sequence[Remark],
    anchors: Mapping[str, str],
) -> list[dict[str, Any]]:
    """One entry a direction, in the order of the bank, as the template reads them."""
    curves = {c.direction: c for c in calibrations}
    reach = {r.direction: r for r in ranges}
    made = []
    for direction in bank.directions:
        name, curve = direction.name, curves.get(direction.name)
        figure = plots.effect_bars(effects, name, null=null)
        made.append(
            {
                "name": name,
                "anchor": anchors[name],
                "subtitle": _subtitle(direction),
                "remarks": [r for r in said if r.direction == name],
                "bars": svg(figure, _bars_text(effects, name), f"{anchors[name]}-e"),
                "curve": None
                if curve is None
                else _curve_figure(curve, reach.get(name), f"{anchors[name]}-c"),
                "curve_text": "" if curve is None else _curve_text(curve, reach.get(name)),
                "evidence": [
                    *flattened(direction.config, "settings: "),
                    *flattened(direction.evidence),
                ],
            }
        )
    return made


def _subtitle(direction: Direction) -> str:
    parts = [f"{direction.method}, space {direction.space}"]
    if direction.layers is not None:
        parts.append(f"layers {', '.join(map(str, direction.layers))}")
    parts.append(f"one sigma is {number(direction.sigma)} in latent units")
    return " · ".join(parts)


def _bars_text(effects: Effects, name: str) -> str:
    sizes = {n: effects.at(name, n).standardized for n in effects.names}
    ordered = sorted((n for n in sizes if sizes[n] == sizes[n]), key=lambda n: -abs(sizes[n]))
    listed = ", ".join(f"{n} {number(sizes[n], sign=True)}" for n in ordered)
    return f"Effects of {name} in standard deviations per sigma: {listed}."


def _curve_text(curve: CalibrationCurve, reach: LinearRange | None) -> str:
    if not curve.significant:
        return f"{curve.attribute.name} does not measurably answer."
    low, high = curve.linear
    text = (
        f"Mean {curve.attribute.name} against the amount; {number(curve.slope, sign=True)} "
        f"{curve.unit} per sigma near zero (dashed), within {curve.tolerance:.0%} of that line "
        f"from {number(low, sign=True)} to {number(high, sign=True)} sigma (shaded)"
    )
    return f"{text}{'' if reach is None else _uncertain(reach)}."


def _uncertain(reach: LinearRange) -> str:
    """How far the ends of a linear range may lie, and whether they were met at all."""
    parts = []
    for side, measured, (low, high) in (
        ("lower", reach.measured[0], reach.low_interval),
        ("upper", reach.measured[1], reach.high_interval),
    ):
        if low == high == measured:
            parts.append(f"the {side} end was not met")
        else:
            ends = f"{number(low, sign=True)} and {number(high, sign=True)}"
            parts.append(f"the {side} end lies between {ends}")
    return f"; {parts[0]}, {parts[1]}"


def _curve_figure(curve: CalibrationCurve, reach: LinearRange | None, prefix: str) -> Markup:
    return svg(plots.calibration_grid([curve]), _curve_text(curve, reach), prefix)


def svg(figure: Figure, label: str, prefix: str) -> Markup:
    """A figure as part of the page."""
    return Markup(inline_svg(figure, label=label, prefix=prefix))


def strips(
    generator: Generator,
    bank: DirectionBank,
    effects: Effects,
    amounts: Sequence[float],
    samples: int,
) -> dict[str, dict[str, Any]]:
    """Pictures of every direction's sweep, by its name."""
    steps = sorted({0.0, *map(float, amounts)})
    source = effects.source
    made = {}
    for d in bank.directions:
        space = d.acts_in(generator.spaces)
        codes = generator.sample(
            samples, seed=source.seed, space=space, truncation=source.truncation
        )
        render = generator.inference(space=space)
        moved = sweep(codes, d, steps)
        images = torch.stack([render(part).float().cpu() for part in moved], 1)
        picture = mosaic(images.clamp(-1, 1))
        zero, share = steps.index(0.0), 100 / len(steps)
        made[d.name] = {
            "url": data_url(picture),
            "width": picture.shape[2],
            "height": picture.shape[1],
            "labels": ["original" if s == 0 else f"{number(s, sign=True)} σ" for s in steps],
            "marked": zero,
            "left": round(zero * share, 4),
            "share": round(share, 4),
            "alt": (
                f"{samples} images, one a row, moved along {d.name} from "
                f"{number(steps[0], sign=True)} to {number(steps[-1], sign=True)} sigma, one "
                f"amount a column; column {zero + 1} holds the originals."
            ),
        }
    return made
