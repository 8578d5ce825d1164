"""The Jacobian by columns, its metric, its leading eigenpairs, and the global basis."""

from __future__ import annotations

import copy
import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from directions.errors import LatdirError
from directions.generators.dcgan import digiface64
from directions.numerics.eigen import eigh
from directions.numerics.linearized import linearize, linearize_layers
from directions.planted.world import planted
from discovery.jacobian import models as jacobian
from discovery.jacobian.global_basis import GlobalBasis, frechet_mean
from discovery.jacobian.models import (
    columns,
    gram,
    image_models,
    leading,
    map_model,
    metric,
    metrics,
)
from tests.worlds import Mapped


@pytest.fixture
def mapped() -> Mapped:
    return Mapped(planted(bend=0.8))


def slow_jacobian(function, point: Tensor) -> Tensor:
    """`[out, d]`, one backward pass an output."""
    point = point.clone().requires_grad_()
    out = function(point[None]).flatten()
    rows = [torch.autograd.grad(o, point, retain_graph=True)[0].flatten() for o in out]
    return torch.stack(rows)


def small_net(seed: int) -> tuple[nn.Sequential, Tensor]:
    """A random chain of convolutions of either kind, and a point."""
    rnd = random.Random(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        inputs = 2
        for _ in range(rnd.randint(1, 3)):
            outputs, kernel, stride = rnd.randint(1, 4), rnd.randint(1, 4), rnd.randint(1, 3)
            padding, dilation = rnd.randint(0, kernel - 1), rnd.randint(1, 2)
            if rnd.random() < 0.5:
                extra = rnd.randint(0, max(stride, dilation) - 1)
                layers.append(
                    nn.ConvTranspose2d(
                        inputs, outputs, kernel, stride, padding, extra, dilation=dilation
                    )
                )
            else:
                layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation))
            norm = nn.BatchNorm2d(outputs)
            norm.running_var.uniform_(0.5, 2)
            layers += [norm, rnd.choice([nn.Tanh(), nn.ReLU(inplace=True), nn.LeakyReLU(0.2)])]
            inputs = outputs
        net = nn.Sequential(*layers).eval().double()
        return net, torch.randn(2, 9, 8, dtype=torch.float64)


