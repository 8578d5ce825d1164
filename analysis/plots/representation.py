"""Figures of representation metrics, smoothness and geometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from torch import Tensor

from analysis.plots.parts import canvas, fitted, heat_map, panels
from analysis.plots.theme import LIGHT, Theme, dress
from analysis.representation.scores import EntanglementSweep
from analysis.spaces.geodesic import Geodesic
from analysis.spaces.path_length import PathLength
from analysis.spaces.pullback import LocalMetric, effective_dimension
from directions.arguments import checked, checked_values
from directions.errors import LatdirError

__all__ = [
    "plot_entanglement",
    "plot_geodesic",
    "plot_importance",
    "plot_path_lengths",
    "plot_pullback_spectra",
]


@checked
def plot_entanglement(
    sweep: EntanglementSweep, *, axes: FigureBase | None = None, theme: Theme = LIGHT
) -> Figure:
    """Every metric against the planted entanglement, one small panel per metric.

    Args:
        sweep: From `entanglement_sweep`.
        axes: Figure or subfigure to draw the panels in; by default a new figure.
        theme: Colors.
    """
    names = list(sweep.scores)
    columns = min(4, len(names))
    size = {"width": 2.5, "height": 2.2}
    drawn = panels(axes, len(names), **size, theme=theme, most=columns, margins=(0.0, 0.3))
    for place, (panel, name) in enumerate(zip(drawn, names, strict=True)):
        color, marker, _ = theme.line(0)
        scores = sweep.scores[name]
        low, high = ([getattr(s, end) for s in scores] for end in ("low", "high"))
        panel.fill_between(sweep.levels, low, high, color=color, alpha=0.2, linewidth=0)
        values = [s.value for s in scores]
        panel.plot(sweep.levels, values, color=color, marker=marker, markersize=4)
        panel.set_ylim(-0.05, 1.08)
        panel.set_xlim(-0.04, 1.04)
        panel.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        panel.set_yticks([0, 0.5, 1], ["0", "½", "1"] if place % columns == 0 else ["", "", ""])
        if place >= len(names) - columns:
            panel.set_xlabel("planted entanglement")
        dress(panel, theme, title=name, size=11)
    return fitted(drawn[0])


@checked_values
def plot_importance(
    importance: Float[Tensor, "d k"],
    attributes: Sequence[str],
    *,
    codes: Sequence[str] | None = None,
    most: int = 24,
    axes: Axes | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Importance of codes for attributes, as a map.

    Args:
        importance: `[d, k]`, from `dci` or the information of `mig`.
        attributes: One name a column.
        codes: One name a row; by default their numbers.
        most: Of more codes than this, those of the largest importance are shown.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: Names that do not fit the matrix.
    """
    d, k = importance.shape
    names = [str(i) for i in range(d)] if codes is None else list(codes)
    if len(attributes) != k or len(names) != d:
        raise LatdirError(
            f"a map of {d} codes and {k} attributes needs as many names, not {len(names)} and "
            f"{len(attributes)}"
        )
    if most < 1:
        raise LatdirError(f"most {most} must be at least 1: that many codes are shown")
    rows = importance.amax(1).argsort(descending=True)[:most].sort().values
    shown = importance[rows].cpu()
    # Wide rather than tall: codes run along the page.
    figure, axes = canvas(axes, 1.9 + 0.34 * len(rows), 1.5 + 0.34 * k, theme)
    most_important = float(shown.max()) or 1.0
    labels = [names[i] for i in rows.tolist()]
    bar = heat_map(
        axes, shown.T, rows=attributes, columns=labels, colors=theme.diverging,
        limits=(-most_important, most_important), label="importance", theme=theme,
        title="Which codes predict which attributes",
    )  # fmt: skip
    bar.ax.set_ylim(0, most_important)
    axes.set_xticks(range(len(rows)), labels, rotation=60, ha="center")
    axes.set_xlabel("code" if len(rows) == d else f"code: the {len(rows)} of {d} that count most")
    return fitted(figure)


