import pytest
import torch
from scipy import stats

from analysis.intervals.mean import mean_interval
from directions import LatdirError


def test_normal_values_have_student_s_interval():
    # Quantiles of the normal distribution: a kurtosis just below its 3.
    values = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(200.0) + 0.5) / 200) + 5
    theirs = stats.t.interval(0.9, 199, loc=values.mean(), scale=stats.sem(values))
    mine = mean_interval(values, level=0.9)
    assert (float(mine.low), float(mine.high)) == pytest.approx(theirs, rel=1e-5)


def test_the_degrees_of_freedom_are_those_of_the_kurtosis():
    values = torch.tensor([0.0] * 9 + [1.0], dtype=torch.float64)
    kurtosis = float(stats.kurtosis(values, fisher=False))
    freedom = 20 / (kurtosis - 7 / 9)
    assert freedom < 4
    low, _ = stats.t.interval(0.95, freedom, loc=0.1, scale=stats.sem(values))
    assert float(mean_interval(values).low) == pytest.approx(low)


@pytest.mark.parametrize("kind", ["normal", "variance"])
def test_interval_covers_the_truth_as_often_as_it_says(kind):
    values = torch.randn(60, 1000, generator=torch.Generator().manual_seed(1))
    values = values.square() + 1 if kind == "variance" else values + 2
    for level in (0.5, 0.9, 0.95):
        interval = mean_interval(values, level=level)
        covered = ((interval.low <= 2) & (interval.high >= 2)).float().mean()
        assert abs(float(covered) - level) < 0.03


def test_shape_and_dtype_are_kept():
    values = torch.randn(9, 4, 5, generator=torch.Generator().manual_seed(2))
    whole = mean_interval(values)
    assert whole.low.shape == (4, 5)
    assert whole.low.dtype == torch.float32
    alone = mean_interval(values[:, 2, 3])
    assert float(alone.low) == pytest.approx(float(whole.low[2, 3]))


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
        (torch.ones(4), {"level": 1.0}, "level 1.0 must be inside"),
    ],
)
def test_refusals(values, settings, text):
    with pytest.raises(LatdirError, match=text):
        mean_interval(values, **settings)


def test_below_a_bound_the_interval_is_symmetric_in_the_log_distance_and_covers():
    """Distances in proportion to an amount that is itself uncertain: lognormal means."""
    covered, plain, repeats, n = 0.0, 0.0, 400, 12
    random = torch.Generator().manual_seed(0)
    for _ in range(repeats):
        # The error of the mean distance is in proportion to the distance itself.
        gap = 0.2 * torch.exp(0.3 * torch.randn((), generator=random))
        noise = torch.randn(n, generator=random).double()
        noise = (noise - noise.mean()) / noise.std() * 0.3 * n**0.5
        values = 1 - gap * (1 + noise)
        low, high = mean_interval(values, bound=1.0)[1:]
        covered += float(low <= 0.8 <= high) / repeats
        low, high = mean_interval(values)[1:]
        plain += float(low <= 0.8 <= high) / repeats
    assert covered > 0.93
    assert plain < covered
    at_bound = mean_interval(torch.ones(4), bound=1.0)
    assert at_bound == (1, 1, 1)
    low, high = mean_interval(torch.tensor([0.7, 0.8, 0.9]), bound=1.0)[1:]
    assert (1 - low) * (1 - high) == pytest.approx(0.2**2, rel=1e-5)