class TestLinearized:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10**6))
    def test_layers_and_their_windows_agree_with_autograd(self, seed: int) -> None:
        net, point = small_net(seed)
        try:
            height, width = net(point[None]).shape[2:]
        except RuntimeError:
            return  # the random sizes make an output of no pixels
        rnd = random.Random(seed)
        top, left = rnd.randrange(height), rnd.randrange(width)
        bottom, right = rnd.randint(top + 1, height), rnd.randint(left + 1, width)
        window = (top, left, bottom, right)
        plain = linearize(lambda x: net(x)[:, :, top:bottom, left:right], point)
        fast = linearize_layers(net, point, window=window)
        assert torch.allclose(fast.value, plain.value)
        tangents = torch.randn(3, *point.shape, dtype=torch.float64)
        assert torch.allclose(fast.push(tangents), plain.push(tangents), atol=1e-12)
        cotangents = torch.randn(3, *plain.value.shape, dtype=torch.float64)
        assert torch.allclose(fast.pull(cotangents), plain.pull(cotangents), atol=1e-12)

    def test_push_and_pull_are_transposes(self) -> None:
        model = digiface64().linearize(torch.randn(100, generator=torch.Generator().manual_seed(0)))
        rng = torch.Generator().manual_seed(1)
        t, u = torch.randn(1, 100, generator=rng), torch.randn(1, 3, 64, 64, generator=rng)
        assert float((model.push(t) * u).sum()) == pytest.approx(
            float((model.pull(u) * t).sum()), rel=1e-4
        )

    def test_window_is_the_part_of_the_whole(self) -> None:
        generator = digiface64()
        code = generator.sample(1, seed=3)[0]
        whole = columns(generator.linearize(code))
        part = columns(generator.linearize(code, window=(40, 10, 56, 50)))
        assert torch.allclose(part, whole[:, :, 40:56, 10:50], atol=1e-6)

    def test_first_order_model_of_a_chain(self) -> None:
        chain = linearize(lambda x: x**2, torch.tensor([1.0, 2.0])).then(lambda y: y.exp())
        want = slow_jacobian(lambda x: (x**2).exp(), torch.tensor([1.0, 2.0]))
        assert torch.allclose(columns(chain).T, want)
        assert torch.allclose(chain.pull(torch.eye(2)), want)

    def test_refuses_other_layers_and_windows(self) -> None:
        with pytest.raises(LatdirError, match="Flatten is not a convolution"):
            linearize_layers([nn.Flatten()], torch.zeros(1, 2, 2))
        with pytest.raises(LatdirError, match="batch norm in evaluation"):
            linearize_layers([nn.BatchNorm2d(1)], torch.zeros(1, 2, 2))
        with pytest.raises(LatdirError, match="pads in a way"):
            linearize_layers(
                [nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")], torch.zeros(1, 4, 4)
            )
        with pytest.raises(LatdirError, match=r"lies outside the output of 4×4 pixels"):
            linearize_layers([nn.Tanh()], torch.zeros(1, 4, 4), window=(0, 0, 5, 4))

    def test_an_operation_without_forward_mode_says_so(self) -> None:
        class Square(torch.autograd.Function):
            generate_vmap_rule = True

            @staticmethod
            def forward(x):
                return x**2

            @staticmethod
            def setup_context(ctx, inputs, output):
                pass

            @staticmethod
            def backward(ctx, gradient):
                return gradient

        model = linearize(Square.apply, torch.ones(2))
        with pytest.raises(LatdirError, match="without a forward-mode derivative"):
            model.push(torch.eye(2))


class TestMetric:
    def test_columns_match_the_slow_loop(self) -> None:
        generator = planted(bend=0.8, size=8)
        code = generator.sample(1, seed=1)[0]
        got = columns(generator.linearize(code)).flatten(1).T
        assert torch.allclose(got, slow_jacobian(generator.synthesize, code), atol=1e-6)

    @pytest.mark.parametrize("chunk", [1, 7, 100])
    def test_chunk_does_not_matter(self, chunk: int) -> None:
        generator = planted(bend=0.8)
        model = generator.linearize(generator.sample(1, seed=1)[0])
        assert torch.allclose(columns(model, chunk=chunk), columns(model), atol=1e-7)

    def test_truth_in_closed_form(self) -> None:
        """JᵀJ = Σ gⱼ² ∇fⱼ ∇fⱼᵀ, gⱼ the slope of pattern j times its norm."""
        generator = planted(factors=4, dim=32, bend=0.8, nuisances=0)
        code = generator.sample(1, seed=2)
        gradients = generator.jacobian(code)[0].double()
        slopes = (1 - torch.tanh(generator.factors(code)[0].double() / 4).square()) / 4
        norms = generator._patterns.double().norm(dim=1) * generator._amplitudes
        want = (gradients.T * (slopes * norms).square()) @ gradients
        got = metric(generator.linearize(code[0]))
        assert torch.allclose(got, want, rtol=1e-4, atol=1e-6 * float(want.abs().max()))

    def test_masks_add_up_and_weigh(self) -> None:
        generator = planted(size=8)
        model = generator.linearize(generator.sample(1, seed=0)[0])
        mask = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
        front, back = metric(model, weights=torch.stack([mask, 1 - mask]))
        assert torch.allclose(front + back, metric(model), rtol=1e-5)
        rows = columns(model) * mask.sqrt()
        assert torch.allclose(front, gram(rows), atol=1e-6 * float(front.max()))

    def test_gram_in_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tangents = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
        weights = torch.rand(7, generator=torch.Generator().manual_seed(1))
        whole = gram(tangents, weights)
        monkeypatch.setattr(jacobian, "BLOCK", 12)
        assert torch.allclose(gram(tangents, weights), whole, rtol=1e-12)

    def test_features_are_the_chain_rule(self) -> None:
        generator = planted(bend=0.8)
        codes = generator.sample(2, seed=0)
        reader = generator.classifier()
        for i, model in enumerate(image_models(generator, codes, features=reader)):
            got = columns(model).T
            assert torch.allclose(got, generator.jacobian(codes)[i], atol=1e-3)

    def test_of_the_mapping(self, mapped) -> None:
        code = mapped.sample(1, seed=0)[0]
        got = columns(map_model(mapped, code, source="z", target="w")).T
        assert torch.allclose(got, mapped._matrix, atol=1e-6)

    def test_in_another_space(self, mapped) -> None:
        z = mapped.sample(1, seed=0)
        w = mapped.map(z, "z", "w")
        in_z, in_w = next(metrics(mapped, z)), next(metrics(mapped, w, space="w"))
        a = mapped._matrix.double()
        assert torch.allclose(a.T @ in_w @ a, in_z, atol=1e-5 * float(in_z.max()))

    def test_errors(self) -> None:
        generator = planted(size=8)
        model = generator.linearize(generator.sample(1, seed=0)[0])
        with pytest.raises(LatdirError, match=r"mask of shape \[4, 4\] does not fit"):
            metric(model, weights=torch.ones(1, 4, 4))
        with pytest.raises(LatdirError, match="finite and not negative"):
            metric(model, weights=-torch.ones(1, 8, 8))
        with pytest.raises(LatdirError, match=r"codes of space 'z' have shape \[n, 32\]"):
            next(metrics(generator, torch.zeros(1, 5)))

    def test_memory_bounds_the_chunk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = linearize(lambda x: x, torch.zeros(3))
        pushed = []
        spy = jacobian.Linearized(
            model.value, (3,), lambda t: pushed.append(len(t)) or t, model.pull, footprint=100
        )
        monkeypatch.setattr(jacobian, "_free_memory", lambda device: 800)
        assert torch.equal(columns(spy), torch.eye(3))
        assert pushed == [2, 1]


class TestLeading:
    @pytest.mark.parametrize("decay", [0.5, 1.0])
    def test_agrees_with_the_exact_spectrum(self, decay: float) -> None:
        rng = torch.Generator().manual_seed(0)
        left = torch.linalg.qr(torch.randn(600, 200, generator=rng))[0]
        right = torch.linalg.qr(torch.randn(200, 200, generator=rng))[0]
        a = (left * torch.arange(1, 201) ** -decay) @ right.T
        model = linearize(lambda x: x @ a.T, torch.zeros(200))
        exact = eigh(a.T.double() @ a.double(), count=10)
        found = leading(model, count=10)
        assert torch.allclose(found.values, exact.values, rtol=1e-3)
        assert ((found.vectors * exact.vectors).sum(1) > 0.999).all()
        assert found.total == pytest.approx(exact.total, rel=0.3)

    def test_costs_less_than_all_columns(self) -> None:
        products = 0

        def function(x: Tensor) -> Tensor:
            return x * scale

        scale = 1 / torch.arange(1.0, 401.0)
        model = linearize(function, torch.zeros(400))

        def push(tangents: Tensor) -> Tensor:
            nonlocal products
            products += len(tangents)
            return model.push(tangents)

        spy = jacobian.Linearized(model.value, model.shape, push, model.pull, model.footprint)
        found = leading(spy, count=10)
        assert torch.allclose(found.values[:10], scale[:10].double().square(), rtol=1e-3)
        assert products <= 60

    def test_rank_below_the_count(self) -> None:
        a = torch.zeros(30, 20)
        a[0, 3], a[1, 5] = 2.0, 1.0
        found = leading(linearize(lambda x: x @ a.T, torch.zeros(20)), count=6)
        assert torch.allclose(found.values, torch.tensor([4.0, 1, 0, 0, 0, 0]).double(), atol=1e-6)
        assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(6).double(), atol=1e-8)
        assert found.vectors[0, 3] == pytest.approx(1)

    def test_small_space_is_solved_whole(self) -> None:
        a = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
        model = linearize(lambda x: x @ a.T, torch.zeros(4))
        assert torch.allclose(
            leading(model, count=4, block=3).values, eigh(a.T @ a).values, rtol=1e-5
        )

    def test_errors(self) -> None:
        with pytest.raises(LatdirError, match=r"count 5 and block 5 must lie in 1 … 4"):
            leading(linearize(lambda x: x, torch.zeros(4)), count=5)


