import inspect

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import (
    attribute_dependency,
    calibration_curves,
    cosine_matrix,
    effects_of,
    identity_preservation,
    measure_curves,
    plots,
    random_null,
)
from analysis.plots.theme import DARK, LIGHT
from directions import LatdirError
from directions.planted.world import planted
from tests.analysis.measured import curves, true_bank


@pytest.fixture(scope="module")
def world():
    generator = planted(factors=3, dim=24, cosine=0.4, bend=0.4)
    bank = true_bank(generator)
    classifier = generator.classifier(kind="probability")
    found = measure_curves(
        generator, classifier, bank, count=24, embed=lambda images: images.flatten(1)
    )
    effects = effects_of(found)
    return bank, found, effects, random_null(generator, classifier, effects, count=4)


def texts(axes):
    return [t.get_text() for t in axes.texts]


def test_the_heatmap_shows_standardized_effects_their_ends_and_frames_targets(world):
    _, _, effects, null = world
    figure = plots.plot_effects(effects, null=null)
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), effects.standardized, rtol=1e-5)
    low, high = axes.images[0].get_clim()
    assert low == -high
    assert texts(axes)[0] == f"{float(effects.standardized[0, 0]):+.2f}"
    assert f"{float(effects.low[0, 0] / effects.std[0]):+.2f}" in texts(axes)[1]
    frames = [p for p in axes.patches if isinstance(p, Rectangle)]
    assert [(round(p.get_x()), round(p.get_y())) for p in frames] == [(0, 0), (1, 1), (2, 2)]
    assert [t.get_text() for t in axes.get_yticklabels()] == list(effects.directions)


def test_two_heatmaps_share_a_color_scale(world):
    _, _, effects, _ = world
    largest = float(effects.standardized.abs().max())
    assert plots.plot_effects(effects).axes[0].images[0].get_clim()[1] == pytest.approx(largest)
    assert plots.plot_effects(effects, limit=3.0).axes[0].images[0].get_clim() == (-3, 3)
    with pytest.raises(LatdirError, match="limit 0 of a color scale must be positive"):
        plots.plot_effects(effects, limit=0.0)


def test_what_is_no_evidence_is_pale():
    scores = torch.zeros(1, 2, 40, 2)
    scores[0, 0] = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(40, generator=torch.Generator().manual_seed(1))
    scores[0, 1, :, 0] = scores[0, 0, :, 0] + 0.3
    scores[0, 1, :, 1] = scores[0, 0, :, 1] + noise - noise.mean()
    effects = effects_of(curves(scores, (0, 1), attributes=["sure", "not"]), step=1.0)
    drawn = plots.plot_effects(effects).axes[0].texts
    assert drawn[0].get_color() != LIGHT.quiet
    assert drawn[2].get_color() == LIGHT.quiet


def test_a_constant_attribute_is_called_so_and_breaks_no_figure():
    scores = torch.zeros(1, 2, 5, 2)
    scores[0, :, :, 0] = torch.arange(10.0).reshape(2, 5)
    effects = effects_of(curves(scores, (0, 1), attributes=["a", "flat"]), step=1.0)
    assert "constant" in texts(plots.plot_effects(effects).axes[0])
    bars = plots.plot_direction_effects(effects, "d0").axes[0]
    assert [t.get_text() for t in bars.get_yticklabels()] == ["a"]


def test_bars_are_ordered_by_size_over_the_null(world):
    _, _, effects, null = world
    axes = plots.plot_direction_effects(effects, "factor_1", null=null).axes[0]
    labels = [t.get_text() for t in axes.get_yticklabels()]
    sizes = [abs(effects.at("factor_1", n).standardized) for n in labels]
    assert sizes == sorted(sizes, reverse=True)
    assert labels[0] == "factor_1"
    low, high = null.matching(effects)
    bar = axes.patches[0]
    assert bar.get_x() == pytest.approx(float(low[1] / effects.std[1]), rel=1e-4)
    assert bar.get_width() == pytest.approx(float((high - low)[1] / effects.std[1]), rel=1e-4)
    with pytest.raises(LatdirError, match="no direction 'smile' was measured"):
        plots.plot_direction_effects(effects, "smile")


