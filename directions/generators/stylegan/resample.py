"""Resampling with a short FIR filter, as in the StyleGAN family."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["blur_transposed", "upsample2"]


def upsample2(x: Float[Tensor, "n c h w"], taps: Float[Tensor, "t"]) -> Float[Tensor, "n c H W"]:
    """Double the resolution: zeros between the pixels, then the filter with gain 4.

    Args:
        x: Images or feature maps.
        taps: One dimension of a separable filter, summing to 1.

    Example:
        >>> import torch
        >>> x = torch.ones(1, 1, 4, 4)
        >>> upsample2(x, torch.tensor([0.125, 0.375, 0.375, 0.125]))[0, 0, 3, 2:5]
        tensor([1., 1., 1.])
    """
    t = len(taps)
    before, after = t - 1 - (t + 1) // 2, t - 2 - (t - 1 - (t + 1) // 2)
    # A transposed convolution of stride 2 reads no zeros; its padding crops the outside.
    crop = before if before == after and before >= 0 else 0
    made = functional.conv_transpose2d(
        x, _kernel(x, taps), stride=2, padding=crop, groups=x.shape[1]
    )
    left, right = crop - before, crop - after
    return functional.pad(made, (left, right, left, right)) if left or right else made


def blur_transposed(
    x: Float[Tensor, "n c h w"], taps: Float[Tensor, "t"]
) -> Float[Tensor, "n c H W"]:
    """The filter, gain 4, after a stride-2 transposed 3×3 convolution.

    A map of side 2R + 1 becomes one of side 2R, as after zero-insertion, filter and
    convolution with padding 1.
    """
    t = len(taps)
    before, after = (t + 1) // 2 - 1, (t - 2) // 2
    inside = before if before == after else 0
    if before != after:
        x = functional.pad(x, (before, after, before, after))
    # Taps are turned, since a convolution of torch is a correlation.
    return functional.conv2d(x, _kernel(x, taps.flip(0)), padding=inside, groups=x.shape[1])


def _kernel(x: Tensor, taps: Tensor) -> Float[Tensor, "c 1 t t"]:
    """The square kernel with gain 4, for each channel.

    One pass with it is twice the arithmetic of two passes, and half the memory.
    """
    kernel = (taps.outer(taps) * 4).to(x)
    return kernel.expand(x.shape[1], 1, *kernel.shape)
