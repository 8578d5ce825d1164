"""Marks of the figure of inversions against its data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.inversions import InversionQuality
from analysis.plots.inversions import plot_inversions
from directions.errors import LatdirError

QUALITY = {
    "count": 2, "space": "z", "psnr": 40.0, "ssim": 0.9, "ms_ssim": None, "perceptual": None,
    "identity": 0.9, "distance": 1.0, "kept": 0.9, "edit_error": 0.1, "leakage": 0.2,
    "native_leakage": 0.2, "edited_identity": 0.9, "seconds": 1.0,
}  # fmt: skip


def test_every_way_has_its_row_in_every_panel_that_was_measured():
    one = InversionQuality(**QUALITY)
    ways = {"adam, w": one, "adam, w+": replace(one, space="w+", psnr=52.0, identity=None)}
    figure = plot_inversions(ways)
    panels = {axes.get_title("left"): axes for axes in figure.axes}
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(ways)
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in panels["PSNR, dB"].lines]
    assert marks == [(40.0, 0), (52.0, 1)]
    colors = {line.get_color() for line in panels["PSNR, dB"].lines}
    assert len(colors) == 2
    # One was measured, and a line marks the ideal.
    ideals = {"identity": 1.0, "error of edits, SD": 0.0, "distance from the\nprior": 1.0}
    for title, ideal in ideals.items():
        assert list(panels[title].lines[-1].get_xdata()) == [ideal, ideal]
    assert len(panels["identity"].lines) == 2
    assert panels["seconds an image"].get_xscale() == "log"
    bare = replace(one, identity=None, kept=None, edit_error=None)
    assert "identity" not in {a.get_title("left") for a in plot_inversions({"a": bare}).axes}
    with pytest.raises(LatdirError, match="no inversions to draw"):
        plot_inversions({})
