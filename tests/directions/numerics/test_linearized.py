"""Maps to first order against automatic differentiation."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from directions.errors import LatdirError
from directions.generators.dcgan import digiface64
from directions.numerics.jacobian import columns
from directions.numerics.linearized import linearize, linearize_layers
from tests.worlds import slow_jacobian


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
        with pytest.raises(LatdirError, match="has a padding mode"):
            linearize_layers(
                [nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")], torch.zeros(1, 4, 4)
            )
        with pytest.raises(LatdirError, match=r"is outside the output of 4×4 pixels"):
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
