"""Bases whose directions do not interact, and joint diagonalization."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from directions.errors import LatdirError
from directions.numerics.eigen import eigh
from directions.planted.world import PlantedGenerator, planted
from discovery.decomposition.joint_diagonalization import diagonalize, off_diagonal
from discovery.jacobian.global_basis import GlobalBasis
from discovery.jacobian.models import metrics
from discovery.jacobian.orojar import (
    HessianPenalty,
    OroJaR,
    _descend,
    _hessian_penalty,
    _orojar_penalty,
)


def equal_gains(bend: float = 0.0) -> PlantedGenerator:
    """All patterns of equal norm and gain: on average every basis of their span is as good."""
    return planted(factors=3, nuisances=0, dim=6, bend=bend, seed=3)


def matched(bank, truth: Tensor) -> Tensor:
    """For each true axis the largest cosine to a direction."""
    return (bank.matrix() @ truth.T).abs().amax(0)


class TestDiagonalize:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(2, 9), st.integers(0, 10**6))
    def test_recovers_a_common_eigenbasis(self, size: int, seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)
        basis = torch.linalg.qr(torch.randn(size, size, generator=rng, dtype=torch.float64))[0]
        diagonals = torch.diag_embed(torch.randn(5, size, generator=rng, dtype=torch.float64))
        found = diagonalize(basis.T @ diagonals @ basis)
        assert torch.allclose(found @ found.T, torch.eye(size, dtype=torch.float64), atol=1e-10)
        assert ((found @ basis.T).abs().amax(0) > 1 - 1e-6).all()

    def test_one_matrix_is_an_eigenproblem(self) -> None:
        m = torch.randn(7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        m = m + m.T
        found = diagonalize(m[None])
        values = (found @ m @ found.T).diagonal().sort(descending=True).values
        assert torch.allclose(values, eigh(m).values, atol=1e-9)

    def test_no_small_rotation_helps(self) -> None:
        rng = torch.Generator().manual_seed(2)
        m = torch.randn(6, 5, 5, generator=rng, dtype=torch.float64)
        m = m + m.mT
        found = diagonalize(m)
        best = off_diagonal(found @ m @ found.T)
        assert best < off_diagonal(m)
        for _ in range(50):
            skew = torch.randn(5, 5, generator=rng, dtype=torch.float64) * 1e-2
            near = torch.matrix_exp(skew - skew.T) @ found
            assert off_diagonal(near @ m @ near.T) > best

    def test_rotated_matrices_give_the_rotated_basis(self) -> None:
        rng = torch.Generator().manual_seed(4)
        diagonals = torch.diag_embed(torch.rand(4, 6, generator=rng, dtype=torch.float64))
        noise = torch.randn(4, 6, 6, generator=rng, dtype=torch.float64) * 1e-2
        m = diagonals + noise + noise.mT
        turn = torch.linalg.qr(torch.randn(6, 6, generator=rng, dtype=torch.float64))[0]
        plain, turned = diagonalize(m), diagonalize(turn @ m @ turn.T)
        assert torch.allclose((turned @ turn @ plain.T).abs().amax(1), torch.ones(6).double())


class TestPenalties:
    def test_orojar_is_twice_the_squares_off_the_diagonal(self) -> None:
        """Averaged over all sign vectors, the estimate is exact."""
        generator = equal_gains(bend=0.8)
        codes = generator.sample(1, seed=0)
        metric = next(metrics(generator, codes))
        signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 6)
        n = len(signs)
        first, second = signs.repeat_interleave(n, 0), signs.repeat(n, 1)
        got = _orojar_penalty(
            generator.synthesize, codes.repeat(n * n, 1), torch.stack([first, second])
        )
        off = metric - torch.diag(metric.diagonal())
        assert float(got) == pytest.approx(2 * float(off.square().sum()), rel=1e-3)

    def test_hessian_penalty_of_a_known_polynomial(self) -> None:
        """Of x₀x₁ the off-diagonal second derivative is 1: variance of ±2 is 4."""

        def images(codes: Tensor) -> Tensor:
            return (codes[:, 0] * codes[:, 1] + codes[:, 0] ** 2)[:, None]

        signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 2)
        first, second = signs.repeat_interleave(4, 0), signs.repeat(4, 1)
        codes = torch.zeros(16, 2, dtype=torch.float64)
        tangents = torch.stack([first, second]).double()
        got = _hessian_penalty(images, codes, tangents, epsilon=0.1)
        assert float(got) == pytest.approx(4.0, rel=1e-9)


class TestOroJaR:
    def test_recovers_planted_axes(self) -> None:
        generator = equal_gains()
        bank = OroJaR(components=3, samples=20).discover(generator)
        assert (matched(bank, generator.truth) > 0.999).all()
        assert bank.provenance["interaction"] < 1e-6

    def test_sampled_descent_recovers_them_from_anywhere(self) -> None:
        generator = equal_gains()
        rng = torch.Generator().manual_seed(5)
        start = torch.linalg.qr(torch.randn(6, 6, generator=rng, dtype=torch.float64))[0]
        assert float((start.float() @ generator.truth.T).abs().amax(0).max()) < 0.9
        method = OroJaR(solver="sampled", steps=250, rate=0.05)
        found = _descend(method, _orojar_penalty, generator, "z", start, seed=0)
        assert torch.allclose(found @ found.T, torch.eye(6).double(), atol=1e-10)
        assert ((found.float() @ generator.truth.T).abs().amax(0) > 0.98).all()

    def test_interacts_less_than_the_mean_metric(self) -> None:
        """Curved factors' gradients turn with the code: no basis is right everywhere."""
        generator = planted(factors=3, nuisances=0, dim=6, bend=0.8, gains=[3.0, 2.0, 1.5])
        exact = OroJaR(samples=20).discover(generator).provenance
        sampled = OroJaR(samples=20, solver="sampled", steps=100).discover(generator).provenance
        assert exact["interaction"] < 0.99 * exact["interaction_before"]
        assert exact["interaction"] <= sampled["interaction"]

    def test_ranked_by_gain_and_signed(self) -> None:
        generator = planted(factors=3, nuisances=0, dim=6, gains=[1.0, 4.0, 2.0])
        bank = OroJaR(samples=30).discover(generator)
        assert len(bank) == 6
        values = [d.evidence["eigenvalue"] for d in bank.directions]
        assert values == sorted(values, reverse=True)
        assert (bank.matrix() @ generator.truth.T).abs().argmax(1)[:3].tolist() == [1, 2, 0]

    def test_runs_are_bit_identical(self) -> None:
        generator = equal_gains()
        for method in (OroJaR(samples=5), OroJaR(samples=5, solver="sampled", steps=5)):
            first, second = (method.discover(generator, seed=1) for _ in range(2))
            assert torch.equal(first.matrix(), second.matrix())

    def test_errors(self) -> None:
        with pytest.raises(LatdirError, match="steps 0 and batch 8 are at least 1"):
            OroJaR(steps=0)
        unknown = copy.copy(OroJaR())
        object.__setattr__(unknown, "solver", "magic")
        with pytest.raises(LatdirError, match="solver is exact or sampled, not 'magic'"):
            unknown.__post_init__()


