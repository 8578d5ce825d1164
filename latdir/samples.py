"""Flags that say which samples of a generator are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from directions.errors import LatdirError
from latdir.options import Seed, split_names

if TYPE_CHECKING:
    from torch import Tensor

    from directions.generators import Generator

__all__ = ["DrawnSamples", "ManySamples"]

Pick = Annotated[
    str | None,
    typer.Option("--pick", help="Numbers from the sheet of that seed (latdir sheet), as 3,17,42."),
]


@dataclass(frozen=True)
class DrawnSamples:
    """Samples of a seed: the first ones, or those of some numbers.

    Attributes:
        count: How many of the first.
        seed: Seed of the codes.
        pick: Numbers with commas between, instead of the first.
        inverted: A file of codes instead, of which `pick` chooses.
    """

    count: Annotated[int, typer.Option(help="Number of samples.", min=1)] = 4
    seed: Seed = 1
    pick: Pick = None
    inverted: Annotated[
        Path | None,
        typer.Option("--codes", help="Codes of latdir invert, instead; --pick counts from 0."),
    ] = None

    def codes(self, generator: Generator, space: str | None = None) -> Tensor:
        """Their codes, `[n, *shape]`, by default in the generator's first space.

        Raises:
            LatdirError: Something else than numbers, or a file whose codes are of another
                generator or space.
        """
        from directions.editing.contact_sheet import picked

        names = split_names(self.pick)
        if names is None and self.inverted is not None:
            return self._found(generator, space)
        if names is None:
            return generator.sample(self.count, seed=self.seed, space=space)
        wrong = [name for name in names if not name.isdecimal()]
        if wrong or not names:
            raise LatdirError(
                f"--pick takes numbers with commas, such as 3,17,42, not {(wrong or [''])[0]!r}"
            )
        numbers = [int(name) for name in names]
        if self.inverted is None:
            return picked(generator, numbers, seed=self.seed, space=space)
        found = self._found(generator, space)
        if max(numbers) >= len(found):
            raise LatdirError(
                f"{self.inverted} holds codes 0 to {len(found) - 1}, and --pick asks for "
                f"{max(numbers)}"
            )
        return found[numbers]

    def _found(self, generator: Generator, space: str | None) -> Tensor:
        """The codes of the file."""
        from directions.inversion import load_inversion

        assert self.inverted is not None
        found = load_inversion(self.inverted, generator)
        wanted = generator.space(space or generator.default_space()).name
        if found.space != wanted:
            raise LatdirError(
                f"{self.inverted} holds codes of {found.space}, and codes of {wanted} are edited "
                f"here: invert the photographs with --space {wanted}"
            )
        return found.codes


@dataclass(frozen=True)
class ManySamples(DrawnSamples):
    """The same, twice as many."""

    count: Annotated[int, typer.Option(help="Number of samples.", min=1)] = 8
