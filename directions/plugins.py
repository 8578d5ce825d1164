"""Lookup by name: built-in entries, those of installed packages, and `module:function`."""

from __future__ import annotations

import importlib
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from directions.errors import UnknownNameError

__all__ = ["Entry", "build", "installed"]


@dataclass(frozen=True)
class Entry:
    """An object that loads by name, described without importing it.

    Attributes:
        location: `module:function` that makes it.
        summary: One-line description.
    """

    location: str
    summary: str


def installed(group: str, builtin: Container[str]) -> dict[str, Entry]:
    """Entry points of other installed packages, which are not imported.

    Args:
        group: Such as `latdir.generators`.
        builtin: Names that no other package can take.

    Example:
        >>> installed("latdir.no_such_group", ())
        {}
    """
    # Imported late: looking through all installed packages takes as long as listing our own.
    from importlib.metadata import entry_points

    return {
        point.name: Entry(
            f"{point.module}:{point.attr}",
            f"of the package {point.dist.name}" if point.dist else "of another package",
        )
        for point in entry_points(group=group)
        if point.name not in builtin
    }


def build(
    name: str, entries: Mapping[str, Entry], *, kind: str, wrap: str, group: str | None = None
) -> Any:
    """Call the function registered under a name.

    Args:
        name: A key of `entries`; the name of an entry point; or `module:function` of the caller's
            own code, which is imported and called without arguments.
        entries: The built-in entries.
        kind: The kind of object, for the error.
        wrap: The function that adapts a user's object, for the error.
        group: Group of entry points, which are looked up where `entries` has no such name.

    Raises:
        LatdirError: No such name, module or function.
    """
    known = dict(entries)
    if group is not None and ":" not in name and name not in entries:
        known |= installed(group, entries)
    if ":" not in name and name not in known:
        raise UnknownNameError(
            f"no {kind} {name!r}: there are {', '.join(known)}; your own is named "
            f"'module:function', where the function returns {wrap}(…)"
        )
    location = known[name].location if name in known else name
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
