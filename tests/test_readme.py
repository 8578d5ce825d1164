"""The README's Python blocks run, in order, in one namespace."""

import re
from pathlib import Path

import pytest

from discovery import METHODS

README = Path(__file__).parents[1] / "README.md"


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"README.md block {number}", "exec"), namespace)
    assert (tmp_path / "faces.safetensors").is_file()
    assert (tmp_path / "smiling.png").is_file()


def test_it_lists_every_method() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in METHODS if f"`{name}`" not in text] == []


def test_pictures_and_files_it_points_to_exist() -> None:
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert targets
    for target in targets:
        assert (README.parent / target).exists(), f"README points to {target}, which is missing"
