"""Scores of images that commands keep between them, and over an interruption."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from directions.errors import LatdirError

__all__ = ["CACHE", "cache_folder", "keeping_scores"]

CACHE = "LATDIR_CACHE"
"""The environment variable that names the folder, or is `off`."""

log = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """Where commands keep scores: what `LATDIR_CACHE` names, else the system's folder for caches.

    Returns:
        The folder; None where `LATDIR_CACHE` is `off`.

    Example:
        >>> os.environ[CACHE]  # in the tests
        'off'
        >>> cache_folder()
    """
    given = os.environ.get(CACHE)
    if given:
        return None if given == "off" else Path(given)
    if sys.platform == "win32":
        parent = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"))
    elif sys.platform == "darwin":
        parent = Path.home() / "Library/Caches"
    else:
        parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return parent / "latdir"


def keeping_scores(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which keeps the scores of images and takes those that are kept."""

    @functools.wraps(command)
    def run(**given: object) -> None:
        with _kept():
            command(**given)

    return run


@contextmanager
def _kept() -> Iterator[None]:
    from directions.scoring.kept import KeptScores, keep_scores

    folder = cache_folder()
    if folder is not None:
        try:
            KeptScores(folder).close()
        except LatdirError as error:
            log.warning("%s (%s names another, or is off)", error, CACHE)
            folder = None
    if folder is None:
        yield
        return
    with keep_scores(folder):
        yield
