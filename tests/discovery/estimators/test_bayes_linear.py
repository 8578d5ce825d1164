"""The posterior against closed forms and scikit-learn, and how calibrated it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct

from directions.errors import LatdirError
from discovery.estimators.bayes_linear import Covariance, Observations, posterior


def world(n, d=7, k=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    factor = torch.randn(d, k, generator=g, dtype=torch.float64)
    rows = torch.randn(n, d, generator=g, dtype=torch.float64)
    values = torch.randn(n, generator=g, dtype=torch.float64)
    noise = torch.rand(n, generator=g, dtype=torch.float64) + 0.2
    return Covariance(factor / factor.norm(), 0.7), Observations(rows, values, noise)


@pytest.mark.parametrize("n", [1, 5, 8, 40])
def test_one_prior_is_the_textbook_posterior(n):
    prior, seen = world(n)
    C = 0.6 * prior.times(torch.eye(7, dtype=torch.float64))
    precision = C.inverse() + seen.rows.T @ (seen.rows / seen.noise[:, None])
    covariance = precision.inverse()
    found = posterior(seen, [prior], sizes=[0.6], freedom=math.inf)
    torch.testing.assert_close(found.mean, covariance @ seen.rows.T @ (seen.values / seen.noise))
    assert found.spread == pytest.approx(float(covariance.trace()))
    tangent = math.sqrt(covariance.trace()) / found.mean.norm()
    assert found.angle == pytest.approx(math.degrees(math.atan(tangent)))


def test_scikit_learn_agrees():
    _, seen = world(30)
    flat = Covariance(torch.zeros(7, 0, dtype=torch.float64), 0.0)
    # The kernel 0.8/7 · x x' is that of w ~ N(0, 0.8/7 I); DotProduct has its own constant 0.
    kernel = ConstantKernel(0.8 / 7, "fixed") * DotProduct(0.0, "fixed")
    theirs = GaussianProcessRegressor(kernel, alpha=seen.noise.numpy(), optimizer=None)
    theirs.fit(seen.rows.numpy(), seen.values.numpy())
    ours = posterior(seen, [flat], sizes=[0.8]).mean
    np.testing.assert_allclose(theirs.predict(np.eye(7)), ours.numpy(), rtol=1e-6)


@pytest.mark.parametrize("freedom", [math.inf, 4.0])
@pytest.mark.parametrize("n", [4, 40])
def test_priors_are_weighted_by_their_evidence(n, freedom):
    prior, seen = world(n)
    other = prior._replace(share=0.1)
    found = posterior(seen, [prior, other], sizes=[0.3, 0.9], freedom=freedom)

    def density(covariance):
        if math.isinf(freedom):
            return multivariate_normal(cov=covariance)
        return multivariate_t(shape=covariance, df=freedom)

    likelihood = [
        density((size * c.times(seen.rows) @ seen.rows.T + seen.noise.diag()).numpy()).logpdf(
            seen.values.numpy()
        )
        for c in (prior, other)
        for size in (0.3, 0.9)
    ]
    expected = torch.tensor(likelihood).softmax(0).reshape(2, 2)
    torch.testing.assert_close(found.weights, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_the_values_say_how_large_the_noise_is(factor):
    prior, _ = world(1)
    g = torch.Generator().manual_seed(1)
    rows = torch.randn(4000, 7, generator=g, dtype=torch.float64)
    values = math.sqrt(factor) * torch.randn(4000, generator=g, dtype=torch.float64)
    found = posterior(Observations(rows, values, torch.ones(4000, dtype=torch.float64)), [prior])
    torch.testing.assert_close(
        found.scales, torch.full_like(found.scales, factor), rtol=0.1, atol=0
    )


def test_the_order_of_rows_does_not_matter():
    prior, seen = world(20)
    turned = Observations(*(part.flip(0) for part in seen))
    torch.testing.assert_close(posterior(seen, [prior]).mean, posterior(turned, [prior]).mean)


def test_a_rotation_of_rows_and_prior_turns_the_mean():
    prior, seen = world(20)
    g = torch.Generator().manual_seed(5)
    Q = torch.linalg.qr(torch.randn(7, 7, generator=g, dtype=torch.float64))[0]
    turned = posterior(
        seen._replace(rows=seen.rows @ Q.T), [prior._replace(factor=Q @ prior.factor)]
    )
    found = posterior(seen, [prior])
    torch.testing.assert_close(turned.mean, Q @ found.mean)
    assert turned.spread == pytest.approx(found.spread)


def test_nothing_seen_is_the_prior():
    prior, seen = world(3)
    none = Observations(*(part[:0] for part in seen))
    found = posterior(none, [prior], sizes=[0.2, 0.6])
    assert found.mean.norm() == 0
    assert found.spread == pytest.approx(0.4)
    assert (found.angle, found.cone()) == (90.0, 90.0)


def test_draws_have_the_posterior_s_moments():
    prior, seen = world(5)
    found = posterior(seen, [prior, prior._replace(share=0.2)])
    drawn = found.draws(20_000, seed=0)
    assert (drawn.mean(0) - found.mean).norm() < 0.02
    assert float((drawn - found.mean).square().sum(1).mean()) == pytest.approx(found.spread, 0.03)


@pytest.mark.parametrize("n", [3, 20, 80])
def test_the_cone_holds_as_often_as_it_says_and_the_angle_is_the_mean_one(n):
    prior = world(1, d=30, k=10)[0]
    inside, expected, true = [], [], []
    for seed in range(60):
        g = torch.Generator().manual_seed(seed)
        w = math.sqrt(0.6) * prior.draws(1, g)[0]
        rows = torch.randn(n, 30, generator=g, dtype=torch.float64)
        noise = torch.full((n,), 0.5, dtype=torch.float64)
        values = rows @ w + noise.sqrt() * torch.randn(n, generator=g, dtype=torch.float64)
        found = posterior(Observations(rows, values, noise), [prior])
        off = math.degrees(math.acos(float(found.mean @ w / found.mean.norm() / w.norm())))
        inside.append(off <= found.cone(draws=200))
        expected.append(found.angle)
        true.append(off)
    assert np.mean(inside) > 0.88  # of 0.95 ± 0.028
    assert abs(np.mean(expected) - np.mean(true)) < 5


def test_the_angle_to_expect_is_the_one_that_comes_on_average():
    prior = world(1, d=30, k=10)[0]
    predicted, came = [], []
    for seed in range(40):
        g = torch.Generator().manual_seed(seed)
        w = math.sqrt(0.6) * prior.draws(1, g)[0]
        rows = torch.randn(60, 30, generator=g, dtype=torch.float64)
        values = rows @ w + 0.7 * torch.randn(60, generator=g, dtype=torch.float64)
        noise = torch.full((60,), 0.49, dtype=torch.float64)
        seen = Observations(rows, values, noise)
        first = posterior(Observations(*(part[:30] for part in seen)), [prior])
        predicted.append(first.angle_with(rows[30:], 0.49))
        came.append(posterior(seen, [prior]).angle)
        assert predicted[-1] < first.angle
    assert np.mean(predicted) == pytest.approx(np.mean(came), abs=2)


def test_noise_and_level_are_checked():
    prior, seen = world(3)
    with pytest.raises(LatdirError, match="noise of every observation is a variance above 0"):
        posterior(seen._replace(noise=torch.zeros(3, dtype=torch.float64)), [prior])
    with pytest.raises(LatdirError, match="level is between 0 and 1 and draws positive: 1"):
        posterior(seen, [prior]).cone(level=1.0)
