"""The linear form of StyleGAN2 against automatic differentiation of the network itself."""

import pytest
import torch

from directions.generators.base import Generator
from directions.generators.stylegan.stylegan2 import StyleGAN2, StyleGAN2Config
from directions.generators.stylegan.stylegan2_generator import StyleGAN2Generator
from directions.numerics.jacobian import columns, gram, leading


def generator(*, noise="const", **changes):
    given = {"z_dim": 6, "w_dim": 7, "resolution": 16, "channels": (8, 6, 5), "mapping": (9, 7)}
    network = StyleGAN2(StyleGAN2Config(**given, **changes))
    rng = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name != "taps":
            tensor.copy_(torch.randn(tensor.shape, generator=rng) * 0.5)
    return StyleGAN2Generator(network, name="small", noise=noise)


def plain(own, code, space, **given):
    return Generator.linearize(own, code, space=space, **given)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("settings", [{}, {"conv_clamp": 1.0}, {"noise": "none"}])
def test_products_are_those_of_automatic_differentiation(architecture, settings):
    own = generator(architecture=architecture, **settings)
    code = own.sample(1, seed=1, space="w")[0]
    fast, slow = own.linearize(code, space="w"), plain(own, code, "w")
    rng = torch.Generator().manual_seed(1)
    tangents = torch.randn(3, 7, generator=rng)
    cotangents = torch.randn(2, 3, 16, 16, generator=rng)
    for got, expected in (
        (fast.value, slow.value),
        (fast.push(tangents), slow.push(tangents)),
        (fast.pull(cotangents), slow.pull(cotangents)),
        # The graph of the transpose is used again.
        (fast.pull(2 * cotangents), 2 * slow.pull(cotangents)),
    ):
        scale = float(expected.abs().max())
        assert scale > 0
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * scale)


def test_seeded_noise_is_that_of_the_image():
    # Forward mode over a batch of tangents draws no random numbers, so this is reverse mode.
    own = generator(noise=7)
    code = own.sample(1, seed=1, space="w").requires_grad_()
    image = own.synthesize(code, "w")
    cotangent = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    [expected] = torch.autograd.grad((image * cotangent).sum(), code)
    fast = own.linearize(code.detach()[0], space="w")
    torch.testing.assert_close(fast.value[None], image.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast.pull(cotangent), expected, rtol=1e-4, atol=1e-3)
    assert not torch.equal(fast.value, generator().linearize(code.detach()[0], space="w").value)


@pytest.mark.parametrize("space", ["z", "w+", "s", "p"])
def test_every_space_has_it(space):
    own = generator()
    code = own.sample(1, seed=1, space=space)[0]
    fast, slow = columns(own.linearize(code, space=space)), columns(plain(own, code, space))
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5 * float(slow.abs().max()))


def test_a_window_is_that_part_of_the_image():
    own = generator()
    code = own.sample(1, seed=1, space="w")[0]
    window = (2, 3, 10, 8)
    fast = own.linearize(code, space="w", window=window)
    slow = plain(own, code, "w", window=window)
    assert fast.value.shape == (3, 8, 5)
    torch.testing.assert_close(columns(fast), columns(slow), rtol=0, atol=1e-4)
    u = torch.randn(2, 3, 8, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fast.pull(u), slow.pull(u), rtol=0, atol=1e-4)


def test_leading_directions_are_those_of_the_exact_metric():
    own = generator()
    code = own.sample(1, seed=2, space="s")[0]
    values, vectors = torch.linalg.eigh(gram(columns(plain(own, code, "s"))))
    top = leading(own.linearize(code, space="s"), count=3, tolerance=1e-4)
    torch.testing.assert_close(top.values, values.flip(0)[:3], rtol=1e-4, atol=0)
    assert (top.vectors * vectors.flip(1)[:, :3].T).sum(1).abs().min() > 0.9999
