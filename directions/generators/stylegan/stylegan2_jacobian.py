"""First-order StyleGAN2 synthesis in its styles, with all code-dependent terms cached.

At one code the activations, demodulation and clamps of a layer are feature maps to multiply with:
with input x, style s, raw convolution c = W ∗ (s x) and y = g (d(s) c), a tangent moves as

    ẏ = g d (W ∗ (s ẋ + ṡ x)) + (∂d/∂s ṡ) g c,

one convolution, where automatic differentiation in forward mode makes two and passes over many
more intermediate feature maps. The transpose reuses one graph, since the map is linear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.generators.stylegan.generator import NEGATIVE_SLOPE
from directions.generators.stylegan.resample import blur_transposed, upsample2
from directions.generators.stylegan.stylegan2 import EPSILON, GAIN, StyleGAN2
from directions.numerics.linearized import Linearized

__all__ = ["linearize_synthesis"]

# Of the largest feature map, with what convolutions and the transpose's graph hold on the way.
LIVE_MAPS = 24

Tangents = dict[str, Tensor]


def linearize_synthesis(
    network: StyleGAN2, styles: Linearized, *, noise: str | int = "const"
) -> Linearized:
    """The image to first order in whatever the styles are known to first order in.

    Args:
        network: The network.
        styles: Of a code, the outputs of the affine layers side by side, `[s]`.
        noise: As for `StyleGAN2.synthesis`.

    Returns:
        From that code to the image `[channels, R, R]`.

    Example:
        >>> from directions.numerics.linearized import linearize
        >>> from directions.generators.stylegan.stylegan2 import StyleGAN2Config
        >>> net = StyleGAN2(StyleGAN2Config(4, 4, 8, (3, 2), (4,)))
        >>> _ = net.load_state_dict({k: torch.ones_like(v) for k, v in net.state_dict().items()})
        >>> model = linearize_synthesis(net, linearize(lambda s: 2 * s, torch.ones(13)))
        >>> model.push(torch.ones(5, 13)).shape
        torch.Size([5, 3, 8, 8])
    """
    sizes = list(network.style_sizes)
    with torch.no_grad():
        at = dict(zip(network.style_names, torch.split(styles.value, sizes), strict=True))
        steps, value = _Recorder(network, at, noise=noise).run()

    def run(tangents: Float[Tensor, "k s"]) -> Float[Tensor, "k c h w"]:
        moved = dict(zip(network.style_names, torch.split(tangents, sizes, 1), strict=True))
        x = image = None
        for step in steps:
            x, image = step(x, image, moved)
        assert image is not None
        return image

    def push(tangents: Tensor) -> Tensor:
        with torch.no_grad():
            return run(styles.push(tangents.to(value))).contiguous()

    @lru_cache(maxsize=2)
    def graph(count: int) -> tuple[Tensor, Tensor]:
        # The map is linear, so any point will do to transpose it at, once for all cotangents.
        with torch.enable_grad():
            zeros = value.new_zeros(count, sum(sizes)).requires_grad_()
            return zeros, run(zeros)

    def pull(cotangents: Tensor) -> Tensor:
        zeros, made = graph(len(cotangents))
        moved = torch.autograd.grad(made, zeros, cotangents.to(value), retain_graph=True)[0]
        return styles.pull(moved)

    largest = max(width * (4 << k) ** 2 for k, width in enumerate(network.config.channels))
    footprint = LIVE_MAPS * largest * value.element_size()
    return Linearized(value, styles.shape, push, pull, max(footprint, styles.footprint))


Step = Callable[[Tensor | None, Tensor | None, Tangents], tuple[Tensor | None, Tensor | None]]
"""Tangents of features and image, and of the styles, to those of features and image."""


@dataclass(frozen=True, eq=False)
class _Modulated:
    """A convolution at fixed styles: what multiplies its tangents.

    Attributes:
        name: Of its style.
        x: `[1, c, h, w]`, its input.
        s: `[1, c, 1, 1]`, its style.
        convolve: W ∗, linear.
        straight: `[1, o, H, W]`, g d.
        sideways: `[1, o, H, W]`, g c; None without demodulation.
        slope: `[o, c]`, ∂d/∂s.
    """

    name: str
    x: Tensor
    s: Tensor
    convolve: Callable[[Tensor], Tensor]
    straight: Tensor
    sideways: Tensor | None = None
    slope: Tensor | None = None

    def __call__(self, tangent: Tensor | None, styles: Tangents) -> Tensor:
        turned = styles[self.name]
        inner = self.x * turned[:, :, None, None]
        if tangent is not None:
            inner = torch.addcmul(inner, tangent, self.s)
        moved = self.convolve(inner) * self.straight
        if self.sideways is not None and self.slope is not None:
            scales = (turned @ self.slope.T)[:, :, None, None]
            moved = torch.addcmul(moved, self.sideways, scales)
        return moved


class _Recorder:
    """Synthesis at one code that records the terms its tangents need."""

    def __init__(
        self, network: StyleGAN2, styles: Mapping[str, Tensor], *, noise: str | int
    ) -> None:
        self.network, self.config, self.noise = network, network.config, noise
        self.styles = {name: s.detach()[None] for name, s in styles.items()}
        self.random = (
            torch.Generator().manual_seed(noise)
            if isinstance(noise, int) and self.config.noise
            else None
        )

    def run(self) -> tuple[list[Step], Tensor]:
        """The steps of a tangent, and the image `[channels, R, R]`."""
        network, taps = self.network, self.network.taps
        first = next(iter(self.styles.values()))
        x = _last(network.const.detach().to(first)[None])
        image = x.new_zeros(1, self.config.image_channels, 4, 4)
        steps: list[Step] = []
        for k in range(len(self.config.channels)):
            size, residual = 4 << k, k > 0 and self.config.architecture == "resnet"
            gain = math.sqrt(0.5) if residual else 1.0
            layers, shortcut = [], None
            if k:
                image = upsample2(image, taps)
                if residual:
                    skip: Any = network.skips[k - 1]
                    shortcut = _shortcut(skip.weight.detach().to(x) * gain, taps)
                    aside = shortcut(x)
                layer, x = self._convolve(x, f"b{size}.conv0", gain=1.0)
                layers.append(layer)
            layer, x = self._convolve(x, f"b{size}.conv1", gain=gain)
            layers.append(layer)
            if shortcut is not None:
                x = x + aside
            rgb = None
            if f"b{size}.torgb" in self.styles:
                rgb, colors = self._to_rgb(x, f"b{size}.torgb")
                image = image + colors
            steps.append(_block(layers, shortcut, rgb, taps))
        return steps, image[0].contiguous()

    def _convolve(self, x: Tensor, name: str, *, gain: float) -> tuple[_Modulated, Tensor]:
        layer: Any = self.network.get_submodule(self.network.module_path(name))
        s, weight = self.styles[name], layer.weight.detach().to(x)
        squares = weight.square().sum((2, 3))
        d = (s.square() @ squares.T + EPSILON).rsqrt()
        convolve = _up(weight, self.network.taps) if layer.up else _plain(weight)
        c = convolve(x * s[:, :, None, None])
        y = c * d[:, :, None, None]
        if self.config.noise and self.noise != "none":
            drawn = (
                layer.noise_const
                if self.random is None
                else torch.randn(1, 1, *y.shape[2:], generator=self.random)
            )
            y = y + drawn.to(y) * layer.noise_strength
        before = y + layer.bias[:, None, None].to(y)
        total = GAIN * gain
        y = functional.leaky_relu(before, NEGATIVE_SLOPE) * total
        g = torch.where(before > 0, total, total * NEGATIVE_SLOPE)
        if self.config.conv_clamp is not None:
            bound = self.config.conv_clamp * gain
            g, y = g * (y.abs() <= bound), y.clamp(-bound, bound)
        kept = _Modulated(
            name,
            _last(x),
            s[:, :, None, None],
            convolve,
            _last(g * d[:, :, None, None]),
            _last(g * c),
            -(d**3).T * squares * s,
        )
        return kept, y

    def _to_rgb(self, x: Tensor, name: str) -> tuple[_Modulated, Tensor]:
        layer: Any = self.network.get_submodule(self.network.module_path(name))
        weight = layer.weight.detach().to(x) / math.sqrt(layer.weight.shape[1])
        s, convolve = self.styles[name][:, :, None, None], _plain(weight)
        y = convolve(x * s) + layer.bias[:, None, None].to(x)
        gate = torch.ones_like(y[:, :1, :1, :1])
        if self.config.conv_clamp is not None:
            gate = (y.abs() <= self.config.conv_clamp).to(y)
            y = y.clamp(-self.config.conv_clamp, self.config.conv_clamp)
        return _Modulated(name, _last(x), s, convolve, gate), y


def _block(
    layers: Sequence[_Modulated],
    shortcut: Callable[[Tensor], Tensor] | None,
    rgb: _Modulated | None,
    taps: Tensor,
) -> Step:
    def step(
        x: Tensor | None, image: Tensor | None, styles: Tangents
    ) -> tuple[Tensor | None, Tensor | None]:
        image = None if image is None else upsample2(image, taps)
        aside = None if shortcut is None or x is None else shortcut(x)
        for layer in layers:
            x = layer(x, styles)
        if aside is not None and x is not None:
            x = x + aside
        if rgb is not None:
            colors = rgb(x, styles)
            image = colors if image is None else image + colors
        return x, image

    return step


def _plain(weight: Tensor) -> Callable[[Tensor], Tensor]:
    weight = _last(weight)
    return lambda x: functional.conv2d(x, weight, padding=weight.shape[2] // 2)


def _up(weight: Tensor, taps: Tensor) -> Callable[[Tensor], Tensor]:
    turned = _last(weight.transpose(0, 1))
    return lambda x: blur_transposed(functional.conv_transpose2d(x, turned, stride=2), taps)


def _shortcut(weight: Tensor, taps: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: upsample2(functional.conv2d(x, weight), taps)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
