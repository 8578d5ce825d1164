"""All figures: every one is `plot_<what>(data, …, axes=None, theme=LIGHT)` and returns a Figure.

Without `axes` it creates a new figure, without global state; save it with
`figure.savefig("effects.pdf")`, or `.png` with `dpi=200`. With `axes` it draws there: a figure of
one panel takes an `Axes`, one of several panels takes a `Figure` or `SubFigure`
(`figure.subfigures(1, 2)`) to lay its panels out in. Give `theme=analysis.plots.DARK` for a dark
page. Read `parts.py` first; everything listed here may be imported from here.
"""

from __future__ import annotations

from analysis.plots.agreement import plot_agreement
from analysis.plots.comparison import plot_comparison
from analysis.plots.comparison_heatmap import plot_comparison_heatmap
from analysis.plots.curves import (
    plot_accuracy,
    plot_attribute_dependency,
    plot_calibration,
    plot_convergence,
    plot_identity,
    plot_leakage,
    plot_realism,
    plot_spectrum,
)
from analysis.plots.effects import plot_direction_effects, plot_effects
from analysis.plots.maps import (
    plot_cosines,
    plot_principal_angles,
    plot_subspace_comparisons,
    plot_subspace_distances,
)
from analysis.plots.representation import (
    plot_entanglement,
    plot_geodesic,
    plot_importance,
    plot_path_lengths,
    plot_pullback_spectra,
)
from analysis.plots.strips import plot_sweep
from analysis.plots.theme import DARK, LIGHT, Theme

__all__ = [
    "DARK", "LIGHT", "Theme", "plot_accuracy", "plot_agreement", "plot_attribute_dependency",
    "plot_calibration", "plot_comparison", "plot_comparison_heatmap", "plot_convergence",
    "plot_cosines", "plot_direction_effects", "plot_effects", "plot_entanglement", "plot_geodesic",
    "plot_identity", "plot_importance", "plot_leakage", "plot_path_lengths",
    "plot_principal_angles", "plot_pullback_spectra", "plot_realism", "plot_spectrum",
    "plot_subspace_comparisons", "plot_subspace_distances", "plot_sweep",
]  # fmt: skip
