"""Figures of curves: calibration, leakage and identity at equal effect, samples, spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from analysis.edits.accuracy import Accuracy
from analysis.edits.calibration import CalibrationCurve
from analysis.edits.identity import Identity
from analysis.edits.leakage import Leakage
from analysis.edits.realism import Realism
from analysis.plots.parts import (
    band_curve,
    canvas,
    curves,
    fitted,
    labeled,
    legend_beside,
    panels,
)
from analysis.plots.theme import LIGHT, Theme, dress
from directions.arguments import checked
from directions.errors import LatdirError

__all__ = [
    "plot_accuracy",
    "plot_convergence",
    "plot_attribute_dependency",
    "plot_calibration",
    "plot_identity",
    "plot_leakage",
    "plot_realism",
    "plot_spectrum",
]


@checked
def plot_calibration(
    calibrations: Sequence[CalibrationCurve],
    *,
    axes: FigureBase | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Mean score against amount for each direction, with the line fitted near zero.

    Args:
        calibrations: At least one curve.
        axes: Figure or subfigure to draw the panels in; by default a new figure.
        theme: Colors.

    Raises:
        LatdirError: There are none.
    """
    if not calibrations:
        raise LatdirError(
            "there are no calibration curves to draw: name directions after attributes, or say "
            "which moves which with curves.aimed({…})"
        )
    drawn = panels(axes, len(calibrations), width=3.9, height=3.1, theme=theme)
    for panel, curve in zip(drawn, calibrations, strict=True):
        start = float(curve.mean[curve.amounts == 0][0])
        low, high = curve.linear
        panel.axvspan(low, high, color=theme.grid, alpha=0.6, linewidth=0, label="linear")
        ends = [float(curve.amounts[0]), float(curve.amounts[-1])]
        panel.fill_between(curve.amounts, curve.low, curve.high, color=theme.series[0], alpha=0.25)
        panel.plot(curve.amounts, curve.mean, color=theme.series[0], marker="o", markersize=4)
        bottom, top = panel.get_ylim()
        panel.plot(
            ends,
            [start + curve.slope * a for a in ends],
            color=theme.series[1],
            linestyle="--",
            linewidth=1.5,
        )
        margin = 0.15 * (top - bottom)
        panel.set_ylim(bottom - margin, top + margin)
        panel.set_xlabel("amount (sigma)")
        panel.set_ylabel(labeled(curve.attribute.name, curve.unit))
        found = f"{curve.slope:+.3g} per sigma" if curve.significant else "no effect"
        dress(panel, theme, title=f"{curve.direction}: {found}", size=10)
    return fitted(drawn[0])


@checked
def plot_leakage(leakage: Leakage, *, axes: Axes | None = None, theme: Theme = LIGHT) -> Figure:
    """Mean attribute dependency against the change of the target.

    Args:
        leakage: The measured leakage.
        axes: Where to draw; by default in a new figure.
        theme: Colors.
    """
    figure, axes = canvas(axes, 6.6, 4.2, theme)
    ends = (leakage.mean_low, leakage.mean_high)
    curves(axes, leakage.directions, leakage.changes, leakage.mean_ad, theme, ends=ends)
    axes.set_xlabel("change of the target (its standard deviations)")
    axes.set_ylabel("mean change of the others\n(their standard deviations)")
    axes.set_ylim(bottom=0)
    legend_beside(axes)
    dress(axes, theme, title="Leakage at equal effect")
    return fitted(figure)


