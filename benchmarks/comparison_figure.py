"""The methods beside each other in one figure, from the stored comparisons.

    python -m benchmarks.comparison_figure

draws `docs/images/methods.png`: of each method on both built-in generators how many of the twelve
attributes it changes by one standard deviation, what it changes beside them (`drift`, over that of
ridge on the same attributes) and what it costs. `compare.py` makes the results.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison import Comparison
from analysis.plots.theme import LIGHT, dress
from benchmarks.belief_tables import COMPARISONS, RESULTS, ROOT
from benchmarks.compare_settings import SUPERVISED, UNSUPERVISED
from benchmarks.compare_tables import ratio, reached, stored

FILE = ROOT / "docs" / "images" / "methods.png"
GENERATORS = {"z": "digiface64, z", "w": "styleface64, w"}
LEAST_SECONDS = 0.1


def drawn(comparisons: dict[str, Comparison]) -> Figure:
    """One row a method, those with labels above; one mark a generator.

    Args:
        comparisons: By what the legend calls them.
    """
    methods = [
        m for m in SUPERVISED | UNSUPERVISED if any(m in c.methods for c in comparisons.values())
    ]
    figure = Figure(figsize=(9, 0.2 * len(methods) + 1.2), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, 3, sharey=True, width_ratios=(1.1, 1, 1))
    heads = (
        f"attributes changed,\nof {len(next(iter(comparisons.values())).attributes)}",
        "side effects\nover those of ridge", "cost, seconds\nof one core",
    )  # fmt: skip
    for i, (title, comparison) in enumerate(comparisons.items()):
        color, marker, _ = LIGHT.line(i)
        for y, method in enumerate(methods):
            if method not in comparison.methods:
                continue
            seconds = comparison.costs[method].seconds or 0.0
            figures = (
                len(reached(comparison, method)),
                ratio(comparison, method, "drift"),
                max(seconds, LEAST_SECONDS),
            )
            for axes, x in zip(panels, figures, strict=True):
                if x is not None:
                    place = y + 0.3 * (i - (len(comparisons) - 1) / 2)
                    axes.plot(x, place, marker, color=color, markersize=5.5)
        panels[0].plot([], [], marker, color=color, label=title)
    for axes, head in zip(panels, heads, strict=True):
        axes.axhspan(-0.5, sum(m in SUPERVISED for m in methods) - 0.5, color=LIGHT.grid, alpha=0.5)
        axes.set_xlabel(head)
        dress(axes, LIGHT)
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    panels[0].set_xticks(range(0, 13, 4))
    panels[0].tick_params(axis="y", labelsize=9)
    panels[1].axvline(1, color=LIGHT.quiet, linewidth=1)
    panels[2].set_xscale("log")
    for y, text in ((0, "from labels or scores"), (len(methods) - 1, "without")):
        panels[1].text(0.98, y, text, color=LIGHT.quiet, ha="right", va="center", fontsize=9,
                       transform=panels[1].get_yaxis_transform())  # fmt: skip
    figure.legend(loc="outside upper center", ncols=len(comparisons), frameon=False)
    return figure


def main() -> None:
    figure = drawn(
        {
            GENERATORS[space]: stored(json.loads((RESULTS / f"{name}.json").read_text("utf-8")))
            for space, name in COMPARISONS.items()
        }
    )
    figure.savefig(FILE, dpi=110)


if __name__ == "__main__":
    main()
