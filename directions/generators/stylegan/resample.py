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
    n, c, h, w = x.shape
    t = len(taps)
    zeros = x.new_zeros(n, c, h, 2, w, 2)
    zeros[:, :, :, 0, :, 0] = x
    wide = zeros.reshape(n, c, 2 * h, 2 * w)
    before, after = (t + 1) // 2, (t - 2) // 2
    return _filtered(wide, taps, before, after, gain=4.0)


def blur_transposed(
    x: Float[Tensor, "n c h w"], taps: Float[Tensor, "t"]
) -> Float[Tensor, "n c H W"]:
    """The filter, gain 4, after a stride-2 transposed 3×3 convolution.

    A map of side 2R + 1 becomes one of side 2R, as after zero-insertion, filter and
    convolution with padding 1.
    """
    t = len(taps)
    before = 1 + (t + 1) // 2 - 2
    after = 1 + (t - 2) // 2 - 1
    return _filtered(x, taps, before, after, gain=4.0)


def _filtered(x: Tensor, taps: Tensor, before: int, after: int, *, gain: float) -> Tensor:
    x = functional.pad(x, (before, after, before, after))
    c, t = x.shape[1], len(taps)
    # One pass with the square kernel: twice the arithmetic of two passes, half the memory.
    kernel = (taps.outer(taps).flip(0, 1) * gain).to(x)
    return functional.conv2d(x, kernel.expand(c, 1, t, t), groups=c)
