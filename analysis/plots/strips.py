"""Image strips with score curves below."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.layout_engine import ConstrainedLayoutEngine

from analysis.edits.sweeps import ScoredSweep
from analysis.plots.parts import fitted, labeled, root, sheet, title
from analysis.plots.theme import LIGHT, Theme, dress
from directions.arguments import checked
from directions.images import to_uint8

__all__ = ["plot_sweep"]

TRACE_HEIGHT = 0.62  # inches
PICTURE = 1.0


@checked
def plot_sweep(
    swept: ScoredSweep, *, axes: FigureBase | None = None, theme: Theme = LIGHT
) -> Figure:
    """One strip of images per code, and below it one trace per attribute, aligned by column.

    All traces of one attribute share their scale, so that rows compare; the amount 0, the
    original, is framed.

    Args:
        swept: Images and scores.
        axes: Figure or subfigure to draw the strips in; by default a new figure.
        theme: Colors.
    """
    n, t = swept.images.shape[:2]
    height, width = swept.images.shape[-2:]
    picture = PICTURE * height / width
    a = len(swept.attributes)
    heights = ([picture] + [TRACE_HEIGHT] * a) * n
    figure = sheet(axes, 1.9 + PICTURE * t, sum(heights) + 0.28 * n + 0.8, theme)
    layout = root(figure).get_layout_engine()
    if axes is None and isinstance(layout, ConstrainedLayoutEngine):
        layout.set(h_pad=0.04, w_pad=0.04, hspace=0.0, wspace=0.0)
    grid = figure.add_gridspec(n * (1 + a), 1, height_ratios=heights)
    zero = int((swept.amounts == 0).nonzero()[0])
    for i in range(n):
        _strip(figure.add_subplot(grid[i * (1 + a)]), swept, i, zero, theme)
        for j in range(a):
            trace = figure.add_subplot(grid[i * (1 + a) + 1 + j])
            _trace(trace, swept, i, j, zero, theme)
            last = i == n - 1 and j == a - 1
            labels = [f"{v:+g}" if v else "0" for v in swept.amounts.tolist()] if last else []
            trace.set_xticks(range(t), labels or [""] * t)
            if last:
                trace.set_xlabel("amount (sigma)")
    title(figure, f"{swept.direction}: images and their scores", theme)
    return fitted(figure)


def _strip(axes: Axes, swept: ScoredSweep, i: int, zero: int, theme: Theme) -> None:
    pictures = to_uint8(swept.images[i]).permute(0, 2, 3, 1).numpy()
    t, height, width = pictures.shape[:3]
    # Pixel i of a column is at column - 1/2 … column + 1/2, so that traces align with images.
    axes.imshow(
        np.concatenate(list(pictures), 1),
        extent=(-0.5, t - 0.5, height / width, 0),
        # Traces and pictures keep their columns aligned at the cost of a percent of distortion.
        aspect="auto",
        interpolation="nearest",
    )
    edges = ([zero - 0.5, zero + 0.5, zero + 0.5, zero - 0.5, zero - 0.5],)
    tall = height / width
    axes.plot(*edges, [0, 0, tall, tall, 0], color=theme.series[0], linewidth=2, clip_on=False)
    axes.set_xlim(-0.5, t - 0.5)
    axes.set_axis_off()


def _trace(axes: Axes, swept: ScoredSweep, i: int, j: int, zero: int, theme: Theme) -> None:
    color, marker, dash = theme.line(j)
    values = swept.scores[i, :, j].tolist()
    low, high = (float(v) for v in swept.scores[..., j].aminmax())
    margin = 0.12 * (high - low) or 1.0
    axes.axhline(values[zero], color=theme.quiet, linewidth=0.8, linestyle=":")
    axes.plot(range(len(values)), values, color=color, marker=marker, linestyle=dash, markersize=4)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_ylim(low - margin, high + margin)
    attribute = swept.attributes[j]
    axes.set_ylabel(
        labeled(attribute.name, attribute.unit or attribute.name).replace(" (", "\n("),
        rotation=0,
        ha="right",
        va="center",
    )
    axes.locator_params(axis="y", nbins=3)
    dress(axes, theme)
    axes.tick_params(labelsize=8)
    axes.yaxis.label.set(color=color, size=9)
