"""Shared parts of figures: curves with bands, color bars, legends beside the axes."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, FigureBase
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from torch import Tensor

from analysis.plots.theme import STRONG, Theme, dress
from directions.errors import LatdirError

__all__ = [
    "band_curve",
    "canvas",
    "cell",
    "check_names",
    "contrast",
    "curves",
    "fitted",
    "heat_map",
    "labeled",
    "legend_beside",
    "panels",
    "root",
    "sheet",
    "title",
]

# Axes keep this share of the place that their grid gives them, whatever the length of the names.
MIN_SHARE = 0.5
PALE = 0.25  # opacity of cells that are no evidence
EDGE = 0.02  # inches of background around everything


class _Layout(ConstrainedLayoutEngine):
    """Constrained layout of a figure that was made here, whose size is ours to choose."""


def root(place: Axes | FigureBase) -> Figure:
    """The whole figure that axes or a subfigure belong to."""
    figure = place.figure.figure
    assert isinstance(figure, Figure)
    return figure


def sheet(place: FigureBase | None, width: float, height: float, theme: Theme) -> FigureBase:
    """The given figure or subfigure, or a new figure of some size in inches, without axes.

    A new figure belongs to no global state.
    """
    figure = place or Figure(figsize=(width, height), dpi=100, layout=_Layout())
    figure.set_facecolor(theme.background)
    return figure


def canvas(axes: Axes | None, width: float, height: float, theme: Theme) -> tuple[Figure, Axes]:
    """The given axes or those of a new figure of some size in inches, and the figure."""
    axes = axes or sheet(None, width, height, theme).add_subplot()
    return root(axes), axes


def fitted(place: Axes | FigureBase) -> Figure:
    """The whole figure with nothing cut off: titles wrapped, enlarged where names are long.

    The layout fits labels and legends into the figure by shrinking the axes, whatever is left of
    them, and ignores the width of titles. A figure that the caller gave is left as it is.
    """
    figure = root(place)
    if not isinstance(figure.get_layout_engine(), _Layout):
        return figure
    _lay_out(figure)
    _wrap_titles(figure)
    for _ in range(5):
        _lay_out(figure)
        width, height = figure.get_size_inches()
        drawn = figure.get_tightbbox()
        wide = max(0.0, EDGE - drawn.x0, drawn.x1 - width + EDGE)
        high = max(0.0, EDGE - drawn.y0, drawn.y1 - height + EDGE)
        for axes in figure.axes:
            if (spec := axes.get_subplotspec()) is not None:
                grid, slot = spec.get_gridspec(), spec.get_position(figure)
                now = axes.get_position()
                wide = max(wide, (MIN_SHARE * slot.width - now.width) * width * grid.ncols)
                high = max(high, (MIN_SHARE * slot.height - now.height) * height * grid.nrows)
        if max(wide, high) == 0:
            break
        # Twice, as what is in the middle of its axes moves by half of the growth.
        figure.set_size_inches(width + 2 * wide, height + 2 * high)
    return figure


def _lay_out(figure: Figure) -> None:
    with warnings.catch_warnings():
        # Axes that long names leave no room for: the figure is enlarged next.
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        figure.draw_without_rendering()


def _wrap_titles(figure: Figure) -> None:
    """Break titles that are wider than their panels, or than the figure, into lines."""
    edge = 0.99 * figure.bbox.x1
    lines = sum(_wrap(text, edge) for text in figure.texts)
    rows: dict[int, int] = {}
    for axes in figure.axes:
        spec, heading = axes.get_subplotspec(), axes.get_title("left")
        if spec is None or not heading:
            continue
        text = [t for t in axes.findobj(Text) if t.get_text() == heading][-1]
        more = _wrap(text, edge if spec.get_gridspec().ncols == 1 else axes.bbox.x1)
        rows[spec.rowspan.start] = max(more, rows.get(spec.rowspan.start, 0))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * (lines + sum(rows.values())))


def _wrap(text: Text, edge: float) -> int:
    """Break a text at spaces, or where it must be, before the edge; the number of lines added."""
    extent = text.get_window_extent()
    if extent.x1 <= edge:
        return 0
    share = max(edge - extent.x0, 0.0) / extent.width
    parts = textwrap.wrap(text.get_text(), max(16, int(share * len(text.get_text()))))
    text.set_text("\n".join(parts))
    return len(parts) - 1


def panels(
    place: FigureBase | None,
    count: int,
    *,
    width: float,
    height: float,
    theme: Theme,
    most: int = 3,
    margins: tuple[float, float] = (0.6, 0.0),
) -> list[Axes]:
    """Equal panels, at most `most` per row; sizes of each and margins around all in inches."""
    columns = min(most, count)
    rows = -(-count // columns)
    size = (margins[0] + width * columns, margins[1] + height * rows)
    figure = sheet(place, *size, theme)
    return [figure.add_subplot(rows, columns, i + 1) for i in range(count)]


def title(figure: FigureBase, text: str, theme: Theme, *, size: float = 12.0) -> None:
    """A title above all panels."""
    weight = "bold" if size > 10 else "normal"
    figure.suptitle(text, x=0.01, ha="left", color=theme.ink, fontsize=size, fontweight=weight)


def check_names(names: Sequence[str], count: int, what: str) -> None:
    """Refuse a map whose rows have more or fewer names.

    Raises:
        LatdirError: Not as many names as rows.
    """
    if len(names) != count:
        raise LatdirError(f"a map of {count} {what} needs {count} names, not {len(names)}")


def heat_map(
    axes: Axes,
    values: Float[Tensor, "rows columns"],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    colors: Colormap,
    limits: tuple[float, float],
    label: str,
    theme: Theme,
    title: str,
    pale: Bool[Tensor, "rows columns"] | None = None,
) -> Colorbar:
    """A matrix as colors, with the names of rows and columns and a quiet color bar."""
    low, high = limits
    image = axes.imshow(values.cpu().numpy(), cmap=colors, vmin=low, vmax=high, aspect="auto")
    if pale is not None:
        image.set_alpha(torch.where(pale, PALE, 1.0).cpu().numpy())
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85, aspect=24, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=theme.quiet, labelcolor=theme.ink, labelsize=9)
    bar.set_label(label, color=theme.ink, size=10)
    dress(axes, theme, title=title, grid=False)
    axes.spines[:].set_visible(False)
    return bar


def contrast(depth: float, theme: Theme) -> str:
    """The text color that reads well on a color of some depth, 0 (background) to 1 (full)."""
    return theme.background if depth > STRONG else theme.ink


def cell(
    axes: Axes, row: int, column: int, text: str, *, color: str, under: str = "", size: float = 9.0
) -> None:
    """Text in a cell of a map, with a smaller second line or none."""
    lines = [(0.0, text, size)] if not under else [(-0.1, text, 10.0), (0.27, under, 7.0)]
    for shift, line, points in lines:
        axes.text(column, row + shift, line, ha="center", va="center", size=points, color=color)


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


def curves(
    axes: Axes,
    names: Sequence[str],
    x: Float[Tensor, "t"],
    values: Float[Tensor, "k t"],
    theme: Theme,
    *,
    ends: tuple[Float[Tensor, "k t"], Float[Tensor, "k t"]] | None = None,
) -> None:
    """One curve per row of values, each over its band of uncertainty if there is one."""
    for k, name in enumerate(names):
        band = (ends[0][k].tolist(), ends[1][k].tolist()) if ends else None
        band_curve(axes, k, name, x.tolist(), values[k].tolist(), band, theme)


def labeled(name: str, unit: str) -> str:
    """A name with its unit, unless that is its name.

    Example:
        >>> labeled("yaw", "degrees"), labeled("contrast", "contrast")
        ('yaw (degrees)', 'contrast')
    """
    return name if unit == name else f"{name} ({unit})"


def legend_beside(axes: Axes) -> None:
    """A legend to the right of the axes, where it hides no curve."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
