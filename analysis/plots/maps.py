"""Figures of relations between directions or subspaces: cosines, angles, distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from analysis.plots.parts import band_curve, canvas, cell, check_names, contrast, fitted, heat_map
from analysis.plots.theme import LIGHT, Theme, dress
from analysis.spaces.subspaces import SubspaceComparison
from directions.arguments import checked
from directions.errors import LatdirError

__all__ = [
    "plot_cosines",
    "plot_principal_angles",
    "plot_subspace_comparisons",
    "plot_subspace_distances",
]


@checked
def plot_cosines(
    cosines: Float[Tensor, "k k"],
    names: Sequence[str],
    *,
    title: str = "Cosines between directions",
    axes: Axes | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """A matrix of cosines as a map, from -1 to 1.

    Args:
        cosines: As `cosine_matrix` returns.
        names: Names of the rows.
        title: Title of the map, such as the metric.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: Not as many names as rows.

    Example:
        >>> figure = plot_cosines(torch.eye(2), ["smiling", "age"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['1.00', '0.00', '0.00', '1.00']
    """
    count = len(cosines)
    check_names(names, count, "directions")
    figure, axes = canvas(axes, 2.4 + 0.55 * count, 1.7 + 0.5 * count, theme)
    heat_map(
        axes, cosines, rows=names, columns=names, colors=theme.diverging, limits=(-1.0, 1.0),
        label="cosine", theme=theme, title=title,
    )  # fmt: skip
    for i, row in enumerate(cosines.tolist()):
        for j, value in enumerate(row):
            cell(axes, i, j, f"{value:.2f}", color=contrast(abs(value), theme))
    return fitted(figure)


@checked
def plot_principal_angles(
    angles: Float[Tensor, "n n r"],
    names: Sequence[str],
    *,
    axes: Axes | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Mean and smallest principal angle between every two of several subspaces, in degrees.

    0 means the same subspace, 90 nothing in common. In many dimensions even random subspaces stay
    a little below 90: `plot_subspace_comparisons` shows the range they fall in.

    Args:
        angles: Radians, as `analysis.principal_angles` gives them for each pair.
        names: One a subspace.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: Not as many names as subspaces.
    """
    count = len(angles)
    check_names(names, count, "subspaces")
    degrees = angles.double().rad2deg()
    mean, least = degrees.mean(2), degrees.amin(2)
    figure, axes = canvas(axes, 2.6 + 0.72 * count, 1.8 + 0.56 * count, theme)
    heat_map(
        axes, mean, rows=names, columns=names, colors=theme.sequential.reversed(),
        limits=(0.0, 90.0), label="mean principal angle (degrees)", theme=theme,
        title="Agreement of subspaces",
    )  # fmt: skip
    for i in range(count):
        for j in range(count):
            value = float(mean[i, j])
            under = f"from {float(least[i, j]):.0f}°"
            cell(axes, i, j, f"{value:.0f}°", under=under, color=contrast(1 - value / 90, theme))
    return fitted(figure)


@checked
def plot_subspace_distances(
    distances: Float[Tensor, "n n"],
    names: Sequence[str],
    *,
    null_mean: float | None = None,
    axes: Axes | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Grassmann distances between several subspaces, as a map.

    Args:
        distances: As `pairwise_distances` returns.
        names: One a subspace.
        null_mean: Mean distance of random subspaces; the middle of the color scale.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: Not as many names as subspaces.
    """
    count = len(distances)
    check_names(names, count, "subspaces")
    figure, axes = canvas(axes, 2.6 + 0.6 * count, 1.8 + 0.5 * count, theme)
    middle = (float(distances.max()) / 2 if null_mean is None else null_mean) or 1.0
    bar = heat_map(
        axes, distances, rows=names, columns=names, colors=theme.diverging.reversed(),
        limits=(0.0, 2 * middle), label="distance", theme=theme, title="Grassmann distances",
    )  # fmt: skip
    for i, row in enumerate(distances.tolist()):
        for j, value in enumerate(row):
            cell(axes, i, j, f"{value:.2f}", color=contrast(abs(value / middle - 1), theme))
    if null_mean is not None:
        bar.ax.axhline(null_mean, color=theme.ink, linewidth=1.2)
    return fitted(figure)


@checked
def plot_subspace_comparisons(
    comparisons: Mapping[str, SubspaceComparison],
    *,
    axes: Axes | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Principal angles of pairs of subspaces, over the range of random pairs.

    Args:
        comparisons: Label to comparison, all of subspaces of the same sizes in one space.
        axes: Where to draw; by default in a new figure.
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
    figure, axes = canvas(axes, 6.6, 4.2, theme)
    null = next(iter(comparisons.values())).null.rad2deg()
    ends = torch.tensor([0.025, 0.975], dtype=null.dtype)
    low, high = null.quantile(ends, dim=0).tolist()
    index = [float(i + 1) for i in range(null.shape[1])]
    axes.fill_between(index, low, high, color=theme.grid, linewidth=0, label="random subspaces")
    for k, (label, comparison) in enumerate(comparisons.items()):
        named = f"{label} (p = {comparison.p:.3g})"
        band_curve(axes, k, named, index, comparison.angles.rad2deg().tolist(), None, theme)
    axes.set_xlabel("principal angle, smallest first")
    axes.set_ylabel("degrees")
    axes.set_ylim(0, 92)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")
    dress(axes, theme, title="Agreement of two subspaces")
    return fitted(figure)
