"""Figures of the metrics: what they show, not their pixels."""

import numpy as np
import pytest
import torch

from analysis import plots
from analysis.intervals.half_samples import Score
from analysis.plots.theme import DARK
from analysis.representation import EntanglementSweep
from analysis.spaces.geodesic import find_geodesic
from analysis.spaces.path_length import PathLength
from analysis.spaces.pullback import LocalMetric
from directions.errors import LatdirError


def length(mean, distance="faces"):
    return PathLength(mean, 0.5, torch.zeros(4), 4, "z", "full", "exact", distance)


def metric(values):
    values = torch.tensor(values)
    return LocalMetric(values, torch.eye(len(values)), float(values.sum()), len(values))


def test_entanglement_shows_every_metric_with_its_interval():
    scores = {n: (Score(0.9, 0.8, 1.0), Score(v, v, v)) for n, v in (("MIG", 0.1), ("SAP", 0.2))}
    figure = plots.plot_entanglement(EntanglementSweep((0.0, 1.0), scores), theme=DARK)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["MIG", "SAP"]
    assert figure.axes[1].lines[0].get_ydata().tolist() == [0.9, 0.2]
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(0.1)
    assert band.max() == pytest.approx(1.0)


def test_importance_map_shows_the_codes_that_count():
    importance = torch.zeros(40, 2)
    importance[7, 0] = importance[30, 1] = 1.0
    figure = plots.plot_importance(importance, ["age", "yaw"], most=2)
    shown = figure.axes[0].images[0].get_array()
    assert np.array_equal(shown, np.eye(2))
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["7", "30"]
    with pytest.raises(LatdirError, match="40 codes and 2 attributes"):
        plots.plot_importance(importance, ["age"])


def test_path_lengths_of_one_distance():
    figure = plots.plot_path_lengths({"a": length(3.0), "b": length(5.0)})
    axes = figure.axes[0]
    assert [bar.lines[0].get_xdata()[0] for bar in axes.containers] == [3.0, 5.0]
    ends = axes.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert ends.tolist() == [2.0, 4.0]
    with pytest.raises(LatdirError, match=r"of one distance, not \['faces', 'lpips'\]"):
        plots.plot_path_lengths({"a": length(3.0), "b": length(5.0, "lpips")})


def test_spectra_are_relative_and_tell_their_dimension():
    figure = plots.plot_pullback_spectra([metric([4.0, 4.0, 0.0]), metric([2.0, 2.0, 0.0])])
    lines = figure.axes[0].lines
    assert lines[0].get_ydata() == pytest.approx([1, 1, 0])
    assert lines[-1].get_label() == "effective dimension 2.0"
    with pytest.raises(LatdirError, match=r"spectra of one size, not \[1, 2\]"):
        plots.plot_pullback_spectra([metric([1.0]), metric([1.0, 1.0])])


def test_geodesic_shows_both_speeds():
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    found = find_geodesic(lambda x: x**2, *ends, segments=4, tolerance=1e-9)
    straight, short = plots.plot_geodesic(found).axes[0].lines
    assert straight.get_ydata() == pytest.approx([0.25, 0.75, 1.25, 1.75])
    assert short.get_ydata() == pytest.approx([1, 1, 1, 1], abs=0.02)
