"""Samples to choose from: a sheet of a seed's images, and the codes of those chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator
from directions.images import grid
from directions.scoring.scorer import Scorer

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["contact_sheet", "picked"]

COLUMNS = 10


@checked
def contact_sheet(
    generator: Generator,
    count: int = 60,
    *,
    seed: int = 0,
    start: int = 0,
    truncation: float = 1.0,
    tile: int = 96,
) -> Image.Image:
    """Images of a seed's samples, ten in a row; a number is its row's and its column's sum.

    Args:
        generator: Makes the images.
        count: How many.
        seed: Seed of the codes.
        start: Number of the first.
        truncation: ψ of the codes.
        tile: Height of one image.

    Returns:
        The sheet; `picked` has the codes of the numbers chosen on it, `save_png` writes it.

    Raises:
        LatdirError: No images, a number or seed that does not exist, or no such truncation.

    Example:
        >>> from directions.planted.world import planted
        >>> contact_sheet(planted(), 20).size[0] > 960
        True
    """
    if count < 1:
        raise LatdirError(f"a sheet of {count} images: take 1 or more")
    space = generator.default_space()
    codes = generator.sample(count, seed=seed, start=start, space=space, truncation=truncation)
    made = Scorer(generator, space=space).images(codes)
    images = torch.cat([part.cpu().float() for part in made])
    columns = min(COLUMNS, count)
    blank = images.new_ones(-count % columns, *images.shape[1:])
    return grid(
        torch.cat([images, blank]).reshape(-1, columns, *images.shape[1:]),
        columns=[f"+{i}" for i in range(columns)],
        rows=[f"{start + i}" for i in range(0, count, columns)],
        title=f"{generator.name}, seed {seed}",
        tile=tile,
    )


@checked
def picked(
    generator: Generator,
    numbers: Sequence[int],
    *,
    seed: int = 0,
    space: str | None = None,
    truncation: float = 1.0,
) -> Float[Tensor, "n *shape"]:
    """Codes of a seed's samples by their numbers, as `contact_sheet` shows them.

    Args:
        generator: Draws them.
        numbers: One for each code, in this order.
        seed: Seed of the codes.
        space: Their space; by default the first.
        truncation: ψ of the codes.

    Returns:
        `[n, *space.shape]`: the same codes as those of `generator.sample`.

    Raises:
        LatdirError: No numbers, one that does not exist, an unknown space, or no such truncation.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted()
        >>> torch.equal(picked(world, [7, 2]), world.sample(8, seed=0)[[7, 2]])
        True
    """
    if not numbers:
        raise LatdirError("no numbers: name those of the sheet, such as [3, 17]")
    starts = [whole_number(number, "number") for number in numbers]
    name = space or generator.default_space()
    return torch.cat(
        [
            generator.sample(1, seed=seed, start=start, space=name, truncation=truncation)
            for start in starts
        ]
    )
