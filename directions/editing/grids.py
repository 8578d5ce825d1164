"""Grids of edits: one row per sample, one column per amount, the original included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.direction import Direction
from directions.editing.moves import HasAmounts, move, space_of, sweep
from directions.errors import BankError, LatdirError, SpaceError
from directions.generators.base import Generator
from directions.images import grid
from directions.scoring.scorer import Scorer
from directions.space import as_codes

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["AMOUNTS", "amount_label", "edit_grid"]

# Of every strip of images, here and in `analysis`.
AMOUNTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
SIGNS = {"sigma": "σ", "latent": "", "degrees": "°", "probability": ""}


@checked
def edit_grid(
    generator: Generator,
    codes: Float[Tensor, "n *shape"] | np.ndarray,
    what: Direction | DirectionBank | Sequence[Direction],
    *,
    space: str | None = None,
    amounts: Sequence[float] | HasAmounts = AMOUNTS,
    unit: str = "sigma",
    layers: Sequence[int] | None = None,
    rows: Sequence[str] | None = None,
    title: str | None = None,
    tile: int | None = None,
) -> Image.Image:
    """A grid of images of some samples moved along a direction or each direction of a bank.

    Args:
        generator: Makes the images; a bank, or a direction from one, must belong to it.
        codes: `[n, *shape]`, one row each.
        what: A direction, or a bank or list, whose directions follow one another with n rows each.
        space: Space of the codes, by default the one that the directions move; codes of another
            are carried over to it.
        amounts: One column each, in order; 0, the original, is added where it is missing. Or what
            `solve` found for a bank: each code beside the code moved by it, one row each.
        unit: `sigma`, `latent`, `attribute`, or the unit the directions are calibrated in.
        layers: Move these layers only, instead of those each direction was made for.
        rows: Labels of the rows; by default the directions' names of a bank, else none.
        title: Line above all; by default the direction's name.
        tile: Height of one tile.

    Returns:
        The image, with its column of originals framed.

    Raises:
        LatdirError: Codes of another space than said, a bank of another generator, or what
            `sweep` and `grid` refuse.

    Example:
        >>> from directions.planted.world import planted
        >>> generator = planted()
        >>> up = Direction("up", generator.truth[0], "z")
        >>> edit_grid(generator, generator.sample(2, seed=0), up, amounts=[-2.0, 2.0]).size
        (424, 347)
    """
    if isinstance(what, DirectionBank):
        what.check(generator)
    named = not isinstance(what, Direction)
    directions = _directions(what)
    codes = as_codes(codes)
    if len(codes) == 0:
        raise LatdirError("no codes to draw: give at least one")
    if space is not None:
        codes = generator.map(codes, space, directions[0].acts_in(generator.spaces))
    places = {space_of(generator, codes, d) for d in directions}
    if len(places) > 1:
        raise SpaceError(
            f"directions of {' and '.join(sorted(places))} cannot move one code: "
            "draw those of one space at a time"
        )
    scorer = Scorer(generator, space=places.pop())
    if isinstance(amounts, HasAmounts):
        if not isinstance(what, DirectionBank):
            raise LatdirError("a solution moves along a bank: give the bank it was found for")
        moved = torch.stack([codes, move(codes, what, amounts, layers=layers)], 1)
        steps, labels, named = [0.0], ["original", "solved"], False
    else:
        steps = sorted({float(a) for a in amounts} | {0.0})
        moved = torch.cat(
            [sweep(codes, d, steps, unit=unit, layers=layers).transpose(0, 1) for d in directions]
        )
        labels = ["original" if a == 0 else amount_label(a, unit, directions) for a in steps]
    images = torch.cat([part.cpu() for part in scorer.images(moved.flatten(0, 1))])
    images = images.reshape(*moved.shape[:2], *images.shape[1:]).float()
    if rows is None and named:
        rows = [d.name if i == 0 else "" for d in directions for i in range(len(codes))]
    return grid(
        images,
        columns=labels,
        rows=rows or (),
        title=(what.name if isinstance(what, Direction) else "") if title is None else title,
        marked=steps.index(0.0),
        tile=tile,
    )


def _directions(what: Direction | DirectionBank | Sequence[Direction]) -> tuple[Direction, ...]:
    if isinstance(what, Direction):
        return (what,)
    found = tuple(what.directions if isinstance(what, DirectionBank) else what)
    if not found:
        raise BankError("this bank is empty: there is nothing to draw")
    if not all(isinstance(d, Direction) for d in found):
        raise LatdirError("edit_grid draws a direction, a bank, or a list of directions")
    return found


def amount_label(amount: float, unit: str, directions: Sequence[Direction]) -> str:
    """An amount as it is shown, with its sign and unit.

    Example:
        >>> amount_label(-1.5, "sigma", ())
        '−1.5σ'
    """
    if unit == "attribute":
        own = {d.calibration.unit for d in directions if d.calibration}
        unit = own.pop() if len(own) == 1 else ""
    sign = SIGNS.get(unit, f" {unit}")
    return f"{amount:+.3g}{sign}".replace("-", "−").rstrip()
