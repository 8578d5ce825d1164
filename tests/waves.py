"""Small random StyleGAN3 and BigGAN-deep weights in their projects' layouts, for tests."""

from __future__ import annotations

import numpy as np
import torch
from scipy import signal, special
from torch import Tensor

from directions.generators.biggan import BigGANGenerator
from directions.generators.checkpoints.biggan import biggan_from_state
from directions.generators.checkpoints.stylegan3 import stylegan3_from_state
from directions.generators.stylegan.stylegan3 import StyleGAN3Generator
from directions.generators.stylegan.stylegan3_schedule import StyleGAN3Config, schedule

SMALL = {"num_layers": 5, "margin_size": 4, "num_critical": 1}


def low_pass(taps: int, *, cutoff: float, width: float, rate: float, radial: bool) -> Tensor:
    """The paper's Kaiser-windowed filters, appendix C: a sinc, or for radial ones a jinc."""
    if not radial:
        designed = signal.firwin(numtaps=taps, cutoff=cutoff, width=width, fs=rate)
        return torch.from_numpy(designed).float()
    at = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.hypot(*np.meshgrid(at, at))
    window = np.kaiser(taps, signal.kaiser_beta(signal.kaiser_atten(taps, width / (rate / 2))))
    kernel = special.j1(2 * np.pi * cutoff * r) / (np.pi * r) * np.outer(window, window)
    return torch.from_numpy(kernel / kernel.sum()).float()


