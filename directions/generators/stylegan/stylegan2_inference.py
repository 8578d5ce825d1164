"""StyleGAN2's synthesis prepared for speed, without gradients.

The same function as `StyleGAN2.synthesis`, arranged to save time where it is spent:

* activations stay channels-last, where depthwise filters and convolutions are fastest;
* where a feature map is larger than the weights that read it, images are made one at a time and
  modulation, demodulation and gain are folded into the weights, so that no pass over the map is
  spent on them; where the weights are larger, the whole batch shares them and maps are scaled;
* noise, bias and activation work in place: at 1024 pixels a fresh feature map is 128 MB whose
  pages the system has to supply, which costs more than the arithmetic on it;
* the images of all resolutions add up in float32, whatever the type of the feature maps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.fingerprints import Precision
from directions.generators.stylegan.network import NEGATIVE_SLOPE
from directions.generators.stylegan.resample import upsample2

if TYPE_CHECKING:
    from directions.generators.stylegan.stylegan2 import StyleGAN2

__all__ = ["prepare"]

EPSILON = 1e-8


def prepare(
    network: StyleGAN2, *, precision: Precision, noise: str | int
) -> Callable[[Sequence[Tensor]], Tensor]:
    """Images of styles, as `network.synthesis` makes them.

    Args:
        network: The network; its weights are copied in the type and layout they are used in.
        precision: Type of the feature maps; images are float32 always.
        noise: `const`, `none` or a seed.

    Returns:
        A function of the affine layers' outputs.
    """
    return _Prepared(network, precision=precision, noise=noise)


@dataclass(frozen=True)
class _Layer:
    """A modulated convolution.

    Attributes:
        weight: float32, to fold modulation into.
        shared: The same in the type and layout that a batch is convolved with.
    """

    weight: Tensor
    shared: Tensor
    squares: Tensor
    bias: Tensor
    noise: Tensor | None
    strength: float
    up: bool
    size: int

    def folds(self) -> bool:
        """Whether its feature maps are larger than its weights."""
        outputs, inputs = self.weight.shape[:2]
        return self.size**2 * (inputs + outputs) > 9 * inputs * outputs


class _Prepared:
    def __init__(self, network: StyleGAN2, *, precision: Precision, noise: str | int) -> None:
        self.network, self.noise = network, noise
        self.config = network.config
        self.dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self.layers = {
            name: self._layer(name) for name in network.style_names if "torgb" not in name
        }
        # From here on images are made one at a time.
        self.single = next(
            (
                k
                for k in range(1, len(self.config.channels))
                if self.layers[f"b{4 << k}.conv0"].folds()
                and self.layers[f"b{4 << k}.conv1"].folds()
            ),
            len(self.config.channels),
        )
        kernel = network.taps.outer(network.taps) * 4
        self.kernel = kernel.flip(0, 1)[None, None]
        self.transposed = kernel[None, None]

    def _layer(self, name: str) -> _Layer:
        layer = self.network._layer(name)
        block = int(name.split(".")[0][1:])
        strength = layer.noise_strength.item() if self.config.noise else 0.0
        fixed = self.noise == "const" and strength != 0
        return _Layer(
            weight=layer.weight.detach(),
            shared=_laid_out(layer.weight.detach().to(self.dtype), up=layer.up),
            squares=layer.weight.detach().square().sum((2, 3)).T.contiguous(),
            bias=layer.bias.detach(),
            noise=layer.noise_const if fixed else None,
            strength=strength,
            up=layer.up,
            size=block,
        )

    @torch.inference_mode()
    def __call__(self, styles: Sequence[Float[Tensor, "n _"]]) -> Float[Tensor, "n 3 h w"]:
        n = len(styles[0])
        style = {name: s.float() for name, s in zip(self.network.style_names, styles, strict=True)}
        drawn = self._drawn(n)
        const = self.network.const.to(self.dtype).expand(n, -1, -1, -1)
        x = const.contiguous(memory_format=torch.channels_last)
        image = x.new_zeros(n, self.config.image_channels, 4, 4, dtype=torch.float32)
        shared = 1 if n == 1 else self.single
        for k in range(shared):
            x, image = self._block(k, x, image, style, drawn, fold=n == 1)
        if shared == len(self.config.channels):
            return image
        images = []
        for i in range(n):
            one = {name: s[i : i + 1] for name, s in style.items()}
            noise = {name: z[i : i + 1] for name, z in drawn.items()}
            x_i = x[i : i + 1].contiguous(memory_format=torch.channels_last)
            image_i = image[i : i + 1]
            for k in range(shared, len(self.config.channels)):
                x_i, image_i = self._block(k, x_i, image_i, one, noise, fold=True)
            images.append(image_i)
        return torch.cat(images)

    def _drawn(self, count: int) -> dict[str, Tensor]:
        """Fresh noise of all layers, drawn in the order the synthesis draws it."""
        if not isinstance(self.noise, int) or not self.config.noise:
            return {}
        # On the CPU, so that a seed means the same noise on every device.
        rng = torch.Generator().manual_seed(self.noise)
        return {
            name: torch.randn(count, 1, layer.size, layer.size, generator=rng)
            for name, layer in self.layers.items()
        }

    def _block(
        self,
        k: int,
        x: Tensor,
        image: Tensor,
        style: dict[str, Tensor],
        drawn: dict[str, Tensor],
        *,
        fold: bool,
    ) -> tuple[Tensor, Tensor]:
        c, size = self.config, 4 << k
        residual = k > 0 and c.architecture == "resnet"
        gain = math.sqrt(0.5) if residual else 1.0
        shortcut = None
        if k:
            image = self._upsampled(image)
            if residual:
                skip = cast(Tensor, self.network.skips[k - 1].weight).to(x.dtype) * gain
                shortcut = self._upsampled(functional.conv2d(x, skip))
            x = self._convolved(x, f"b{size}.conv0", style, drawn, fold=fold, gain=1.0)
        x = self._convolved(x, f"b{size}.conv1", style, drawn, fold=fold, gain=gain)
        if shortcut is not None:
            x = x.add_(shortcut)
        name = f"b{size}.torgb"
        return x, image + self._rgb(x, name, style[name]) if name in style else image

    def _convolved(
        self,
        x: Tensor,
        name: str,
        style: dict[str, Tensor],
        drawn: dict[str, Tensor],
        *,
        fold: bool,
        gain: float,
    ) -> Tensor:
        layer, s = self.layers[name], style[name]
        gain *= math.sqrt(2)
        scale = (s.square() @ layer.squares + EPSILON).rsqrt_().mul_(gain)
        if fold:
            folded = layer.weight * s[0, None, :, None, None]
            folded = folded.mul_(scale[0, :, None, None, None])
            weight = _laid_out(folded.to(x.dtype), up=layer.up)
        else:
            weight = layer.shared
            x = x * s[:, :, None, None].to(x.dtype)
        if layer.up:
            x = self._blurred(functional.conv_transpose2d(x, weight, stride=2))
        else:
            x = functional.conv2d(x, weight, padding=1)
        if not fold:
            x = x.mul_(scale[:, :, None, None].to(x.dtype))
        noise = drawn.get(name, layer.noise)
        if noise is not None and layer.strength:
            x = x.add_((noise * (layer.strength * gain)).to(x))
        x = x.add_((layer.bias * gain)[:, None, None].to(x.dtype))
        x = functional.leaky_relu_(x, NEGATIVE_SLOPE)
        bound = self.config.conv_clamp
        return (
            x
            if bound is None
            else x.clamp_(-bound * gain / math.sqrt(2), bound * gain / math.sqrt(2))
        )

    def _rgb(self, x: Tensor, name: str, s: Tensor) -> Tensor:
        rgb = self.network._rgb(name)
        weight = rgb.weight[None, :, :, 0, 0] * (s / math.sqrt(s.shape[1]))[:, None]
        n, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(n, height * width, channels)
        out = (rows @ weight.transpose(1, 2).to(x.dtype)).float() + rgb.bias
        bound = self.config.conv_clamp
        if bound is not None:
            out = out.clamp_(-bound, bound)
        return out.view(n, height, width, -1).permute(0, 3, 1, 2)

    def _blurred(self, x: Tensor) -> Tensor:
        """`resample.blur_transposed` as one depthwise convolution."""
        t = self.kernel.shape[-1]
        before, after = (t + 1) // 2 - 1, (t - 2) // 2
        if before != after:
            x = functional.pad(x, (before, after, before, after))
        kernel = self.kernel.to(x).expand(x.shape[1], 1, t, t)
        return functional.conv2d(
            x, kernel, padding=before if before == after else 0, groups=x.shape[1]
        )

    def _upsampled(self, x: Tensor) -> Tensor:
        """`resample.upsample2` without the zeros between the pixels."""
        t, c = self.kernel.shape[-1], x.shape[1]
        if t % 2:
            return upsample2(x, self.network.taps)
        kernel = self.transposed.to(x).expand(c, 1, t, t)
        return functional.conv_transpose2d(x, kernel, stride=2, padding=t // 2 - 1, groups=c)


def _laid_out(weight: Tensor, *, up: bool) -> Tensor:
    """A kernel as its convolution takes it, channels last; transposed for doubling."""
    kernel = weight.transpose(0, 1) if up else weight
    return kernel.contiguous(memory_format=torch.channels_last)
