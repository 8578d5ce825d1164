"""The module of the page and the notebook, from the parts it is written in."""

from __future__ import annotations

from importlib import resources

__all__ = ["module_text"]

PARTS = ("explorer.js", "teach.js")


def module_text() -> str:
    """One ES module: its parts one after the other, which share their top level.

    Example:
        >>> "export function mount(" in module_text(), "function teachPanel(" in module_text()
        (True, True)
    """
    folder = resources.files("latdir.explorer.hosts")
    return "".join(folder.joinpath(part).read_text(encoding="utf-8") for part in PARTS)
