"""StyleGAN3, both configurations, as one plain torch network.

Alias-Free Generative Adversarial Networks (Karras et al. 2021, arXiv:2106.12423). Every layer is
a band-limited signal on a grid with a margin around the visible canvas; the nonlinearity is
applied at twice the sampling rate between two low-pass filters. Configuration T has 3×3
convolutions and separable filters, R has 1×1 convolutions and radial ones; which it is follows
from the weights.

Weights are kept as they act: the equalized learning rate, the normalization of kernels and the
input gains are folded in when a checkpoint is loaded. Modulation scales the inputs and
demodulation the outputs of an ordinary convolution. There is no noise.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.errors import LatdirError
from directions.fingerprints import Precision, fingerprint
from directions.generators.progressive import EPSILON, GAIN, NEGATIVE_SLOPE, pixel_norm
from directions.generators.stylegan.filtered_lrelu import filtered_leaky_relu
from directions.generators.stylegan.generator import StyleGenerator
from directions.generators.stylegan.network import StyleNetwork
from directions.generators.stylegan.stylegan3_schedule import LayerRates, StyleGAN3Config

__all__ = ["FilteredLayer", "FourierInput", "StyleGAN3", "StyleGAN3Generator"]


class ExactLinear(nn.Linear):
    """A linear layer that stays in its own precision under autocast.

    Codes steer the phases of the input waves: rounded to bfloat16 they would move the image by
    whole pixels.

    Args:
        weight: `[out, in]`.
        bias: `[out]`.
    """

    def __init__(self, weight: Float[Tensor, "o i"], bias: Float[Tensor, "o"]) -> None:
        super().__init__(weight.shape[1], weight.shape[0], device="meta")
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, input: Tensor) -> Tensor:
        """The affine map of `[n, in]`."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input)


