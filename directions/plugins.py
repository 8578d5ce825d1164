"""Lookup by name: built-in entries, and a user's own by `module:function`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from directions.errors import UnknownNameError

__all__ = ["Entry", "build"]


@dataclass(frozen=True)
class Entry:
    """An object that loads by name, described without importing it.

    Attributes:
        location: `module:function` that makes it.
        summary: One-line description.
    """

    location: str
    summary: str


def build(name: str, entries: Mapping[str, Entry], *, kind: str, wrap: str) -> Any:
    """Call the function registered under a name.

    Args:
        name: A key of `entries`, or `module:function` of the caller's own code, which is imported
            and called without arguments.
        entries: The built-in entries.
        kind: The kind of object, for the error.
        wrap: The function that adapts a user's object, for the error.

    Raises:
        LatdirError: No such name, module or function.
    """
    if ":" not in name and name not in entries:
        raise UnknownNameError(
            f"no {kind} {name!r}: there are {', '.join(entries)}; your own is named "
            f"'module:function', where the function returns {wrap}(…)"
        )
    location = entries[name].location if name in entries else name
    module, _, function = location.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        if name in entries:
            raise
        raise UnknownNameError(
            f"no {kind} at {name!r} ({error}): name it 'module:function', "
            "importable from this folder or from PYTHONPATH"
        ) from error
    return make()
