"""StyleGAN2 generators of the official shapes with random weights, for benchmarks of cost."""

from __future__ import annotations

import math

import torch

from directions.generators.stylegan.stylegan2 import StyleGAN2, StyleGAN2Config
from directions.generators.stylegan.stylegan2_generator import StyleGAN2Generator


def random_stylegan2(
    resolution: int, *, base: int = 16_384, strength: float = 0.0, seed: int = 0
) -> StyleGAN2Generator:
    """A generator whose weights are drawn as before any training.

    Args:
        resolution: Side of its images.
        base: Channels times pixels, up to 512 channels; 16,384 and 32,768 are the official ones.
        strength: Of the noise; 0 is how training begins.
        seed: Seed of the weights.
    """
    sizes = [4 << k for k in range(int(math.log2(resolution)) - 1)]
    channels = tuple(min(base // size, 512) for size in sizes)
    network = StyleGAN2(StyleGAN2Config(512, 512, resolution, channels, mapping=(512,) * 8))
    rng = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name == "taps":
            continue
        if name.endswith("affine.bias"):
            tensor.fill_(1)
        elif name.endswith("strength"):
            tensor.fill_(strength)
        elif name.endswith("bias") or name == "w_avg":
            tensor.zero_()
        else:
            # Pictures and color kernels are kept unscaled, other kernels as they act.
            scaled = not name.startswith(("const", "rgbs")) and "noise" not in name
            fan = tensor[0].numel() if scaled or name.endswith("affine.weight") else 1
            tensor.copy_(torch.randn(tensor.shape, generator=rng) / fan**0.5)
    return StyleGAN2Generator(network, name=f"random-stylegan2-{resolution}")
