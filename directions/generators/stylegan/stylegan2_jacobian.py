"""First-order StyleGAN2 synthesis in its styles, with all code-dependent terms cached.

At given codes the activations, demodulation and clamps of a layer are feature maps to multiply
with: with input x, style s, raw convolution c = W ∗ (s x) and y = g (d(s) c), a tangent moves as

    ẏ = g d (W ∗ (s ẋ + ṡ x)) + (∂d/∂s ṡ) g c,

one convolution, where automatic differentiation in forward mode makes two and passes over many
more intermediate feature maps. The transpose reuses one graph, since the map is linear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.generators.progressive import GAIN, NEGATIVE_SLOPE
from directions.generators.stylegan.stylegan2 import (
    PlainSynthesis,
    StyleGAN2,
    Synthesis,
    convolve,
    laid_out,
)
from directions.numerics.linearized_batch import LinearizedBatch

__all__ = ["footprint", "linearize_synthesis"]

# Of the largest feature map, with what convolutions and the transpose's graph hold on the way.
LIVE_MAPS = 24


def linearize_synthesis(
    network: StyleGAN2, styles: LinearizedBatch, *, noise: str | int = "const"
) -> LinearizedBatch:
    """The images to first order in whatever the styles are known to first order in.

    Args:
        network: The network.
        styles: Of n codes, the outputs of the affine layers side by side, `[n, s]`.
        noise: As for `StyleGAN2.synthesis`.

    Returns:
        From those codes to the images `[n, channels, R, R]`.

    Example:
        >>> from directions.numerics.linearized_batch import linearize_batch
        >>> from directions.generators.stylegan.stylegan2 import StyleGAN2Config
        >>> net = StyleGAN2(StyleGAN2Config(4, 4, 8, (3, 2), (4,)))
        >>> _ = net.load_state_dict({k: torch.ones_like(v) for k, v in net.state_dict().items()})
        >>> model = linearize_synthesis(net, linearize_batch(lambda s: 2 * s, torch.ones(2, 13)))
        >>> model.push(torch.ones(2, 13)).shape, model.push(torch.ones(5, 2, 13)).shape
        (torch.Size([2, 3, 8, 8]), torch.Size([5, 2, 3, 8, 8]))
    """
    sizes = list(network.style_sizes)

    def named(rows: Tensor) -> dict[str, Tensor]:
        return dict(zip(network.style_names, torch.split(rows, sizes, 1), strict=True))

    with torch.no_grad():
        at = _Recorder(network, named(styles.value.detach()), noise=noise)
        value = at.image().contiguous()
    start = value.new_zeros(1, network.config.channels[0], 4, 4)

    def run(tangents: Float[Tensor, "k s"]) -> Float[Tensor, "k c h w"]:
        moved = _Tangents(network, at.layers, named(tangents))
        return cast(Tensor, moved.blocks(start.expand(len(tangents), -1, -1, -1))[1])

    def push(tangents: Tensor) -> Tensor:
        with torch.no_grad():
            turned = styles.push(tangents.to(value))
            made = run(turned.reshape(-1, sum(sizes))).contiguous()
            return made.reshape(*turned.shape[:-1], *value.shape[1:])

    @lru_cache(maxsize=2)
    def graph(count: int) -> tuple[Tensor, Tensor]:
        # The map is linear, so any point will do to transpose it at, once for all cotangents.
        with torch.enable_grad():
            zeros = value.new_zeros(count, sum(sizes)).requires_grad_()
            return zeros, run(zeros)

    def pull(cotangents: Tensor) -> Tensor:
        given = cotangents.to(value).reshape(-1, *value.shape[1:])
        zeros, made = graph(len(given))
        moved = torch.autograd.grad(made, zeros, given, retain_graph=True)[0]
        return styles.pull(moved.reshape(*cotangents.shape[:-3], -1))

    return LinearizedBatch(value, styles.shape, push, pull)


def footprint(network: StyleGAN2, value: Tensor) -> int:
    """Bytes that one tangent needs, roughly, for images like `value`."""
    largest = max(width * (4 << k) ** 2 for k, width in enumerate(network.config.channels))
    return LIVE_MAPS * largest * value.element_size()


@dataclass(frozen=True, eq=False)
class _Modulated:
    """A convolution at fixed styles: what multiplies its tangents, one point or many in turn.

    Attributes:
        x: `[n, c, h, w]`, its input.
        s: `[n, c]`, its style.
        convolve: W ∗, linear.
        straight: `[n, o, H, W]`, g d.
        sideways: `[n, o, H, W]`, g c; None without demodulation.
        cubes: `[n, o]`, -d³; None without demodulation.
        squares: `[o, c]`, squared norms of the kernels, with which ∂d/∂s = -d³ squares s.
    """

    x: Tensor
    s: Tensor
    convolve: Callable[[Tensor], Tensor]
    straight: Tensor
    sideways: Tensor | None = None
    cubes: Tensor | None = None
    squares: Tensor | None = None

    def __call__(self, tangent: Tensor, turned: Float[Tensor, "k c"]) -> Tensor:
        turned = turned.reshape(-1, *self.s.shape)
        inner = torch.addcmul(
            self.x * turned[..., None, None],
            tangent.reshape(-1, *self.x.shape),
            self.s[:, :, None, None],
        )
        moved = self.convolve(inner.flatten(0, 1))
        moved = moved.reshape(-1, len(self.s), *moved.shape[1:]) * self.straight
        if self.sideways is not None and self.cubes is not None and self.squares is not None:
            scales = (turned * self.s) @ self.squares.T * self.cubes
            moved = torch.addcmul(moved, self.sideways, scales[..., None, None])
        return moved.flatten(0, 1)


class _Recorder(PlainSynthesis):
    """Synthesis at given codes that records the terms its tangents need."""

    def __init__(
        self, network: StyleGAN2, styles: Mapping[str, Tensor], *, noise: str | int
    ) -> None:
        super().__init__(network, styles, noise=noise)
        self.layers: dict[str, _Modulated] = {}

    def convolve(self, x: Tensor, name: str, *, gain: float) -> Tensor:
        layer, s, taps = self.network.layer(name), self.styles[name], self.network.taps
        c, d = self.modulated(x, name)
        before = self.shifted(c * d, name)
        y = self.activated(before, gain)
        g = torch.where(before > 0, GAIN * gain, GAIN * gain * NEGATIVE_SLOPE)
        if self.config.conv_clamp is not None:
            g = g * (y.abs() < self.config.conv_clamp * gain)
        weight, up = laid_out(layer.weight.detach().to(x), up=layer.up), layer.up
        self.layers[name] = _Modulated(
            _last(x),
            s,
            lambda t: convolve(t, weight, up=up, taps=taps),
            _last(g * d),
            _last(g * c),
            -(d[:, :, 0, 0] ** 3),
            weight.square().sum((2, 3)),
        )
        return y

    def to_rgb(self, x: Tensor, name: str) -> Tensor:
        y = super().to_rgb(x, name)
        weight = _last(self.network.rgb(name).kernel(x.dtype).detach())
        gate = torch.ones_like(y[:, :1, :1, :1])
        if self.config.conv_clamp is not None:
            gate = (y.abs() < self.config.conv_clamp).to(y)
        self.layers[name] = _Modulated(
            _last(x),
            self.styles[name],
            lambda t: functional.conv2d(t, weight),
            _last(gate),
        )
        return y


class _Tangents(Synthesis):
    """The blocks of a recorded image, linear in features and styles."""

    def __init__(
        self, network: StyleGAN2, layers: Mapping[str, _Modulated], styles: Mapping[str, Tensor]
    ) -> None:
        super().__init__(network)
        self.layers, self.styles = layers, styles

    def convolve(self, x: Tensor, name: str, *, gain: float) -> Tensor:
        return self.layers[name](x, self.styles[name])

    def to_rgb(self, x: Tensor, name: str) -> Tensor:
        return self.layers[name](x, self.styles[name])


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
