"""What the extra `explore` adds to an installation stays small."""

import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement

pytest.importorskip("anywidget", reason="the extra latdir[explore] is not installed")

MOST_PACKAGES, MOST_MEGABYTES = 30, 80


def needed(requirement: str, extras: tuple[str, ...] = ()) -> set[str]:
    """Names of the installed packages that a requirement brings, itself among them."""
    found: set[str] = set()
    open_ = [(requirement, extras)]
    while open_:
        name, extras = open_.pop()
        if name in found and not extras:
            continue
        found.add(name)
        for line in metadata.requires(name) or ():
            wanted = Requirement(line)
            if wanted.marker is None or any(
                wanted.marker.evaluate({"extra": extra}) for extra in (*extras, "")
            ):
                below = re.sub(r"[-_.]+", "-", wanted.name).lower()
                if below not in found or wanted.extras:
                    open_.append((below, tuple(wanted.extras)))
    return found


def test_the_extra_is_small():
    added = needed("latdir", ("explore",)) - needed("latdir")
    assert {"starlette", "uvicorn", "websockets", "anywidget"} <= added
    assert len(added) <= MOST_PACKAGES
    files = [file for name in added for file in metadata.files(name) or ()]
    size = sum(path.stat().st_size for file in files if (path := file.locate()).is_file())
    assert size <= MOST_MEGABYTES * 1e6
