"""Report section of one direction: strip, effects, calibration, evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.edits.effects import Effects
from analysis.measures.remarks import Remark
from analysis.measures.tables import flattened, number
from analysis.registry import find_measure
from analysis.report.inline import data_url, inline_svg, mosaic
from directions.bank import DirectionBank
from directions.direction import Direction
from directions.editing.moves import sweep
from directions.generators.base import Generator
from directions.scoring.scorer import Scorer

__all__ = ["articles", "strips", "svg"]

NARROW = 5.0  # inches


def articles(
    bank: DirectionBank,
    results: Mapping[str, Any],
    said: Sequence[Remark],
    anchors: Mapping[str, str],
) -> list[dict[str, Any]]:
    """One entry a direction, in the order of the bank, as the template reads them.

    Args:
        bank: The directions.
        results: Results by the name of the measure.
        said: Remarks on any of them.
        anchors: Where the name of each direction leads.
    """
    return [
        {
            "name": d.name,
            "anchor": anchors[d.name],
            "subtitle": _subtitle(d),
            "remarks": [r for r in said if r.direction == d.name],
            "drawings": list(_drawings(d.name, results, anchors[d.name])),
            "evidence": [*flattened(d.config, "settings: "), *flattened(d.evidence)],
        }
        for d in bank.directions
    ]


def _drawings(
    name: str, results: Mapping[str, Any], anchor: str
) -> Iterator[tuple[Markup, str, bool]]:
    """Each measure's figure about one direction, its caption, and whether it is narrow."""
    for measure, result in results.items():
        drawing = find_measure(measure).drawing(result, name)
        if drawing is not None:
            narrow = bool(drawing.figure.get_figwidth() < NARROW)
            markup = svg(drawing.figure, drawing.label, f"{anchor}-{measure}")
            yield markup, drawing.caption, narrow


def _subtitle(direction: Direction) -> str:
    parts = [f"{direction.method}, space {direction.space}"]
    if direction.layers is not None:
        parts.append(f"layers {', '.join(map(str, direction.layers))}")
    sigma, scale = number(direction.sigma), direction.calibration
    # The attribute's own unit first: what one sigma changes depends on the space.
    per_sigma = "" if scale is None else f"{number(scale.per_sigma, sign=True)} {scale.unit}, "
    parts.append(f"one sigma is {per_sigma}{sigma} in latent units")
    return " · ".join(parts)


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
    """Images of every direction's sweep, by its name."""
    steps = sorted({0.0, *map(float, amounts)})
    source = effects.source
    made = {}
    for d in bank.directions:
        space = d.acts_in(generator.spaces)
        codes = generator.sample(
            samples, seed=source.seed, space=space, truncation=source.truncation
        )
        scorer = Scorer(generator, space=space)
        moved = sweep(codes, d, steps)
        images = torch.cat([part.float().cpu() for part in scorer.images(moved.flatten(0, 1))])
        images = images.reshape(*moved.shape[:2], *images.shape[1:]).transpose(0, 1)
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
                f"{samples} images, one per row, moved along {d.name} from "
                f"{number(steps[0], sign=True)} to {number(steps[-1], sign=True)} sigma, one "
                f"amount per column; column {zero + 1} holds the originals."
            ),
        }
    return made
