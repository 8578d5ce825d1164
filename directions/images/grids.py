"""Labeled grids of images, and PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError
from directions.images.tensors import to_pil
from directions.storage.atomic import atomic

if TYPE_CHECKING:
    from PIL import Image, ImageFont

__all__ = ["grid", "save_png"]

INK = (32, 33, 36)
FAINT = (112, 117, 122)
ACCENT = (26, 115, 232)
PAPER = (255, 255, 255)
SMALLEST_TILE, LARGEST_TILE = 128, 256


@checked
def grid(
    images: Float[Tensor, "*rows columns 3 h w"],
    *,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    title: str = "",
    marked: int | None = None,
    tile: int | None = None,
) -> Image.Image:
    """A labeled grid of many images.

    Args:
        images: `[rows, columns, 3, H, W]` in [-1, 1], or one row, `[columns, 3, H, W]`.
        columns: Labels above the columns; none, or one for each.
        rows: Labels left of the rows; none, or one for each.
        title: Line above all.
        marked: Column to frame, such as the one with the originals.
        tile: Height of one tile; by default small images are drawn at 128
            pixels and large ones at 256.

    Returns:
        The image; `save_png` writes it.

    Raises:
        LatdirError: Labels that do not match, or no images.

    Example:
        >>> import torch
        >>> grid(torch.zeros(2, 3, 3, 64, 64), columns=["-1", "0", "+1"], marked=1).mode
        'RGB'
    """
    from PIL import Image, ImageDraw

    if images.ndim == 4:
        images = images[None]
    if images.ndim != 5 or images.shape[2] != 3:
        raise LatdirError(
            f"a grid takes images [rows, columns, 3, H, W], or one row [columns, 3, H, W], not "
            f"{list(images.shape)}"
        )
    m, n, _, h, w = images.shape
    if m == 0 or n == 0:
        raise LatdirError(f"a grid of {m} rows and {n} columns has no images: give at least one")
    for labels, count, what in ((columns, n, "columns"), (rows, m, "rows")):
        if labels and len(labels) != count:
            raise LatdirError(f"{len(labels)} labels for {count} {what}: give one each, or none")
    if marked is not None and not 0 <= marked < n:
        raise LatdirError(f"column {marked} cannot be marked: there are 0 … {n - 1}")
    if tile is not None and tile < 1:
        raise LatdirError(f"a tile is at least 1 pixel high, not {tile}: leave it out for a size")
    height = tile or min(max(h, SMALLEST_TILE), LARGEST_TILE)
    width = max(1, round(height * w / h))
    text = min(max(11, height // 9), 18)
    gap, margin = max(2, height // 32), min(max(8, height // 8), 24)
    left = margin + (max(_length(r, text) for r in rows) + margin if rows else 0)
    top = margin
    title_top = top
    top += round(text * 2.2) if title else 0
    label_top = top
    top += round(text * 1.7) if any(columns) else 0
    picture_width = left + n * (width + gap) - gap + margin
    if title:
        picture_width = max(picture_width, 2 * margin + _length(title, text + 4, bold=True))
    picture = Image.new("RGB", (picture_width, top + m * (height + gap) - gap + margin), PAPER)
    draw = ImageDraw.Draw(picture)
    if title:
        draw.text((margin, title_top), title, INK, _font(text + 4, True))
    for j in range(n):
        x = left + j * (width + gap)
        if columns:
            strong = j == marked
            label, size = _fitted(columns[j], text, width + gap, strong)
            spot = (x + width // 2, label_top + text // 2)
            draw.text(spot, label, ACCENT if strong else INK, _font(size, strong), anchor="mm")
        for i in range(m):
            drawn = to_pil(images[i, j]).resize((width, height), Image.Resampling.BICUBIC)
            picture.paste(drawn, (x, top + i * (height + gap)))
    for i, label in enumerate(rows):
        spot = (left - margin, top + i * (height + gap) + height // 2)
        draw.text(spot, label, FAINT, _font(text, False), anchor="rm")
    if marked is not None:
        x, edge = left + marked * (width + gap), max(2, gap // 2)
        box = (
            x - edge,
            top - edge,
            x + width + edge - 1,
            top + m * (height + gap) - gap + edge - 1,
        )
        draw.rectangle(box, outline=ACCENT, width=edge)
    return picture


@checked
def save_png(picture: Image.Image | Float[Tensor, "*one 3 h w"], path: str | Path) -> Path:
    """Write an image as PNG, atomically.

    Args:
        picture: A PIL image, such as one that `grid` makes, or a tensor `[3, H, W]` or
            `[1, 3, H, W]` in [-1, 1].
        path: The file.

    Raises:
        LatdirError: No single image, another suffix than `.png`, or the file cannot be written.
    """
    from PIL import Image

    if isinstance(picture, Tensor):
        single = picture[0] if picture.ndim == 4 and len(picture) == 1 else picture
        if single.ndim != 3 or single.shape[0] != 3:
            raise LatdirError(
                f"images of shape {list(picture.shape)} are not one image [3, H, W]: "
                "save_png(grid(images), path) writes several"
            )
        picture = to_pil(single.detach())
    if not isinstance(picture, Image.Image):
        raise LatdirError(
            f"save_png writes a PIL image or a tensor [3, H, W], not {type(picture).__name__}"
        )
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise LatdirError(f"images are written as .png, not {path.name!r}: rename it")
    with atomic(path) as temporary:
        picture.save(temporary, format="PNG")
    return path


@lru_cache(maxsize=64)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    # matplotlib brings a font with Greek letters and signs wherever it is installed.
    from matplotlib import get_data_path
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)


def _length(text: str, size: int, *, bold: bool = False) -> int:
    return int(_font(size, bold).getlength(text) + 0.999)


def _fitted(text: str, size: int, width: int, bold: bool) -> tuple[str, int]:
    """A label and a font size at which it stays within a width, shortened if it must be."""
    while size > 9 and _length(text, size, bold=bold) > width:
        size -= 1
    shortened = text
    while len(shortened) > 1 and _length(shortened, size, bold=bold) > width:
        shortened = shortened.rstrip("…")[:-1] + "…"
    return shortened, size