def stylegan3_state(
    *,
    seed: int = 0,
    radial: bool = False,
    c_dim: int = 0,
    resolution: int = 16,
    width: int = 8,
    filter_size: int = 6,
    num_layers: int = 5,
    margin_size: int = 4,
    num_critical: int = 1,
) -> dict[str, Tensor]:
    """Weights under NVIDIA's names."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=rng) * scale

    config = StyleGAN3Config(
        resolution, num_layers=num_layers, margin_size=margin_size, num_critical=num_critical
    )
    layers = schedule(config)
    dim = 10
    state = {
        "mapping.fc0.weight": draw(dim, dim * (2 if c_dim else 1), scale=100.0),
        "mapping.fc0.bias": draw(dim, scale=20.0),
        "mapping.fc1.weight": draw(dim, dim, scale=100.0),
        "mapping.fc1.bias": draw(dim, scale=20.0),
        "mapping.w_avg": draw(dim, scale=0.1),
        "synthesis.input.weight": draw(width, width),
        "synthesis.input.freqs": draw(width, 2, scale=layers[0].in_cutoff * 0.6),
        "synthesis.input.phases": torch.rand(width, generator=rng) - 0.5,
        "synthesis.input.transform": torch.eye(3),
        "synthesis.input.affine.weight": draw(4, dim, scale=0.3),
        "synthesis.input.affine.bias": torch.tensor([1.0, 0.2, 0.1, -0.1]),
    }
    if c_dim:
        state["mapping.embed.weight"] = draw(dim, c_dim)
        state["mapping.embed.bias"] = draw(dim)
    kernel = 1 if radial else 3
    for i, layer in enumerate(layers):
        last = i == num_layers
        out = 3 if last else width
        key = f"synthesis.L{i}_{layer.out_size}_{out}"
        k = 1 if last else kernel
        state[f"{key}.weight"] = draw(out, width, k, k)
        state[f"{key}.bias"] = draw(out, scale=0.3)
        state[f"{key}.magnitude_ema"] = torch.rand((), generator=rng) + 0.5
        state[f"{key}.affine.weight"] = draw(width, dim)
        state[f"{key}.affine.bias"] = 1 + draw(width, scale=0.3)
        rate = layer.in_rate * layer.up
        for part, factor, cutoff, half, flat in (
            ("up_filter", layer.up, layer.in_cutoff, layer.in_half_width, True),
            ("down_filter", layer.down, layer.out_cutoff, layer.out_half_width, layer.critical),
        ):
            if not last:
                state[f"{key}.{part}"] = low_pass(
                    filter_size * factor,
                    cutoff=cutoff,
                    width=2 * half,
                    rate=float(rate),
                    radial=radial and not flat,
                )
    return state


def small_stylegan3(*, radial: bool = False) -> StyleGAN3Generator:
    """A StyleGAN3 of 16 pixels and 5 layers, with images within [-1, 1]."""
    return stylegan3_from_state(
        stylegan3_state(radial=radial, seed=1),
        name="small_stylegan3_r" if radial else "small_stylegan3_t",
        init_kwargs={**SMALL, "output_scale": 0.05},
    )


LAYERS = ((False, 8, 8), (True, 8, 4), (True, 4, 2), (False, 2, 1))


def biggan_state(*, seed: int = 0, rows: int = 11, attention: int = 2) -> dict[str, Tensor]:
    """Weights of a BigGAN-deep of 16 pixels under pytorch-pretrained-biggan's names."""
    rng = torch.Generator().manual_seed(seed)
    width, dim, classes = 8, 6, 7
    state: dict[str, Tensor] = {"embeddings.weight": torch.randn(4, classes, generator=rng)}

    def normed(key: str, *shape: int) -> None:
        weight = torch.randn(*shape, generator=rng)
        u, v = torch.randn(shape[0], generator=rng), None
        for _ in range(3):
            v = torch.nn.functional.normalize(weight.flatten(1).T @ u, dim=0)
            u = torch.nn.functional.normalize(weight.flatten(1) @ v, dim=0)
        state[f"{key}.weight_orig"], state[f"{key}.weight_u"] = weight, u
        state[f"{key}.weight_v"] = v

    def statistics(key: str, channels: int) -> None:
        state[f"{key}.running_means"] = torch.randn(rows, channels, generator=rng) * 0.2
        state[f"{key}.running_vars"] = torch.rand(rows, channels, generator=rng) + 0.5

    condition = dim + 4
    normed("generator.gen_z", 4 * 4 * 8 * width, condition)
    state["generator.gen_z.bias"] = torch.randn(128 * width, generator=rng)
    for i, (_, before, after) in enumerate(LAYERS):
        key = f"generator.layers.{i + (i >= attention)}"
        inputs, outputs = before * width, after * width
        middle = inputs // 4
        for j, (c, o, k) in enumerate(
            ((inputs, middle, 1), (middle, middle, 3), (middle, middle, 3), (middle, outputs, 1))
        ):
            statistics(f"{key}.bn_{j}", c)
            normed(f"{key}.bn_{j}.scale", c, condition)
            normed(f"{key}.bn_{j}.offset", c, condition)
            normed(f"{key}.conv_{j}", o, c, k, k)
            state[f"{key}.conv_{j}.bias"] = torch.randn(o, generator=rng) * 0.1
    key, c = f"generator.layers.{attention}", LAYERS[attention][1] * width
    for part, o, i in (("theta", c // 8, c), ("phi", c // 8, c), ("g", c // 2, c)):
        normed(f"{key}.snconv1x1_{part}", o, i, 1, 1)
    normed(f"{key}.snconv1x1_o_conv", c, c // 2, 1, 1)
    state[f"{key}.gamma"] = torch.tensor([0.7])
    statistics("generator.bn", width)
    state["generator.bn.weight"] = 1 + torch.randn(width, generator=rng) * 0.2
    state["generator.bn.bias"] = torch.randn(width, generator=rng) * 0.2
    normed("generator.conv_to_rgb", width, width, 3, 3)
    state["generator.conv_to_rgb.bias"] = torch.randn(width, generator=rng) * 0.1
    return state


def small_biggan() -> BigGANGenerator:
    """A BigGAN-deep of 16 pixels and 7 classes, of class 3."""
    return biggan_from_state(
        biggan_state(), name="small_biggan", config={"layers": LAYERS}, label=3, truncation=0.5
    )
