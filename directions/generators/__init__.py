"""Generators: latent codes in, images out."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from directions.errors import LatdirError
from directions.generators.base import Generator

__all__ = ["GENERATORS", "Entry", "Generator", "load_generator"]


@dataclass(frozen=True)
class Entry:
    """One generator that loads by name.

    Attributes:
        location: `module:function` that makes it.
        summary: What it is, in a line.
    """

    location: str
    summary: str


GENERATORS: dict[str, Entry] = {
    "digiface64": Entry(
        "directions.generators.dcgan:digiface64",
        "DCGAN faces, 64×64, z of 100, trained on DigiFace-1M (ships with the package)",
    ),
    "planted": Entry(
        "directions.generators.planted:planted",
        "analytic images of known factors, for tests and benchmarks",
    ),
}


def load_generator(name: str) -> Generator:
    """A generator by name.

    Raises:
        LatdirError: No generator of that name.

    Example:
        >>> load_generator("nvidia-magic")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: no generator 'nvidia-magic': there are digiface64,
        planted; wrap your own with directions.wrap
    """
    if name not in GENERATORS:
        raise LatdirError(
            f"no generator {name!r}: there are {', '.join(GENERATORS)}; "
            "wrap your own with directions.wrap"
        )
    module, _, function = GENERATORS[name].location.partition(":")
    made: Generator = getattr(importlib.import_module(module), function)()
    return made
