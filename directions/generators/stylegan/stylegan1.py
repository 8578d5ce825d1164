"""StyleGAN as one plain torch network.

A Style-Based Generator Architecture for Generative Adversarial Networks (Karras, Laine, Aila
2019, arXiv:1812.04948). Each layer's style is a scale and a bias a channel, [2C]: adaptive
instance normalization multiplies by 1 + scale and adds the bias.

Weights are kept as they act: the equalized learning rate's constants are folded in when a
checkpoint is loaded, and an upsampling layer is one transposed convolution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.errors import CheckpointError
from directions.generators.checkpoints.state_dict import Weights
from directions.generators.checkpoints.stylegan1 import FusedScale, State, stylegan1_names
from directions.generators.progressive import (
    EPSILON,
    check_blocks,
    faded_image,
    load_weights,
    pixel_norm,
    upconvolve,
    upsampling_kernel,
)
from directions.generators.stylegan.generator import NEGATIVE_SLOPE, StyleGenerator, StyleNetwork

__all__ = ["StyleGAN1", "StyleGAN1Config", "stylegan1_from_state"]

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
                fixed, scale = _noise_shapes(c, i)
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


def stylegan1_from_state(
    state: Mapping[str, Tensor],
    *,
    name: str,
    fused_scale: FusedScale = "auto",
    lr_multiplier: float = 0.01,
    use_wscale: bool = True,
    normalization: Normalization = "instance",
    final_tanh: bool = False,
) -> StyleGenerator:
    """Build a StyleGAN from a state dict of any of the known layouts.

    Args:
        state: Names and tensors as genforce or InterFaceGAN save them, or the variables of the
            official TensorFlow network.
        name: Short name of the generator.
        fused_scale: Which upsampling layers are fused; `auto` is every public model's setting.
        lr_multiplier: Of the mapping network; 0.01 in every public configuration.
        use_wscale: Whether weights are stored before their equalized scale.
        normalization: What precedes the styles; `instance` in every public model.
        final_tanh: Whether images go through tanh.

    Returns:
        The generator in float32 on the CPU. A truncation stored in InterFaceGAN's layout sets
        the number of slots that truncation acts on.

    Raises:
        LatdirError: An unknown layout, a missing key or one left over, named.
    """
    try:
        left = Weights(stylegan1_names(state, fused_scale=fused_scale), family="StyleGAN")
        # Stored by InterFaceGAN: ψ for each layer.
        pulled = left.pop("truncation.truncation", torch.ones(1))
        network = _build(
            left,
            lr_multiplier=lr_multiplier,
            scaled=use_wscale,
            normalization=normalization,
            final_tanh=final_tanh,
        )
    except (IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint has a tensor of a shape that no StyleGAN has: {error}"
        ) from error
    cutoff = int((pulled != 1).sum())
    return StyleGenerator(
        network, name=name, truncation_cutoff=cutoff if 0 < cutoff < network.num_ws else None
    )


def _build(
    left: Weights,
    *,
    lr_multiplier: float,
    scaled: bool,
    normalization: Normalization,
    final_tanh: bool,
) -> StyleGAN1:
    def weight(key: str, gain: float) -> Tensor:
        value = left.take(key)
        return value * gain / math.sqrt(value[0].numel()) if scaled else value

    config = _config(left, normalization=normalization, final_tanh=final_tanh)
    gain = math.sqrt(2)
    made: State = {
        "taps": torch.tensor(config.taps),
        "const": left.take("synthesis.layer0.const")[0],
    }
    made["w_avg"] = left.take("truncation.w_avg")
    if config.c_dim:
        made["embed"] = left.take("mapping.label_weight")
    for i in range(len(config.mapping)):
        made[f"dense.{i}.weight"] = weight(f"mapping.dense{i}.weight", gain) * lr_multiplier
        made[f"dense.{i}.bias"] = left.take(f"mapping.dense{i}.bias") * lr_multiplier
    for i in range(2 * len(config.channels)):
        source, target = f"synthesis.layer{i}", f"layers.{i}"
        if i:
            kernel = weight(f"{source}.weight", gain)
            made[f"{target}.weight"] = kernel if i % 2 else upsampling_kernel(kernel)
        made[f"{target}.bias"] = left.take(f"{source}.bias")
        made[f"{target}.affine.weight"] = weight(f"{source}.style.weight", 1.0)
        made[f"{target}.affine.bias"] = left.take(f"{source}.style.bias")
        if config.noise:
            fixed, scale = _noise_shapes(config, i)
            made[f"{target}.noise_const"] = left.take(f"{source}.apply_noise.noise").reshape(fixed)
            made[f"{target}.noise_weight"] = left.take(f"{source}.apply_noise.weight").reshape(
                scale
            )
    for k in range(len(config.channels)):
        made[f"rgbs.{k}.weight"] = weight(f"synthesis.output{k}.weight", 1.0)
        made[f"rgbs.{k}.bias"] = left.take(f"synthesis.output{k}.bias")
    left.check_all_taken(
        known_as="StyleGAN of this layout",
        spare=lambda key: key.endswith("blur.kernel") or key == "synthesis.lod",
    )
    with torch.device("meta"):
        network = StyleGAN1(config)
    load_weights(network, made)
    return network


def _config(left: Weights, *, normalization: Normalization, final_tanh: bool) -> StyleGAN1Config:
    """Settings determined by the shapes."""
    depth = len([k for k in left if re.fullmatch(r"mapping\.dense\d+\.weight", k)])
    blocks = len([k for k in left if re.fullmatch(r"synthesis\.output\d+\.weight", k)])
    lod = float(left.get("synthesis.lod", torch.zeros(())))
    check_blocks(blocks, lod)
    needed = [f"mapping.dense{i}.weight" for i in range(depth or 1)]
    needed += [f"synthesis.layer{i}.bias" for i in range(2 * blocks)]
    needed += ["synthesis.output0.weight", "synthesis.layer0.style.weight"]
    left.need(*needed)
    embedding = left.get("mapping.label_weight", torch.empty(0, 0))
    noise = left.get("synthesis.layer0.apply_noise.noise")
    blur = next((v for k, v in left.items() if k.endswith("blur.kernel")), None)
    config = StyleGAN1Config(
        z_dim=left["mapping.dense0.weight"].shape[1] - embedding.shape[1],
        w_dim=left["synthesis.layer0.style.weight"].shape[1],
        channels=tuple(len(left[f"synthesis.layer{2 * k}.bias"]) for k in range(blocks)),
        mapping=tuple(len(left[f"mapping.dense{i}.weight"]) for i in range(depth)),
        c_dim=embedding.shape[0],
        embed_dim=embedding.shape[1],
        image_channels=len(left["synthesis.output0.weight"]),
        normalization=normalization,
        taps=StyleGAN1Config.taps if blur is None else tuple(blur[0, 0].sum(0).tolist()),
        noise=None if noise is None else "spatial" if noise.shape[1] == 1 else "channel",
        lod=lod,
        final_tanh=final_tanh,
    )
    if config.mapping[-1] != config.w_dim:
        raise CheckpointError(
            f"the mapping network makes {config.mapping[-1]} coordinates, but a layer reads "
            f"{config.w_dim}: one w for each layer (repeat_w=False) is not supported"
        )
    return config


def _noise_shapes(config: StyleGAN1Config, layer: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of a layer's noise and of its strength: one is an image, one counts channels."""
    image = (1, 4 << layer // 2, 4 << layer // 2)
    channels = (config.channels[layer // 2], 1, 1)
    return (image, channels) if config.noise == "spatial" else (channels, image)
