"""Lookup by name: built-in entries, those of installed packages, and code of the user's own."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Container, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from directions.errors import LatdirError, UnknownNameError, did_you_mean

__all__ = ["Entry", "build", "configured", "installed"]


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


def configured(name: str, entries: Mapping[str, Entry], *, kind: str, **settings: Any) -> Any:
    """An object of the dataclass registered under a name, with settings of its own.

    Args:
        name: A key of `entries`.
        entries: The built-in entries.
        kind: The kind of object, for the error.
        **settings: Fields that differ from their defaults.

    Raises:
        LatdirError: No such name, or a setting that it does not have.

    Example:
        >>> entries = {"entry": Entry("directions.plugins:Entry", "itself")}
        >>> configured("entry", entries, kind="part", location="a:b", summary="c")
        Entry(location='a:b', summary='c')
        >>> configured("entri", entries, kind="part")
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: no part 'entri': did you mean 'entry'? there are entry
    """
    if name not in entries:
        raise UnknownNameError(
            f"no {kind} {name!r}: {did_you_mean(name, entries)}there are {', '.join(entries)}"
        )
    module, _, title = entries[name].location.partition(":")
    found = getattr(importlib.import_module(module), title)
    known = [f.name for f in fields(found)]
    for setting in settings:
        if setting not in known:
            raise LatdirError(f"{name} has no setting {setting!r}: it has {', '.join(known)}")
    return found(**settings)


def build(
    name: str, entries: Mapping[str, Entry], *, kind: str, wrap: str, group: str | None = None
) -> Any:
    """Call the function registered under a name.

    Args:
        name: A key of `entries`; the name of an entry point; or `module:function` or
            `path/to/file.py:function` of the caller's own code, which is imported, from the
            current folder too, and called without arguments.
        entries: The built-in entries.
        kind: The kind of object, for the error.
        wrap: The function that adapts a user's object, for the error.
        group: Group of entry points, which are looked up where `entries` has no such name.

    Raises:
        LatdirError: No such name, module or function, or a function that needs arguments.
    """
    if not isinstance(name, str):
        raise LatdirError(f"a {kind}'s name is text, not {type(name).__name__}: such as 'planted'")
    known = dict(entries)
    if group is not None and ":" not in name and name not in entries:
        known |= installed(group, entries)
    if ":" not in name and name not in known:
        close = did_you_mean(name, known)
        raise UnknownNameError(
            f"no {kind} {name!r}: {close}there are {', '.join(known)}; your own is named "
            f"'module:function' or 'file.py:function', where the function returns {wrap}(…)"
        )
    module, _, function = (known[name].location if name in known else name).rpartition(":")
    if name in entries:
        return getattr(importlib.import_module(module), function)()
    try:
        make = getattr(_of_user(module), function)
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        raise UnknownNameError(
            f"no {kind} at {name!r} ({error}): name it 'module:function', with the module in this "
            "folder or on PYTHONPATH, or 'path/to/file.py:function'"
        ) from error
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise LatdirError(
            f"{name} cannot be called without arguments ({error}): name a function that takes "
            f"none and returns {wrap}(…)"
        ) from error
    return make()


def _of_user(name: str) -> ModuleType:
    """A module of the user's own, by its name or its file; its neighbors can be imported too."""
    folder, module = Path.cwd(), name
    if name.endswith(".py"):
        file = Path(name).resolve()
        folder, module = file.parent, file.stem
        if not file.is_file():
            raise ModuleNotFoundError("there is no such file")
        loaded = getattr(sys.modules.get(module), "__file__", None)
        if loaded not in (None, str(file)) or module in sys.builtin_module_names:
            raise ModuleNotFoundError(f"another module is named {module!r}: rename the file")
    # A console script, unlike `python -m`, does not look into the current folder. Folders of files
    # come first, as for `python file.py`.
    if str(folder) not in sys.path:
        sys.path.insert(0 if name.endswith(".py") else len(sys.path), str(folder))
    return importlib.import_module(module)
