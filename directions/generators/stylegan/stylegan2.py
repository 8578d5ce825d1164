"""StyleGAN2 and StyleGAN2-ADA as one plain torch network.

Analyzing and Improving the Image Quality of StyleGAN (Karras et al. 2020, arXiv:1912.04958);
Training Generative Adversarial Networks with Limited Data (Karras et al. 2020,
arXiv:2006.06676). Skip, resnet and plain architectures, with or without labels and noise.

Weights are kept as they act: the equalized learning rate's constants are folded in when a
checkpoint is loaded. Modulation scales the inputs and demodulation the outputs of an
ordinary convolution, which equals the official per-sample kernels, needs no grouped
convolution, and differentiates in forward mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions import zoo
from directions.fingerprints import Precision
from directions.generators.progressive import pixel_norm
from directions.generators.stylegan.generator import NEGATIVE_SLOPE, StyleGenerator, StyleNetwork
from directions.generators.stylegan.resample import blur_transposed, upsample2
from directions.generators.stylegan.stylegan2_inference import prepare

__all__ = ["STYLEFACE64", "StyleGAN2", "StyleGAN2Config", "styleface64"]

EPSILON = 1e-8
GAIN = math.sqrt(2)


@dataclass(frozen=True)
class StyleGAN2Config:
    """Shape and constants of a StyleGAN2 generator.

    Attributes:
        z_dim: Coordinates of z.
        w_dim: Coordinates of w.
        resolution: Side of its images.
        channels: Feature channels at 4, 8, 16, … pixels.
        mapping: Outputs of each mapping layer.
        c_dim: Number of classes, 0 for none.
        embed_dim: Outputs of the label embedding.
        label_norm: Whether z and the embedded label are normalized separately (StyleGAN2-ADA)
            or together (StyleGAN2).
        image_channels: Channels of its images.
        architecture: `skip`, `resnet` or `orig`.
        taps: Taps of the resampling filter, summing to 1.
        conv_clamp: Bound on activations, or None.
        noise: Whether layers add noise.
    """

    z_dim: int
    w_dim: int
    resolution: int
    channels: tuple[int, ...]
    mapping: tuple[int, ...]
    c_dim: int = 0
    embed_dim: int = 0
    image_channels: int = 3
    architecture: Literal["skip", "resnet", "orig"] = "skip"
    taps: tuple[float, ...] = (0.125, 0.375, 0.375, 0.125)
    conv_clamp: float | None = None
    noise: bool = True
    label_norm: bool = True


STYLEFACE64 = StyleGAN2Config(
    z_dim=100,
    w_dim=256,
    resolution=64,
    channels=(256, 256, 128, 64, 32),
    mapping=(256, 256, 256, 256),
    noise=False,
)


class _Layer(nn.Module):
    """A modulated convolution with noise, bias and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int, *, up: bool, w_dim: int) -> None:
        super().__init__()
        self.up = up
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.zeros(size, size))

    noise_const: Tensor


class _ToRGB(nn.Module):
    """A modulated 1×1 convolution without demodulation."""

    def __init__(self, inputs: int, outputs: int, *, w_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))


