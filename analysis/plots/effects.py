"""Figures of the effect matrix."""

from __future__ import annotations

import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.edits.effects import Effects
from analysis.edits.nulls import RandomNull, evident
from analysis.plots.parts import color_bar
from analysis.plots.theme import LIGHT, Theme, canvas, dress

__all__ = ["effect_bars", "effect_heatmap"]


def effect_heatmap(
    effects: Effects, *, null: RandomNull | None = None, theme: Theme = LIGHT
) -> Figure:
    """The effect matrix in standard deviations of each attribute per sigma, with intervals.

    The target of each direction is framed. Effects whose interval contains 0, or inside the
    null, are printed pale: they are not evidence.

    Args:
        effects: The effect matrix.
        null: Effects of random directions, measured in the same way.
        theme: Colors.
    """
    std = torch.where(effects.std > 0, effects.std, torch.nan)
    mean, low, high = (m / std for m in (effects.mean, effects.low, effects.high))
    counts = evident(effects, null)
    rows, columns = mean.shape
    labels = 0.08 * max(map(len, effects.directions))
    figure, axes = canvas(1.4 + labels + 0.92 * columns, 1.9 + 0.52 * rows, theme)
    limit = max(float(mean.nan_to_num().abs().max()), 0.1)
    image = axes.imshow(mean.numpy(), cmap=theme.diverging, vmin=-limit, vmax=limit, aspect="auto")
    for k in range(rows):
        for a in range(columns):
            value = float(mean[k, a])
            if math.isnan(value):
                axes.text(a, k, "constant", ha="center", va="center", size=8, color=theme.quiet)
                continue
            strong = abs(value) > 0.62 * limit
            ink = theme.background if strong else theme.ink
            color = ink if bool(counts[k, a]) else theme.quiet
            axes.text(a, k - 0.1, f"{value:+.2f}", ha="center", va="center", size=10, color=color)
            ends = f"{float(low[k, a]):+.2f} … {float(high[k, a]):+.2f}"
            axes.text(a, k + 0.27, ends, ha="center", va="center", size=7, color=color)
    for k, direction in enumerate(effects.directions):
        target = effects.targets.get(direction)
        if target is not None:
            _frame(axes, k, effects.names.index(target), theme)
    axes.set_xticks(range(columns), effects.names, rotation=35, ha="right")
    axes.set_yticks(range(rows), effects.directions)
    color_bar(figure, axes, image, "standard deviations per sigma", theme)
    title = "Effect of one sigma, in standard deviations of the attribute"
    if effects.curves.scale == "logit":
        title += " (log-odds)"
    dress(axes, theme, title=title, grid=False)
    axes.spines[:].set_visible(False)
    return figure


def effect_bars(
    effects: Effects,
    direction: str,
    *,
    null: RandomNull | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """One direction's effects as points with intervals, over the null's interval.

    Args:
        effects: The effect matrix.
        direction: Name of the direction.
        null: Effects of random directions, measured in the same way; drawn as a gray band.
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
    figure, axes = canvas(6.2, 1.1 + 0.3 * len(shown), theme)
    ends = None if null is None else null.matching(effects)
    for y, (i, name) in enumerate(shown):
        cell, std = cells[name], float(effects.std[i])
        own = effects.targets.get(direction) == name
        color = theme.series[1] if own else theme.series[0]
        if ends is not None:
            low, high = float(ends[0][i]) / std, float(ends[1][i]) / std
            label = "random directions" if y == 0 else None
            axes.barh(y, high - low, left=low, height=0.72, color=theme.grid, label=label)
        spread = [[(cell.mean - cell.low) / std], [(cell.high - cell.mean) / std]]
        axes.errorbar(
            cell.standardized,
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
    axes.set_xlabel("standard deviations of the attribute per sigma")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")
    dress(axes, theme)
    return figure


def _frame(axes: Axes, row: int, column: int, theme: Theme) -> None:
    axes.add_patch(
        Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, fill=False, edgecolor=theme.ink)
    )
