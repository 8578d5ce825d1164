"""Figure of two labelers side by side."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison.agreement import Agreement
from analysis.plots.parts import canvas, fitted
from analysis.plots.theme import LIGHT, Theme, dress
from directions.arguments import checked

__all__ = ["plot_agreement"]


@checked
def plot_agreement(
    agreement: Agreement, *, axes: Axes | None = None, theme: Theme = LIGHT
) -> Figure:
    """Each direction's effect on its attribute by the labeler and by the judge, with intervals.

    Args:
        agreement: From `analysis.judge_agreement`.
        axes: Where to draw; by default in a new figure.
        theme: Colors.
    """
    rows = agreement.rows
    figure, axes = canvas(axes, 6.2, 1.3 + 0.4 * len(rows), theme)
    for i, (name, seen) in enumerate(
        (
            (agreement.labeler, [r.effect for r in rows]),
            (f"{agreement.judge} (judge)", [r.judged for r in rows]),
        )
    ):
        axes.errorbar(
            [e.mean for e in seen],
            [y + 0.2 * i - 0.1 for y in range(len(rows))],
            xerr=[[e.mean - e.low for e in seen], [e.high - e.mean for e in seen]],
            fmt="oD"[i],
            color=theme.series[i],
            markersize=6,
            capsize=3,
            label=name,
        )
    axes.axvline(0, color=theme.quiet, linewidth=1)
    axes.set_yticks(
        range(len(rows)),
        [
            r.direction if r.direction == r.attribute else f"{r.direction} on {r.attribute}"
            for r in rows
        ],
    )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("effect on its attribute, standard deviations per sigma")
    axes.legend(loc="best")
    dress(axes, theme)
    return fitted(figure)
