"""Imports the packages under their own names before pytest collects doctests file by file."""

import importlib
import os
import pkgutil

import pytest

PACKAGES = ("directions", "discovery", "analysis", "latdir")


# No test reads scores that another run has kept.
os.environ["LATDIR_CACHE"] = "off"
# Nor does any outlive a power cut, so none waits until its files are on the disk.
os.fsync = lambda handle: None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import every module once, after jaxtyping's import hook is in place.

    Otherwise pytest's importlib mode would execute a module again when its package imports it,
    and a class would differ from itself.
    """
    if session.config.getoption("numprocesses", None) and not hasattr(
        session.config, "workerinput"
    ):
        return  # this process only hands out what the workers run
    importlib.import_module("directions.memory").keep_freed_memory()
    for package in PACKAGES:
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks first: they are the longest, and what is left then fills both cores."""
    items.sort(key=lambda item: "test_notebooks" not in item.nodeid)
