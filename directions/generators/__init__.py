"""Generators: latent codes in, images out."""

from __future__ import annotations

from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.plugins import Entry, build

__all__ = ["GENERATORS", "Generator", "load_generator"]


GENERATORS: dict[str, Entry] = {
    "digiface64": Entry(
        "directions.generators.dcgan:digiface64",
        "DCGAN faces, 64×64, z of 100, trained on DigiFace-1M; ships with the package",
    ),
    "planted": Entry(
        "directions.generators.planted:planted",
        "analytic images of known factors, for tests and benchmarks",
    ),
}


def load_generator(name: str) -> Generator:
    """A generator by name.

    Args:
        name: One of `GENERATORS`, or `module:function` of your own, where the function takes no
            arguments and returns a `Generator`, such as `directions.wrap(…)`.

    Raises:
        LatdirError: No generator of that name.

    Example:
        >>> load_generator("nvidia-magic")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: no generator 'nvidia-magic': there are digiface64,
            planted; your own is named 'module:function', where the function returns
            directions.wrap(…)
    """
    made = build(name, GENERATORS, kind="generator", wrap="directions.wrap")
    if not isinstance(made, Generator):
        raise LatdirError(
            f"{name} made a {type(made).__name__}, not a Generator: return directions.wrap(…)"
        )
    return made
