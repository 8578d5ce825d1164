"""Directions of a style generator restricted to the style channels that they move most.

Single channels of the style codes s change single things, while a direction of w changes them all
at once (Wu, Lischinski and Shechtman 2021, "StyleSpace Analysis: Disentangled Controls for StyleGAN
Image Generation", arXiv 2011.12799). s is an affine function of w, so a direction of w or w+ is one
of s, the same everywhere; here only its strongest coordinates are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import SpaceError, whole_number
from directions.generators.base import Generator

__all__ = ["strongest_channels"]

STYLES = "s"
AFFINE = ("w", "w+")
TINY = 1e-12


@checked
def strongest_channels(
    bank: DirectionBank,
    generator: Generator,
    *,
    count: int,
    layers: Sequence[int] | None = None,
) -> DirectionBank:
    """The same directions in style codes, each with its strongest channels only.

    A channel's strength is its change per sigma over its standard deviation in the prior. One
    sigma of a result moves the channels that are left as much as one sigma of the original.

    Args:
        bank: Directions of w or w+.
        generator: A style generator; the bank belongs to it.
        count: Channels of each direction.
        layers: Channels of these layers of w+ only, instead of those a direction was made for.

    Returns:
        Directions of s, by the same names.

    Raises:
        LatdirError: A generator without style codes, directions of another space, or of no channel.

    Example:
        >>> from directions import load_generator
        >>> generator = load_generator("styleface64")
        >>> up = Direction.from_vector("up", torch.ones(256), space="w", sigma=2.0)
        >>> few = strongest_channels(DirectionBank.of(generator, [up]), generator, count=8)
        >>> few["up"].space, int(few["up"].vector.count_nonzero())
        ('s', 8)
    """
    bank.check(generator)
    count = whole_number(count, "count", least=1)
    if STYLES not in generator.spaces:
        raise SpaceError(
            f"{generator.name} has no style codes, only {', '.join(generator.spaces)}: choose a "
            "style generator"
        )
    deviations = generator.prior(STYLES).deviations.double().clamp_min(TINY)
    made = []
    for direction in bank.directions:
        step = _step(direction, generator, layers).flatten().cpu()
        kept = (step.abs() / deviations).topk(min(count, len(step))).indices
        vector = torch.zeros_like(step).index_copy_(0, kept, step[kept])
        sigma = float(vector.norm())
        if not sigma > TINY:
            raise SpaceError(f"direction {direction.name!r} changes no style code there")
        unit = Direction.from_vector(direction.name, vector, space=STYLES, sigma=sigma)
        made.append(unit.evolve(vector=unit.vector.to(direction.vector)))
    return DirectionBank.of(generator, made)


def _step(
    direction: Direction, generator: Generator, layers: Sequence[int] | None
) -> Float[Tensor, "1 d"]:
    """Change of the style codes per sigma."""
    if direction.space not in AFFINE:
        raise SpaceError(
            f"style codes are not an affine function of {direction.space}: take directions of w "
            "or w+"
        )
    if layers is not None:
        direction = direction.evolve(layers=tuple(layers))
    layered = generator.space(AFFINE[-1]).shape
    code = torch.zeros(1, *layered, device=generator.device)
    ends = [generator.map(end, AFFINE[-1], STYLES) for end in (code, direction.shift(code, 1.0))]
    return ends[1].double() - ends[0].double()
