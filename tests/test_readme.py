"""The Python blocks of the README and of docs/ run, links lead somewhere, commands exist."""

import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from discovery import METHODS
from latdir.cli import app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("C*.md"))]
WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def named(pages: list[Path]) -> list[object]:
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages]


@pytest.mark.parametrize("page", named([page for page in PAGES if PYTHON.search(page.read_text())]))
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # The photograph that pages work on, in the current folder as a reader's own would be.
    shutil.copy(ROOT / "docs" / "images" / "astronaut.jpg", tmp_path)
    namespace: dict[str, object] = {"__name__": page.stem}
    for number, block in enumerate(PYTHON.findall(page.read_text(encoding="utf-8")), 1):
        exec(compile(block, f"{page.name} block {number}", "exec"), namespace)
    if page == README:
        assert (tmp_path / "faces.safetensors").is_file()
        assert (tmp_path / "smiling.png").is_file()


def test_the_readme_is_one_screen_with_ten_lines() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    block, *others = PYTHON.findall(text)
    assert len(block.strip().splitlines()) == 10
    assert sum(len(other.strip().splitlines()) for other in others) <= 4


def test_tables_of_methods_and_measures_follow_the_registries() -> None:
    pages = runpy.run_path(str(ROOT / "tools" / "registry_tables.py"))["pages"]()
    assert [str(page) for page, text in pages.items() if page.read_text("utf-8") != text] == [], (
        "run `make docs`"
    )
    text = (ROOT / "docs" / "methods" / "index.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", named(PAGES))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is missing"


@pytest.mark.parametrize("page", named(PAGES))
def test_scripts_exist(page: Path) -> None:
    for target in re.findall(r"`(?:python )?(benchmarks/\w+\.\w+)", page.read_text()):
        assert (ROOT / target).is_file(), f"{page.name} names {target}, which is missing"


def test_commands_and_their_flags_exist() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*PAGES, WORKFLOW])
    lines = re.findall(r"^(?:\$ | +venv/bin/)latdir (.*)$", text, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        words = shlex.split(line)
        path = [word for word in words[:2] if re.fullmatch(r"[a-z_]+", word)]
        shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"}, color=False)
        assert shown.exit_code == 0, f"no such command: latdir {line}"
        flags = [word.partition("=")[0] for word in words if word[:2] == "--"]
        assert [flag for flag in flags if flag not in shown.output] == []
