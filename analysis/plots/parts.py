"""Shared parts of figures: curves with bands, color bars, legends beside the axes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from analysis.plots.theme import Theme

__all__ = ["band_curve", "color_bar", "labeled", "legend_beside", "panels"]


def panels(count: int, *, width: float, height: float, theme: Theme, most: int = 3) -> Figure:
    """A figure for `count` equal panels, at most `most` per row; sizes in inches."""
    columns = min(most, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(0.6 + width * columns, height * rows), dpi=100, layout="constrained")
    figure.set_facecolor(theme.background)
    for i in range(count):
        figure.add_subplot(rows, columns, i + 1)
    return figure


def band_curve(
    axes: Axes,
    index: int,
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    band: tuple[Sequence[float], Sequence[float]] | None,
    theme: Theme,
) -> None:
    """A curve in the style of its index, over its band of uncertainty."""
    color, marker, dash = theme.line(index)
    axes.plot(x, y, label=name, color=color, marker=marker, linestyle=dash, markersize=5)
    if band is not None:
        axes.fill_between(x, *band, color=color, alpha=0.15, linewidth=0)


def labeled(name: str, unit: str) -> str:
    """A name with its unit, unless that is its name.

    Example:
        >>> labeled("yaw", "degrees"), labeled("contrast", "contrast")
        ('yaw (degrees)', 'contrast')
    """
    return name if unit == name else f"{name} ({unit})"


def color_bar(figure: Figure, axes: Axes, image: AxesImage, label: str, theme: Theme) -> None:
    """A quiet color bar with a label."""
    bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=24, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=theme.quiet, labelcolor=theme.ink, labelsize=9)
    bar.set_label(label, color=theme.ink, size=10)


def legend_beside(axes: Axes) -> None:
    """A legend to the right of the axes, where it hides no curve."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
