"""Random directions: the baseline of every method.

They are drawn from the prior's own covariance, so that a random direction is the difference of
two codes and not one along which the generator never varies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from directions.bank import DirectionBank
from directions.baselines import random_directions
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
        """Draw the directions, as `directions.baselines.random_directions` does.

        Args:
            generator: Any generator.
            seed: Seed of the directions.

        Returns:
            Directions whose `sigma` is the prior's standard deviation along each.

        Raises:
            LatdirError: An unknown space.
        """
        bank = random_directions(
            generator,
            space=self.space or generator.default_space("w"),
            n_directions=self.n_directions,
            seed=seed,
            spread=self.spread,
        )
        return bank.replaced(d.evolve(config=self.config) for d in bank.directions)
