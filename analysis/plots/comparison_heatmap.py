"""Heat maps of many methods and attributes: one per metric, with the value in every cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure, FigureBase

from analysis.comparison.result import Comparison, Metric, Row
from analysis.plots.parts import cell, contrast, fitted, panels, title
from analysis.plots.theme import LIGHT, Theme, dress
from directions.arguments import checked
from directions.errors import UnknownNameError

__all__ = ["plot_comparison_heatmap"]

TITLES: dict[Metric, str] = {
    "effect": "Effect of one sigma on the attribute, in its standard deviations",
    "success": "Share of codes whose attribute rises",
    "leakage": "Leakage: mean change of the other attributes, in their standard deviations",
    "worst": "Largest change of another attribute, in its standard deviations",
    "drift": "Signed leakage: mean |mean change| of the other attributes over the effect",
    "identity": "Identity kept, by face embeddings",
    "judged": "Change of the attribute as the judge sees it, in its standard deviations",
    "judged_leakage": "Leakage as the judge sees it, in standard deviations",
    "judged_drift": "Signed leakage over the effect, as the judge sees both",
}
UNWANTED: tuple[Metric, ...] = ("leakage", "worst", "drift", "judged_leakage", "judged_drift")
CELL = (0.56, 0.25)  # inches


@checked
def plot_comparison_heatmap(
    comparison: Comparison,
    *,
    metrics: Sequence[Metric] = ("effect", "leakage", "drift", "identity"),
    axes: FigureBase | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """A map of methods by attributes for each metric, one above the other.

    A cell is empty where the method has no direction for the attribute, and has a dash where its
    direction does not change the attribute as much as the common change. Seconds are next to the
    methods' names. Blue is wanted, orange is not.

    Args:
        comparison: The comparison to draw.
        metrics: Which to show; those without a single figure are left out.
        axes: Figure or subfigure to draw the maps in; by default a new figure.
        theme: Colors.

    Raises:
        LatdirError: None of the metrics has a figure.
    """
    shown = [m for m in metrics if any(r.figure(m) is not None for r in comparison.rows)]
    if not shown:
        raise UnknownNameError(
            f"nothing was measured for {', '.join(metrics)}: choose some of {', '.join(TITLES)}"
        )
    columns, rows = len(comparison.attributes), len(comparison.methods)
    size = {"width": CELL[0] * columns, "height": 0.55 + CELL[1] * rows}
    drawn = panels(axes, len(shown), **size, theme=theme, most=1, margins=(2.3, 1.5))
    for panel, metric in zip(drawn, shown, strict=True):
        _panel(panel, comparison, metric, theme)
        last = panel is drawn[-1]
        panel.set_xticks(range(columns), comparison.attributes if last else [""] * columns)
        panel.tick_params(axis="x", labelrotation=40)
        for label in panel.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    heading = (
        f"{comparison.generator}, {comparison.count} held-out codes, labels of "
        f"{comparison.labelers}; "
        f"leakage and identity at a change of {comparison.change:g} standard deviations"
    )
    title(drawn[0].figure, heading, theme, size=10.0)
    return fitted(drawn[0])


def _panel(axes: Axes, comparison: Comparison, metric: Metric, theme: Theme) -> None:
    methods, attributes = comparison.methods, comparison.attributes
    found = [[comparison.row(m, a) for a in attributes] for m in methods]
    values = np.array([[_mean(row, metric) for row in line] for line in found])
    low, high = (0.0, 1.0 if metric == "identity" else float(np.nanmax(values)))
    high = high if high > low else low + 1.0
    axes.imshow(values, cmap=_colors(metric, theme), vmin=low, vmax=high, aspect="auto")
    for y, line in enumerate(found):
        for x, row in enumerate(line):
            value = _mean(row, metric)
            if row.direction is None:
                continue
            missing = math.isnan(value)
            text = "–" if missing else f"{value:.2f}"
            depth = 0.0 if missing else (value - low) / (high - low)
            cell(axes, y, x, text, color=contrast(depth, theme), size=8.5)
    seconds = [comparison.costs[m].seconds for m in methods]
    labels = [
        m if s is None else f"{m}  ·  {s:,.0f} s" for m, s in zip(methods, seconds, strict=True)
    ]
    axes.set_yticks(range(len(methods)), labels)
    axes.set_xticks(np.arange(-0.5, len(attributes)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(methods)), minor=True)
    baseline = comparison.identity_baseline if metric == "identity" else None
    beside = "" if baseline is None else f" (0: different faces, cosine {baseline:.2f})"
    dress(axes, theme, title=TITLES[metric] + beside, size=10, grid=False)
    axes.grid(which="minor", color=theme.grid, linewidth=0.8)
    axes.tick_params(which="both", length=0, labelsize=9)
    axes.spines[:].set_visible(False)


def _mean(row: Row, metric: Metric) -> float:
    figure = row.figure(metric)
    return math.nan if figure is None else figure.mean


def _colors(metric: Metric, theme: Theme) -> Colormap:
    """From nothing to strong, in the half of the theme's colors for wanted or unwanted changes."""
    end = 1.0 if metric in UNWANTED else 0.0
    chosen = ListedColormap(theme.diverging(np.linspace(0.5, end, 256)))
    return chosen.with_extremes(bad=theme.background)
