"""Kinds made of others: one of several, lists, tuples and dicts."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from directions.errors import LatdirError, described

__all__ = ["Arguments", "Kind", "Model", "dict_kind", "list_kind", "one_of", "tuple_kind"]

MANY = {"text": "names", "a number": "numbers", "a whole number": "whole numbers"}

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """What an argument may be.

    Attributes:
        wanted: What it is, for messages.
        fits: Whether a value is of the kind as it stands.
        convert: A value, its name and all arguments of the call, to a value of the kind.
    """

    wanted: str
    fits: Callable[[Any], bool]
    convert: Callable[[Any, str, Arguments], Any]


@dataclass(frozen=True)
class Model(Kind):
    """A class that says itself what can stand for it."""


def one_of(kinds: list[Kind]) -> Kind:
    """The first of several kinds that a value fits, or else can be converted to."""
    optional = [kind for kind in kinds if kind.wanted == "None"]
    others = [kind for kind in kinds if kind.wanted != "None"]
    # Two ways to write one kind, such as a tensor or an array, are told once.
    *most, last = dict.fromkeys(kind.wanted for kind in others)
    wanted = f"{', '.join(most)} or {last}" if most else last

    def convert(value: Any, name: str, arguments: Arguments) -> Any:
        if value is None and optional:
            return value
        for kind in others:
            if kind.fits(value):
                return kind.convert(value, name, arguments)
        problems = []
        for kind in others:
            try:
                return kind.convert(value, name, arguments)
            except LatdirError as error:
                problems.append(error)
        if len({kind.wanted for kind in others}) == 1:
            raise problems[0]
        if isinstance(others[0], Model):
            # One model or several: the message of the model says how to make one.
            raise problems[-1 if isinstance(value, list | tuple) and value else 0]
        raise LatdirError(f"{name} is {wanted}, not {described(value)}")

    def fits(value: Any) -> bool:
        return any(kind.fits(value) for kind in kinds)

    return Kind(wanted, fits, convert)


def list_kind(of: Kind | None, refused: tuple[type, ...], kept: tuple[type, ...]) -> Kind:
    """Several of a kind; one stands for a list of one where it is text."""
    each = of.wanted if of else ""
    wanted = (
        f"a list of {MANY[each]}" if each in MANY else f"a list, each {each}" if of else "a list"
    )

    def convert(value: Any, name: str, arguments: Arguments) -> Any:
        if isinstance(value, str) and of is not None and of.fits(value):
            return (value,)
        if isinstance(value, refused) or not isinstance(value, collections.abc.Iterable):
            raise LatdirError(f"{name} is {wanted}, not {described(value)}")
        try:
            items = value.tolist() if hasattr(value, "tolist") else tuple(value)
        except (TypeError, RuntimeError):
            items = None
        if not isinstance(items, list | tuple):
            raise LatdirError(f"{name} is {wanted}, not {described(value)}")
        if of is None:
            return value if isinstance(value, kept) else tuple(items)
        made = tuple(of.convert(v, f"{name}[{i}]", arguments) for i, v in enumerate(items))
        same = isinstance(value, kept) and all(a is b for a, b in zip(made, value, strict=True))
        return value if same else made

    def fits(value: Any) -> bool:
        items: Any = value  # beartype knows no type[Collection]
        return isinstance(value, kept) and all(of is None or of.fits(v) for v in items)

    return Kind(wanted, fits, convert)


def tuple_kind(of: tuple[Kind | None, ...]) -> Kind:
    """As many values as kinds, each of its own."""
    wanted = f"{len(of)} values"

    def convert(value: Any, name: str, arguments: Arguments) -> Any:
        items = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(items, list | tuple) or len(items) != len(of):
            raise LatdirError(f"{name} is {wanted}, not {described(value)}")
        return tuple(
            v if kind is None else kind.convert(v, f"{name}[{i}]", arguments)
            for i, (v, kind) in enumerate(zip(items, of, strict=True))
        )

    return Kind(wanted, lambda v: isinstance(v, tuple) and len(v) == len(of), convert)


def dict_kind(key: Kind | None, of: Kind | None) -> Kind:
    """A mapping with keys of one kind and values of another."""

    def convert(value: Any, name: str, arguments: Arguments) -> Any:
        if not isinstance(value, Mapping):
            raise LatdirError(f"{name} is a dict, not {described(value)}")
        made = {
            key.convert(k, f"a key of {name}", arguments) if key else k: of.convert(
                v, f"{name}[{k!r:.60}]", arguments
            )
            if of
            else v
            for k, v in value.items()
        }
        same = all(k in value and made[k] is value[k] for k in made)
        return value if same else made

    return Kind("a dict", lambda v: isinstance(v, Mapping), convert)
