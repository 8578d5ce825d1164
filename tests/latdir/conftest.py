"""The command, typed in a folder of the test's own."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from latdir.cli import main


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Type a line, and words with blanks after it; (exit code, out, err)."""
    monkeypatch.chdir(tmp_path)

    def run(line: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["latdir", *line.split(), *words])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
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
