"""Figures of angles between directions and between subspaces."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from analysis.plots.parts import color_bar
from analysis.plots.theme import LIGHT, Theme, canvas, dress
from directions.errors import LatdirError

__all__ = ["cosine_map", "principal_angle_map"]


def cosine_map(
    cosines: Float[Tensor, "k k"],
    names: Sequence[str],
    *,
    title: str = "Cosines between directions",
    theme: Theme = LIGHT,
) -> Figure:
    """A matrix of cosines as a map, from -1 to 1.

    Args:
        cosines: As `cosine_matrix` returns.
        names: Names of the rows.
        title: Above the map; say which metric.
        theme: Colors.

    Raises:
        LatdirError: Not as many names as rows.
    """
    count = len(cosines)
    if len(names) != count:
        raise LatdirError(f"a map of {count} directions needs {count} names, not {len(names)}")
    figure, axes = canvas(2.4 + 0.55 * count, 1.7 + 0.5 * count, theme)
    image = axes.imshow(cosines.numpy(), cmap=theme.diverging, vmin=-1, vmax=1, aspect="auto")
    for i in range(count):
        for j in range(count):
            value = float(cosines[i, j])
            ink = theme.background if abs(value) > 0.62 else theme.ink
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", size=9, color=ink)
    axes.set_xticks(range(count), names, rotation=35, ha="right")
    axes.set_yticks(range(count), names)
    color_bar(figure, axes, image, "cosine", theme)
    dress(axes, theme, title=title, grid=False)
    axes.spines[:].set_visible(False)
    return figure


def principal_angle_map(
    angles: Float[Tensor, "n n r"], names: Sequence[str], *, theme: Theme = LIGHT
) -> Figure:
    """Mean and smallest principal angle between every two of several subspaces, in degrees.

    0 means the same subspace, 90 nothing in common. In many dimensions even random subspaces stay
    a little below 90: `principal_angle_curves` shows the range they fall in.

    Args:
        angles: Radians, as `analysis.principal_angles` gives them for each pair.
        names: One a subspace.
        theme: Colors.

    Raises:
        LatdirError: Not as many names as subspaces.
    """
    count = len(angles)
    if len(names) != count:
        raise LatdirError(f"a map of {count} subspaces needs {count} names, not {len(names)}")
    degrees = angles.double().rad2deg()
    mean, least = degrees.mean(2), degrees.amin(2)
    figure, axes = canvas(2.6 + 0.72 * count, 1.8 + 0.56 * count, theme)
    image = axes.imshow(
        mean.numpy(), cmap=theme.sequential.reversed(), vmin=0, vmax=90, aspect="auto"
    )
    for i in range(count):
        for j in range(count):
            ink = theme.background if float(mean[i, j]) < 36 else theme.ink
            axes.text(
                j,
                i - 0.1,
                f"{float(mean[i, j]):.0f}°",
                ha="center",
                va="center",
                size=10,
                color=ink,
            )
            text = f"from {float(least[i, j]):.0f}°"
            axes.text(j, i + 0.26, text, ha="center", va="center", size=7, color=ink)
    axes.set_xticks(range(count), names, rotation=35, ha="right")
    axes.set_yticks(range(count), names)
    color_bar(figure, axes, image, "mean principal angle (degrees)", theme)
    dress(axes, theme, title="Agreement of subspaces", grid=False)
    axes.spines[:].set_visible(False)
    return figure
