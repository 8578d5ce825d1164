"""StyleGAN2's synthesis prepared for speed, without gradients.

The same function as `StyleGAN2.synthesis`, arranged to save time where it is spent:

* activations stay channels-last, where depthwise filters and convolutions are fastest;
* on a CPU, where a feature map is larger than the weights that read it, images are made one at a
  time and modulation, demodulation and gain are folded into the weights, so that no pass over the
  map is spent on them; elsewhere the whole batch shares the weights and maps are scaled;
* noise, bias and activation work in place: at 1024 pixels a fresh feature map is 128 MB whose
  pages the system has to supply, which costs more than the arithmetic on it;
* the images of all resolutions add up in float32, whatever the type of the feature maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.fingerprints import Precision
from directions.generators.progressive import EPSILON, GAIN, NEGATIVE_SLOPE
from directions.generators.stylegan.stylegan2 import StyleGAN2, Synthesis, convolve, laid_out

__all__ = ["prepare"]


def prepare(
    network: StyleGAN2, *, precision: Precision, noise: str | int
) -> Callable[[Sequence[Float[Tensor, "n _"]]], Float[Tensor, "n 3 h w"]]:
    """Images of styles, as `network.synthesis` makes them.

    Args:
        network: The network; its weights are copied in the type and layout they are used in.
        precision: Type of the feature maps; images are float32 always.
        noise: `const`, `none` or a seed.

    Returns:
        A function of the affine layers' outputs.
    """
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    strengths = network.config.noise and noise != "none"
    layers = {
        name: _Layer.of(network, name, dtype, noisy=strengths)
        for name in network.style_names
        if "torgb" not in name
    }
    blocks = len(network.config.channels)
    alone = (
        k
        for k in range(1, blocks)
        if layers[f"b{4 << k}.conv0"].folds() and layers[f"b{4 << k}.conv1"].folds()
    )
    # From here on images are made one at a time; a card makes the batch at once.
    single = next(alone, blocks) if network.const.device.type == "cpu" else blocks

    @torch.inference_mode()
    def run(styles: Sequence[Tensor]) -> Tensor:
        n = len(styles[0])
        named = {k: s.float() for k, s in zip(network.style_names, styles, strict=True)}
        drawn = {}
        if isinstance(noise, int) and network.config.noise:
            # On the CPU, so that a seed means the same noise on every device.
            rng = torch.Generator().manual_seed(noise)
            drawn = {
                name: torch.randn(n, 1, layer.size, layer.size, generator=rng)
                for name, layer in layers.items()
            }
        shared = _Fast(network, layers, named, drawn)
        const = network.const.to(dtype).expand(n, -1, -1, -1)
        stop = blocks if n == 1 else single
        x, image = shared.blocks(_channels_last(const), stop=stop)
        images = [image]
        if stop < blocks:
            images = []
            for i in range(n):
                one = shared.of(i)
                begun = None if image is None else image[i : i + 1]
                images.append(one.blocks(_channels_last(x[i : i + 1]), begun, start=stop)[1])
        return torch.cat([made for made in images if made is not None])

    return run


@dataclass(frozen=True)
class _Layer:
    """A modulated convolution.

    Attributes:
        weight: float32, to fold modulation into.
        shared: The same in the type and layout that a batch is convolved with.
        squares: `[i, o]`, its squared norms.
        bias: `[o]`.
        noise: The stored noise.
        strength: Of the noise, 0 for none.
        up: Whether it doubles the resolution.
        size: Side of its output.
    """

    weight: Tensor
    shared: Tensor
    squares: Tensor
    bias: Tensor
    noise: Tensor
    strength: float
    up: bool
    size: int

    @classmethod
    def of(cls, network: StyleGAN2, name: str, dtype: torch.dtype, *, noisy: bool) -> _Layer:
        layer = network.layer(name)
        weight = layer.weight.detach()
        return cls(
            weight=weight,
            shared=laid_out(weight.to(dtype), up=layer.up),
            squares=weight.square().sum((2, 3)).T.contiguous(),
            bias=layer.bias.detach(),
            noise=layer.noise_const,
            strength=layer.noise_strength.item() if noisy else 0.0,
            up=layer.up,
            size=int(name.split(".")[0][1:]),
        )

    def folds(self) -> bool:
        """Whether its feature maps are larger than its weights."""
        outputs, inputs = self.weight.shape[:2]
        return self.size**2 * (inputs + outputs) > 9 * inputs * outputs


class _Fast(Synthesis):
    """Layers at given styles, modulation folded into the weights where there is one image."""

    def __init__(
        self,
        network: StyleGAN2,
        layers: dict[str, _Layer],
        styles: dict[str, Tensor],
        drawn: dict[str, Tensor],
    ) -> None:
        super().__init__(network)
        self.layers, self.styles, self.drawn = layers, styles, drawn

    def of(self, index: int) -> _Fast:
        """The form of one image of the batch."""
        rows = slice(index, index + 1)
        styles = {name: s[rows] for name, s in self.styles.items()}
        drawn = {name: z[rows] for name, z in self.drawn.items()}
        return _Fast(self.network, self.layers, styles, drawn)

    def convolve(self, x: Tensor, name: str, *, gain: float) -> Tensor:
        layer, s, taps = self.layers[name], self.styles[name], self.network.taps
        total = GAIN * gain
        scale = (s.square() @ layer.squares + EPSILON).rsqrt_().mul_(total)
        if len(s) == 1:
            folded = layer.weight * s[0, None, :, None, None]
            folded = folded.mul_(scale[0, :, None, None, None])
            weight = laid_out(folded.to(x.dtype), up=layer.up)
            x = convolve(x, weight, up=layer.up, taps=taps)
        else:
            x = convolve(
                x * s[:, :, None, None].to(x.dtype), layer.shared, up=layer.up, taps=taps
            ).mul_(scale[:, :, None, None].to(x.dtype))
        if layer.strength:
            x = x.add_((self.drawn.get(name, layer.noise) * (layer.strength * total)).to(x))
        x = x.add_((layer.bias * total)[:, None, None].to(x.dtype))
        x = functional.leaky_relu_(x, NEGATIVE_SLOPE)
        bound = self.config.conv_clamp
        return x if bound is None else x.clamp_(-bound * gain, bound * gain)

    def to_rgb(self, x: Tensor, name: str) -> Tensor:
        rgb = self.network.rgb(name)
        weight = rgb.kernel(torch.float32)[None, :, :, 0, 0] * self.styles[name][:, None]
        n, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(n, height * width, channels)
        out = (rows @ weight.transpose(1, 2).to(x.dtype)).float() + rgb.bias
        bound = self.config.conv_clamp
        if bound is not None:
            out = out.clamp_(-bound, bound)
        return out.view(n, height, width, -1).permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
