"""Files of the user's that hide a package of ours: found before they are imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

__all__ = ["refuse_shadows"]


def refuse_shadows(*packages: str) -> None:
    """Check that packages are those beside this one, importing none of them.

    Args:
        packages: Names of top-level packages of this distribution.

    Raises:
        ImportError: A file or folder of the same name comes first on the path, such as a script
            `discovery.py` in the current folder; the message names it.

    Example:
        >>> refuse_shadows("directions", "discovery")
        >>> refuse_shadows("json")
        Traceback (most recent call last):
        ...
        ImportError: .../json hides the package 'json' of latdir: rename it, ...
    """
    ours = Path(__file__).resolve().parents[1]
    for package in packages:
        try:
            spec = importlib.util.find_spec(package)
        except ValueError:  # a module without a spec, such as one made by hand
            continue
        if spec is None or spec.origin is None:
            continue
        found = Path(spec.origin).resolve()
        if found != ours / package / "__init__.py":
            hidden = found.parent if found.name == "__init__.py" else found
            raise ImportError(
                f"{hidden} hides the package {package!r} of latdir: rename it, or run Python in "
                "another folder"
            )
