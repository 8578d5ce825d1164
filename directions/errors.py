"""Exceptions raised by latdir; their messages say how to fix the call.

Everything that the toolkit refuses on purpose is a `LatdirError`, so that a command can print one
line for it and let every other exception through as a defect. Its subclasses distinguish
what callers may want to handle differently; a value out of its range is a plain `LatdirError`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

__all__ = [
    "BankError",
    "CheckpointError",
    "ConvergenceError",
    "LatdirError",
    "SamplesError",
    "SpaceError",
    "UnknownNameError",
    "did_you_mean",
    "require",
]


class LatdirError(ValueError):
    """A call or a file that the toolkit refuses; the message says how to fix it."""


class SpaceError(LatdirError):
    """Codes, layers, directions or priors that do not fit a latent space."""


class UnknownNameError(LatdirError, KeyError):
    """An unknown name: of a direction, an attribute, a space, a method."""

    def __str__(self) -> str:
        return str(self.args[0])


class CheckpointError(LatdirError):
    """A file of weights that is missing, damaged, refused, or of no known family."""


class BankError(LatdirError):
    """A bank, a direction file or a path file: broken, incomplete, or of another generator."""


class SamplesError(LatdirError):
    """Codes and their scores: inconsistent, not finite, too few, or a broken folder of them."""


class ConvergenceError(LatdirError):
    """An iteration that ended before its tolerance was met."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The closest known name as the start of an error's remedy; empty where none is close.

    Example:
        >>> did_you_mean("boundry", ["pca", "boundary"])
        "did you mean 'boundary'? "
    """
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def require(package: str, extra: str) -> ModuleType:
    """Import an optional package, or say how to install it.

    Args:
        package: The module's import name.
        extra: The extra of this distribution that brings it.

    Returns:
        The imported module.

    Raises:
        LatdirError: The package is not installed.

    Example:
        >>> require("json", "clip").__name__
        'json'
        >>> require("no_such_package", "clip")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: this needs the package 'no_such_package':
        pip install 'latdir[clip]'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise LatdirError(
            f"this needs the package {package!r}: pip install 'latdir[{extra}]'"
        ) from error
