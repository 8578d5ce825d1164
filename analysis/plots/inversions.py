"""Figure of ways to invert the same images: distortion, editability, time."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from analysis.inversions.quality import InversionQuality
from analysis.plots.parts import fitted, panels
from analysis.plots.theme import LIGHT, Theme, dress
from directions.arguments import checked
from directions.errors import LatdirError

__all__ = ["plot_inversions"]

# Column of the quality to the title of its panel, and what is ideal, if anything is.
PANELS = {
    "psnr": ("PSNR, dB", None),
    "identity": ("identity", 1.0),
    "edit_error": ("error of edits, SD", 0.0),
    "distance": ("distance from the prior", 1.0),
    "seconds": ("seconds an image", None),
}


@checked
def plot_inversions(
    ways: Mapping[str, InversionQuality], *, axes: FigureBase | None = None, theme: Theme = LIGHT
) -> Figure:
    """One row a way, one panel a measure; a line marks the ideal where there is one.

    Args:
        ways: Name of each way to what `measure_inversion` found of it, on the same images.
        axes: A figure or subfigure to draw in; by default a new one.
        theme: Colors.

    Raises:
        LatdirError: No ways.
    """
    if not ways:
        raise LatdirError("there are no inversions to draw: measure one with measure_inversion")
    rows = [way.as_dict() for way in ways.values()]
    shown = [key for key in PANELS if any(row[key] is not None for row in rows)]
    made = panels(
        axes, len(shown), width=2.0, height=0.9 + 0.24 * len(rows), theme=theme, most=len(shown),
        margins=(1.8, 0.0),
    )  # fmt: skip
    for panel, key in zip(made, shown, strict=True):
        heading, ideal = PANELS[key]
        _panel(panel, [row[key] for row in rows], [row["space"] for row in rows], theme)
        if ideal is not None:
            panel.axvline(ideal, color=theme.quiet, linewidth=1)
        if key == "seconds":
            panel.set_xscale("log")
        panel.set_yticks(range(len(rows)), list(ways) if panel is made[0] else [""] * len(rows))
        panel.set_ylim(len(rows) - 0.5, -0.5)
        dress(panel, theme, title=heading)
    return fitted(made[0])


def _panel(axes: Axes, values: list[float | None], spaces: list[str], theme: Theme) -> None:
    """A mark a row, colored by the space of the codes."""
    order = list(dict.fromkeys(spaces))
    for y, (value, space) in enumerate(zip(values, spaces, strict=True)):
        if value is not None and math.isfinite(value):
            color, marker, _ = theme.line(order.index(space))
            axes.plot([value], [y], marker=marker, color=color, linestyle="none", markersize=6)
