import pytest
from matplotlib.colors import to_hex

from analysis.comparison import Comparison, Cost, Row
from analysis.intervals.mean import Estimate
from analysis.plots import plot_comparison_heatmap
from analysis.plots.theme import DARK
from directions import LatdirError


def exactly(value):
    return Estimate(value, value, value)


ROWS = (
    Row("pca", "yaw", direction="yaw", effect=exactly(0.5), leakage=exactly(0.125), amount=2.0),
    Row("pca", "age"),
    Row("sefa", "yaw", direction="yaw", effect=exactly(0.25)),
    Row("sefa", "age", direction="age", effect=exactly(1.0), leakage=exactly(0.5), amount=1.0),
)


def compared(rows=ROWS):
    costs = {"pca": Cost(1234.4), "sefa": Cost()}
    return Comparison(rows, costs, 1.0, 8, 1, "toy", "exact", {}, 0.95)


def cells(axes):
    return {tuple(t.get_position()): t.get_text() for t in axes.texts}


def test_every_figure_stands_in_its_cell():
    figure = plot_comparison_heatmap(compared())
    effect, leakage = figure.axes
    assert cells(effect) == {(0, 0): "0.50", (0, 1): "0.25", (1, 1): "1.00"}
    # A direction that does not reach the common change has a dash, a missing one nothing.
    assert cells(leakage) == {(0, 0): "0.12", (0, 1): "–", (1, 1): "0.50"}
    assert [t.get_text() for t in effect.get_yticklabels()] == ["pca  ·  1,234 s", "sefa"]
    assert [t.get_text() for t in leakage.get_xticklabels()] == ["yaw", "age"]
    drawn = effect.images[0].get_array()
    assert drawn.mask.tolist() == [[False, True], [False, False]]


def test_wanted_is_blue_and_unwanted_orange():
    for theme_figure in (
        plot_comparison_heatmap(compared()),
        plot_comparison_heatmap(compared(), theme=DARK),
    ):
        effect, leakage = (axes.images[0].get_cmap()(1.0)[:3] for axes in theme_figure.axes)
        assert effect[2] > effect[0]
        assert leakage[0] > leakage[2]
    assert (
        to_hex(plot_comparison_heatmap(compared(), theme=DARK).get_facecolor()) == DARK.background
    )


def test_metrics_without_figures_are_left_out():
    assert len(plot_comparison_heatmap(compared(), metrics=("effect", "identity")).axes) == 1
    with pytest.raises(LatdirError, match="nothing was measured for identity: choose some of"):
        plot_comparison_heatmap(compared(), metrics=("identity",))