@checked
def plot_path_lengths(
    lengths: Mapping[str, PathLength], *, axes: Axes | None = None, theme: Theme = LIGHT
) -> Figure:
    """Perceptual path lengths with twice their standard errors, one line each.

    Args:
        lengths: Label to path length, all of one distance.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: None given, or of different distances.
    """
    distances = {p.distance for p in lengths.values()}
    if len(distances) != 1:
        raise LatdirError(
            f"one figure shows path lengths of one distance, not {sorted(distances) or 'none'}"
        )
    figure, axes = canvas(axes, 6.4, 1.3 + 0.42 * len(lengths), theme)
    for place, (label, length) in enumerate(lengths.items()):
        color, marker, _ = theme.line(0)
        axes.errorbar(
            length.mean,
            place,
            xerr=2 * length.standard_error,
            fmt=marker,
            color=color,
            capsize=3,
            label=label,
        )
    axes.set_yticks(range(len(lengths)), list(lengths))
    axes.set_ylim(len(lengths) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"perceptual path length ({next(iter(distances))}), ± 2 standard errors")
    dress(axes, theme, title="Smoothness")
    return fitted(figure)


@checked
def plot_pullback_spectra(
    metrics: Sequence[LocalMetric], *, axes: Axes | None = None, theme: Theme = LIGHT
) -> Figure:
    """Spectra of the pullback metric at several codes, each relative to its largest value.

    Args:
        metrics: One a code, all of the same number of eigenvalues.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: None given, or of different sizes.
    """
    sizes = {len(m.values) for m in metrics}
    if len(sizes) != 1:
        raise LatdirError(f"one figure shows spectra of one size, not {sorted(sizes) or 'none'}")
    values = torch.stack([m.values.double().cpu() for m in metrics])
    relative = values / values[:, :1]
    figure, axes = canvas(axes, 6.4, 3.6, theme)
    color = theme.line(0)[0]
    index = list(range(1, values.shape[1] + 1))
    for row in relative:
        axes.plot(index, row.tolist(), color=color, alpha=0.25, linewidth=1)
    median = relative.median(0).values.tolist()
    axes.plot(index, median, color=color, linewidth=2.2, label="median of the codes")
    if values.shape[1] == metrics[0].d:
        count = effective_dimension(values)
        label = f"effective dimension {count:.1f}"
        axes.axvline(count, color=theme.quiet, linestyle="--", linewidth=1.2, label=label)
    axes.set_yscale("log")
    axes.set_xlabel("eigenvalue, largest first")
    axes.set_ylabel("relative to the largest")
    axes.legend(loc="upper right")
    dress(axes, theme, title=f"Spectra of the pullback metric at {len(metrics)} codes")
    return fitted(figure)


@checked
def plot_geodesic(geodesic: Geodesic, *, axes: Axes | None = None, theme: Theme = LIGHT) -> Figure:
    """Step lengths along the geodesic and along the straight line.

    Args:
        geodesic: From `geodesic_between` or `find_geodesic`.
        axes: Where to draw; by default in a new figure.
        theme: Colors.
    """
    figure, axes = canvas(axes, 6.4, 3.2, theme)
    count = len(geodesic.steps)
    middles = [(i + 0.5) / count for i in range(count)]
    pairs = (
        ("straight line", geodesic.straight_steps, geodesic.straight_length),
        ("geodesic", geodesic.steps, geodesic.length),
    )
    for place, (label, steps, length) in enumerate(pairs):
        color, marker, dash = theme.line(place)
        axes.plot(
            middles,
            (count * steps).tolist(),
            color=color,
            marker=marker,
            linestyle=dash,
            markersize=4,
            label=f"{label}, length {length:.3g}",
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("fraction of the path")
    axes.set_ylabel("speed of the image")
    axes.legend(loc="lower center")
    dress(axes, theme, title="Geodesic and straight line")
    return fitted(figure)
