"""Grids of edits: one row per sample, one column per amount, the original included."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.editing.moves import sweep
from directions.errors import BankError, LatdirError
from directions.generators.base import Generator
from directions.images import grid
from directions.scoring.scorer import Scorer

__all__ = ["AMOUNTS", "edit_grid"]

# Of every strip of images, here and in `analysis`.
AMOUNTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
SIGNS = {"sigma": "σ", "latent": "", "degrees": "°", "probability": ""}


def edit_grid(
    generator: Generator,
    codes: Float[Tensor, "n *shape"],
    what: Direction | DirectionBank,
    *,
    amounts: Sequence[float] = AMOUNTS,
    unit: str = "sigma",
    layers: Sequence[int] | None = None,
    rows: Sequence[str] | None = None,
    title: str | None = None,
    tile: int | None = None,
) -> Image.Image:
    """A grid of images of some samples moved along a direction or each direction of a bank.

    Args:
        generator: Makes the images; a bank must belong to it.
        codes: `[n, *shape]`, one row each.
        what: A direction, or a bank, whose directions follow one another with n rows each.
        amounts: One column each, in order; 0, the original, is added where it is missing.
        unit: `sigma`, `latent`, `attribute`, or the unit the directions are calibrated in.
        layers: Move these layers only, instead of those each direction was made for.
        rows: Labels of the rows; by default the directions' names of a bank, else none.
        title: Line above all; by default the direction's name.
        tile: Height of one tile.

    Returns:
        The image, with its column of originals framed.

    Raises:
        LatdirError: Codes of no space of the generator's, a bank of another generator, or what
            `sweep` and `grid` refuse.

    Example:
        >>> from directions.planted.world import planted
        >>> generator = planted()
        >>> up = Direction("up", generator.truth[0], "z")
        >>> edit_grid(generator, generator.sample(2, seed=0), up, amounts=[-2.0, 2.0]).size
        (424, 347)
    """
    if isinstance(what, DirectionBank):
        directions = what.check(generator).directions
        if not directions:
            raise BankError("this bank is empty: there is nothing to draw")
    else:
        directions = (what,)
    if len(codes) == 0:
        raise LatdirError("no codes to draw: give at least one")
    scorer = Scorer(generator, space=_space_of(generator, codes, directions[0].space))
    steps = sorted({float(a) for a in amounts} | {0.0})
    moved = torch.cat(
        [sweep(codes, d, steps, unit=unit, layers=layers).transpose(0, 1) for d in directions]
    )
    images = torch.cat([part.cpu() for part in scorer.images(moved.flatten(0, 1))])
    images = images.reshape(*moved.shape[:2], *images.shape[1:]).float()
    if rows is None and isinstance(what, DirectionBank):
        rows = [d.name if i == 0 else "" for d in directions for i in range(len(codes))]
    return grid(
        images,
        columns=["original" if a == 0 else _amount(a, unit, directions) for a in steps],
        rows=rows or (),
        title=(what.name if isinstance(what, Direction) else "") if title is None else title,
        marked=steps.index(0.0),
        tile=tile,
    )


def _space_of(generator: Generator, codes: Tensor, name: str) -> str:
    """The direction's own space, or the layered one that the codes belong to."""
    shape = tuple(codes.shape[1:])
    if generator.space(name).shape == shape:
        return name
    layered = generator.spaces.get(f"{name}+")
    if layered is not None and layered.shape == shape:
        return layered.name
    generator.check(codes, name)
    return name


def _amount(amount: float, unit: str, directions: Sequence[Direction]) -> str:
    if unit == "attribute":
        own = {d.calibration.unit for d in directions if d.calibration}
        unit = own.pop() if len(own) == 1 else ""
    sign = SIGNS.get(unit, f" {unit}")
    return f"{amount:+.3g}{sign}".replace("-", "−").rstrip()
