"""Image tensors in [-1, 1]: conversion to and from bytes and PIL, resizing.

Images are float tensors `[n, 3, H, W]` in [-1, 1]. Bytes are `round((x + 1) · 127.5)`, which every
byte survives there and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions.errors import LatdirError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["from_pil", "from_uint8", "resize", "to_pil", "to_uint8"]


def to_uint8(images: Float[Tensor, "*n 3 h w"]) -> UInt8[Tensor, "*n 3 h w"]:
    """Images as bytes; values outside [-1, 1] are clipped.

    Raises:
        LatdirError: NaN in the images.

    Example:
        >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1)).flatten()
        tensor([  0, 128, 255], dtype=torch.uint8)
    """
    if torch.isnan(images).any():
        raise LatdirError("these images have NaN pixels: check the generator and the codes")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_uint8(images: UInt8[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Bytes as images, float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_pil(image: Float[Tensor, "3 h w"]) -> Image.Image:
    """One image for PIL.

    Example:
        >>> to_pil(torch.zeros(3, 4, 6)).size
        (6, 4)
    """
    from PIL import Image

    return Image.fromarray(to_uint8(image).permute(1, 2, 0).cpu().contiguous().numpy())


def from_pil(image: Image.Image) -> Float[Tensor, "1 3 h w"]:
    """A PIL image as a batch of one, in three colors."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return from_uint8(pixels.permute(2, 0, 1)[None].contiguous())


def resize(
    images: Float[Tensor, "n c h w"], size: int | tuple[int, int]
) -> Float[Tensor, "n c height width"]:
    """Images of another size, by antialiased bilinear interpolation, differentiable.

    Shrinking averages all the pixels that fall together, so that no detail aliases; values stay
    within those of the images.

    Args:
        images: `[n, c, h, w]`, three channels or any other number.
        size: Height and width, or one number for both.

    Raises:
        LatdirError: A size below one.

    Example:
        >>> resize(torch.ones(1, 3, 64, 64), 16).shape
        torch.Size([1, 3, 16, 16])
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise LatdirError(f"images cannot be {height}×{width}: give sizes of at least 1")
    if (height, width) == tuple(images.shape[2:]):
        return images
    return F.interpolate(
        images, (height, width), mode="bilinear", antialias=True, align_corners=False
    )
