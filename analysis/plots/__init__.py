"""All figures by name; each is a function that returns a matplotlib Figure.

They touch no global state. Save one with `figure.savefig("effects.pdf")`, or `.png` with
`dpi=200`; notebooks show the returned figure. Give `theme=analysis.plots.theme.DARK` for a dark
page.
"""

from __future__ import annotations

from analysis.plots.curves import (
    accuracy_curves,
    angle_curve,
    attribute_dependency_curves,
    calibration_grid,
    identity_curves,
    leakage_curves,
    realism_curves,
    spectrum,
)
from analysis.plots.effects import effect_bars, effect_heatmap
from analysis.plots.maps import cosine_map, principal_angle_map
from analysis.plots.representation import (
    entanglement_figure,
    geodesic_figure,
    importance_map,
    path_length_figure,
    spectrum_figure,
)
from analysis.plots.strips import sweep_strips

__all__ = [
    "accuracy_curves",
    "angle_curve",
    "attribute_dependency_curves",
    "calibration_grid",
    "cosine_map",
    "effect_bars",
    "effect_heatmap",
    "entanglement_figure",
    "geodesic_figure",
    "identity_curves",
    "importance_map",
    "leakage_curves",
    "path_length_figure",
    "principal_angle_map",
    "realism_curves",
    "spectrum",
    "spectrum_figure",
    "sweep_strips",
]
