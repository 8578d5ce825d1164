"""StyleGAN as one plain torch network.

A Style-Based Generator Architecture for Generative Adversarial Networks (Karras, Laine, Aila
2019, arXiv:1812.04948). Each layer's style is a scale and a bias a channel, [2C]: adaptive
instance normalization multiplies by 1 + scale and adds the bias.

Weights are kept as they act: the equalized learning rate's constants are folded in when a
checkpoint is loaded, and an upsampling layer is one transposed convolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.generators.progressive import (
    EPSILON,
    NEGATIVE_SLOPE,
    faded_image,
    pixel_norm,
    upconvolve,
)
from directions.generators.stylegan.network import StyleNetwork

__all__ = ["Normalization", "StyleGAN1", "StyleGAN1Config", "noise_shapes"]

Normalization = Literal["instance", "pixel", "none"]


@dataclass(frozen=True)
class StyleGAN1Config:
    """Shape and constants of a StyleGAN generator.

    Attributes:
        z_dim: Coordinates of z.
        w_dim: Coordinates of w.
        channels: Feature channels at 4, 8, 16, … pixels.
        mapping: Outputs of each mapping layer.
        c_dim: Number of classes, 0 for none.
        embed_dim: Coordinates of an embedded label.
        image_channels: Channels of its images.
        normalization: What precedes the styles.
        taps: Taps of the blur after upsampling layers, summing to 1.
        noise: Shape of each layer's noise, one image or one number a channel; None without.
        lod: Level of detail; above 0 for a generator saved while it grew.
        final_tanh: Whether images go through tanh.
    """

    z_dim: int
    w_dim: int
    channels: tuple[int, ...]
    mapping: tuple[int, ...]
    c_dim: int = 0
    embed_dim: int = 0
    image_channels: int = 3
    normalization: Normalization = "instance"
    taps: tuple[float, ...] = (0.25, 0.5, 0.25)
    noise: Literal["spatial", "channel"] | None = "spatial"
    lod: float = 0.0
    final_tanh: bool = False


class _Layer(nn.Module):
    """A convolution, or nothing for the first layer; then noise, bias and style."""

    def __init__(self, inputs: int, outputs: int, size: int, *, kernel: int, w_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, 2 * outputs)
        # 4×4 kernels are those of upsampling layers, [inputs, outputs, 4, 4].
        shape = (inputs, outputs) if kernel == 4 else (outputs, inputs)
        self.weight = nn.Parameter(torch.empty(*shape, kernel, kernel)) if kernel else None
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.size = size


class StyleGAN1(StyleNetwork):
    """The StyleGAN generator.

    Args:
        config: Its shape; the weights are then set by `load_state_dict`.
    """

    taps: Tensor

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__()
        c = self.config = config
        self.z_dim, self.w_dim, self.c_dim = c.z_dim, c.w_dim, c.c_dim
        self.image_channels = c.image_channels
        self.resolution = 4 << len(c.channels) - 1
        widths = [c.z_dim + c.embed_dim, *c.mapping]
        self.embed = nn.Parameter(torch.empty(c.c_dim, c.embed_dim)) if c.c_dim else None
        self.dense = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.register_buffer("w_avg", torch.zeros(c.w_dim))
        self.register_buffer("taps", torch.tensor(c.taps))
        self.const = nn.Parameter(torch.empty(c.channels[0], 4, 4))
        self.layers = nn.ModuleList()
        self.rgbs = nn.ModuleList()
        names = []
        for k, width in enumerate(c.channels):
            size, before = 4 << k, c.channels[max(0, k - 1)]
            names += [f"b{size}.{'conv0' if k else 'const'}", f"b{size}.conv1"]
            self.layers.append(_Layer(before, width, size, kernel=4 if k else 0, w_dim=c.w_dim))
            self.layers.append(_Layer(width, width, size, kernel=3, w_dim=c.w_dim))
            self.rgbs.append(nn.Conv2d(width, c.image_channels, 1))
        for i, layer in enumerate(self.layers):
            if c.noise:
                fixed, scale = noise_shapes(c, i)
                layer.register_buffer("noise_const", torch.zeros(fixed))
                layer.noise_weight = nn.Parameter(torch.zeros(scale))
        self.num_ws = len(self.layers)
        self.style_slots, self.style_names = tuple(range(self.num_ws)), tuple(names)
        self.style_sizes = tuple(2 * w for w in c.channels for _ in range(2))

    def affine(self, layer: int) -> nn.Linear:
        """The affine layer of that number."""
        return self._layer(layer).affine

    def _layer(self, index: int) -> _Layer:
        return cast(_Layer, self.layers[index])

    def block_of(self, key: str) -> int:
        """By resolution."""
        part, _, number = key.partition(".")
        at = int(number.partition(".")[0] or 0)
        return at // 2 if part == "layers" else at

    def mapping(self, z: Float[Tensor, "n z"], label: Tensor | None) -> Float[Tensor, "n w"]:
        """Noise, and a one-hot label for conditional ones, to w."""
        if self.embed is not None and label is not None:
            z = torch.cat([z, label @ self.embed.to(z.dtype)], 1)
        x = pixel_norm(z)
        for dense in self.dense:
            x = functional.leaky_relu(dense(x), NEGATIVE_SLOPE)
        return x

    def synthesis(
        self, styles: Sequence[Float[Tensor, "n _"]], *, noise: str | int
    ) -> Float[Tensor, "n 3 h w"]:
        """Images of the affine layers' outputs, in the order of `style_names`."""
        c = self.config
        image = faded_image(
            self._features(styles, noise),
            lambda k, x: self.rgbs[k](x),
            count=len(c.channels),
            lod=c.lod,
        )
        return image.tanh() if c.final_tanh else image

    def _features(self, styles: Sequence[Tensor], noise: str | int) -> Iterator[Tensor]:
        """Feature maps of each block in turn."""
        # Drawn on the CPU, so that a seed means the same noise on every device.
        rng = torch.Generator().manual_seed(noise) if isinstance(noise, int) else None
        x = self.const.to(styles[0].dtype).expand(len(styles[0]), -1, -1, -1)
        for i, style in enumerate(styles):
            layer = self._layer(i)
            if layer.weight is not None and i % 2 == 0:
                x = self._blurred(upconvolve(x, layer.weight))
            elif layer.weight is not None:
                x = functional.conv2d(x, layer.weight, padding=1)
            if self.config.noise and noise != "none":
                fixed = cast(Tensor, layer.noise_const)
                drawn = fixed if rng is None else torch.randn(len(x), *fixed.shape, generator=rng)
                x = x + drawn.to(x) * cast(Tensor, layer.noise_weight)
            x = functional.leaky_relu(x + layer.bias[:, None, None], NEGATIVE_SLOPE)
            scale, bias = style[:, :, None, None].chunk(2, 1)
            x = self._normalized(x) * (scale + 1) + bias
            if i % 2:
                yield x

    def _normalized(self, x: Tensor) -> Tensor:
        match self.config.normalization:
            case "instance":
                x = x - x.mean((2, 3), keepdim=True)
                return x * (x.square().mean((2, 3), keepdim=True) + EPSILON).rsqrt()
            case "pixel":
                return pixel_norm(x)
            case "none":
                return x

    def _blurred(self, x: Tensor) -> Tensor:
        taps = self.taps.to(x.dtype)
        kernel = (taps[:, None] * taps).expand(x.shape[1], 1, -1, -1)
        return functional.conv2d(x, kernel, padding=len(taps) // 2, groups=x.shape[1])


def noise_shapes(config: StyleGAN1Config, layer: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of a layer's noise and of its strength: one is an image, one counts channels."""
    image = (1, 4 << layer // 2, 4 << layer // 2)
    channels = (config.channels[layer // 2], 1, 1)
    return (image, channels) if config.noise == "spatial" else (channels, image)
