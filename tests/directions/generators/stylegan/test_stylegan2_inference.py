"""StyleGAN2's fast synthesis makes the images of the plain one, in every configuration."""

from itertools import product
from typing import Literal

import pytest
import torch

from directions.generators.stylegan.stylegan2 import StyleGAN2, StyleGAN2Config
from directions.generators.stylegan.stylegan2_generator import StyleGAN2Generator

TAPS = {4: (0.125, 0.375, 0.375, 0.125), 3: (0.25, 0.5, 0.25), 2: (0.5, 0.5)}


def _generator(
    *,
    architecture: Literal["skip", "resnet", "orig"],
    taps: int,
    clamp: float | None,
    noise: str | int,
) -> StyleGAN2Generator:
    # Wide at 4 and 8 pixels and narrow above: both ways of modulating are taken.
    config = StyleGAN2Config(
        z_dim=16,
        w_dim=16,
        resolution=32,
        channels=(48, 32, 12, 8),
        mapping=(16,),
        architecture=architecture,
        taps=TAPS[taps],
        conv_clamp=clamp,
    )
    network = StyleGAN2(config)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3
            parameter.normal_(generator=rng).mul_(scale)
            if name.endswith("affine.bias"):
                parameter.add_(1)
        for layer in network.layers:
            layer.get_buffer("noise_const").normal_(generator=rng)
    return StyleGAN2Generator(network, name="random", noise=noise)


@pytest.mark.parametrize(
    ("architecture", "taps", "clamp", "noise"),
    [
        *product(("skip", "resnet", "orig"), (4,), (None, 0.6), ("const", 7)),
        ("skip", 3, None, "none"),
        ("resnet", 2, 0.6, "none"),
    ],
)
def test_images_are_those_of_the_plain_form(
    architecture: Literal["skip", "resnet", "orig"],
    taps: int,
    clamp: float | None,
    noise: str | int,
) -> None:
    generator = _generator(architecture=architecture, taps=taps, clamp=clamp, noise=noise)
    for count in (1, 3):
        codes = generator.sample(count, seed=1)
        plain = generator.synthesize(codes).detach()
        scale = plain.abs().max()
        torch.testing.assert_close(
            generator.inference()(codes), plain, rtol=0, atol=2e-6 * scale.item() + 1e-6
        )
        coarse = generator.inference(precision="bfloat16")(codes)
        assert coarse.dtype == torch.float32
        error = (coarse - plain).square().mean()
        assert 10 * torch.log10((2 * scale).square() / error) > 40


def test_every_space_is_taken() -> None:
    generator = _generator(architecture="skip", taps=4, clamp=None, noise="const")
    w = generator.sample(2, seed=1, space="w")
    plain = generator.synthesize(w, "w").detach()
    for space in ("w", "w+", "s", "p"):
        codes = generator.map(w, "w", space)
        torch.testing.assert_close(
            generator.inference(space=space)(codes), plain, rtol=1e-4, atol=1e-5
        )
