"""Figures of curves, maps and strips, tested on their data."""

import math

import numpy as np
import pytest
import torch

from analysis import attribute_dependency, measure_curves, plots, principal_angles
from analysis.edits.accuracy import Accuracy
from analysis.edits.realism import Realism
from analysis.edits.sweeps import scored_sweep
from analysis.plots.theme import DARK, LIGHT
from analysis.spaces.subspaces import random_subspaces
from directions import LatdirError
from directions.classifiers.base import Attribute
from directions.planted.world import planted
from tests.analysis.measured import true_bank


@pytest.fixture(scope="module")
def world():
    generator = planted(factors=3, dim=24, cosine=0.4, bend=0.4)
    return generator, generator.classifier(), true_bank(generator)


def labels(axes):
    return [line.get_label() for line in axes.lines]


def test_dependency_curves_show_mean_and_max_on_one_scale(world):
    leakage = attribute_dependency(measure_curves(*world, count=24), changes=(0.5, 1.0))
    mean, largest = plots.plot_attribute_dependency(leakage).axes
    for k, name in enumerate(leakage.directions):
        assert labels(mean)[k] == name
        np.testing.assert_allclose(mean.lines[k].get_ydata(), leakage.mean_ad[k], rtol=1e-6)
        np.testing.assert_allclose(largest.lines[k].get_ydata(), leakage.max_ad[k], rtol=1e-6)
        band = largest.collections[k].get_paths()[0].vertices[:, 1]
        assert band.max() == pytest.approx(float(leakage.max_high[k].max()), rel=1e-5)
    assert mean.get_ylim() == largest.get_ylim()
    assert (mean.get_title("left"), largest.get_title("left")) == ("mean-AD", "max-AD")


def test_accuracy_shows_quantiles_of_what_came_against_what_was_asked():
    reached = torch.arange(21.0).reshape(1, 1, 21) / 10 + torch.tensor([[[0.0], [5.0]]])
    accuracy = Accuracy(
        "value",
        ("yaw",),
        (Attribute("yaw", "value", "degrees"),),
        torch.tensor([[1.0, 6.0]]),
        reached,
        torch.tensor([4.0]),
    )
    [axes] = plots.plot_accuracy(accuracy).axes
    median = next(line for line in axes.lines if line.get_label() == "median")
    np.testing.assert_allclose(median.get_ydata(), [1.0, 6.0])
    wide = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (wide.min(), wide.max()) == pytest.approx((0.1, 6.9))
    assert axes.get_ylabel() == "value of yaw (degrees)"
    missed = float((torch.arange(21.0) / 10 - 1).abs().mean() / 4)
    assert axes.get_title("left") == f"yaw: mean error\n{missed:.2f} standard deviations"


def test_realism_shows_distances_over_their_floor_and_densities():
    figures = torch.tensor([[3.0, 1.0, 2.0], [4.0, 1.0, 5.0]])
    realism = Realism(
        ("a", "b"), torch.tensor([-1.0, 0.0, 1.0]), figures, figures, figures, figures,
        figures / 5, 10, 20,
    )  # fmt: skip
    distance, density = plots.plot_realism(realism).axes
    np.testing.assert_allclose(distance.lines[1].get_ydata(), [4, 1, 5])
    assert distance.lines[2].get_ydata()[0] == 1.0
    np.testing.assert_allclose(density.lines[0].get_ydata(), [0.6, 0.2, 0.4])
    assert density.lines[2].get_ydata()[0] == 1.0


def test_a_spectrum_lies_over_the_band_of_chance():
    null = torch.linspace(1, 2, 101)[:, None] * torch.tensor([[2.0, 1.0]])
    axes = plots.plot_spectrum(
        {"pca": [9.0, 3.0, 0.5]}, null=null, level=0.9, what="variance"
    ).axes[0]
    line = next(item for item in axes.lines if item.get_label() == "pca")
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(line.get_ydata(), [9, 3, 0.5])
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((1.05, 3.9))
    assert axes.get_ylabel() == "variance"
    assert axes.get_yscale() == "log"
    assert "chance, 90%" in [t.get_text() for t in axes.get_legend().get_texts()]
    for bad in ({}, {"x": []}, {"x": [1.0, -1.0]}, {"x": [0.0]}):
        with pytest.raises(LatdirError, match="a spectrum has values from 0 up"):
            plots.plot_spectrum(bad)


def test_the_angle_map_shows_mean_and_smallest_angles():
    bases = random_subspaces(3, d=12, k=2, seed=0)
    angles = torch.stack([torch.stack([principal_angles(a, b) for b in bases]) for a in bases])
    axes = plots.plot_principal_angles(angles, ["x", "y", "z"]).axes[0]
    assert [t.get_text() for t in axes.texts[:2]] == ["0°", "from 0°"]
    mean = float(angles[0, 1].mean()) * 180 / math.pi
    assert axes.texts[2].get_text() == f"{mean:.0f}°"
    np.testing.assert_allclose(axes.images[0].get_array()[0, 1], mean)
    assert axes.images[0].get_clim() == (0, 90)
    with pytest.raises(LatdirError, match="a map of 3 subspaces needs 3 names, not 1"):
        plots.plot_principal_angles(angles, ["x"])


def test_strips_have_a_trace_an_attribute_under_every_row_of_pictures(world):
    generator, classifier, bank = world
    direction = bank["factor_0"]
    swept = scored_sweep(
        generator, classifier, direction, attributes=["factor_0", "factor_2"],
        amounts=(-1.0, 2.0), count=2, start=5,
    )  # fmt: skip
    codes = generator.sample(7, seed=920_419_823)[5:]
    assert swept.amounts.tolist() == [-1, 0, 2]
    for i in range(2):
        for t, amount in enumerate((-1.0, 0.0, 2.0)):
            moved = direction.shift(codes[i : i + 1], amount)
            torch.testing.assert_close(swept.images[i, t], generator.synthesize(moved)[0])
            expected = generator.factors(moved)[0, [0, 2]]
            torch.testing.assert_close(swept.scores[i, t], expected, atol=1e-3, rtol=1e-3)
    figure = plots.plot_sweep(swept)
    assert len(figure.axes) == 2 * 3
    strip, first, second = figure.axes[3:]
    assert strip.images[0].get_array().shape == (16, 48, 3)
    assert strip.get_xlim() == first.get_xlim() == (-0.5, 2.5)
    np.testing.assert_allclose(first.lines[-1].get_ydata(), swept.scores[1, :, 0])
    np.testing.assert_allclose(second.lines[-1].get_ydata(), swept.scores[1, :, 1])
    assert first.get_ylim() == figure.axes[1].get_ylim()
    assert [t.get_text() for t in second.get_xticklabels()] == ["-1", "0", "+2"]
    with pytest.raises(LatdirError, match="a sweep of 0 codes shows nothing"):
        scored_sweep(generator, classifier, direction, attributes=["factor_0"], count=0)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_they_draw_in_both_themes(world, theme, tmp_path):
    generator, classifier, bank = world
    swept = scored_sweep(generator, classifier, bank["factor_0"], attributes=["factor_0"], count=1)
    for k, figure in enumerate(
        (
            plots.plot_sweep(swept, theme=theme),
            plots.plot_spectrum({"a": [2.0, 1.0]}, theme=theme),
            plots.plot_principal_angles(torch.zeros(2, 2, 3), ["a", "b"], theme=theme),
        )
    ):
        figure.savefig(tmp_path / f"{k}.png")
