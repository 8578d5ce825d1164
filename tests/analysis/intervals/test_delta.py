import pytest
import torch

from analysis.intervals.bootstrap import resamples
from analysis.intervals.delta import delta_method, pair_influence, std_influence


def rows(n=80, k=3, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_influences_are_those_of_leaving_each_code_out():
    values = rows(12, 2)
    left = torch.stack([values[torch.arange(12) != i].std(0) for i in range(12)])
    by_hand = 11 * (values.std(0) - left)
    torch.testing.assert_close(std_influence(values), by_hand - by_hand.mean(0))
    pairs = values @ values.T
    off = pairs - pairs.diagonal().diag()
    whole = off.sum() / (12 * 11)
    without = torch.stack([(off.sum() - 2 * off[i].sum()) / (11 * 10) for i in range(12)])
    torch.testing.assert_close(pair_influence(off.sum(1) / 11), 11 * (whole - without))


def test_errors_are_those_of_a_bootstrap_that_estimates_everything_anew():
    values = rows()
    change = 1 + 0.2 * rows(seed=1)[:, :2]
    std = values[:, :2].std(0)

    def figures(estimates):
        moved = change / estimates
        return torch.stack([moved.mean(1), moved.amax(1)], 1)

    found = delta_method(figures, std, std_influence(values[:, :2]))
    torch.testing.assert_close(found.mean(0), figures(std).mean(0))
    weights = resamples(80, draws=4000, seed=0)
    spread = (weights @ values[:, :2].square() - (weights @ values[:, :2]).square()).sqrt()
    moved = change / spread[:, None]
    anew = torch.stack([(weights * moved.mean(2)).sum(1), (weights * moved.amax(2)).sum(1)], 1)
    errors = found.std(0) / 80**0.5
    assert errors.tolist() == pytest.approx(anew.std(0).tolist(), rel=0.1)
    held = figures(std).std(0) / 80**0.5
    assert (held < 0.5 * errors).all()


def test_a_scale_that_cancels_leaves_no_error():
    values = rows(30, 1) + 5
    mean = values.mean(0)
    found = delta_method(lambda m: values / m, mean, values - mean)
    torch.testing.assert_close(found, torch.ones(30, 1, dtype=torch.float64))
