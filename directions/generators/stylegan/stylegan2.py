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
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.generators.layers import Activations
from directions.generators.progressive import EPSILON, GAIN, NEGATIVE_SLOPE, pixel_norm
from directions.generators.stylegan.network import StyleNetwork
from directions.generators.stylegan.resample import blur_transposed, upsample2

__all__ = [
    "ModulatedConv",
    "PlainSynthesis",
    "StyleGAN2",
    "StyleGAN2Config",
    "Synthesis",
    "ToRGB",
    "Watched",
    "convolve",
    "laid_out",
]


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


class ModulatedConv(nn.Module):
    """The weights of a modulated convolution with noise, bias and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int, *, up: bool, w_dim: int) -> None:
        super().__init__()
        self.up = up
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.zeros(size, size))

    noise_const: Tensor


class ToRGB(nn.Module):
    """The weights of a modulated 1×1 convolution without demodulation."""

    def __init__(self, inputs: int, outputs: int, *, w_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def kernel(self, dtype: torch.dtype) -> Float[Tensor, "o i 1 1"]:
        """The weight as it acts on modulated features."""
        return self.weight.to(dtype) / math.sqrt(self.weight.shape[1])


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
                self.layers.append(ModulatedConv(before, width, size, up=True, w_dim=c.w_dim))
                if c.architecture == "resnet":
                    self.skips.append(nn.Conv2d(before, width, 1, bias=False))
            slots.append(len(self.layers))
            names.append(f"b{size}.conv1")
            self.layers.append(ModulatedConv(width, width, size, up=False, w_dim=c.w_dim))
            if last or c.architecture == "skip":
                # ToRGB reads the slot of the next block's first convolution.
                slots.append(len(self.layers))
                names.append(f"b{size}.torgb")
                self.rgbs.append(ToRGB(width, c.image_channels, w_dim=c.w_dim))
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

    def layer(self, name: str) -> ModulatedConv:
        """The convolution of a style name."""
        return cast(ModulatedConv, self.get_submodule(self.module_path(name)))

    def rgb(self, name: str) -> ToRGB:
        """The color layer of a style name."""
        return cast(ToRGB, self.get_submodule(self.module_path(name)))

    def affine(self, layer: int) -> nn.Linear:
        """The affine layer of that number."""
        module = self.get_submodule(self.module_path(self.style_names[layer]))
        return cast(ModulatedConv | ToRGB, module).affine

    def block_of(self, key: str) -> int:
        """By resolution: a layer to twice the resolution is of the block that it leads to."""
        part, _, number = key.partition(".")
        at = int(number.partition(".")[0] or 0)
        match part:
            case "layers":
                return (at + 1) // 2
            case "rgbs":
                return at if self.config.architecture == "skip" else len(self.config.channels) - 1
            case "skips":
                return at + 1
            case _:
                return 0

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
        named = dict(zip(self.style_names, styles, strict=True))
        return PlainSynthesis(self, named, noise=noise).image()


class Synthesis(ABC):
    """The blocks of a StyleGAN2, for any form of its layers.

    The network's own form, the fast one and the linear one differ in how they compute a layer.

    Args:
        network: Whose blocks they are.
    """

    def __init__(self, network: StyleGAN2) -> None:
        self.network, self.config = network, network.config

    @abstractmethod
    def convolve(self, x: Tensor, name: str, *, gain: float) -> Tensor:
        """The modulated convolution of that style name, with noise, bias and activation."""

    @abstractmethod
    def to_rgb(self, x: Tensor, name: str) -> Tensor:
        """The colors of features, by the layer of that style name."""

    def blocks(
        self, x: Tensor, image: Tensor | None = None, *, start: int = 0, stop: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Features and image after some of the blocks; the image is None where none has colors.

        Args:
            x: Features before block `start`.
            image: Image before it.
            start: First block.
            stop: The block to stop before; by default the last has its turn.
        """
        network, taps = self.network, self.network.taps
        for k in range(start, len(self.config.channels) if stop is None else stop):
            block, gain, shortcut = f"b{4 << k}", 1.0, None
            if k:
                image = None if image is None else upsample2(image, taps)
                if self.config.architecture == "resnet":
                    gain = math.sqrt(0.5)
                    weight = cast(nn.Conv2d, network.skips[k - 1]).weight * gain
                    shortcut = upsample2(functional.conv2d(x, weight.to(x.dtype)), taps)
                x = self.convolve(x, f"{block}.conv0", gain=1.0)
            x = self.convolve(x, f"{block}.conv1", gain=gain)
            x = x if shortcut is None else x + shortcut
            if f"{block}.torgb" in network.style_names:
                colors = self.to_rgb(x, f"{block}.torgb")
                image = colors if image is None else image + colors
        return x, image