class StyleGAN2(StyleNetwork):
    """The StyleGAN2 generator.

    Args:
        config: Its shape; the weights are then set by `load_state_dict`.
    """

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        c = self.config = config
        self.z_dim, self.w_dim, self.c_dim = c.z_dim, c.w_dim, c.c_dim
        self.resolution, self.image_channels = c.resolution, c.image_channels
        widths = [c.z_dim + c.embed_dim, *c.mapping]
        self.embed = nn.Linear(c.c_dim, c.embed_dim) if c.c_dim else None
        self.dense = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.register_buffer("w_avg", torch.zeros(c.w_dim))
        self.register_buffer("taps", torch.tensor(c.taps))
        self.const = nn.Parameter(torch.empty(c.channels[0], 4, 4))
        self.layers = nn.ModuleList()
        self.rgbs = nn.ModuleList()
        self.skips = nn.ModuleList()
        slots, names = [], []
        for k, width in enumerate(c.channels):
            size, last = 4 << k, k == len(c.channels) - 1
            if k:
                before = c.channels[k - 1]
                slots.append(len(self.layers))
                names.append(f"b{size}.conv0")
                self.layers.append(_Layer(before, width, size, up=True, w_dim=c.w_dim))
                if c.architecture == "resnet":
                    self.skips.append(nn.Conv2d(before, width, 1, bias=False))
            slots.append(len(self.layers))
            names.append(f"b{size}.conv1")
            self.layers.append(_Layer(width, width, size, up=False, w_dim=c.w_dim))
            if last or c.architecture == "skip":
                # ToRGB reads the slot of the next block's first convolution.
                slots.append(len(self.layers))
                names.append(f"b{size}.torgb")
                self.rgbs.append(_ToRGB(width, c.image_channels, w_dim=c.w_dim))
        self.num_ws = len(self.layers) + 1
        self.style_slots, self.style_names = tuple(slots), tuple(names)
        self.style_sizes = tuple(self.affine(i).out_features for i in range(len(names)))

    taps: Tensor
    w_avg: Tensor

    def module_path(self, name: str) -> str:
        """Module path of the layer of a style name."""
        block, part = name.split(".")
        k = int(block[1:]).bit_length() - 3
        if part == "torgb":
            return f"rgbs.{k if self.config.architecture == 'skip' else 0}"
        return f"layers.{max(0, 2 * k - (part == 'conv0'))}"

    def _layer(self, name: str) -> _Layer:
        return cast(_Layer, self.get_submodule(self.module_path(name)))

    def _rgb(self, name: str) -> _ToRGB:
        return cast(_ToRGB, self.get_submodule(self.module_path(name)))

    def affine(self, layer: int) -> nn.Linear:
        """The affine layer of that number."""
        module = self.get_submodule(self.module_path(self.style_names[layer]))
        return cast(_Layer | _ToRGB, module).affine

    def mapping(self, z: Float[Tensor, "n z"], label: Tensor | None) -> Float[Tensor, "n w"]:
        """Noise, and a one-hot label for conditional ones, to w."""
        if self.embed is None:
            x = pixel_norm(z)
        elif self.config.label_norm:
            x = torch.cat([pixel_norm(z), pixel_norm(self.embed(label))], 1)
        else:
            x = pixel_norm(torch.cat([z, self.embed(label)], 1))
        for dense in self.dense:
            x = functional.leaky_relu(dense(x), NEGATIVE_SLOPE) * GAIN
        return x

    def synthesis(
        self, styles: Sequence[Float[Tensor, "n _"]], *, noise: str | int
    ) -> Float[Tensor, "n 3 h w"]:
        """Images of the affine layers' outputs, in the order of `style_names`."""
        c = self.config
        style = dict(zip(self.style_names, styles, strict=True))
        random = _noise_source(noise) if c.noise else None
        n = len(styles[0])
        x = self.const.to(styles[0].dtype).expand(n, -1, -1, -1)
        image = x.new_zeros(n, c.image_channels, 4, 4)
        for k in range(len(c.channels)):
            size, residual = 4 << k, k > 0 and c.architecture == "resnet"
            shortcut = None
            if k:
                image = upsample2(image, self.taps)
                if residual:
                    shortcut = upsample2(self.skips[k - 1](x), self.taps) * math.sqrt(0.5)
                x = self._convolve(x, f"b{size}.conv0", style, noise=noise, random=random)
            gain = math.sqrt(0.5) if residual else 1.0
            x = self._convolve(x, f"b{size}.conv1", style, noise=noise, random=random, gain=gain)
            if shortcut is not None:
                x = x + shortcut
            if f"b{size}.torgb" in style:
                image = image + self._to_rgb(x, f"b{size}.torgb", style)
        return image

    def prepared(
        self, *, precision: Precision, noise: str | int
    ) -> Callable[[Sequence[Tensor]], Tensor]:
        """`synthesis` without gradients, several times faster."""
        return prepare(self, precision=precision, noise=noise)

    def _convolve(
        self,
        x: Tensor,
        name: str,
        style: dict[str, Tensor],
        *,
        noise: str | int,
        random: torch.Generator | None,
        gain: float = 1.0,
    ) -> Tensor:
        layer = self._layer(name)
        weight = layer.weight.to(x.dtype)
        s = style[name]
        demodulation = (s.square() @ weight.square().sum((2, 3)).T + EPSILON).rsqrt()
        x = x * s[:, :, None, None]
        if layer.up:
            x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = blur_transposed(x, self.taps)
        else:
            x = functional.conv2d(x, weight, padding=1)
        x = x * demodulation[:, :, None, None]
        if self.config.noise and noise != "none":
            drawn = (
                layer.noise_const
                if random is None
                else torch.randn(len(x), 1, *x.shape[2:], generator=random)
            )
            x = x + drawn.to(x) * layer.noise_strength
        x = functional.leaky_relu(x + layer.bias[:, None, None], NEGATIVE_SLOPE) * (GAIN * gain)
        return _clamped(x, self.config.conv_clamp, gain)

    def _to_rgb(self, x: Tensor, name: str, style: dict[str, Tensor]) -> Tensor:
        rgb = self._rgb(name)
        s = style[name] / math.sqrt(rgb.weight.shape[1])
        x = functional.conv2d(x * s[:, :, None, None], rgb.weight.to(x.dtype))
        return _clamped(x + rgb.bias[:, None, None], self.config.conv_clamp, 1.0)


def styleface64(*, device: str | torch.device = "cpu") -> StyleGenerator:
    """The built-in StyleGAN2 of 64×64 faces; `directions/zoo/styleface64` has its card.

    Args:
        device: Where it runs.

    Example:
        >>> generator = styleface64()
        >>> generator.synthesize(generator.sample(2, seed=0, space="w"), "w").shape
        torch.Size([2, 3, 64, 64])
    """
    network = StyleGAN2(STYLEFACE64)
    network.load_state_dict(network.state_dict() | zoo.load("styleface64"))
    return StyleGenerator(network.to(device), name="styleface64")


def _clamped(x: Tensor, bound: float | None, gain: float) -> Tensor:
    return x if bound is None else x.clamp(-bound * gain, bound * gain)


def _noise_source(noise: str | int) -> torch.Generator | None:
    if isinstance(noise, int):
        # Drawn on the CPU, so that a seed means the same noise on every device.
        return torch.Generator().manual_seed(noise)
    return None
