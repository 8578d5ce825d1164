import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from directions import LatdirError
from discovery.supervised.robust_means import (
    CENTERS,
    clipped,
    clipped_mean,
    geometric_median,
    median_of_means,
)


def cloud(n=60, d=5, *, seed=0, wild=0):
    rng = torch.Generator().manual_seed(seed)
    points = torch.randn(n, d, generator=rng, dtype=torch.float64) + 1
    points[:wild] = 1e6 * torch.randn(wild, d, generator=rng, dtype=torch.float64)
    return points


def test_the_geometric_median_minimizes_the_sum_of_distances():
    points = cloud(wild=5)
    found = geometric_median(points)

    def slope(x):
        return torch.nn.functional.normalize(torch.from_numpy(x) - points, dim=1).sum(0).numpy()

    exact = optimize.root(slope, points.median(0).values.numpy(), tol=1e-12)
    assert exact.success
    torch.testing.assert_close(found, torch.from_numpy(exact.x), atol=1e-4, rtol=0)


def test_the_geometric_median_may_be_one_of_the_points():
    # A heavy point: two of three coincide, so the minimum is there and the gradient undefined.
    points = torch.tensor([[0.0, 0.0], [0.0, 0.0], [5.0, 1.0]])
    torch.testing.assert_close(geometric_median(points), torch.zeros(2))


def test_the_iterate_leaves_a_point_that_it_meets_but_that_is_no_minimum():
    # The start, the median of each coordinate, is the first point; the minimum is not.
    points = torch.tensor([[0.0, 0.0], [-1.0, 3.0], [2.0, -1.0], [3.0, 1.0], [-4.0, -1.0]]) + 1
    points[:, 0] += torch.tensor([0.0, 0, 0, 9, 0])
    start = points.median(0).values
    found = geometric_median(points)
    sums = [(points - x).norm(dim=1).sum() for x in (found, start)]
    assert sums[0] <= sums[1]
    pull = torch.nn.functional.normalize(points - found, dim=1).nan_to_num().sum(0).norm()
    assert pull < 1e-3 or (points - found).norm(dim=1).min() < 1e-5


@pytest.mark.parametrize("center", ["clipped", "median", "median_of_means"])
def test_a_few_wild_points_do_not_carry_the_center_away(center):
    calm, wild = (CENTERS[center](cloud(n=400, wild=k)) for k in (0, 8))
    assert (calm - wild).norm() < 0.3
    assert (cloud(n=400).mean(0) - cloud(n=400, wild=8).mean(0)).norm() > 1e3


def test_groups_of_median_of_means_are_consecutive_and_nearly_equal():
    points = torch.arange(10.0)[:, None]
    assert median_of_means(points, groups=1) == points.mean()
    # Groups 0-3, 4-6, 7-9: means 1.5, 5, 8.
    torch.testing.assert_close(median_of_means(points, groups=3), torch.tensor([5.0]))


def test_clipping_shortens_to_the_median_norm_and_keeps_directions():
    points = cloud(n=101)
    short = clipped(points, factor=0.5)
    limit = 0.5 * points.norm(dim=1).median()
    torch.testing.assert_close(short.norm(dim=1), points.norm(dim=1).clamp_max(limit))
    assert torch.nn.functional.cosine_similarity(points, short).min() > 1 - 1e-12


def test_clipping_mostly_zero_vectors_keeps_those_that_are_not():
    points = torch.zeros(9, 2)
    points[0] = torch.tensor([3.0, 4.0])
    torch.testing.assert_close(clipped(points), points)


@pytest.mark.parametrize("center", list(CENTERS))
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_centers_turn_and_scale_with_the_vectors_and_treat_the_middle_axes_apart(center, seed):
    points = cloud(seed=seed)
    q, _ = torch.linalg.qr(cloud(5, seed=seed + 1))
    made = CENTERS[center](points)
    torch.testing.assert_close(CENTERS[center](3 * points @ q), 3 * made @ q, atol=1e-4, rtol=1e-4)
    both = CENTERS[center](torch.stack([points, 2 * points - 1], 1))
    alone = torch.stack([made, CENTERS[center](2 * points - 1)])
    torch.testing.assert_close(both, alone, atol=1e-4, rtol=1e-4)


def test_refusals():
    with pytest.raises(LatdirError, match=r"shape \[0, 3\]: give at least one, as \[n, d\]"):
        geometric_median(torch.empty(0, 3))
    with pytest.raises(LatdirError, match=r"clip 0\.0 must be positive"):
        clipped_mean(torch.ones(3, 2), factor=0.0)
    with pytest.raises(LatdirError, match="at least 1 group, not 0"):
        median_of_means(torch.ones(3, 2), groups=0)
