"""Figures that compare methods and subspaces."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from analysis.comparison.result import Comparison, Metric
from analysis.plots.parts import fitted, panels, title
from analysis.plots.theme import LIGHT, Theme, dress
from directions.arguments import checked

__all__ = ["plot_comparison"]

PANELS: dict[Metric, str] = {
    "effect": "effect of one sigma\n(standard deviations)",
    "leakage": "leakage\n(standard deviations)",
    "drift": "signed leakage\n(share of own effect)",
    "identity": "identity kept\n(0: different faces)",
    "judged": "effect to the judge\n(standard deviations)",
    "judged_leakage": "leakage to the judge\n(standard deviations)",
    "judged_drift": "signed leakage to the judge\n(share of own effect)",
}


@checked
def plot_comparison(
    comparison: Comparison, *, axes: FigureBase | None = None, theme: Theme = LIGHT
) -> Figure:
    """Effect, leakage, identity of every method and attribute, and the cost of each method.

    With a second labeler, its values on the same images are shown too.

    One row per attribute, one mark per method, with its interval; a method without a
    direction for an attribute, or that does not reach the common change, has no mark there.

    Args:
        comparison: The comparison to draw.
        axes: Figure or subfigure to draw the panels in; by default a new figure.
        theme: Colors.
    """
    shown = [m for m in PANELS if any(r.figure(m) is not None for r in comparison.rows)]
    spent = any(c.seconds is not None for c in comparison.costs.values())
    methods, attributes = comparison.methods, comparison.attributes
    height = 1.6 + 0.14 * (len(methods) + 1.5) * len(attributes)
    columns = len(shown) + spent
    size = {"width": 3.2, "height": max(height, 2.8)}
    drawn = panels(axes, columns, **size, theme=theme, most=columns, margins=(1.2, 0.0))
    for place, (panel, metric) in enumerate(zip(drawn, shown, strict=False)):
        _marks(panel, comparison, metric, theme)
        panel.set_yticks(
            range(len(attributes)), attributes if place == 0 else [""] * len(attributes)
        )
        panel.set_ylim(len(attributes) - 0.5, -0.5)
        panel.set_xlabel(PANELS[metric])
        if metric == "identity" and comparison.identity_baseline is not None:
            cosine = f"cosine {comparison.identity_baseline:.2f}"
            panel.set_xlabel(f"identity kept\n(0: different faces, {cosine})")
        dress(panel, theme)
    if spent:
        panel = drawn[-1]
        for i, method in enumerate(methods):
            seconds = comparison.costs[method].seconds
            if seconds is not None:
                color, marker, _ = theme.line(i)
                panel.plot(seconds, i, marker=marker, color=color, markersize=7, linestyle="")
        panel.set_xscale("log")
        panel.set_yticks(range(len(methods)), methods)
        panel.set_ylim(len(methods) - 0.5, -0.5)
        panel.set_xlabel("cost\n(seconds)")
        dress(panel, theme)
    figure = drawn[0].figure
    handles, labels = drawn[0].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False
    )
    for text in legend.get_texts():
        text.set(color=theme.ink, size=10)
    heading = f"Methods at equal effect: {comparison.change:g} standard deviation"
    title(figure, f"{heading}, labels of {comparison.labelers}", theme)
    return fitted(figure)


def _marks(axes: Axes, comparison: Comparison, metric: Metric, theme: Theme) -> None:
    methods = comparison.methods
    band = 0.8 / len(methods)
    for i, method in enumerate(methods):
        color, marker, _ = theme.line(i)
        places, means, ends = [], [], []
        for y, attribute in enumerate(comparison.attributes):
            row = comparison.row(method, attribute)
            figure = row.figure(metric)
            if figure is None:
                continue
            places.append(y + (i - (len(methods) - 1) / 2) * band)
            means.append(figure.mean)
            ends.append((figure.mean - figure.low, figure.high - figure.mean))
        spread = torch.tensor(ends).reshape(-1, 2).T.tolist()
        axes.errorbar(
            means,
            places,
            xerr=spread,
            fmt=marker,
            color=color,
            markersize=5,
            capsize=2,
            linewidth=1.2,
            label=method,
        )
    axes.axvline(0, color=theme.quiet, linewidth=1)
    for y in range(1, len(comparison.attributes)):
        axes.axhline(y - 0.5, color=theme.grid, linewidth=0.8)
