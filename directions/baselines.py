"""Random directions: the baseline of every method and the null of every effect."""

from __future__ import annotations

from typing import Literal

import torch

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError
from directions.generators.base import Generator

__all__ = ["random_directions"]


@checked
def random_directions(
    generator: Generator,
    *,
    space: str | None = None,
    n_directions: int = 32,
    seed: int = 0,
    layers: tuple[int, ...] | None = None,
    spread: Literal["prior", "uniform"] = "uniform",
) -> DirectionBank:
    """Directions drawn at random; the first ones of a seed are independent of their number.

    Args:
        generator: Owner of the space.
        space: Its name; by default the generator's first.
        n_directions: Number of directions.
        seed: Seed of the draw.
        layers: Layers they act on; None means all.
        spread: `uniform` over the unit sphere, or `prior`, like differences of codes, so that none
            is along a direction that the generator never varies.

    Returns:
        A bank of `random_00`, `random_01`, …, with sigma from the space's prior.

    Raises:
        LatdirError: An unknown space, or no directions requested.

    Example:
        >>> from directions.generators import load_generator
        >>> list(random_directions(load_generator("planted"), n_directions=2))
        ['random_00', 'random_01']
    """
    if n_directions < 1:
        raise LatdirError(f"n_directions is {n_directions}: give at least 1")
    where = generator.space(space or generator.default_space())
    prior = generator.prior(where.name)
    rng = torch.Generator().manual_seed(seed % 2**63)
    root = prior.root if spread == "prior" else None
    size = where.size if root is None else root.shape[1]
    # One draw a direction, so that more of them do not change the first.
    vectors = torch.stack(
        [torch.randn(size, generator=rng, dtype=torch.float64) for _ in range(n_directions)]
    )
    made = (
        Direction.from_vector(
            f"random_{i:02d}",
            vector.reshape(where.shape).float(),
            space=where.name,
            method="random_directions",
            config={"n_directions": n_directions, "space": space, "spread": spread},
            layers=layers,
        )
        for i, vector in enumerate(vectors if root is None else vectors @ root.T)
    )
    directions = tuple(d.evolve(sigma=prior.sigma(d.vector)) for d in made)
    return DirectionBank(directions, generator.name, generator.fingerprint, {"seed": seed})
