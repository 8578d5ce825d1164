"""Images: float tensors `[n, 3, H, W]` in [-1, 1].

`tensors` converts them to and from bytes and PIL and resizes them, `photographs` opens pictures of
any kind at a generator's size, `grids` draws many with labels and writes PNG files, `animations`
writes GIF and WebP files. Import the names from here; `grid`, `save_png`, `save_animation` and
`open_images` also from `directions`.
"""

from directions.images.animations import ANIMATIONS, save_animation
from directions.images.grids import grid, save_png
from directions.images.photographs import SUFFIXES, open_images
from directions.images.tensors import from_pil, from_uint8, resize, to_pil, to_uint8

__all__ = [
    "ANIMATIONS",
    "SUFFIXES",
    "from_pil",
    "from_uint8",
    "grid",
    "open_images",
    "resize",
    "save_animation",
    "save_png",
    "to_pil",
    "to_uint8",
]
