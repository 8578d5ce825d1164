"""Figures that compare methods and subspaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from analysis.comparison.compare import Comparison
from analysis.plots.theme import LIGHT, Theme, canvas, dress
from analysis.spaces.subspaces import SubspaceComparison
from directions.errors import LatdirError

__all__ = ["comparison_figure", "distance_map", "principal_angle_curves"]

PANELS = {
    "effect": "effect of one sigma\n(standard deviations)",
    "leakage": "leakage\n(standard deviations)",
    "identity": "identity\n(cosine)",
    "judged": "effect to the judge\n(standard deviations)",
    "judged_leakage": "leakage to the judge\n(standard deviations)",
}


def comparison_figure(comparison: Comparison, *, theme: Theme = LIGHT) -> Figure:
    """Effect, leakage, identity of every method and attribute, and the cost of each method.

    With a second labeler, its values on the same images are shown too.

    One row an attribute, one mark a method, with its bootstrap interval; a method without a
    direction for an attribute, or that does not reach the common change, has no mark there.

    Args:
        comparison: The comparison to draw.
        theme: Colors.
    """
    shown = [m for m in PANELS if any(getattr(r, m) is not None for r in comparison.rows)]
    spent = any(c.seconds is not None for c in comparison.costs.values())
    methods, attributes = comparison.methods, comparison.attributes
    height = 1.6 + 0.14 * (len(methods) + 1.5) * len(attributes)
    columns = len(shown) + spent
    figure = Figure(figsize=(1.2 + 3.2 * columns, max(height, 2.8)), dpi=100, layout="constrained")
    figure.set_facecolor(theme.background)
    for place, metric in enumerate(shown):
        axes = figure.add_subplot(1, columns, place + 1)
        _marks(axes, comparison, metric, theme)
        axes.set_yticks(
            range(len(attributes)), attributes if place == 0 else [""] * len(attributes)
        )
        axes.set_ylim(len(attributes) - 0.5, -0.5)
        axes.set_xlabel(PANELS[metric])
        dress(axes, theme)
    if spent:
        axes = figure.add_subplot(1, columns, columns)
        for i, method in enumerate(methods):
            seconds = comparison.costs[method].seconds
            if seconds is not None:
                color, marker, _ = theme.line(i)
                axes.plot(seconds, i, marker=marker, color=color, markersize=7, linestyle="")
        axes.set_xscale("log")
        axes.set_yticks(range(len(methods)), methods)
        axes.set_ylim(len(methods) - 0.5, -0.5)
        axes.set_xlabel("cost\n(seconds)")
        dress(axes, theme)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False
    )
    for text in legend.get_texts():
        text.set(color=theme.ink, size=10)
    title = f"Methods at equal effect: {comparison.change:g} standard deviation"
    figure.suptitle(title, x=0.01, ha="left", color=theme.ink, fontsize=12, fontweight="bold")
    return figure


def _marks(axes: Axes, comparison: Comparison, metric: str, theme: Theme) -> None:
    methods = comparison.methods
    band = 0.8 / len(methods)
    for i, method in enumerate(methods):
        color, marker, _ = theme.line(i)
        places, means, ends = [], [], []
        for y, attribute in enumerate(comparison.attributes):
            row = comparison.row(method, attribute)
            mean = getattr(row, metric)
            if mean is None:
                continue
            places.append(y + (i - (len(methods) - 1) / 2) * band)
            means.append(mean)
            low, high = (getattr(row, f"{metric}_{end}") for end in ("low", "high"))
            ends.append((mean - low, high - mean))
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
    if metric != "identity":
        axes.axvline(0, color=theme.quiet, linewidth=1)
    for y in range(1, len(comparison.attributes)):
        axes.axhline(y - 0.5, color=theme.grid, linewidth=0.8)


def principal_angle_curves(
    comparisons: Mapping[str, SubspaceComparison], *, theme: Theme = LIGHT
) -> Figure:
    """Principal angles of pairs of subspaces, over the range of random pairs.

    Args:
        comparisons: Label to comparison, all of subspaces of the same sizes in one space.
        theme: Colors.

    Raises:
        LatdirError: None given, or of different sizes: the null would not be theirs.
    """
    sizes = {(c.d, tuple(c.null.shape[1:])) for c in comparisons.values()}
    if len(sizes) != 1:
        raise LatdirError(
            "one figure shows subspaces of the same sizes in one space, not "
            f"{sorted(sizes) or 'none'}: draw them separately, or give compare_banks a count"
        )
    figure, axes = canvas(6.6, 4.2, theme)
    null = next(iter(comparisons.values())).null.rad2deg()
    ends = torch.tensor([0.025, 0.975], dtype=null.dtype)
    low, high = null.quantile(ends, dim=0).tolist()
    index = range(1, null.shape[1] + 1)
    axes.fill_between(index, low, high, color=theme.grid, linewidth=0, label="random subspaces")
    for k, (label, comparison) in enumerate(comparisons.items()):
        color, marker, dash = theme.line(k)
        axes.plot(
            index,
            comparison.angles.rad2deg().tolist(),
            label=f"{label} (p = {comparison.p:.3g})",
            color=color,
            marker=marker,
            linestyle=dash,
            markersize=5,
        )
    axes.set_xlabel("principal angle, smallest first")
    axes.set_ylabel("degrees")
    axes.set_ylim(0, 92)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")
    dress(axes, theme, title="Agreement of two subspaces")
    return figure


def distance_map(
    distances: Tensor,
    names: Sequence[str],
    *,
    null_mean: float | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Grassmann distances between several subspaces, as a map.

    Args:
        distances: `[n, n]`, from `pairwise_distances`.
        names: One a subspace.
        null_mean: Mean distance of random subspaces; the middle of the color scale.
        theme: Colors.

    Raises:
        LatdirError: Not as many names as subspaces.
    """
    count = len(distances)
    if len(names) != count:
        raise LatdirError(f"a map of {count} subspaces needs {count} names, not {len(names)}")
    figure, axes = canvas(2.6 + 0.6 * count, 1.8 + 0.5 * count, theme)
    middle = float(distances.max()) / 2 if null_mean is None else null_mean
    middle = middle or 1.0
    image = axes.imshow(
        distances.numpy(), cmap=theme.diverging.reversed(), vmin=0, vmax=2 * middle, aspect="auto"
    )
    for i in range(count):
        for j in range(count):
            value = float(distances[i, j])
            strong = abs(value / middle - 1) > 0.62
            ink = theme.background if strong else theme.ink
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", size=9, color=ink)
    axes.set_xticks(range(count), names, rotation=35, ha="right")
    axes.set_yticks(range(count), names)
    bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=24, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=theme.quiet, labelcolor=theme.ink, labelsize=9)
    bar.set_label("distance", color=theme.ink, size=10)
    if null_mean is not None:
        bar.ax.axhline(null_mean, color=theme.ink, linewidth=1.2)
    dress(axes, theme, title="Grassmann distances", grid=False)
    axes.spines[:].set_visible(False)
    return figure
