"""The command, typed in a folder of the test's own."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latdir.cli import main

DOORS = (
    ("directions", "load_generator"),
    ("directions", "load_classifier"),
    ("directions.generators", "load_generator"),
    ("directions.classifiers", "load_classifier"),
    ("directions.classifiers.clip.model", "load_clip"),
)
"""Functions of the library that load a model and take `device`."""

PYTHON = re.compile(
    r"(analysis|bank|classifier|direction|directions|discovery|generator|samples)\.[a-z_.]+\(|"
    r"(?<!takes )\b(partial|name|out)=|Samples\.|DirectionBank\."
)
OWN = re.compile(r"(the function returns|return) directions\.wrap(_classifier)?\(…\)")
"""Advice that only helps in Python, and what is said of a module of one's own."""


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The device that each model is loaded onto by the command itself."""
    seen: list[str | None] = []

    def watched(door: Callable[..., Any]) -> Callable[..., Any]:
        def load(*given: Any, **named: Any) -> Any:
            if sys._getframe(1).f_globals["__name__"].startswith("latdir."):
                seen.append(named.get("device"))
            return door(*given, **named)

        return load

    for place, name in DOORS:
        module = importlib.import_module(place)
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    return seen


@pytest.fixture
def typed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    devices: list[str | None],
):
    """Type a line, and words with blanks after it; (exit code, out, err).

    Every model must be loaded onto the device of the line, by default `auto`, and no message
    advises Python.
    """
    monkeypatch.chdir(tmp_path)

    def run(line: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["latdir", *line.split(), *words])
        with pytest.raises(SystemExit) as stop:
            main()
        _, _, wanted = line.partition("--device ")
        assert set(devices) <= {wanted.split()[0] if wanted else "auto"}
        devices.clear()
        captured = capsys.readouterr()
        assert not PYTHON.search(OWN.sub("", " ".join(captured.err.split()))), captured.err
        return int(stop.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a user's own module `mine` into that folder."""

    def write(source: str) -> None:
        (tmp_path / "mine.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "mine", raising=False)

    return write