class FourierInput(nn.Module):
    """The first signal: waves of fixed frequencies, rotated and moved by w and by the user.

    Args:
        affine: From w to (cos, sin, x, y) of the rotation and translation.
        weight: `[c, c]`, mixes the waves.
        freqs: `[c, 2]`, cycles an image width.
        phases: `[c]`, in turns.
        transform: `[3, 3]`, the user's transform of the canvas.
        layer: Grid of the first layer.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(
        self,
        *,
        affine: nn.Linear,
        weight: Float[Tensor, "c c"],
        freqs: Float[Tensor, "c 2"],
        phases: Float[Tensor, "c"],
        transform: Float[Tensor, "3 3"],
        layer: LayerRates,
    ) -> None:
        super().__init__()
        self.affine = affine
        self.weight = nn.Parameter(weight)
        self.layer = layer
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", phases)
        self.register_buffer("transform", transform)

    def forward(self, style: Float[Tensor, "n 4"]) -> Float[Tensor, "n c h w"]:
        """The waves on the first layer's grid."""
        with torch.autocast(style.device.type, enabled=False):
            return self._waves(style)

    def _waves(self, style: Tensor) -> Tensor:
        cos, sin, x, y = (style / style[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        # The inverse of moving by (x, y) and then turning, since it acts on the coordinates.
        own = torch.stack([cos, -sin, sin * y - cos * x, sin, cos, -sin * x - cos * y], 1)
        matrix = own.reshape(-1, 2, 3) @ self.transform.to(style)
        freqs, phases = self.freqs.to(style), self.phases.to(style)
        # [n, c, 2] and [n, c]
        turned = matrix[:, :, 0:2].transpose(1, 2) @ freqs.T
        fx, fy = turned.unbind(1)
        moved = phases + matrix[:, :, 2] @ freqs.T
        band, nyquist = self.layer.in_cutoff, self.layer.in_rate / 2
        over = (torch.sqrt(fx.square() + fy.square()) - band) / (nyquist - band)
        amplitude = (1 - over).clamp(0, 1)
        side = self.layer.in_size
        # Centers of the pixels of the canvas and its margin; the canvas spans 1.
        at = (torch.arange(side, device=style.device) - (side - 1) / 2).to(style)
        at = at / self.layer.in_rate
        turns = fx[:, None] * at[:, None] + moved[:, None]
        turns = turns[:, None] + (fy[:, None] * at[:, None])[:, :, None]
        waves = torch.sin(2 * math.pi * turns) * amplitude[:, None, None]
        return functional.linear(waves, self.weight).permute(0, 3, 1, 2)


class FilteredLayer(nn.Module):
    """A modulated convolution and its filtered nonlinearity.

    Args:
        affine: From w to one scale an input channel.
        weight: `[o, i, k, k]`, as it acts.
        bias: `[o]`.
        input_gain: `[]`, of the inputs' running magnitude.
        up_taps: `[t]`, or None for the last layer, which has no nonlinearity.
        down_columns: Vertical filters, see `separable`.
        down_rows: Horizontal filters.
        rates: Its grids.
        clamp: Bound on activations, or None.
    """

    input_gain: Tensor
    up_taps: Tensor
    down_columns: Tensor
    down_rows: Tensor

    def __init__(
        self,
        *,
        affine: nn.Linear,
        weight: Float[Tensor, "o i k k"],
        bias: Float[Tensor, "o"],
        input_gain: Float[Tensor, ""],
        up_taps: Float[Tensor, "t"],
        down_columns: Float[Tensor, "rank v"],
        down_rows: Float[Tensor, "rank v"],
        rates: LayerRates,
        clamp: float | None,
        last: bool,
    ) -> None:
        super().__init__()
        self.affine = affine
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.register_buffer("input_gain", input_gain)
        self.register_buffer("up_taps", up_taps)
        self.register_buffer("down_columns", down_columns)
        self.register_buffer("down_rows", down_rows)
        self.rates = rates
        self.clamp = clamp
        self.last = last

    def forward(
        self, x: Float[Tensor, "n i h w"], style: Float[Tensor, "n i"]
    ) -> Float[Tensor, "n o H W"]:
        """The layer's output signal."""
        weight = self.weight.to(style.dtype)
        kernel = weight.shape[-1]
        with torch.autocast(x.device.type, enabled=False):
            gain = self.input_gain.to(style).expand(len(x), len(weight))
            if not self.last:
                power = style.square() @ weight.square().sum((2, 3)).T
                gain = gain * (power + EPSILON).rsqrt()
        x = functional.conv2d(x * style[:, :, None, None].to(x.dtype), weight, padding=kernel - 1)
        x = torch.addcmul(
            self.bias[:, None, None].to(x.dtype), x, gain[:, :, None, None].to(x.dtype)
        )
        if self.last:
            return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
        rates = self.rates
        before, _ = rates.padding(kernel, len(self.up_taps), self.down_rows.shape[1])
        return filtered_leaky_relu(
            x,
            up_taps=self.up_taps,
            down_columns=self.down_columns,
            down_rows=self.down_rows,
            up=rates.up,
            down=rates.down,
            before=before,
            outputs=rates.out_size,
            slope=NEGATIVE_SLOPE,
            gain=GAIN,
            clamp=self.clamp,
        )


class StyleGAN3(StyleNetwork):
    """The StyleGAN3 generator; `stylegan3_from_state` makes one.

    Args:
        config: Settings that the weights do not determine.
        dense: The mapping's layers.
        embed: The label's embedding, or None.
        w_avg: `[w]`.
        waves: The input.
        layers: All layers by name, ToRGB last.
    """

    def __init__(
        self,
        config: StyleGAN3Config,
        *,
        dense: Sequence[nn.Linear],
        embed: nn.Linear | None,
        w_avg: Float[Tensor, "w"],
        waves: FourierInput,
        layers: dict[str, FilteredLayer],
    ) -> None:
        super().__init__()
        self.config = config
        self.dense = nn.ModuleList(dense)
        self.embed = embed
        self.register_buffer("w_avg", w_avg)
        self.input = waves
        self.layers = nn.ModuleDict(layers)
        self.c_dim = embed.in_features if embed is not None else 0
        self.z_dim = dense[0].in_features - (embed.out_features if embed is not None else 0)
        self.w_dim = len(w_avg)
        self.num_ws = len(layers) + 1
        self.resolution = config.resolution
        self.style_slots = tuple(range(self.num_ws))
        self.style_names = ("input", *layers)
        self.style_sizes = tuple(self.affine(i).out_features for i in self.style_slots)
        self.image_channels = len(list(layers.values())[-1].weight)

    def affine(self, layer: int) -> nn.Linear:
        """The affine layer of that number; number 0 is the input's."""
        if layer == 0:
            return self.input.affine
        return cast(FilteredLayer, self.layers[self.style_names[layer]]).affine

    def block_of(self, key: str) -> int:
        """Each layer is a block; the waves are the first."""
        part, _, rest = key.partition(".")
        return self.style_names.index(rest.partition(".")[0]) if part == "layers" else 0

    def mapping(self, z: Float[Tensor, "n z"], label: Tensor | None) -> Float[Tensor, "n w"]:
        """Noise, and a one-hot label for conditional ones, to w."""
        x = pixel_norm(z)
        if self.embed is not None:
            x = torch.cat([x, pixel_norm(self.embed(label))], 1)
        for dense in self.dense:
            x = functional.leaky_relu(dense(x), NEGATIVE_SLOPE) * GAIN
        return x

    def synthesis(
        self, styles: Sequence[Float[Tensor, "n _"]], *, noise: str | int
    ) -> Float[Tensor, "n c h w"]:
        """Images of the affine layers' outputs; there is no noise to choose."""
        x = self.input(styles[0])
        for layer, style in zip(self.layers.values(), styles[1:], strict=True):
            x = layer(x, style)
        image: Tensor = x.to(styles[0].dtype) * self.config.output_scale
        return image

    def with_transform(self, transform: Float[Tensor, "3 3"]) -> StyleGAN3:
        """The same weights, not copied, with another transform of the canvas."""
        shared = {id(t): t for t in (*self.parameters(), *self.buffers())}
        twin = copy.deepcopy(self, shared)
        twin.input.transform = transform.to(self.input.transform)
        return twin


class StyleGAN3Generator(StyleGenerator):
    """A StyleGAN3 with its latent spaces, and images that can be moved and turned exactly.

    Layer 0 of `w+` and of `s` is the input's: its four styles (cos, sin, x, y) turn and move the
    whole picture. `noise` is accepted and has no effect.
    """

    network: StyleGAN3

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights, the label, the transform and the constants."""
        config = {"label": self.label, **asdict(self.network.config)}
        return fingerprint(self.network.state_dict(), config)

    def prepared(self, precision: Precision) -> Callable[[Sequence[Tensor]], Tensor]:
        """The synthesis without gradients; convolutions and filters in bfloat16 if wanted."""

        def run(styles: Sequence[Tensor]) -> Tensor:
            half = precision == "bfloat16"
            with torch.autocast(styles[0].device.type, torch.bfloat16, enabled=half):
                network: StyleGAN3 = self._networks(styles[0].dtype)
                return network.synthesis(styles, noise=self.noise)

        return run

    def with_transform(
        self,
        transform: Float[Tensor, "rows columns"] | None = None,
        *,
        rotate: float = 0.0,
        translate: tuple[float, float] = (0.0, 0.0),
    ) -> StyleGAN3Generator:
        """The same generator on a moved canvas, sharing its weights.

        Args:
            transform: Acts on the coordinates of the canvas, whose center is 0, whose sides
                span 1 and whose y points down, before they are looked up, so it is the inverse
                of the change of the image. It replaces any transform set before.
            rotate: In place of `transform`: degrees of counter-clockwise rotation of the image.
            translate: The image is then moved by this number of image widths (right, down).

        Raises:
            LatdirError: Both ways at once, or no invertible 3×3 matrix.
        """
        moved = rotate != 0.0 or translate != (0.0, 0.0)
        if transform is not None and moved:
            raise LatdirError("give a transform, or rotate and translate, not both")
        if transform is None:
            angle = math.radians(rotate)
            cos, sin = math.cos(angle), math.sin(angle)
            right, down = translate
            picture = torch.tensor([[cos, sin, right], [-sin, cos, down], [0.0, 0.0, 1.0]])
            transform = torch.linalg.inv(picture.double())
        if transform.shape != (3, 3) or not bool(torch.linalg.det(transform.double()).abs() > 0):
            raise LatdirError(
                "a transform is an invertible 3×3 matrix of homogeneous coordinates, not one of "
                f"shape {list(transform.shape)}"
                + (" and determinant 0" if transform.shape == (3, 3) else "")
            )
        canvas: StyleGAN3Generator = self._with(network=self.network.with_transform(transform))
        return canvas
