"""Public names of a package, imported when first used.

A package writes its re-exports once, as imports under `if TYPE_CHECKING:`, where type checkers and
editors see them; names that are not used are not imported.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["lazy_names", "typing_imports"]


@cache
def typing_imports(module: str) -> Mapping[str, str]:
    """Names that a module imports for type checkers only, to the modules they are in.

    Example:
        >>> typing_imports("directions")["Space"]
        'directions.space'
    """
    source = Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8")
    return {
        alias.name: statement.module or ""
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def lazy_names(
    package: str, more: Mapping[str, str] = MappingProxyType({})
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`, from the imports that only type checkers run.

    Args:
        package: `__name__` of the package, whose `__init__.py` has absolute `from … import …`
            statements under `if TYPE_CHECKING:`.
        more: Names besides those, to their modules.

    Returns:
        `__getattr__`, which imports a name when it is first used and keeps it, and `__dir__`.

    Example:
        >>> find, names = lazy_names("directions")
        >>> find("Space").__module__, "solve" in names()
        ('directions.space', True)
        >>> find("magic")
        Traceback (most recent call last):
        ...
        AttributeError: module 'directions' has no attribute 'magic'
    """
    module = sys.modules[package]

    def homes() -> dict[str, str]:
        return {**more, **typing_imports(package)}

    def find(name: str) -> Any:
        home = homes().get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if home == package:
            return importlib.import_module(f"{package}.{name}")
        found = getattr(importlib.import_module(home), name)
        setattr(module, name, found)
        return found

    def names() -> list[str]:
        return sorted({*vars(module), *homes()})

    return find, names