def test_calibration_draws_the_curve_the_line_and_the_linear_range(world):
    _, found, _, _ = world
    fitted = calibration_curves(found)
    figure = plots.plot_calibration(fitted)
    assert len(figure.axes) == 3
    axes = figure.axes[1]
    measured, line = axes.lines
    np.testing.assert_allclose(measured.get_ydata(), fitted[1].mean)
    slope = np.diff(line.get_ydata()) / np.diff(line.get_xdata())
    assert slope[0] == pytest.approx(fitted[1].slope)
    span = axes.patches[0]
    assert span.get_x() == pytest.approx(fitted[1].linear[0])
    assert axes.get_ylabel() == "factor_1 (probability)"
    with pytest.raises(LatdirError, match="there are no calibration curves to draw"):
        plots.plot_calibration([])


def test_leakage_and_identity_draw_what_was_measured(world):
    _, found, _, _ = world
    leakage, identity = attribute_dependency(found), identity_preservation(found)
    lines = plots.plot_leakage(leakage).axes[0].lines
    for k, name in enumerate(leakage.directions):
        assert lines[k].get_label() == name
        np.testing.assert_allclose(lines[k].get_ydata(), leakage.mean_ad[k], rtol=1e-6)
    axes = plots.plot_identity(identity).axes[0]
    assert axes.lines[0].get_ydata()[0] == 0
    assert f"cosine {identity.baseline:.2f}" in axes.texts[0].get_text()
    np.testing.assert_allclose(axes.lines[1].get_ydata(), identity.kept[0], rtol=1e-6)


def test_the_cosine_map_shows_every_cosine(world):
    bank = world[0]
    axes = plots.plot_cosines(cosine_matrix(bank), list(bank)).axes[0]
    assert texts(axes) == ["1.00", "0.40", "0.40", "0.40", "1.00", "0.40", "0.40", "0.40", "1.00"]
    assert axes.images[0].get_clim() == (-1, 1)
    with pytest.raises(LatdirError, match="a map of 3 directions needs 3 names, not 1"):
        plots.plot_cosines(cosine_matrix(bank), ["a"])


def test_the_angle_curve_has_a_point_for_each_count():
    axes = plots.plot_convergence(
        [500, 2000],
        {"smiling": [40.0, 20.0]},
        spread={"smiling": ([35.0, 18.0], [45.0, 22.0])},
        goal=15.0,
    ).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [500, 2000])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["500", "2,000"]
    with pytest.raises(LatdirError, match="curve 'smiling' has 1 points for 2 counts"):
        plots.plot_convergence([500, 2000], {"smiling": [40.0]})
    with pytest.raises(LatdirError, match="curve 'smiling' has 1 points for 2 counts"):
        plots.plot_convergence(
            [500, 2000], {"smiling": [1.0, 2.0]}, spread={"smiling": ([1.0], [2.0])}
        )


def test_figures_touch_no_global_state_and_draw_in_both_themes(world, tmp_path):
    bank, _, effects, null = world
    before = dict(matplotlib.rcParams)
    for theme in (LIGHT, DARK):
        plots.plot_effects(effects, null=null, theme=theme).savefig(tmp_path / "a.png")
        figure = plots.plot_cosines(cosine_matrix(bank), list(bank), theme=theme)
        figure.savefig(tmp_path / "b.png")
        axes = figure.axes[0]
        assert matplotlib.colors.to_hex(axes.get_facecolor()) == theme.background
        assert axes.xaxis.label.get_color() == theme.ink
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", [n for n in plots.__all__ if n.startswith("plot_")])
def test_every_figure_takes_its_place_and_its_theme_by_name(name):
    parameters = inspect.signature(getattr(plots, name)).parameters
    first, *_ = parameters.values()
    assert first.kind is first.POSITIONAL_OR_KEYWORD
    for keyword, default in (("axes", None), ("theme", LIGHT)):
        assert parameters[keyword].kind is first.KEYWORD_ONLY
        assert parameters[keyword].default is default


def test_figures_draw_in_the_axes_or_the_subfigure_they_are_given(world):
    bank, found, _, _ = world
    whole = Figure(figsize=(9, 4), layout="constrained")
    left, right = whole.subfigures(1, 2)
    axes = left.add_subplot()
    assert plots.plot_cosines(cosine_matrix(bank), list(bank), axes=axes, theme=DARK) is whole
    assert len(axes.texts) == 9
    leakage = attribute_dependency(found)
    assert plots.plot_attribute_dependency(leakage, axes=right) is whole
    assert [a.get_title("left") for a in right.axes] == ["mean-AD", "max-AD"]
    assert len(left.axes) == 2  # the map and its color bar
    whole.draw_without_rendering()
    assert plots.plot_leakage(leakage, axes=axes) is whole


def test_curves_of_many_directions_stay_apart():
    looks = {LIGHT.line(i) for i in range(28)}
    assert len(looks) == 28
