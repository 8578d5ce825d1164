"""Random directions: the baseline of every method.

They are drawn from the prior's own covariance, so that a random direction is the difference of
two codes and not one along which the generator never varies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.generators.base import Generator
from discovery.base import GeneratorMethod

__all__ = ["RandomDirections"]


@dataclass(frozen=True)
class RandomDirections(GeneratorMethod):
    """Directions drawn at random.

    Attributes:
        n_directions: Number of directions.
        space: Latent space; by default `w` where there is one, otherwise the first.
        spread: `prior`, like differences of codes, or `uniform` over all directions.

    Example:
        >>> from directions.generators import load_generator
        >>> bank = RandomDirections(n_directions=3).discover(load_generator("digiface64"), seed=1)
        >>> list(bank)
        ['random_00', 'random_01', 'random_02']
    """

    n_directions: int = 20
    space: str | None = None
    spread: Literal["prior", "uniform"] = "prior"

    method: ClassVar[str] = "random_directions"

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Draw the directions; the first ones of a seed are independent of `n_directions`.

        Args:
            generator: Any generator.
            seed: Of the directions.

        Returns:
            Directions whose `sigma` is the prior's standard deviation along each.

        Raises:
            LatdirError: An unknown space.
        """
        space = generator.space(self.space or generator.default_space("w"))
        prior = generator.prior(space.name)
        rng = torch.Generator().manual_seed(seed % 2**63)
        root = prior.root if self.spread == "prior" else None
        size = space.size if root is None else root.shape[1]
        rows = [
            torch.randn(size, generator=rng, dtype=torch.float64) for _ in range(self.n_directions)
        ]
        vectors = torch.stack(rows)
        if root is not None:
            vectors = vectors @ root.T
        made = (
            Direction.from_vector(
                f"random_{i:02d}",
                vector.reshape(space.shape).float(),
                space=space.name,
                method=self.method,
                config=self.config,
            )
            for i, vector in enumerate(vectors)
        )
        directions = tuple(d.evolve(sigma=prior.sigma(d.vector)) for d in made)
        return DirectionBank(directions, generator.name, generator.fingerprint, {"seed": seed})
