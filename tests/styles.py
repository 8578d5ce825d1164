"""Small random generators of the style family, of known shape, for tests."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from directions.generators.checkpoints.progan import progan_from_state
from directions.generators.checkpoints.stylegan1 import stylegan1_from_state
from directions.generators.checkpoints.stylegan2 import stylegan2_from_state
from directions.generators.progan import ProGAN
from directions.generators.stylegan.generator import StyleGenerator
from directions.generators.stylegan.stylegan2_generator import StyleGAN2Generator


class _Random:
    """Random tensors of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=self.rng) * scale


def small_stylegan2(
    *,
    seed: int = 0,
    z_dim: int = 10,
    w_dim: int = 12,
    channels: tuple[int, ...] = (8, 8, 6),
    depth: int = 3,
    c_dim: int = 0,
    scale: float = 0.1,
) -> StyleGenerator:
    """A StyleGAN2 of 4 · 2^(blocks - 1) pixels in NVIDIA's layout.

    Args:
        seed: Of all weights.
        z_dim: Coordinates of z.
        w_dim: Coordinates of w.
        channels: Of each block.
        depth: Mapping layers.
        c_dim: Number of classes.
        scale: Of the colors, to keep images within [-1, 1].
    """
    draw = _Random(seed)
    embed = w_dim if c_dim else 0
    state = {"synthesis.b4.const": draw(channels[0], 4, 4)}
    if c_dim:
        state["mapping.embed.weight"] = draw(w_dim, c_dim)
        state["mapping.embed.bias"] = draw(w_dim)
    for i in range(depth):
        state[f"mapping.fc{i}.weight"] = draw(w_dim, w_dim if i else z_dim + embed, scale=100.0)
        state[f"mapping.fc{i}.bias"] = draw(w_dim, scale=20.0)
    for k, width in enumerate(channels):
        block, size = f"synthesis.b{4 << k}", 4 << k
        before = channels[max(0, k - 1)]
        for name, inputs in (("conv0", before), ("conv1", width))[k == 0 :]:
            state[f"{block}.{name}.weight"] = draw(width, inputs, 3, 3)
            state[f"{block}.{name}.bias"] = draw(width, scale=0.2)
            state[f"{block}.{name}.noise_const"] = draw(size, size)
            state[f"{block}.{name}.noise_strength"] = draw(1, scale=0.1).reshape(())
            state[f"{block}.{name}.affine.weight"] = draw(inputs, w_dim)
            state[f"{block}.{name}.affine.bias"] = 1 + draw(inputs, scale=0.1)
        state[f"{block}.torgb.weight"] = draw(3, width, 1, 1, scale=scale)
        state[f"{block}.torgb.bias"] = draw(3, scale=0.1)
        state[f"{block}.torgb.affine.weight"] = draw(width, w_dim)
        state[f"{block}.torgb.affine.bias"] = 1 + draw(width, scale=0.1)
    network = stylegan2_from_state({**state, "mapping.w_avg": torch.zeros(w_dim)})
    generator = StyleGAN2Generator(network, name="small_stylegan2")
    if not c_dim:
        network.w_avg = generator.sample(4096, seed=1, space="w").mean(0)
    return generator


def small_stylegan1(*, seed: int = 0, channels: tuple[int, ...] = (8, 8, 6)) -> StyleGenerator:
    """A StyleGAN in genforce's layout, with tanh to keep images within [-1, 1]."""
    draw = _Random(seed)
    width = 12
    state = {"synthesis.lod": torch.zeros(()), "truncation.w_avg": torch.zeros(width)}
    for i in range(2):
        state[f"mapping.dense{i}.weight"] = draw(width, width, scale=100.0)
        state[f"mapping.dense{i}.bias"] = draw(width, scale=20.0)
    for i in range(2 * len(channels)):
        outputs, inputs = channels[i // 2], channels[max(0, i - 1) // 2]
        layer = f"synthesis.layer{i}"
        if i == 0:
            state[f"{layer}.const"] = draw(1, outputs, 4, 4)
        else:
            state[f"{layer}.weight"] = draw(outputs, inputs, 3, 3)
        state[f"{layer}.bias"] = draw(outputs, scale=0.2)
        state[f"{layer}.style.weight"] = draw(2 * outputs, width, scale=0.5)
        state[f"{layer}.style.bias"] = draw(2 * outputs, scale=0.2)
        state[f"{layer}.apply_noise.weight"] = draw(outputs, scale=0.1)
        state[f"{layer}.apply_noise.noise"] = draw(1, 1, 4 << i // 2, 4 << i // 2)
    for k, outputs in enumerate(channels):
        state[f"synthesis.output{k}.weight"] = draw(3, outputs, 1, 1, scale=0.5)
        state[f"synthesis.output{k}.bias"] = draw(3, scale=0.1)
    generator = stylegan1_from_state(state, name="small_stylegan1", final_tanh=True)
    generator.network.w_avg = generator.sample(4096, seed=1, space="w").mean(0)
    return generator


def small_progan(*, seed: int = 0, channels: tuple[int, ...] = (8, 8, 6)) -> ProGAN:
    """A PGGAN in genforce's layout, with tanh to keep images within [-1, 1]."""
    draw = _Random(seed)
    state = {"lod": torch.zeros(())}
    for i in range(2 * len(channels)):
        outputs, inputs = channels[i // 2], channels[max(0, i - 1) // 2] if i else 10
        side = 3 if i else 4
        state[f"layer{i}.weight"] = draw(outputs, inputs, side, side)
        state[f"layer{i}.bias"] = draw(outputs, scale=0.2)
    for k, outputs in enumerate(channels):
        state[f"output{k}.weight"] = draw(3, outputs, 1, 1, scale=1 / math.sqrt(2))
        state[f"output{k}.bias"] = draw(3, scale=0.1)
    return progan_from_state(state, name="small_progan", final_tanh=True)
