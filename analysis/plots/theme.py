"""Figure themes, one light and one dark, set on each figure and never globally."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap

__all__ = ["DARK", "LIGHT", "STRONG", "Theme", "dress"]

# Beyond this fraction of a map's largest color, the text of a cell takes the background's color.
STRONG = 0.62

# Okabe and Ito's colors, distinguishable in every kind of color vision; jfly.uni-koeln.de/color
_SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31")
_SERIES_DARK = ("#56B4E9", "#F0803C", "#2BC79A", "#E29CC4", "#F0C24B", "#8FB8FF", "#C9B27C")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Theme:
    """Colors of a figure.

    Attributes:
        background: Of figure and axes.
        ink: Of text.
        quiet: Of ticks, secondary text and reference lines.
        grid: Of grid lines.
        series: Colors of curves, in order.
        diverging: From strongly negative over nothing to strongly positive.
        sequential: From nothing to much.
    """

    background: str
    ink: str
    quiet: str
    grid: str
    series: tuple[str, ...]
    diverging: Colormap
    sequential: Colormap

    def line(self, index: int) -> tuple[str, str, str]:
        """Color, marker and dash of the curve of some index; the first 28 all differ."""
        turn, place = divmod(index, len(self.series))
        dashes = ("-", "--", ":", "-.")
        return self.series[place], _MARKERS[(place + turn) % len(_MARKERS)], dashes[turn % 4]


# Blue to orange: apart in lightness and hue for every kind of color vision, and in gray print
# by the signs that the cells carry.
LIGHT = Theme(
    background="#ffffff",
    ink="#1c2430",
    quiet="#5b6675",
    grid="#e3e7ec",
    series=_SERIES,
    diverging=LinearSegmentedColormap.from_list(
        "light", ["#0b5a9c", "#6aaed6", "#f6f7f8", "#f4a261", "#b34700"]
    ),
    sequential=LinearSegmentedColormap.from_list("light blues", ["#f6f7f8", "#6aaed6", "#0b5a9c"]),
)
DARK = Theme(
    background="#161b22",
    ink="#e8ecf1",
    quiet="#9aa6b5",
    grid="#2b333e",
    series=_SERIES_DARK,
    diverging=LinearSegmentedColormap.from_list(
        "dark", ["#6cc0ff", "#2a6d9e", "#20262e", "#a3561b", "#ffb066"]
    ),
    sequential=LinearSegmentedColormap.from_list("dark blues", ["#20262e", "#2a6d9e", "#6cc0ff"]),
)


def dress(axes: Axes, theme: Theme, *, title: str = "", size: int = 12, grid: bool = True) -> None:
    """Give axes the theme's colors, quiet spines and readable type."""
    axes.set_facecolor(theme.background)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.quiet)
    axes.tick_params(colors=theme.quiet, labelcolor=theme.ink, labelsize=10, length=3)
    axes.xaxis.label.set(color=theme.ink, size=11)
    axes.yaxis.label.set(color=theme.ink, size=11)
    axes.set_title(title, loc="left", color=theme.ink, fontsize=size, fontweight="bold", pad=8)
    if grid:
        axes.grid(color=theme.grid, linewidth=0.8)
        axes.set_axisbelow(True)
    legend = axes.get_legend()
    if legend is not None:
        legend.get_frame().set(facecolor=theme.background, edgecolor=theme.grid, alpha=0.9)
        for text in legend.get_texts():
            text.set(color=theme.ink, size=10)
