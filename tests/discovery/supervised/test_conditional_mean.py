"""Inverse regression: the closed form, planted truths, and what it refuses."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from directions.classifiers.base import Attribute
from directions.errors import LatdirError
from discovery import Boundary, ConditionalMean
from discovery.sampling.samples import Samples
from discovery.supervised.conditional_mean import inverse_regression
from tests.worlds import labeled, world


def samples_of(codes, scores, names="abcdef"):
    attributes = tuple(Attribute(name) for name in names[: scores.shape[1]])
    return Samples(codes, scores, attributes, "w", "toy", "0" * 64, "exact", "1" * 64, seed=0)


def planted(n, *, noise=0.5, seed=0, d=20):
    """Codes whose means are linear in three correlated attributes."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.3, 0.3, 0.9]])
    c = torch.randn(n, 3, generator=rng) @ mixing.T
    slopes = torch.randn(3, d, generator=torch.Generator().manual_seed(99))
    spread = torch.linspace(0.1, 3.0, d)
    return c @ slopes + noise * spread * torch.randn(n, d, generator=rng) + 2.0, c, slopes


def test_slopes_are_numpys_least_squares():
    codes, c, _ = planted(300)
    found = inverse_regression(codes, c.T, names="abc")
    design = np.c_[np.ones(300), c.double().numpy()]
    reference = np.linalg.lstsq(design, codes.double().numpy(), rcond=None)[0][1:]
    per_unit = found.slopes / c.double().std(0, correction=0)[:, None]
    torch.testing.assert_close(per_unit, torch.from_numpy(reference), rtol=1e-9, atol=1e-9)
    # An attribute's share of the variance: what leaving it out of the regression loses.
    x = codes.double() - codes.double().mean(0)
    for k in range(3):
        kept = inverse_regression(codes, c.T[[j for j in range(3) if j != k]], names="ab")
        lost = (kept.rest.square().sum() - found.rest.square().sum()) / x.square().sum()
        assert float(found.explained[k]) == pytest.approx(float(lost), rel=1e-9)
        r2 = np.linalg.lstsq(np.delete(design, k + 1, 1), design[:, k + 1], rcond=None)[1]
        inflation = ((design[:, k + 1] - design[:, k + 1].mean()) ** 2).sum() / r2[0]
        assert float(found.inflation[k]) == pytest.approx(inflation, rel=1e-9)


def test_planted_changes_of_the_mean_are_found_where_boundaries_mix_them():
    codes, c, slopes = planted(20_000)
    bank = ConditionalMean(scale="raw").discover(samples_of(codes, c))
    cosines = (bank.matrix() * normalize(slopes)).sum(1)
    assert cosines.min() > 0.999
    normals = Boundary(bootstrap=0).discover(samples_of(codes, c)).matrix()
    assert (normals * normalize(slopes)).sum(1).max() < 0.95


@pytest.mark.parametrize("name", ["linear", "entangled", "anisotropic"])
def test_in_a_planted_world_the_other_factors_hold(name):
    planted_world = world(name, dim=16, factors=3)
    bank = ConditionalMean().discover(labeled(planted_world, planted_world.classifier(), 8000))
    codes = planted_world.sample(64, seed=9)
    for k, direction in enumerate(bank.directions):
        change = (
            planted_world.factors(direction.shift(codes, 1.0)) - planted_world.factors(codes)
        ).mean(0)
        others = change[[j for j in range(3) if j != k]]
        assert change[k] > 0.3
        assert others.abs().max() < 0.08 * change[k]


def test_the_cone_holds_the_truth_as_often_as_it_says():
    inside = []
    for seed in range(40):
        codes, c, slopes = planted(400, noise=2.0, seed=seed)
        fit = inverse_regression(codes, c.T, names="abc")
        angles = (normalize(fit.slopes.float()) * normalize(slopes)).sum(1).arccos().rad2deg()
        inside += (angles <= torch.tensor(fit.cones(seed=seed))).tolist()
    assert 0.88 <= np.mean(inside) <= 0.995


def test_directions_turn_with_the_codes():
    codes, c, _ = planted(500)
    turn = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(3)))[0]
    first = ConditionalMean().discover(samples_of(codes, c)).matrix()
    turned = ConditionalMean().discover(samples_of(codes @ turn, c)).matrix()
    torch.testing.assert_close(turned, first @ turn, atol=1e-5, rtol=0)


def test_few_samples_and_layered_codes_work():
    codes, c, _ = planted(30)
    bank = ConditionalMean(validation=0.0).discover(samples_of(codes.unflatten(1, (4, 5)), c))
    assert bank["a"].vector.shape == (4, 5)
    assert "rank_correlation" not in bank["a"].evidence
    assert bank["a"].evidence["cone_degrees"] > 5


def test_evidence_is_of_codes_that_were_held_out():
    rng = torch.Generator().manual_seed(0)
    codes, c = torch.randn(60, 40, generator=rng), torch.randn(60, 2, generator=rng)
    found = ConditionalMean(validation=0.5).discover(samples_of(codes, c))["a"].evidence
    assert abs(found["rank_correlation"]) < 0.4
    assert found["held_out"] == 30


def test_bad_input_is_named():
    codes, c, _ = planted(200)
    method = ConditionalMean(scale="raw")
    twice = torch.cat([c, c[:, :1] * 2 + 1], 1)
    with pytest.raises(LatdirError, match=r"^a and d are collinear .* leave one of them out with"):
        method.discover(samples_of(codes, twice))
    total = torch.cat([c, c.sum(1, keepdim=True)], 1)
    with pytest.raises(LatdirError, match=r"^a, b, c and d are collinear"):
        method.discover(samples_of(codes, total))
    assert len(method.discover(samples_of(codes, twice), attributes=["a", "b"])) == 2
    constant = torch.cat([c, torch.ones(200, 1)], 1)
    with pytest.raises(LatdirError, match="attribute 'd' is constant"):
        method.discover(samples_of(codes, constant))
    with pytest.raises(LatdirError, match="4 samples do not determine mean codes given 3"):
        inverse_regression(codes[:4], c[:4].T, names="abc")
    with pytest.raises(LatdirError, match="name at least one attribute of a, b, c"):
        method.discover(samples_of(codes, c), attributes=[])
    with pytest.raises(LatdirError, match="validation is a fraction"):
        ConditionalMean(validation=1.0)
