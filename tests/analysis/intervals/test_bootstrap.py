import numpy as np
import pytest
import torch
from scipy import stats

from analysis.intervals import bootstrap
from analysis.intervals.bootstrap import mean_interval, resamples
from directions import LatdirError


def test_weights_are_those_of_a_plain_resampling_loop():
    values = torch.randn(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    picks = torch.randint(7, (50, 7), generator=torch.Generator().manual_seed(3))
    loop = torch.stack([values[row].mean() for row in picks])
    torch.testing.assert_close(resamples(7, draws=50, seed=3) @ values, loop)


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=80)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="percentile", rng=1
    ).confidence_interval
    mine = mean_interval(torch.tensor(values), draws=9999)
    assert float(mine.low) == pytest.approx(theirs.low, abs=0.02)
    assert float(mine.high) == pytest.approx(theirs.high, abs=0.02)


def test_interval_covers_the_truth_as_often_as_it_says():
    values = torch.randn(60, 400, generator=torch.Generator().manual_seed(1)) + 2
    for level in (0.5, 0.9):
        interval = mean_interval(values, level=level)
        covered = ((interval.low <= 2) & (interval.high >= 2)).float().mean()
        assert abs(float(covered) - level) < 0.06


def test_shape_dtype_and_chunks_do_not_matter(monkeypatch):
    values = torch.randn(9, 4, 5, generator=torch.Generator().manual_seed(2))
    whole = mean_interval(values, draws=40)
    assert whole.low.shape == (4, 5)
    assert whole.low.dtype == torch.float32
    monkeypatch.setattr(bootstrap, "CHUNK", 3)
    for a, b in zip(whole, mean_interval(values, draws=40), strict=True):
        torch.testing.assert_close(a, b)


def test_a_column_without_figures_stays_so_and_spoils_no_other():
    values = torch.ones(5, 2)
    values[:, 1] = torch.nan
    interval = mean_interval(values)
    assert interval.low[0] == 1
    assert interval.low[1].isnan()


@pytest.mark.parametrize(
    ("values", "settings", "text"),
    [
        (torch.ones(1, 2), {}, "an interval needs at least 2 codes, not 1"),
        (torch.ones(4), {"draws": 0}, "bootstrap draws 0 must be at least 1"),
        (torch.ones(4), {"level": 1.0}, "level 1.0 inside"),
    ],
)
def test_refusals(values, settings, text):
    with pytest.raises(LatdirError, match=text):
        mean_interval(values, **settings)
