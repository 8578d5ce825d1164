"""The grids and frequency bands of StyleGAN3's layers.

Alias-Free Generative Adversarial Networks (Karras et al. 2021, arXiv:2106.12423), section 3.2
and appendix C: cutoffs and stopbands grow geometrically from layer to layer, and each layer
lives on the coarsest power-of-two grid that holds its stopband, with a margin around the canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from directions.errors import LatdirError

__all__ = ["LayerRates", "StyleGAN3Config", "schedule"]


@dataclass(frozen=True)
class StyleGAN3Config:
    """Settings of a StyleGAN3 that its weights do not determine; defaults of its repository.

    Attributes:
        resolution: Side of its images.
        num_layers: Layers between the input and the last, ToRGB.
        num_critical: Number of critically sampled layers.
        first_cutoff: Cutoff frequency of the first layer, in cycles an image width.
        first_stopband: Its minimum stopband.
        last_stopband_rel: Minimum stopband of the last layer, relative to its cutoff.
        margin_size: Pixels of the margin on each side.
        oversampling: Of the nonlinearity, relative to the finer of a layer's two grids.
        conv_clamp: Bound on activations, or None.
        output_scale: Factor of the images.

    Raises:
        LatdirError: Sizes or frequencies that no schedule has.
    """

    resolution: int
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 10
    oversampling: int = 2
    conv_clamp: float | None = 256.0
    output_scale: float = 0.25

    def __post_init__(self) -> None:
        frequencies = (self.first_cutoff, self.first_stopband, self.last_stopband_rel)
        if (
            not 0 <= self.num_critical < self.num_layers
            or min(frequencies) <= 0
            or not all(map(math.isfinite, frequencies))
            or min(self.resolution, self.oversampling) < 1
            or self.margin_size < 0
        ):
            raise LatdirError(
                "a StyleGAN3 has more layers than critically sampled ones, positive frequencies "
                f"and sizes, and a margin of at least 0, not {self}"
            )


@dataclass(frozen=True)
class LayerRates:
    """The grids of one layer.

    Frequencies are in cycles per image width, sampling rates in samples per image width.

    Attributes:
        in_size: Side of its input, margin included.
        out_size: Side of its output.
        in_rate: Sampling rate of its input.
        out_rate: Sampling rate of its output.
        in_cutoff: Cutoff of its input.
        out_cutoff: Cutoff of its output.
        in_half_width: Half the transition band of its input's low-pass filter.
        out_half_width: The same of its output's.
        up: Upsampling before the nonlinearity.
        down: Downsampling after it.
        critical: Whether its output is critically sampled, with a separable filter always.
    """

    in_size: int
    out_size: int
    in_rate: int
    out_rate: int
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    up: int
    down: int
    critical: bool

    def padding(self, kernel: int, up_taps: int, down_taps: int) -> tuple[int, int]:
        """Samples to add on the fine grid before and after; negative ones are cropped.

        The padded convolution of side `in_size + kernel - 1` is to yield `out_size` samples.
        """
        wanted = (self.out_size - 1) * self.down + 1
        made = (self.in_size + kernel - 1) * self.up - (up_taps - 1) - (down_taps - 1)
        before = (wanted - made + self.up) // 2
        return before, wanted - made - before


def schedule(config: StyleGAN3Config) -> tuple[LayerRates, ...]:
    """The grids of all layers, ToRGB's last.

    Cutoff and stopband rise geometrically until the critically sampled layers; the sampling
    rate is the power of two that holds the stopband, at most the resolution.

    Source: arXiv:2106.12423, section 3.2 and appendix C.

    Example:
        >>> layers = schedule(StyleGAN3Config(1024))
        >>> [layer.out_size for layer in layers]
        [36, 36, 52, 52, 84, 148, 148, 276, 276, 532, 1044, 1044, 1044, 1024, 1024]
    """
    c = config
    last_cutoff = c.resolution / 2
    last_stopband = last_cutoff * c.last_stopband_rel
    cutoffs, halves, rates, sizes = [], [], [], []
    for i in range(c.num_layers + 1):
        progress = min(i / (c.num_layers - c.num_critical), 1.0)
        cutoff = c.first_cutoff * (last_cutoff / c.first_cutoff) ** progress
        stopband = c.first_stopband * (last_stopband / c.first_stopband) ** progress
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, c.resolution)))
        cutoffs.append(cutoff)
        halves.append(max(stopband, rate / 2) - cutoff)
        rates.append(rate)
        inside = i >= c.num_layers - 1
        sizes.append(c.resolution if inside else rate + 2 * c.margin_size)
    layers = []
    for i in range(c.num_layers + 1):
        j = max(i - 1, 0)
        fine = max(rates[i], rates[j]) * (c.oversampling if i < c.num_layers else 1)
        layers.append(
            LayerRates(
                in_size=sizes[j],
                out_size=sizes[i],
                in_rate=rates[j],
                out_rate=rates[i],
                in_cutoff=cutoffs[j],
                out_cutoff=cutoffs[i],
                in_half_width=halves[j],
                out_half_width=halves[i],
                up=fine // rates[j],
                down=fine // rates[i],
                critical=i >= c.num_layers - c.num_critical,
            )
        )
    return tuple(layers)