class TestGlobalBasis:
    def test_recovers_planted_factors_in_order_of_gain(self) -> None:
        generator = planted(factors=4, nuisances=2, dim=24, gains=[8.0, 6.0, 4.5, 3.2, 1.0, 0.5])
        for aggregate in ("mean", "frechet"):
            bank = GlobalBasis(components=4, samples=60, aggregate=aggregate).discover(generator)
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
        mean = GlobalBasis(components=1).discover(generator, codes=codes)
        frechet = GlobalBasis(components=1, aggregate="frechet").discover(generator, codes=codes)
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
        plain = GlobalBasis(components=6).discover(generator, codes=codes)
        generator.__class__ = Turned
        turned = GlobalBasis(components=6).discover(generator, codes=codes @ turn.T)
        cosines = (turned.matrix() @ turn * plain.matrix()).sum(1)
        assert (cosines.abs() > 1 - 1e-4).all()

    def test_low_rank_metrics_find_the_same(self) -> None:
        generator = planted(bend=0.8, dim=64, gains=[8.0, 6.0, 4.5, 3.4, 2.5, 1.9, 1.4, 1.0])
        exact = GlobalBasis(components=4, samples=6).discover(generator)
        short = GlobalBasis(components=4, samples=6, rank=8).discover(generator)
        assert ((exact.matrix() * short.matrix()).sum(1) > 0.999).all()

    def test_variation_tells_even_directions_from_uneven_ones(self) -> None:
        def images(codes: Tensor) -> Tensor:
            return torch.cat([3 * codes[:, :1], codes[:, 1:2] ** 2, codes[:, 2:3] * 0], 1)

        generator = planted(dim=8, factors=2, nuisances=2)

        class Simple(type(generator)):
            def synthesize(self, codes, space="z"):
                return images(codes)[:, :, None, None].expand(-1, 3, 16, 16)

        generator.__class__ = Simple
        bank = GlobalBasis(components=2, samples=100).discover(generator)
        even, uneven = (d.evidence["variation"] for d in bank.directions)
        assert even == pytest.approx(0, abs=1e-6)
        # |2 x| of a standard normal: mean √(2/π), deviation √(1 - 2/π), ratio 0.756.
        assert uneven == pytest.approx(0.756, abs=0.12)

    def test_two_runs_are_bit_identical(self) -> None:
        generator = digiface64()
        first, second = (
            GlobalBasis(components=5, samples=1).discover(generator, seed=4) for _ in range(2)
        )
        assert torch.equal(first.matrix(), second.matrix())
        assert not torch.equal(
            first.matrix(),
            GlobalBasis(components=5, samples=1).discover(generator, seed=5).matrix(),
        )

    def test_errors(self, mapped) -> None:
        unknown = copy.copy(GlobalBasis())
        object.__setattr__(unknown, "aggregate", "median")
        with pytest.raises(LatdirError, match="aggregate is 'mean' or 'frechet', not 'median'"):
            unknown.__post_init__()
        with pytest.raises(LatdirError, match="rank 3 keeps fewer"):
            GlobalBasis(components=4, rank=3)
        with pytest.raises(LatdirError, match="samples 0"):
            GlobalBasis(samples=0)
        with pytest.raises(LatdirError, match="has no space 'q'"):
            GlobalBasis(space="q").discover(mapped)
        with pytest.raises(LatdirError, match=r"codes of space 'w' have shape"):
            GlobalBasis().discover(mapped, codes=torch.zeros(2, 3))

    def test_prefers_w(self, mapped) -> None:
        bank = GlobalBasis(components=1, samples=1).discover(mapped)
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
