"""The square input of a classifier: crop, padding and resize in one linear step."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError

__all__ = ["rgb_images", "crop", "crop_matrix"]


def rgb_images(images: Tensor) -> Tensor:
    """Return `images` if they are a batch of RGB images.

    Raises:
        LatdirError: Another shape, or an integer dtype.

    Example:
        >>> rgb_images(torch.zeros(3, 64, 64))
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: images have shape [n, 3, height, width], not [3, 64, 64]: add a batch axis with images[None]
    """  # noqa: E501
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        single = images.ndim == 3 and images.shape[0] == 3
        hint = "add a batch axis with images[None]" if single else "give RGB images"
        raise LatdirError(
            f"images have shape [n, 3, height, width], not {list(images.shape)}: {hint}"
        )
    if not images.is_floating_point():
        raise LatdirError(
            f"images are floating point in [-1, 1], not {images.dtype}: "
            "use directions.images.from_uint8"
        )
    return images


def crop(
    images: Float[Tensor, "n 3 h w"], *, size: int, margin: float = 0.0
) -> Float[Tensor, "n 3 size size"]:
    """The central square of images, resized.

    Bilinear with pixel centers at half-integers, so that it commutes with a flip; a triangle
    filter as wide as needed where it shrinks. Beyond the image, its nearest pixel is repeated.

    Args:
        images: Any height and width.
        size: Side of the result.
        margin: Padding on each side of the square, as a fraction of its own side; negative
            cuts into it.

    Example:
        >>> crop(torch.ones(1, 3, 48, 64), size=112).shape
        torch.Size([1, 3, 112, 112])
    """
    height, width = images.shape[-2:]
    side = min(height, width)
    rows = crop_matrix(height, side, size, margin).to(images)
    columns = crop_matrix(width, side, size, margin).to(images)
    return rows @ images @ columns.T


@lru_cache(maxsize=64)
def crop_matrix(length: int, side: int, size: int, margin: float) -> Float[Tensor, "size length"]:
    """Weights of the input pixels of one axis in each output pixel; rows sum to 1.

    Args:
        length: Pixels along the axis.
        side: Number of central pixels that form the square.
        size: Pixels of the result.
        margin: As in `crop`.
    """
    # Kept for later calls, which may want gradients: not one of inference mode's own tensors.
    with torch.inference_mode(False):
        return _crop_matrix(length, side, size, margin)


def _crop_matrix(length: int, side: int, size: int, margin: float) -> Tensor:
    span = side * (1 + 2 * margin)
    step = span / size
    positions = (torch.arange(size, dtype=torch.float64) + 0.5) * step + (length - span) / 2 - 0.5
    reach = max(step, 1.0)
    border = max(0, round((span - length) / 2)) + int(reach) + 2
    pixels = torch.arange(-border, length + border)
    weights = (1 - (positions[:, None] - pixels).abs() / reach).clamp_min(0)
    matrix = torch.zeros(size, length, dtype=torch.float64)
    matrix.index_add_(1, pixels.clamp(0, length - 1), weights)
    return (matrix / matrix.sum(1, keepdim=True)).float()
