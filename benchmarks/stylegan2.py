"""A StyleGAN2 forward at 1024×1024 beside a straightforward port of the reference operations.

    python benchmarks/stylegan2.py                # one image at 1024, as published widths
    python benchmarks/stylegan2.py --resolution 256 --batch 4

The port does what the published network does on a processor without custom kernels: kernels
modulated per sample and applied as one grouped convolution, resampling by inserting zeros,
padding and filtering with the two-dimensional filter, bias and activation one after the other.
Weights are random at the published initial scale. Sides take turns in one process; reported are
medians of wall and processor seconds, and how well the images agree.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from random_stylegan2 import random_stylegan2
from torch import Tensor
from torch.nn import functional

from directions.generators.stylegan.stylegan2 import StyleGAN2


def resample(x: Tensor, kernel: Tensor, *, up: int, pad: tuple[int, int], gain: float) -> Tensor:
    """Zeros between pixels, padding, the two-dimensional filter."""
    n, c, h, w = x.shape
    x = functional.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1))
    x = functional.pad(x.reshape(n, c, h * up, w * up), (*pad, *pad))
    weight = (kernel * gain).flip(0, 1)[None, None].to(x.dtype).repeat(c, 1, 1, 1)
    return functional.conv2d(x, weight, groups=c)


def modulated(
    x: Tensor, weight: Tensor, style: Tensor, kernel: Tensor, *, up: bool, demodulate: bool
) -> Tensor:
    """Per-sample kernels, one grouped convolution for the batch."""
    n, (o, i, k, _) = len(x), weight.shape
    w = weight[None] * style[:, None, :, None, None]
    if demodulate:
        w = w * (w.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    w = w.to(x.dtype)
    x = x.reshape(1, n * i, *x.shape[2:])
    if up:
        w = w.transpose(1, 2).reshape(n * i, o, k, k)
        x = functional.conv_transpose2d(x, w, stride=2, groups=n)
        x = x.reshape(n, o, *x.shape[2:])
        return resample(x, kernel, up=1, pad=(1, 1), gain=4.0)
    x = functional.conv2d(x, w.reshape(n * o, i, k, k), padding=k // 2, groups=n)
    return x.reshape(n, o, *x.shape[2:])


def reference(network: StyleGAN2, styles: list[Tensor], dtype: torch.dtype) -> Tensor:
    """The published skip architecture, operation by operation."""
    style = dict(zip(network.style_names, styles, strict=True))
    kernel = network.taps.outer(network.taps)
    n = len(styles[0])
    x = network.const.to(dtype)[None].repeat(n, 1, 1, 1)
    image = None
    for k in range(len(network.config.channels)):
        size = 4 << k
        for part in ("conv0", "conv1"):
            name = f"b{size}.{part}"
            if name not in style:
                continue
            layer = network.layer(name)
            x = modulated(x, layer.weight, style[name], kernel, up=layer.up, demodulate=True)
            x = x + (layer.noise_const * layer.noise_strength).to(dtype)
            x = x + layer.bias.to(dtype)[None, :, None, None]
            x = functional.leaky_relu(x, 0.2) * math.sqrt(2)
        name = f"b{size}.torgb"
        rgb = network.rgb(name)
        gain = 1 / math.sqrt(rgb.weight.shape[1])
        y = modulated(x, rgb.weight, style[name] * gain, kernel, up=False, demodulate=False)
        y = y.float() + rgb.bias[None, :, None, None]
        image = y if image is None else resample(image, kernel, up=2, pad=(2, 1), gain=4.0) + y
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    generator = random_stylegan2(options.resolution, base=32_768, strength=0.1)
    network = generator.network
    codes = generator.sample(options.batch, seed=0, space="w")
    styles = list(generator.map(codes, "w", "s").split(network.style_sizes, 1))
    sides: dict[str, Callable[[], Tensor]] = {
        "reference float32": lambda: reference(network, styles, torch.float32),
        "reference bfloat16": lambda: reference(network, styles, torch.bfloat16),
        "synthesize": lambda: generator.synthesize(codes, "w"),
    }
    for precision in ("float32", "bfloat16"):
        run = generator.inference(precision=precision, space="w")
        sides[f"inference {precision}"] = lambda run=run: run(codes)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    images = {}
    with torch.inference_mode():
        for turn in range(options.runs + 1):
            for name, side in sides.items():
                wall, processor = time.perf_counter(), time.process_time()
                images[name] = side()
                spent = time.perf_counter() - wall, time.process_time() - processor
                if turn:  # the first warms up
                    times[name].append(spent)
    exact = images["reference float32"]
    print(f"{options.batch} × {options.resolution}², {torch.get_num_threads()} threads")
    print(f"{'':20}{'wall s':>9}{'ratio':>7}{'cpu s':>9}{'ratio':>7}{'PSNR dB':>9}{'max':>10}")
    medians = {
        name: [statistics.median(run[i] for run in runs) for i in range(2)]
        for name, runs in times.items()
    }
    base = medians["reference float32"]
    for name, (wall, processor) in medians.items():
        gap = images[name] - exact
        peak = exact.amax() - exact.amin()
        psnr = float(10 * torch.log10(peak**2 / gap.square().mean().clamp_min(1e-30)))
        print(
            f"{name:20}{wall:9.2f}{base[0] / wall:7.2f}{processor:9.2f}"
            f"{base[1] / processor:7.2f}{psnr:9.1f}{gap.abs().max():10.1e}"
        )


if __name__ == "__main__":
    main()
