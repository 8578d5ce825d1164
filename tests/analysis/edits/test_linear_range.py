import numpy as np
import pytest
import torch

from analysis.edits.linear_range import linear_range, linear_ranges, slope_near_zero
from directions import LatdirError
from tests.analysis.measured import curves

AMOUNTS = torch.tensor([-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0])


def slow_range(change, amounts, slope, tolerance):
    """The definition on a fine grid: the farthest point with no violation before it."""
    fine = {}
    for sign in (-1, 1):
        reach = 0.0
        for step in np.arange(0, 3.0001, 0.0005):
            at = sign * step
            pairs = range(len(amounts) - 1)
            inside = next(i for i in pairs if amounts[i] <= at <= amounts[i + 1])
            share = (at - amounts[inside]) / (amounts[inside + 1] - amounts[inside])
            excess = [
                abs(change[i] - slope * amounts[i])
                - tolerance * abs(slope) * max(abs(amounts[i]), 1)
                for i in (inside, inside + 1)
            ]
            if (1 - share) * excess[0] + share * excess[1] > 1e-9:
                break
            reach = at
        fine[sign] = reach
    return fine[-1], fine[1]


def test_ends_are_those_of_a_walk_along_the_curve():
    rng = torch.Generator().manual_seed(0)
    slopes = torch.randn(20, generator=rng)
    wiggle = 0.3 * torch.randn(20, len(AMOUNTS), generator=rng) * AMOUNTS.abs()
    change = slopes[:, None] * (AMOUNTS + wiggle)
    low, high = linear_range(change, AMOUNTS, slope=slopes, tolerance=0.2)
    for i in range(20):
        expected = slow_range(change[i].tolist(), AMOUNTS.tolist(), float(slopes[i]), tolerance=0.2)
        assert (float(low[i]), float(high[i])) == pytest.approx(expected, abs=2e-3)
    assert len(set(high.tolist())) > 5


def test_a_line_is_linear_as_far_as_it_was_measured_and_no_side_may_be_missing():
    low, high = linear_range(-2 * AMOUNTS, AMOUNTS, slope=torch.tensor(-2.0))
    assert (float(low), float(high)) == (-3.0, 3.0)
    ahead = AMOUNTS[4:]
    assert [float(e) for e in linear_range(ahead, ahead, slope=torch.tensor(1.0))] == [0.0, 3.0]


def test_the_slope_is_the_least_squares_one():
    change = torch.randn(7, len(AMOUNTS), generator=torch.Generator().manual_seed(1))
    near = AMOUNTS[2:7]
    expected = np.linalg.lstsq(near[:, None].numpy(), change[:, 2:7].T.numpy(), rcond=None)[0]
    np.testing.assert_allclose(slope_near_zero(change, AMOUNTS), expected[0], atol=1e-6)
    with pytest.raises(LatdirError, match=r"no amount within 0\.1 sigma was measured"):
        slope_near_zero(change, AMOUNTS, near=0.1)


def test_the_intervals_of_the_ends_hold_the_ends_of_new_codes():
    rng = torch.Generator().manual_seed(2)

    def drawn(n):
        # Saturating answers whose strength differs from code to code.
        strength = 1 + 0.3 * torch.randn(n, 1, generator=rng)
        noise = 0.2 * torch.randn(n, len(AMOUNTS), generator=rng) * (AMOUNTS != 0)
        return (2.5 * torch.tanh(strength * AMOUNTS / 2.5) + noise).T

    scores = drawn(200)[None, :, :, None]
    [found] = linear_ranges(
        curves(scores, AMOUNTS.tolist(), attributes=["a"], directions=("a",), targets={"a": "a"}),
        bootstrap=400,
    )
    assert found.low_interval[0] <= found.low <= found.low_interval[1]
    assert found.high_interval[0] <= found.high <= found.high_interval[1]
    assert found.high_interval[1] - found.high_interval[0] > 0.05
    many = drawn(40_000).mean(1)
    low, high = linear_range(many, AMOUNTS, slope=slope_near_zero(many, AMOUNTS))
    assert found.low_interval[0] <= float(low) <= found.low_interval[1]
    assert found.high_interval[0] <= float(high) <= found.high_interval[1]
    assert found.measured == (-3.0, 3.0)


def test_directions_without_a_target_are_left_out():
    scores = AMOUNTS[None, :, None, None].expand(2, -1, 4, 1)
    found = linear_ranges(
        curves(scores, AMOUNTS.tolist(), attributes=["a"], targets={"d1": "a"}), bootstrap=10
    )
    assert [(r.direction, r.attribute, r.low, r.high) for r in found] == [("d1", "a", -3.0, 3.0)]
    with pytest.raises(LatdirError, match=r"tolerance 1 must be in \(0, 1\)"):
        linear_range(AMOUNTS, AMOUNTS, slope=torch.tensor(1.0), tolerance=1.0)
