"""The basis whose directions change the image orthogonally."""

from __future__ import annotations

import copy

import pytest
import torch

from directions.errors import LatdirError
from directions.planted.world import planted
from discovery.jacobian.models import MetricAt, metrics
from discovery.jacobian.orojar import OroJaR, _orojar_penalty
from discovery.jacobian.rotation_descent import descend
from tests.worlds import equal_gains, matched


class TestPenalty:
    def test_orojar_is_twice_the_squares_off_the_diagonal(self) -> None:
        """Averaged over all sign vectors, the estimate is exact."""
        generator = equal_gains(bend=0.8)
        codes = generator.sample(1, seed=0)
        metric = next(metrics(MetricAt(generator), codes))
        signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 6)
        n = len(signs)
        first, second = signs.repeat_interleave(n, 0), signs.repeat(n, 1)
        got = _orojar_penalty(
            generator.synthesize, codes.repeat(n * n, 1), torch.stack([first, second])
        )
        off = metric - torch.diag(metric.diagonal())
        assert float(got) == pytest.approx(2 * float(off.square().sum()), rel=1e-3)


class TestOroJaR:
    def test_recovers_planted_axes(self) -> None:
        generator = equal_gains()
        bank = OroJaR(n_directions=3, n_codes=20).discover(generator)
        assert (matched(bank, generator.truth) > 0.999).all()
        assert bank.provenance["interaction"] < 1e-6

    def test_sampled_descent_recovers_them_from_anywhere(self) -> None:
        generator = equal_gains()
        rng = torch.Generator().manual_seed(5)
        start = torch.linalg.qr(torch.randn(6, 6, generator=rng, dtype=torch.float64))[0]
        assert float((start.float() @ generator.truth.T).abs().amax(0).max()) < 0.9
        method = OroJaR(solver="sampled", steps=250, rate=0.05)
        found = descend(method, _orojar_penalty, generator, "z", start, seed=0)
        assert torch.allclose(found @ found.T, torch.eye(6).double(), atol=1e-10)
        assert ((found.float() @ generator.truth.T).abs().amax(0) > 0.98).all()

    def test_interacts_less_than_the_mean_metric(self) -> None:
        """Curved factors' gradients turn with the code: no basis is right everywhere."""
        generator = planted(factors=3, nuisances=0, dim=6, bend=0.8, gains=[3.0, 2.0, 1.5])
        exact = OroJaR(n_codes=20).discover(generator).provenance
        sampled = OroJaR(n_codes=20, solver="sampled", steps=100).discover(generator).provenance
        assert exact["interaction"] < 0.99 * exact["interaction_before"]
        assert exact["interaction"] <= sampled["interaction"]

    def test_ranked_by_gain_and_signed(self) -> None:
        generator = planted(factors=3, nuisances=0, dim=6, gains=[1.0, 4.0, 2.0])
        bank = OroJaR(n_codes=30).discover(generator)
        assert len(bank) == 6
        values = [d.evidence["eigenvalue"] for d in bank.directions]
        assert values == sorted(values, reverse=True)
        assert (bank.matrix() @ generator.truth.T).abs().argmax(1)[:3].tolist() == [1, 2, 0]

    def test_runs_are_bit_identical(self) -> None:
        generator = equal_gains()
        for method in (OroJaR(n_codes=5), OroJaR(n_codes=5, solver="sampled", steps=5)):
            first, second = (method.discover(generator, seed=1) for _ in range(2))
            assert torch.equal(first.matrix(), second.matrix())

    def test_errors(self) -> None:
        with pytest.raises(LatdirError, match="steps is 0: give at least 1"):
            OroJaR(steps=0)
        unknown = copy.copy(OroJaR())
        object.__setattr__(unknown, "solver", "magic")
        with pytest.raises(LatdirError, match="no solver 'magic': use one of exact, sampled"):
            unknown.__post_init__()
