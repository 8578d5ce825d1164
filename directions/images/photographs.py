"""Pictures from files, PIL or arrays as images of the size that a generator makes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError, described
from directions.images.tensors import from_uint8, resize

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["SUFFIXES", "named_pictures", "open_images"]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Of a folder, the files that are opened."""
MOST_PIXELS = 64_000_000
# A generator has nothing to say of fewer.
FEWEST = 8

Box = Sequence[int]


@checked
def open_images(
    source: Any,
    *,
    size: int | tuple[int, int] | None = None,
    box: Box | None = None,
    background: float = 1.0,
) -> Float[Tensor, "n 3 h w"]:
    """Pictures as images, such as `invert` takes.

    Orientation from EXIF is applied, gray pictures get three channels, and transparent ones lie
    on a background. Shrinking is antialiased.

    Args:
        source: A file, a folder (its pictures in the order of their names), a PIL image, an array
            `[h, w]`, `[h, w, 3]` or `[h, w, 4]` of bytes or of numbers in [0, 1], or a list of
            these.
        size: Height and width of the images, or one number for both, such as
            `generator.image_shape[1:]`. By default that of the pictures, which then is one.
        box: Left, top, right and bottom of the part to take, in pixels; by default the largest
            part in the middle that has the proportions of `size`.
        background: Brightness under transparent pixels, in [-1, 1].

    Returns:
        `[n, 3, h, w]` in [-1, 1].

    Raises:
        LatdirError: No picture, one of several frames or of another size than the rest, one with
            less than 8 pixels along an axis or with more than 64 million, a box that reaches
            beyond it, NaN.

    Example:
        >>> open_images(np.zeros((48, 80), np.uint8), size=32).shape
        torch.Size([1, 3, 32, 32])
    """
    shape = (size, size) if isinstance(size, int) else size
    images = []
    for name, picture in named_pictures(source, background=background):
        pixels = _cut(picture, name, box, shape)
        images.append(pixels if shape is None else resize(pixels, shape).clamp(-1, 1))
        if images[-1].shape != images[0].shape:
            first, this = (f"{image.shape[3]}×{image.shape[2]}" for image in (images[0], pixels))
            raise LatdirError(
                f"{name} is {this} and the first picture {first}: say size=64, or another, to "
                "bring all to one"
            )
    return torch.cat(images)


def named_pictures(
    source: Any, *, background: float = 1.0
) -> Iterable[tuple[str, Float[Tensor, "1 3 h w"]]]:
    """Each picture of `open_images` in its own size, with a name for messages."""
    for name, one in _opened(source):
        yield name, _pixels(name, one, background)


def _opened(source: Any) -> Iterable[tuple[str, Any]]:
    """Each picture with a name for messages; files are opened one after another."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(source, str | PathLike):
        path = Path(source)
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not files:
                raise LatdirError(f"no pictures in {path}: it has none of {', '.join(SUFFIXES)}")
            for file in files:
                yield from _opened(file)
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                picture = Image.open(path)
            with picture:
                _check_size(path.name, picture)
                picture.load()
                yield path.name, picture
        except UnidentifiedImageError as error:
            raise LatdirError(
                f"{path} is not a picture that Pillow reads: save it as PNG or JPEG"
            ) from error
        except Image.DecompressionBombError as error:
            raise LatdirError(f"{path} has too many pixels: shrink it first") from error
        except OSError as error:
            raise LatdirError(
                f"cannot read {path}: {error.strerror or error}; check the path and the file"
            ) from error
    elif isinstance(source, list | tuple):
        if not source:
            raise LatdirError("there are no pictures to open: give at least one")
        for i, one in enumerate(source):
            named = isinstance(one, str | PathLike)
            yield from ((name if named else f"picture {i}", p) for name, p in _opened(one))
    elif isinstance(source, Image.Image | np.ndarray | Tensor):
        yield "the picture", source
    else:
        raise LatdirError(
            f"a picture is a path, a PIL image or an array, not {described(source)}: give one, "
            "or a list of them"
        )


def _check_size(name: str, picture: Image.Image) -> None:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise LatdirError(f"{name} is an animation of {frames} frames: save the one you want")
    width, height = picture.size
    if min(width, height) < FEWEST:
        raise LatdirError(f"{name} is {width}×{height}: pictures have at least {FEWEST} pixels")
    if width * height > MOST_PIXELS:
        raise LatdirError(
            f"{name} is {width}×{height}, {width * height / 1e6:.0f} million pixels: shrink it to "
            f"at most {MOST_PIXELS // 10**6} million"
        )


def _pixels(name: str, picture: Any, background: float) -> Float[Tensor, "1 3 h w"]:
    """A picture as an image of its own size."""
    from PIL import Image, ImageOps

    if not isinstance(picture, Image.Image):
        picture = _of_array(name, np.asarray(picture))
    _check_size(name, picture)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("I", "F", "I;16", "I;16B", "I;16L"):
        picture = _of_array(name, np.asarray(picture))
    opaque = "A" not in picture.getbands() and "transparency" not in picture.info
    channels = np.array(picture.convert("RGB" if opaque else "RGBA"))
    levels = torch.from_numpy(channels).permute(2, 0, 1)[None]
    made = from_uint8(levels[:, :3].contiguous())
    if opaque:
        return made
    alpha = levels[:, 3:].float() / 255
    return made * alpha + background * (1 - alpha)


def _of_array(name: str, array: NDArray[Any]) -> Image.Image:
    from PIL import Image

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = ": move the channels last with array.transpose(1, 2, 0)" if first else ""
        raise LatdirError(
            f"an array of a picture is [height, width, 3], not {list(array.shape)}{hint}"
        )
    if array.dtype == bool:
        array = array.astype(np.float64)
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise LatdirError(f"{name} has NaN or infinite pixels: check how it was made")
        if array.size and (array.min() < 0 or array.max() > 1):
            raise LatdirError(
                f"{name} has numbers from {array.min():.4g} to {array.max():.4g}: give bytes, or "
                "numbers in [0, 1], such as (array + 1) / 2 for [-1, 1]"
            )
        array = np.round(array * 255).astype(np.uint8)
    elif array.dtype.itemsize > 1:
        # Sixteen bits, or numbers that were read as wider ones than they are.
        if array.size and (array.min() < 0 or array.max() > 65535):
            raise LatdirError(f"{name} has pixels beyond 0 … 65535: give bytes")
        wide = array.dtype.itemsize == 2 or bool(array.size and array.max() > 255)
        array = (array // 257 if wide else array).astype(np.uint8)
    return Image.fromarray(array)


def _cut(
    image: Float[Tensor, "1 3 h w"], name: str, box: Box | None, shape: tuple[int, int] | None
) -> Float[Tensor, "1 3 height width"]:
    height, width = image.shape[2:]
    if box is None:
        if shape is None:
            return image
        # The largest part in the middle that has the wanted proportions.
        scale = min(height / shape[0], width / shape[1])
        part = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
        top, left = (height - part[0]) // 2, (width - part[1]) // 2
        return image[:, :, top : top + part[0], left : left + part[1]]
    if len(box) != 4:
        raise LatdirError(f"a box is (left, top, right, bottom) in pixels, not {box}")
    left, top, right, bottom = (int(edge) for edge in box)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise LatdirError(
            f"the box {(left, top, right, bottom)} is not within {name}, which is {width}×{height}"
        )
    return image[:, :, top:bottom, left:right]
