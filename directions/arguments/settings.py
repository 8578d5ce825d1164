"""The base of families of settings: methods, solvers, starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from directions.arguments.checked import hints_of
from directions.arguments.kinds import Kind, kind_of
from directions.errors import LatdirError

__all__ = ["Settings"]

# What each setting of a class may be: annotations are read once.
KINDS: dict[type, Mapping[str, Kind]] = {}


@dataclass(frozen=True)
class Settings:
    """A frozen dataclass whose fields are settings, in every class derived from it too.

    Each is converted to the kind of its annotation, or refused; numbers are finite. A subclass's
    own checks follow in its `__post_init__`, after `super().__post_init__()`.

    Example:
        >>> import numpy as np
        >>> @dataclass(frozen=True)
        ... class Descent(Settings):
        ...     steps: int = 100
        ...     rate: float = 0.1
        >>> Descent(steps=np.int64(3))
        Descent(steps=3, rate=0.1)
        >>> Descent(rate="fast")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: rate is a number, not 'fast'
    """

    def __post_init__(self) -> None:
        """Convert all settings.

        Raises:
            LatdirError: A setting of another kind.
            UnknownNameError: A word that is not among a field's choices.
        """
        own = type(self)
        if own not in KINDS:
            KINDS[own] = _kinds(own)
        for name, kind in KINDS[own].items():
            object.__setattr__(self, name, kind.convert(getattr(self, name), name, {}))

    def _check_least(self, least: int, *names: str) -> None:
        """Refuse settings below a bound; one that is None is left out.

        Raises:
            LatdirError: The first that is below it.
        """
        for name in names:
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise LatdirError(f"{name} {value:g} must be at least {least}")

    def _check_positive(self, *names: str) -> None:
        """Refuse settings of 0 and below; one that is None is left out.

        Raises:
            LatdirError: The first that is not positive.
        """
        for name in names:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise LatdirError(f"{name} {value:g} must be above 0")


def _kinds(settings: type[Settings]) -> Mapping[str, Kind]:
    hints = hints_of(settings)
    kinds = {field.name: kind_of(hints[field.name]) for field in fields(settings)}
    return {name: kind for name, kind in kinds.items() if kind is not None}
