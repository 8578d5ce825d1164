"""Figures of the effect matrix."""

from __future__ import annotations

import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.edits.effects import Effects
from analysis.edits.nulls import RandomNull, evident
from analysis.plots.parts import canvas, cell, contrast, fitted, heat_map
from analysis.plots.theme import LIGHT, Theme, dress
from directions.arguments import checked
from directions.errors import LatdirError

__all__ = ["plot_direction_effects", "plot_effects"]


@checked
def plot_effects(
    effects: Effects,
    *,
    null: RandomNull | None = None,
    limit: float | None = None,
    axes: Axes | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """The effect matrix in standard deviations of each attribute per sigma, with intervals.

    The target of each direction is framed. Effects whose interval contains 0, or inside the
    null, are pale: they are not evidence.

    Args:
        effects: The effect matrix.
        null: Effects of random directions, measured in the same way.
        limit: The end of the color scale, positive, to give figures that are compared one scale,
            such as `float(effects.standardized.abs().max())` of the first; by default the largest
            absolute effect that is evidence.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: A limit that is not positive.
    """
    std = torch.where(effects.std > 0, effects.std, torch.nan)
    mean, low, high = (m / std for m in (effects.mean, effects.low, effects.high))
    counts = evident(effects, null)
    rows, columns = mean.shape
    labels = 0.08 * max(map(len, effects.directions))
    figure, axes = canvas(axes, 1.4 + labels + 0.92 * columns, 1.9 + 0.52 * rows, theme)
    if limit is None:
        limit = max(float(torch.where(counts, mean.nan_to_num(), 0).abs().max()), 0.1)
    if not limit > 0:
        raise LatdirError(f"limit {limit:g} of a color scale must be positive")
    scale = " (log-odds)" if effects.curves.scale == "logit" else ""
    heat_map(
        axes, mean, rows=effects.directions, columns=effects.names, colors=theme.diverging,
        limits=(-limit, limit), label="standard deviations per sigma", theme=theme,
        title=f"Effect of one sigma, in standard deviations of the attribute{scale},\n"
        f"labels of {effects.source.classifier}", pale=~counts,
    )  # fmt: skip
    for k in range(rows):
        for a in range(columns):
            value = float(mean[k, a])
            if math.isnan(value):
                cell(axes, k, a, "constant", color=theme.quiet, size=8.0)
                continue
            color = contrast(abs(value) / limit, theme) if counts[k, a] else theme.quiet
            ends = f"{float(low[k, a]):+.2f} … {float(high[k, a]):+.2f}"
            cell(axes, k, a, f"{value:+.2f}", under=ends, color=color)
    for k, direction in enumerate(effects.directions):
        target = effects.targets.get(direction)
        if target is not None:
            corner = (effects.names.index(target) - 0.48, k - 0.46)
            axes.add_patch(Rectangle(corner, 0.96, 0.92, fill=False, edgecolor=theme.ink))
    return fitted(figure)


@checked
def plot_direction_effects(
    effects: Effects,
    direction: str,
    *,
    null: RandomNull | None = None,
    axes: Axes | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """One direction's effects as points with intervals, over the null's interval.

    Args:
        effects: The effect matrix.
        direction: Name of the direction.
        null: Effects of random directions, measured in the same way; drawn as a gray band.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: No direction of that name.
    """
    cells = {name: effects.at(direction, name) for name in effects.names}
    shown = [
        (i, name)
        for i, name in enumerate(effects.names)
        if not math.isnan(cells[name].standardized)
    ]
    shown.sort(key=lambda item: -abs(cells[item[1]].standardized))
    figure, axes = canvas(axes, 6.2, 1.1 + 0.3 * len(shown), theme)
    ends = None if null is None else null.matching(effects)
    for y, (i, name) in enumerate(shown):
        found, std = cells[name], float(effects.std[i])
        own = effects.targets.get(direction) == name
        color = theme.series[1] if own else theme.series[0]
        if ends is not None:
            low, high = float(ends[0][i]) / std, float(ends[1][i]) / std
            label = "random directions" if y == 0 else None
            axes.barh(y, high - low, left=low, height=0.72, color=theme.grid, label=label)
        below, above = found.mean - found.low, found.high - found.mean
        if min(below, above) < 0:
            raise LatdirError(f"an effect of {direction!r} lies outside its interval")
        spread = [[below / std], [above / std]]
        axes.errorbar(
            found.standardized,
            y,
            xerr=spread,
            fmt="D" if own else "o",
            color=color,
            markersize=6,
            capsize=3,
            label="its own attribute" if own else None,
        )
    axes.use_sticky_edges = False
    axes.axvline(0, color=theme.quiet, linewidth=1)
    axes.set_yticks(range(len(shown)), [name for _, name in shown])
    axes.invert_yaxis()
    axes.set_xlabel(
        f"standard deviations of the attribute per sigma, labels of {effects.source.classifier}"
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")
    dress(axes, theme)
    return fitted(figure)
