"""The basis whose directions do not modulate each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from directions.errors import LatdirError
from directions.planted.world import PlantedGenerator
from discovery.jacobian.global_basis import GlobalBasis
from discovery.jacobian.hessian_penalty import HessianPenalty, _hessian_penalty
from tests.worlds import equal_gains, matched


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
        blind = GlobalBasis(n_directions=3, n_codes=20).discover(generator)
        assert float(matched(blind, generator.truth).min()) < 0.95
        bank = HessianPenalty(n_directions=3, steps=300, rate=0.05).discover(generator)
        cosines = matched(bank, generator.truth)
        assert (cosines > 0.97).all(), cosines
        assert bank.provenance["interaction"] < 0.3 * bank.provenance["interaction_before"]

    def test_runs_are_bit_identical(self) -> None:
        generator = equal_gains()
        first, second = (HessianPenalty(steps=5).discover(generator, seed=1) for _ in range(2))
        assert torch.equal(first.matrix(), second.matrix())

    def test_errors(self) -> None:
        with pytest.raises(LatdirError, match="epsilon 0 must be above 0"):
            HessianPenalty(epsilon=0.0)

        class Broken(PlantedGenerator):
            def synthesize(self, codes, space="z"):
                images = super().synthesize(codes, space)
                # Only the descent asks for gradients.
                return images * torch.nan if codes.requires_grad else images

        generator = equal_gains()
        generator.__class__ = Broken
        with pytest.raises(LatdirError, match="the penalty is nan at step 0"):
            HessianPenalty(n_codes=2, steps=1).discover(generator)

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
