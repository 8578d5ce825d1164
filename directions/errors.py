"""Exceptions raised by latdir; their messages say how to fix the call.

Everything that the toolkit refuses on purpose is a `LatdirError`, so that a command can print one
line for it and let every other exception through as a defect. Its subclasses distinguish
what callers may want to handle differently; a value out of its range is a plain `LatdirError`.
"""

from __future__ import annotations

import difflib
import importlib
import math
import operator
from collections.abc import Iterable
from os import PathLike
from types import ModuleType
from typing import Any

__all__ = [
    "BankError",
    "CheckpointError",
    "ConvergenceError",
    "LatdirError",
    "SamplesError",
    "SpaceError",
    "UnknownNameError",
    "check_positive",
    "described",
    "did_you_mean",
    "known_name",
    "not_a",
    "real_number",
    "require",
    "whole_number",
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


def known_name(value: object, known: Iterable[str], noun: str, *, others: str) -> str:
    """A name that is known.

    Args:
        value: What was given.
        known: Names.
        noun: What they are names of.
        others: What else may be given.

    Raises:
        LatdirError: Another name, or no name.

    Example:
        >>> known_name("pca", ["pca", "boundary"], "method", others="a method")
        'pca'
        >>> known_name("boundry", ["pca", "boundary"], "method", others="a method")
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: no method 'boundry': did you mean 'boundary'? there are
        pca, boundary
    """
    names = ", ".join(known)
    if not isinstance(value, str):
        what = noun.rpartition(" ")[2]
        raise LatdirError(f"{what} is {described(value)}: give a name ({names}) or {others}")
    if value not in known:
        raise UnknownNameError(
            f"no {noun} {value!r}: {did_you_mean(value, known)}there are {names}"
        )
    return value


def not_a(noun: str, value: object, *, load: str, wrap: str) -> LatdirError:
    """The error for something else where a model is wanted; it says how to make one of it.

    Args:
        noun: What is wanted.
        value: What was given.
        load: Function that loads one by name.
        wrap: Call that makes one of a function.

    Example:
        >>> load, wrap = "directions.load_generator", "directions.wrap(…, latent_dim=…)"
        >>> str(not_a("generator", "digiface64", load=load, wrap=wrap))
        "generator is 'digiface64', not a generator: write directions.load_generator('digiface64')"
    """
    way = f"give one from {load}(…) or {wrap.partition('(')[0]}(…)"
    if isinstance(value, str | PathLike):
        way = f"write {load}({str(value)!r})"
    elif callable(value) and not hasattr(value, "attributes"):
        way = f"write {wrap}"
    return LatdirError(f"{noun} is {described(value)}, not a {noun}: {way}")


def described(value: object) -> str:
    """A value of the wrong kind, for a message: text as it is, other things by their kind.

    Example:
        >>> described("faces"), described(3.5), described([1]), described(LatdirError)
        ("'faces'", '3.5', 'a list', 'the class LatdirError')
        >>> described(LatdirError("wrong")), described(OSError())
        ('a LatdirError', 'an OSError')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, str | int | float):
        return f"{value!r:.60}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'AEIOaeio' else 'a'} {kind}"


def whole_number(value: Any, name: str, *, least: int | None = None) -> int:
    """A number without a fraction, Python's or NumPy's.

    Raises:
        LatdirError: Something else, or a number below `least`.

    Example:
        >>> whole_number(3, "count", least=1)
        3
        >>> whole_number(1.5, "seed")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: seed is a whole number, not 1.5
    """
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise LatdirError(f"{name} is a whole number, not {described(value)}")
    try:
        whole = operator.index(value)
    except TypeError:
        raise LatdirError(f"{name} is a whole number, not {described(value)}") from None
    if least is not None and whole < least:
        raise LatdirError(f"{name} {whole} must be at least {least}")
    return whole


def real_number(value: Any, name: str, *, least: float | None = None) -> float:
    """A finite number, Python's or NumPy's, or a tensor of one.

    Raises:
        LatdirError: Something else, or a number below `least`.

    Example:
        >>> real_number("2", "step")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: step is a number, not '2'
    """
    scalar = not isinstance(value, str | bytes | bool) and hasattr(type(value), "__float__")
    try:
        number = float(value) if scalar else math.nan
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        kind = "a finite number" if scalar else "a number"
        raise LatdirError(f"{name} is {kind}, not {described(value)}")
    if least is not None and number < least:
        raise LatdirError(f"{name} {number:g} must be at least {least:g}")
    return number


def check_positive(value: Any, name: str) -> None:
    """Refuse what is not a number above 0.

    Raises:
        LatdirError: It is not.

    Example:
        >>> check_positive(0.0, "rate")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: rate 0.0 must be above 0
    """
    if real_number(value, name) <= 0:
        raise LatdirError(f"{name} {value} must be above 0")


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