class PlainSynthesis(Synthesis):
    """Differentiable images, in the styles' precision.

    Args:
        network: The network.
        styles: Outputs `[n, _]` of the affine layers, by style name.
        noise: `const`, `none` or a seed.
    """

    def __init__(
        self, network: StyleGAN2, styles: Mapping[str, Tensor], *, noise: str | int
    ) -> None:
        super().__init__(network)
        self.styles = styles
        self.noise = noise if self.config.noise else "none"
        # Drawn on the CPU, so that a seed means the same noise on every device.
        self.rng = torch.Generator().manual_seed(noise) if isinstance(noise, int) else None

    def image(self) -> Float[Tensor, "n c h w"]:
        """The images of the styles."""
        first = next(iter(self.styles.values()))
        image = self.blocks(self.network.const.to(first.dtype).expand(len(first), -1, -1, -1))[1]
        return cast(Tensor, image)

    def convolve(self, x: Tensor, name: str, *, gain: float) -> Tensor:
        """The modulated convolution of that style name, with noise, bias and activation."""
        c, d = self.modulated(x, name)
        return self.activated(self.shifted(c * d, name), gain)

    def modulated(self, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """The raw convolution c = W ∗ (s x) and its demodulation d."""
        layer, s = self.network.layer(name), self.styles[name]
        weight = layer.weight.to(x.dtype)
        if x.dtype == torch.float16:
            # As the original does: demodulation undoes these scales, without which sums overflow.
            weight = weight / (weight.abs().amax((1, 2, 3), True) * math.sqrt(weight[0].numel()))
            s = s / s.abs().amax(1, True)
        d = (s.square() @ weight.square().sum((2, 3)).T + EPSILON).rsqrt()
        c = convolve(x * s[:, :, None, None], weight, up=layer.up, taps=self.network.taps)
        return c, d[:, :, None, None]

    def shifted(self, x: Tensor, name: str) -> Tensor:
        """Noise and bias added."""
        layer = self.network.layer(name)
        if self.noise != "none":
            drawn = layer.noise_const
            if self.rng is not None:
                drawn = torch.randn(len(x), 1, *x.shape[2:], generator=self.rng)
            x = x + drawn.to(x) * layer.noise_strength
        return x + layer.bias[:, None, None].to(x.dtype)

    def activated(self, x: Tensor, gain: float) -> Tensor:
        """The leaky ReLU, its gain and the bound."""
        return self.bounded(functional.leaky_relu(x, NEGATIVE_SLOPE) * (GAIN * gain), gain)

    def bounded(self, x: Tensor, gain: float) -> Tensor:
        """Values within the bound on activations, if there is one."""
        bound = self.config.conv_clamp
        return x if bound is None else x.clamp(-bound * gain, bound * gain)

    def to_rgb(self, x: Tensor, name: str) -> Tensor:
        """The colors of features, by the layer of that style name."""
        rgb = self.network.rgb(name)
        colors = functional.conv2d(x * self.styles[name][:, :, None, None], rgb.kernel(x.dtype))
        return self.bounded(colors + rgb.bias[:, None, None].to(x.dtype), 1.0)


class Watched(PlainSynthesis):
    """A synthesis that notes what enters and leaves one of its layers, and stops there."""

    def at(self, name: str) -> Activations:
        """Features at the layer of that style name."""
        self.wanted = name
        self.seen: list[Activations] = []
        first = next(iter(self.styles.values()))
        x = self.network.const.to(first.dtype).expand(len(first), -1, -1, -1)
        image = None
        for k in range(len(self.config.channels)):
            x, image = self.blocks(x, image, start=k, stop=k + 1)
            if self.seen:
                break
        return self.seen[0]

    def convolve(self, x: Tensor, name: str, *, gain: float) -> Tensor:
        """As `Synthesis.convolve`."""
        made = super().convolve(x, name, gain=gain)
        return self._noted(x, name, made)

    def to_rgb(self, x: Tensor, name: str) -> Tensor:
        """As `Synthesis.to_rgb`."""
        return self._noted(x, name, super().to_rgb(x, name))

    def _noted(self, x: Tensor, name: str, made: Tensor) -> Tensor:
        if name == self.wanted:
            modulated = x * self.styles[name][:, :, None, None]
            self.seen.append(Activations(modulated, made, 1))
        return made


def convolve(x: Tensor, weight: Float[Tensor, "o i 3 3"], *, up: bool, taps: Tensor) -> Tensor:
    """W ∗ x, to twice the resolution where `up`."""
    if up:
        x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        return blur_transposed(x, taps)
    return functional.conv2d(x, weight, padding=1)


def laid_out(weight: Float[Tensor, "o i k k"], *, up: bool) -> Float[Tensor, "o i k k"]:
    """The same kernel, in memory as `convolve` reads it of channels-last features."""
    kernel = weight.transpose(0, 1) if up else weight
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return kernel.transpose(0, 1) if up else kernel
