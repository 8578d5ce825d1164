"""One function per figure; each returns a matplotlib Figure and touches no global state.

Save one with `figure.savefig("effects.png", dpi=200)`; notebooks show the returned figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from torch import Tensor

from analysis.calibration import CalibrationCurve
from analysis.effects import Effects
from analysis.identity import Identity
from analysis.leakage import Leakage
from analysis.nulls import RandomNull, evident
from analysis.style import LIGHT, Theme, canvas, dress
from directions.errors import LatdirError

__all__ = [
    "angle_curve",
    "calibration_grid",
    "cosine_map",
    "effect_bars",
    "effect_heatmap",
    "identity_curves",
    "leakage_curves",
]


def effect_heatmap(
    effects: Effects, *, null: RandomNull | None = None, theme: Theme = LIGHT
) -> Figure:
    """The effect matrix in standard deviations of each attribute per sigma, with intervals.

    The target of each direction is framed. Effects whose interval holds 0, or that lie inside the
    null, are printed pale: they are not evidence.

    Args:
        effects: What was measured.
        null: Effects of random directions, measured alike.
        theme: Colours.
    """
    std = torch.where(effects.std > 0, effects.std, torch.nan)
    mean, low, high = (m / std for m in (effects.mean, effects.low, effects.high))
    counts = evident(effects, null)
    rows, columns = mean.shape
    figure, axes = canvas(2.2 + 0.92 * columns, 1.9 + 0.52 * rows, theme)
    limit = max(float(mean.nan_to_num().abs().max()), 0.1)
    image = axes.imshow(mean.numpy(), cmap=theme.diverging, vmin=-limit, vmax=limit, aspect="auto")
    for k in range(rows):
        for a in range(columns):
            value = float(mean[k, a])
            if math.isnan(value):
                axes.text(a, k, "constant", ha="center", va="center", size=8, color=theme.quiet)
                continue
            strong = abs(value) > 0.62 * limit
            ink = theme.background if strong else theme.ink
            colour = ink if bool(counts[k, a]) else theme.quiet
            axes.text(a, k - 0.1, f"{value:+.2f}", ha="center", va="center", size=10, color=colour)
            ends = f"{float(low[k, a]):+.2f} … {float(high[k, a]):+.2f}"
            axes.text(a, k + 0.27, ends, ha="center", va="center", size=7, color=colour)
    for k, direction in enumerate(effects.directions):
        target = effects.targets.get(direction)
        if target is not None:
            _frame(axes, k, effects.names.index(target), theme)
    axes.set_xticks(range(columns), effects.names, rotation=35, ha="right")
    axes.set_yticks(range(rows), effects.directions)
    _colour_bar(figure, axes, image, "standard deviations per sigma", theme)
    title = "Effect of one sigma, in standard deviations of the attribute"
    if effects.curves.scale == "logit":
        title += " (log-odds)"
    dress(axes, theme, title=title, grid=False)
    axes.spines[:].set_visible(False)
    return figure


def effect_bars(
    effects: Effects,
    direction: str,
    *,
    null: RandomNull | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """One direction's effects as points with intervals, over the null's interval.

    Args:
        effects: What was measured.
        direction: Name of the direction.
        null: Effects of random directions, measured alike; drawn as a grey band.
        theme: Colours.

    Raises:
        LatdirError: No direction of that name.
    """
    cells = {name: effects.at(direction, name) for name in effects.names}
    shown = [
        (i, name)
        for i, name in enumerate(effects.names)
        if not math.isnan(cells[name].standardised)
    ]
    shown.sort(key=lambda item: -abs(cells[item[1]].standardised))
    figure, axes = canvas(6.2, 1.1 + 0.3 * len(shown), theme)
    ends = None if null is None else null.matching(effects)
    for y, (i, name) in enumerate(shown):
        cell, std = cells[name], float(effects.std[i])
        own = effects.targets.get(direction) == name
        colour = theme.series[1] if own else theme.series[0]
        if ends is not None:
            low, high = float(ends[0][i]) / std, float(ends[1][i]) / std
            label = "random directions" if y == 0 else None
            axes.barh(y, high - low, left=low, height=0.72, color=theme.grid, label=label)
        spread = [[(cell.mean - cell.low) / std], [(cell.high - cell.mean) / std]]
        axes.errorbar(
            cell.standardised,
            y,
            xerr=spread,
            fmt="D" if own else "o",
            color=colour,
            markersize=6,
            capsize=3,
            label="its own attribute" if own else None,
        )
    axes.use_sticky_edges = False
    axes.axvline(0, color=theme.quiet, linewidth=1)
    axes.set_yticks(range(len(shown)), [name for _, name in shown])
    axes.invert_yaxis()
    axes.set_xlabel("standard deviations of the attribute per sigma")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")
    dress(axes, theme)
    return figure


def calibration_grid(calibrations: Sequence[CalibrationCurve], *, theme: Theme = LIGHT) -> Figure:
    """Mean score against amount for each direction, with the line fitted near zero.

    Args:
        calibrations: At least one curve.
        theme: Colours.

    Raises:
        LatdirError: There are none.
    """
    if not calibrations:
        raise LatdirError(
            "there are no calibration curves to draw: name directions after attributes, or give "
            "targets={…} when measuring"
        )
    columns = min(3, len(calibrations))
    rows = -(-len(calibrations) // columns)
    figure = Figure(figsize=(0.6 + 3.9 * columns, 3.1 * rows), dpi=100, layout="constrained")
    figure.set_facecolor(theme.background)
    for i, curve in enumerate(calibrations):
        axes = figure.add_subplot(rows, columns, i + 1)
        start = float(curve.mean[curve.amounts == 0][0])
        low, high = curve.linear
        axes.axvspan(low, high, color=theme.grid, alpha=0.6, linewidth=0, label="linear")
        ends = [float(curve.amounts[0]), float(curve.amounts[-1])]
        axes.fill_between(curve.amounts, curve.low, curve.high, color=theme.series[0], alpha=0.25)
        axes.plot(curve.amounts, curve.mean, color=theme.series[0], marker="o", markersize=4)
        bottom, top = axes.get_ylim()
        axes.plot(
            ends,
            [start + curve.slope * a for a in ends],
            color=theme.series[1],
            linestyle="--",
            linewidth=1.5,
        )
        margin = 0.15 * (top - bottom)
        axes.set_ylim(bottom - margin, top + margin)
        axes.set_xlabel("amount (sigma)")
        axes.set_ylabel(_labelled(curve.attribute.name, curve.unit))
        found = f"{curve.slope:+.3g} per sigma" if curve.significant else "no effect"
        dress(axes, theme, title=f"{curve.direction}: {found}", size=10)
    return figure


def leakage_curves(leakage: Leakage, *, theme: Theme = LIGHT) -> Figure:
    """Mean attribute dependency against the change of the target.

    Args:
        leakage: What was measured.
        theme: Colours.
    """
    figure, axes = canvas(6.6, 4.2, theme)
    for k, name in enumerate(leakage.directions):
        band = (leakage.mean_low[k].tolist(), leakage.mean_high[k].tolist())
        _curve(axes, k, name, leakage.changes.tolist(), leakage.mean_ad[k].tolist(), band, theme)
    axes.set_xlabel("change of the target (its standard deviations)")
    axes.set_ylabel("mean change of the others\n(their standard deviations)")
    axes.set_ylim(bottom=0)
    _legend_beside(axes)
    dress(axes, theme, title="Leakage at equal effect")
    return figure


def identity_curves(identity: Identity, *, theme: Theme = LIGHT) -> Figure:
    """Embedding similarity against the change of the target.

    Args:
        identity: What was measured.
        theme: Colours.
    """
    figure, axes = canvas(6.6, 4.2, theme)
    axes.axhline(identity.strangers, color=theme.quiet, linestyle="--", linewidth=1.2)
    axes.annotate(
        "different people",
        (float(identity.changes[0]), identity.strangers),
        xytext=(2, 4),
        textcoords="offset points",
        color=theme.quiet,
        size=10,
    )
    for k, name in enumerate(identity.directions):
        band = (identity.low[k].tolist(), identity.high[k].tolist())
        _curve(axes, k, name, identity.changes.tolist(), identity.cosine[k].tolist(), band, theme)
    axes.set_xlabel("change of the target (its standard deviations)")
    axes.set_ylabel("cosine of embeddings, before and after")
    _legend_beside(axes)
    dress(axes, theme, title="Identity at equal effect")
    return figure


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
        theme: Colours.

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
    _colour_bar(figure, axes, image, "cosine", theme)
    dress(axes, theme, title=title, grid=False)
    axes.spines[:].set_visible(False)
    return figure


def angle_curve(
    counts: Sequence[int],
    angles: Mapping[str, Sequence[float]],
    *,
    spread: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    goal: float | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Angle between a direction and what it converges to, against the number of samples.

    Args:
        counts: Numbers of samples, ascending.
        angles: For each curve, an angle in degrees at each count.
        spread: For some curves, the low and the high ends at each count.
        goal: An angle to mark, in degrees.
        theme: Colours.

    Raises:
        LatdirError: A curve is not as long as `counts`.
    """
    figure, axes = canvas(6.6, 4.2, theme)
    for k, (name, curve) in enumerate(angles.items()):
        band = spread.get(name) if spread else None
        for part in (curve, *(band or ())):
            if len(part) != len(counts):
                raise LatdirError(
                    f"curve {name!r} has {len(part)} points for {len(counts)} counts: "
                    "give one for each"
                )
        _curve(axes, k, name, [float(c) for c in counts], curve, band, theme)
    if goal is not None:
        axes.axhline(goal, color=theme.quiet, linestyle="--", linewidth=1.2, label="goal")
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{c:,}" for c in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("labelled samples")
    axes.set_ylabel("angle (degrees)")
    _legend_beside(axes)
    dress(axes, theme, title="How many samples a direction takes")
    return figure


def _curve(
    axes: Axes,
    index: int,
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    band: tuple[Sequence[float], Sequence[float]] | None,
    theme: Theme,
) -> None:
    colour, marker, dash = theme.line(index)
    axes.plot(x, y, label=name, color=colour, marker=marker, linestyle=dash, markersize=5)
    if band is not None:
        axes.fill_between(x, *band, color=colour, alpha=0.15, linewidth=0)


def _labelled(name: str, unit: str) -> str:
    return name if unit == name else f"{name} ({unit})"


def _frame(axes: Axes, row: int, column: int, theme: Theme) -> None:
    axes.add_patch(
        Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, fill=False, edgecolor=theme.ink)
    )


def _colour_bar(figure: Figure, axes: Axes, image: AxesImage, label: str, theme: Theme) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=24, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=theme.quiet, labelcolor=theme.ink, labelsize=9)
    bar.set_label(label, color=theme.ink, size=10)


def _legend_beside(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