@checked
def plot_attribute_dependency(
    leakage: Leakage, *, axes: FigureBase | None = None, theme: Theme = LIGHT
) -> Figure:
    """Mean-AD and max-AD against the change of the target, side by side.

    As StyleSpace draws them (Wu et al. 2021, arXiv:2011.12799, figure 7): lower is better.

    Args:
        leakage: The measured leakage.
        axes: Figure or subfigure to draw the panels in; by default a new figure.
        theme: Colors.
    """
    drawn = panels(axes, 2, width=3.5, height=3.6, theme=theme)
    shown = (
        ("mean-AD", leakage.mean_ad, leakage.mean_low, leakage.mean_high, "mean of the others"),
        ("max-AD", leakage.max_ad, leakage.max_low, leakage.max_high, "largest of the others"),
    )
    for panel, (title, values, low, high, what) in zip(drawn, shown, strict=True):
        curves(panel, leakage.directions, leakage.changes, values, theme, ends=(low, high))
        panel.set_xlabel("change of the target\n(standard deviations)")
        panel.set_ylabel(f"change, {what}\n(standard deviations)")
        if panel is drawn[-1]:
            legend_beside(panel)
        dress(panel, theme, title=title)
    top = max(panel.get_ylim()[1] for panel in drawn)
    for panel in drawn:
        panel.set_ylim(0, top)
    return fitted(drawn[0])


@checked
def plot_identity(identity: Identity, *, axes: Axes | None = None, theme: Theme = LIGHT) -> Figure:
    """Identity kept against the change of the target.

    Args:
        identity: The measured identity preservation.
        axes: Where to draw; by default in a new figure.
        theme: Colors.
    """
    figure, axes = canvas(axes, 6.6, 4.2, theme)
    axes.axhline(0, color=theme.quiet, linestyle="--", linewidth=1.2)
    axes.annotate(
        f"different faces (cosine {identity.baseline:.2f})",
        (float(identity.changes[0]), 0.0),
        xytext=(2, 4),
        textcoords="offset points",
        color=theme.quiet,
        size=10,
    )
    ends = (identity.low, identity.high)
    curves(axes, identity.directions, identity.changes, identity.kept, theme, ends=ends)
    axes.set_xlabel("change of the target (its standard deviations)")
    axes.set_ylabel("identity kept, by embeddings")
    legend_beside(axes)
    dress(axes, theme, title="Identity at equal effect")
    return fitted(figure)


