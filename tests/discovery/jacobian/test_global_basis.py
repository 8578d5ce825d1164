"""One basis for all codes."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from directions.errors import LatdirError
from directions.generators.dcgan import digiface64
from directions.planted.world import planted
from discovery.jacobian.global_basis import GlobalBasis, frechet_mean
from tests.worlds import Mapped


@pytest.fixture
def mapped() -> Mapped:
    return Mapped(planted(bend=0.8))


class TestGlobalBasis:
    def test_recovers_planted_factors_in_order_of_gain(self) -> None:
        generator = planted(factors=4, nuisances=2, dim=24, gains=[8.0, 6.0, 4.5, 3.2, 1.0, 0.5])
        for aggregate in ("mean", "frechet"):
            bank = GlobalBasis(n_directions=4, n_codes=60, aggregate=aggregate).discover(generator)
            cosines = (bank.matrix() @ generator.truth.T).abs().diagonal()
            assert (cosines > 0.99).all(), (aggregate, cosines)
            values = [d.evidence["eigenvalue"] for d in bank.directions]
            assert values == sorted(values, reverse=True)

    def test_frechet_gives_every_code_the_same_say(self) -> None:
        """One code whose image reacts violently moves the mean metric, not the subspaces."""

        def images(codes: Tensor) -> Tensor:
            gain = torch.where(codes[:, :1] > 5, 100.0, 1.0)
            seen = torch.where(codes[:, :1] > 5, codes[:, 3:4], codes[:, 2:3])
            return seen * gain

        generator = planted(dim=8, factors=2, nuisances=2)
        codes = torch.zeros(5, 8)
        codes[0, 0] = 9

        class Lopsided(type(generator)):
            def synthesize(self, codes, space="z"):
                return images(codes)[:, :, None, None].expand(-1, 3, 16, 16)

        generator.__class__ = Lopsided
        mean = GlobalBasis(n_directions=1).discover(generator, codes=codes)
        frechet = GlobalBasis(n_directions=1, aggregate="frechet").discover(generator, codes=codes)
        assert int(mean.matrix()[0].abs().argmax()) == 3
        assert int(frechet.matrix()[0].abs().argmax()) == 2

    def test_rotating_the_space_rotates_the_directions(self) -> None:
        generator = planted(bend=0.8, gains=[8.0, 6.0, 4.5, 3.4, 2.5, 1.9, 1.4, 1.0])
        rng = torch.Generator().manual_seed(0)
        turn = torch.linalg.qr(torch.randn(32, 32, generator=rng))[0]

        class Turned(type(generator)):
            def synthesize(self, codes, space="z"):
                return super().synthesize(codes @ turn, space)

        codes = generator.sample(10, seed=0)
        plain = GlobalBasis(n_directions=6).discover(generator, codes=codes)
        generator.__class__ = Turned
        turned = GlobalBasis(n_directions=6).discover(generator, codes=codes @ turn.T)
        cosines = (turned.matrix() @ turn * plain.matrix()).sum(1)
        assert (cosines.abs() > 1 - 1e-4).all()

    def test_low_rank_metrics_find_the_same(self) -> None:
        generator = planted(bend=0.8, dim=64, gains=[8.0, 6.0, 4.5, 3.4, 2.5, 1.9, 1.4, 1.0])
        exact = GlobalBasis(n_directions=4, n_codes=6).discover(generator)
        short = GlobalBasis(n_directions=4, n_codes=6, rank=8).discover(generator)
        assert ((exact.matrix() * short.matrix()).sum(1) > 0.999).all()

    def test_variation_tells_even_directions_from_uneven_ones(self) -> None:
        def images(codes: Tensor) -> Tensor:
            return torch.cat([3 * codes[:, :1], codes[:, 1:2] ** 2, codes[:, 2:3] * 0], 1)

        generator = planted(dim=8, factors=2, nuisances=2)

        class Simple(type(generator)):
            def synthesize(self, codes, space="z"):
                return images(codes)[:, :, None, None].expand(-1, 3, 16, 16)

        generator.__class__ = Simple
        bank = GlobalBasis(n_directions=2, n_codes=100).discover(generator)
        even, uneven = (d.evidence["variation"] for d in bank.directions)
        assert even == pytest.approx(0, abs=1e-6)
        # |2 x| of a standard normal: mean √(2/π), deviation √(1 - 2/π), ratio 0.756.
        assert uneven == pytest.approx(0.756, abs=0.12)

    def test_two_runs_are_bit_identical(self) -> None:
        generator = digiface64()
        first, second = (
            GlobalBasis(n_directions=5, n_codes=1).discover(generator, seed=4) for _ in range(2)
        )
        assert torch.equal(first.matrix(), second.matrix())
        assert not torch.equal(
            first.matrix(),
            GlobalBasis(n_directions=5, n_codes=1).discover(generator, seed=5).matrix(),
        )

    def test_errors(self, mapped) -> None:
        unknown = copy.copy(GlobalBasis())
        object.__setattr__(unknown, "aggregate", "median")
        with pytest.raises(LatdirError, match=r"no aggregate 'median': .*use one of mean, frechet"):
            unknown.__post_init__()
        with pytest.raises(LatdirError, match="rank 3 keeps fewer"):
            GlobalBasis(n_directions=4, rank=3)
        with pytest.raises(LatdirError, match="n_codes is 0"):
            GlobalBasis(n_codes=0)
        with pytest.raises(LatdirError, match="has no space 'q'"):
            GlobalBasis(space="q").discover(mapped)
        with pytest.raises(LatdirError, match=r"codes of space 'w' have shape"):
            GlobalBasis().discover(mapped, codes=torch.zeros(2, 3))

    def test_prefers_w(self, mapped) -> None:
        bank = GlobalBasis(n_directions=1, n_codes=1).discover(mapped)
        assert bank.directions[0].space == "w"


class TestFrechetMean:
    def test_of_planes_about_a_common_axis(self) -> None:
        """Planes through x at angles 0 … φ: the mean plane is at the mean angle."""
        angles = torch.tensor([0.0, 0.3, 0.9], dtype=torch.float64)
        planes = torch.stack(
            [torch.tensor([[1, 0, 0], [0, math.cos(a), math.sin(a)]]) for a in angles.tolist()]
        )
        mean = frechet_mean(planes)
        across = mean[mean[:, 0].abs().argmin()]
        normal = torch.linalg.cross(mean[0], mean[1])
        assert float(normal[0].abs()) < 1e-8
        assert math.atan(-float(normal[1] / normal[2])) == pytest.approx(0.4, abs=1e-8)
        assert across.norm() == pytest.approx(1)

    def test_does_not_depend_on_the_bases(self) -> None:
        rng = torch.Generator().manual_seed(0)
        bases = torch.linalg.qr(torch.eye(6)[:, :2] + 0.3 * torch.randn(5, 6, 2, generator=rng))[
            0
        ].mT.double()
        turns = torch.linalg.qr(torch.randn(5, 2, 2, generator=rng, dtype=torch.float64))[0]
        first, second = frechet_mean(bases), frechet_mean(turns @ bases)
        assert torch.allclose(first.T @ first, second.T @ second, atol=1e-8)

    def test_has_less_spread_than_its_neighbors(self) -> None:
        rng = torch.Generator().manual_seed(1)
        bases = torch.linalg.qr(torch.eye(6)[:, :2] + 0.4 * torch.randn(7, 6, 2, generator=rng))[
            0
        ].mT.double()

        def spread(x: Tensor) -> float:
            cosines = torch.linalg.svdvals(bases @ x.T).clamp(max=1)
            return float(cosines.acos().square().sum())

        mean = frechet_mean(bases)
        for _ in range(20):
            nudge = 1e-3 * torch.randn(6, 2, generator=rng, dtype=torch.float64)
            near = torch.linalg.qr(mean.T + nudge)[0].T
            assert spread(mean) < spread(near)
