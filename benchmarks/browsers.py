"""Chromium and JupyterLab as benchmarks and tests start them, by themselves and without network."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "ROOT", "SWITCHES", "jupyter_lab", "notebook", "run_all"]

ROOT = Path(__file__).parents[1]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SWITCHES = [
    f"--{switch}"
    for switch in (
        "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
    )
]  # fmt: skip
OPTIONS = {
    "ServerApp.port": 0,
    "ServerApp.open_browser": False,
    "ServerApp.token": "",
    "ServerApp.allow_root": True,
    "LabApp.expose_app_in_browser": True,
    "LabApp.news_url": "",
}
ENOUGH_S = 120


@contextlib.contextmanager
def jupyter_lab(folder: Path) -> Iterator[str]:
    """JupyterLab over the notebooks of a folder; gives its address."""
    home = folder / ".jupyter"
    places = {
        "JUPYTER_CONFIG_DIR": home, "JUPYTER_DATA_DIR": home, "JUPYTER_RUNTIME_DIR": home,
        "IPYTHONDIR": home, "PYTHONPATH": ROOT,
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command += [f"--{name}={value}" for name, value in OPTIONS.items()]
    with (folder / ".jupyter.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **{k: str(v) for k, v in places.items()}},
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield _address(home, process)
    finally:
        process.terminate()
        process.wait(30)


def notebook(folder: Path, *cells: str, name: str = "explore.ipynb") -> str:
    """Write a notebook of code cells; returns its name."""
    made: dict[str, Any] = {
        "cells": [
            {
                "cell_type": "code", "id": f"cell-{k}", "metadata": {}, "outputs": [],
                "execution_count": None, "source": source,
            }
            for k, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip
    (folder / name).write_text(json.dumps(made), encoding="utf-8")
    return name


def run_all(page: Any, address: str, name: str) -> None:
    """Open a notebook in JupyterLab and run its cells, until an explorer has painted."""
    page.goto(f"{address}lab/tree/{name}?reset")
    page.wait_for_function(
        "window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.session?.kernel"
        "?.connectionStatus === 'connected'",
        timeout=1000 * ENOUGH_S,
    )
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".latdir-explorer canvas[data-painted]", timeout=1000 * ENOUGH_S)


def _address(home: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(2 * ENOUGH_S):
        for found in home.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):
                return str(json.loads(found.read_text())["url"])
        if process.poll() is not None:
            break
        time.sleep(0.5)
    raise RuntimeError(f"JupyterLab does not start: see {home.parent / '.jupyter.log'}")