@checked
def plot_convergence(
    counts: Sequence[int],
    angles: Mapping[str, Sequence[float]],
    *,
    spread: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    goal: float | None = None,
    axes: Axes | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Angle between a direction and its limit, against the number of samples.

    Args:
        counts: Numbers of samples, ascending.
        angles: For each curve, an angle in degrees at each count.
        spread: For some curves, the low and the high ends at each count.
        goal: An angle to mark, in degrees.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: A curve is not as long as `counts`.
    """
    figure, axes = canvas(axes, 6.6, 4.2, theme)
    for k, (name, curve) in enumerate(angles.items()):
        band = spread.get(name) if spread else None
        for part in (curve, *(band or ())):
            if len(part) != len(counts):
                raise LatdirError(
                    f"curve {name!r} has {len(part)} points for {len(counts)} counts: "
                    "give one for each"
                )
        band_curve(axes, k, name, [float(c) for c in counts], curve, band, theme)
    if goal is not None:
        axes.axhline(goal, color=theme.quiet, linestyle="--", linewidth=1.2, label="goal")
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{c:,}" for c in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("labeled samples")
    axes.set_ylabel("angle (degrees)")
    legend_beside(axes)
    dress(axes, theme, title="Convergence with the number of samples")
    return fitted(figure)


@checked
def plot_accuracy(
    accuracy: Accuracy, *, axes: FigureBase | None = None, theme: Theme = LIGHT
) -> Figure:
    """Achieved against requested change, one panel per direction: median and ranges over the codes.

    Args:
        accuracy: The measured accuracy.
        axes: Figure or subfigure to draw the panels in; by default a new figure.
        theme: Colors.
    """
    drawn = panels(axes, len(accuracy.directions), width=3.4, height=3.2, theme=theme)
    levels = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    reached = torch.quantile(accuracy.reached, levels, dim=2)
    verb = "change" if accuracy.goal == "change" else "value"
    for k, panel in enumerate(drawn):
        asked = accuracy.asked[k].tolist()
        ends = reached[:, k].tolist()
        color = theme.series[0]
        panel.fill_between(
            asked, ends[0], ends[4], color=color, alpha=0.14, linewidth=0, label="90% of codes"
        )
        panel.fill_between(
            asked, ends[1], ends[3], color=color, alpha=0.28, linewidth=0, label="half of codes"
        )
        panel.plot(asked, ends[2], color=color, marker="o", markersize=4, label="median")
        panel.plot(
            asked, asked, color=theme.series[1], linestyle="--", linewidth=1.5, label="as asked"
        )
        attribute = accuracy.attributes[k]
        panel.set_xlabel(f"{verb} asked")
        panel.set_ylabel(f"{verb} of {labeled(attribute.name, attribute.unit or attribute.name)}")
        missed = float(accuracy.relative[k].mean())
        if panel is drawn[-1]:
            legend_beside(panel)
        heading = f"{accuracy.directions[k]}: mean error\n{missed:.2f} standard deviations"
        dress(panel, theme, title=heading, size=10)
    return fitted(drawn[0])


@checked
def plot_realism(
    realism: Realism, *, axes: FigureBase | None = None, theme: Theme = LIGHT
) -> Figure:
    """Fréchet distance of edited images, and density of moved codes, against the amount.

    Args:
        realism: The measured realism.
        axes: Figure or subfigure to draw the panels in; by default a new figure.
        theme: Colors.
    """
    distance, density = panels(axes, 2, width=3.5, height=3.6, theme=theme)
    curves(distance, realism.directions, realism.amounts, realism.frechet, theme)
    curves(density, realism.directions, realism.amounts, realism.code_density, theme)
    floor = float(realism.frechet[:, realism.amounts == 0].mean())
    distance.axhline(floor, color=theme.quiet, linestyle="--", linewidth=1.2)
    density.axhline(1, color=theme.quiet, linestyle="--", linewidth=1.2)
    distance.set_ylabel("Fréchet distance of features")
    density.set_ylabel("density of the prior around the codes")
    for panel in (distance, density):
        panel.set_xlabel("amount (sigma)")
        panel.set_ylim(bottom=0)
    dress(distance, theme, title="Images (dashed: unedited)", size=11)
    legend_beside(density)
    dress(density, theme, title="Codes (dashed: the prior)", size=11)
    return fitted(distance)


@checked
def plot_spectrum(
    values: Mapping[str, Sequence[float]],
    *,
    null: Float[Tensor, "r k"] | None = None,
    level: float = 0.95,
    what: str = "eigenvalue",
    axes: Axes | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Eigenvalues or singular values, largest first, over the band expected by chance.

    Values above the band are more than chance; counting them is parallel analysis (Horn 1965).

    Args:
        values: Label to values, descending.
        null: The same values of shuffled or random data, one row a draw.
        level: Share of the draws inside the band.
        what: Name of the values.
        axes: Where to draw; by default in a new figure.
        theme: Colors.

    Raises:
        LatdirError: No values, or none that is positive.
    """
    if not values or not all(len(v) and min(v) >= 0 and max(v) > 0 for v in values.values()):
        raise LatdirError(
            f"a spectrum has values from 0 up, some of them positive; {', '.join(values) or 'none'}"
            " has not: give them as a dict of lists"
        )
    if null is not None and not null.numel():
        raise LatdirError(f"null has shape {list(null.shape)}: give one spectrum in each row")
    figure, axes = canvas(axes, 6.6, 4.2, theme)
    if null is not None:
        ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
        low, high = torch.quantile(null.double(), ends, dim=0).tolist()
        places = range(1, null.shape[1] + 1)
        axes.fill_between(places, low, high, color=theme.quiet, alpha=0.3, linewidth=0)
        axes.plot([], [], color=theme.quiet, alpha=0.3, linewidth=8, label=f"chance, {level:.0%}")
    for k, (label, found) in enumerate(values.items()):
        places = range(1, len(found) + 1)
        band_curve(axes, k, label, [float(p) for p in places], list(found), None, theme)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("rank, largest first")
    axes.set_ylabel(what)
    if len(values) > 1 or null is not None:
        legend_beside(axes)
    dress(axes, theme, title=f"Spectrum: {what} by rank")
    return fitted(figure)
