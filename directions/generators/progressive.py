"""Layers shared by the progressively grown generators, PGGAN and StyleGAN.

Progressive Growing of GANs (Karras et al. 2018, arXiv:1710.10196). A generator that was saved
while it grew has a level of detail above zero: the last blocks are not in use yet, and between
two levels the new block's image is blended with the old one.

An upsampling layer repeats every pixel and convolves with 3×3. That is one transposed
convolution of stride 2 with a 4×4 kernel, which needs 16 products for four pixels instead of 36.
The "fused scale" of the original code is the same operation with the kernel turned by 180°, so
that both are stored in one layout here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.errors import CheckpointError

__all__ = [
    "EPSILON",
    "GAIN",
    "NEGATIVE_SLOPE",
    "check_blocks",
    "faded_image",
    "load_weights",
    "pixel_norm",
    "upconvolve",
    "upsampling_kernel",
]

# Under the roots of normalizations; of the leaky ReLU, and what keeps its variance.
EPSILON = 1e-8
NEGATIVE_SLOPE = 0.2
GAIN = math.sqrt(2)
# Blocks from 4 to 4096 pixels, twice the size of the largest public models.
LARGEST = 11


def pixel_norm(x: Tensor) -> Tensor:
    """Divide by the root mean square over channels, axis 1.

    Example:
        >>> pixel_norm(torch.tensor([[3.0, 0.0, 0.0, 4.0]])).norm()
        tensor(2.)
    """
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


def upsampling_kernel(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "i o 4 4"]:
    """The kernel of the transposed convolution that repeats pixels and convolves.

    Args:
        weight: Of a 3×3 convolution with padding 1 after the repetition.

    Example:
        >>> x, weight = torch.rand(1, 2, 4, 4), torch.rand(3, 2, 3, 3)
        >>> twice = functional.interpolate(x, scale_factor=2.0)
        >>> expected = functional.conv2d(twice, weight, padding=1)
        >>> torch.allclose(upconvolve(x, upsampling_kernel(weight)), expected, atol=1e-5)
        True
    """
    padded = functional.pad(weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return (rows[:, :, :, 1:] + rows[:, :, :, :-1]).contiguous()


def upconvolve(
    x: Float[Tensor, "n i h w"], kernel: Float[Tensor, "i o 4 4"]
) -> Float[Tensor, "n o H W"]:
    """Twice the resolution, with a kernel of `upsampling_kernel`."""
    return functional.conv_transpose2d(x, kernel.to(x.dtype), stride=2, padding=1)


def faded_image(
    features: Iterable[Tensor],
    to_rgb: Callable[[int, Tensor], Tensor],
    *,
    count: int,
    lod: float,
) -> Tensor:
    """The image of a growing generator, at full resolution.

    Args:
        features: Feature maps of block 0, 1, …; up to the generator's current resolution.
        to_rgb: Makes an image of a block's number and features.
        count: Number of blocks.
        lod: Level of detail, 0 … count - 1: 0 for a fully grown generator; 1.25 for one whose
            last block is not in use and whose block before that counts for three quarters.

    Example:
        >>> maps = [torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 8, 8)]
        >>> faded_image(maps, lambda _, x: x, count=2, lod=0.25)[0, 0, 0, 0]
        tensor(0.7500)
    """
    image, level = torch.empty(0), count
    for k, x in enumerate(features):
        level = count - 1 - k
        if level - 1 < lod <= level:
            image = to_rgb(k, x)
        elif lod > level:
            image = functional.interpolate(image, scale_factor=2.0)
            image = image.lerp(to_rgb(k, x), level + 1 - lod)
        if lod >= level:
            break
    return functional.interpolate(image, scale_factor=float(2**level)) if level else image


def check_blocks(count: int, lod: float) -> None:
    """Refuse a number of blocks, or a level of detail, that no generator has.

    Raises:
        LatdirError: No block, more than `LARGEST` allows, or a level of detail beyond them.
    """
    if not 1 <= count <= LARGEST:
        raise CheckpointError(f"the checkpoint has {count} blocks: 1 … {LARGEST} are read")
    if not 0 <= lod <= count - 1:
        raise CheckpointError(f"the level of detail is {lod}, not within 0 … {count - 1}")


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a network on the meta device its weights and buffers, without a copy.

    Raises:
        LatdirError: The shapes do not fit each other.
    """
    for name, wanted in network.state_dict().items():
        if weights[name].shape != wanted.shape:
            raise CheckpointError(
                f"the checkpoint's tensors do not fit each other, so it is damaged: {name} has "
                f"shape {list(weights[name].shape)}, where the others ask for {list(wanted.shape)}"
            )
    network.load_state_dict({k: v.contiguous() for k, v in weights.items()}, assign=True)