class Overlapping(PlantedGenerator):
    """The planted factors, drawn with patterns that are not orthogonal to each other."""

    def synthesize(self, codes: Tensor, space: str = "z") -> Tensor:
        levels = torch.tanh(self.factors(codes) / 2)
        mixed = self._patterns[:3].clone()
        mixed[1] += mixed[0]
        mixed[2] += mixed[1]
        return (levels @ mixed).reshape(-1, *self.image_shape) / 4


class TestHessianPenalty:
    def test_recovers_axes_whose_changes_overlap(self) -> None:
        """JᵀJ is not diagonal in the true axes, but every pixel's Hessian is."""
        generator = equal_gains()
        generator.__class__ = Overlapping
        blind = GlobalBasis(components=3, samples=20).discover(generator)
        assert float(matched(blind, generator.truth).min()) < 0.95
        bank = HessianPenalty(components=3, steps=300, rate=0.05).discover(generator)
        cosines = matched(bank, generator.truth)
        assert (cosines > 0.97).all(), cosines
        assert bank.provenance["interaction"] < 0.3 * bank.provenance["interaction_before"]

    def test_runs_are_bit_identical(self) -> None:
        generator = equal_gains()
        first, second = (HessianPenalty(steps=5).discover(generator, seed=1) for _ in range(2))
        assert torch.equal(first.matrix(), second.matrix())

    def test_errors(self) -> None:
        with pytest.raises(LatdirError, match="epsilon is positive, not 0"):
            HessianPenalty(epsilon=0.0)

        class Broken(PlantedGenerator):
            def synthesize(self, codes, space="z"):
                images = super().synthesize(codes, space)
                # Only the descent asks for gradients.
                return images * torch.nan if codes.requires_grad else images

        generator = equal_gains()
        generator.__class__ = Broken
        with pytest.raises(LatdirError, match="the penalty is nan at step 0"):
            HessianPenalty(samples=2, steps=1).discover(generator)
