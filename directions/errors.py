"""What goes wrong, said so that it can be mended."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["LatdirError", "require"]


class LatdirError(ValueError):
    """A mistake of the caller's that the message tells how to mend.

    Everything the toolkit refuses on purpose is of this class, so that a command can
    print one line for it and let every other exception through as the defect it is.
    """


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
