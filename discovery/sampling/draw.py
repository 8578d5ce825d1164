"""The codes of one run, in reproducible chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from directions.generators.base import Generator
from directions.progress import tqdm

__all__ = ["Draw"]


@dataclass(frozen=True, eq=False)
class Draw:
    """The codes of one run of one generator.

    Attributes:
        generator: Where they come from.
        space: Name of their space.
        seed: Seed of their sequence.
        samples: Number of codes.
        chunk: Number of codes at a time.

    Example:
        >>> from directions.generators import load_generator
        >>> draw = Draw(load_generator("planted"), "z", seed=0, samples=5, chunk=2)
        >>> [len(codes) for codes in draw.chunks()]
        [2, 2, 1]
    """

    generator: Generator
    space: str
    seed: int
    samples: int
    chunk: int

    def first(self, samples: int) -> Draw:
        """The first codes of the same sequence, at most `samples`."""
        return replace(self, samples=min(samples, self.samples))

    def by(self, chunk: int) -> Draw:
        """The same codes, at most `chunk` at a time."""
        return replace(self, chunk=max(1, min(chunk, self.chunk)))

    def chunks(self, *, start: int = 0, note: str = "codes") -> Iterator[Float[Tensor, "n ..."]]:
        """The codes from number `start` on.

        Args:
            start: Number of the first code.
            note: Label of the progress bar.
        """
        starts = range(start, self.samples, self.chunk)
        for first in tqdm(starts, desc=note, leave=False, delay=1):
            yield self.at(first)

    def at(self, start: int) -> Float[Tensor, "n ..."]:
        """The chunk of codes from number `start` on."""
        count = min(self.chunk, self.samples - start)
        return self.generator.sample(count, seed=self.seed, start=start, space=self.space)
