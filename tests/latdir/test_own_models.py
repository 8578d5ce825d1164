"""Models of the user's own, named on the command line as a console script runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import latdir
from directions import LatdirError, load_generator

MODELS = """
import torch
import directions as d
from parts import image

def make():
    return d.wrap(lambda z: image(z), latent_dim=4, name="mine")

def red():
    return d.wrap_classifier(lambda x: x[:, 0].mean((1, 2)), attributes=["red"])

def sized(n):
    return n
"""
PARTS = """
import torch

def image(z):
    return torch.tanh(z[:, :3, None, None]).expand(-1, 3, 8, 8)
"""
ROOT = str(Path(latdir.__file__).parent.parent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fresh folder with `mygen.py` and a module that it imports."""
    (tmp_path / "mygen.py").write_text(MODELS)
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path


def script(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What the console script does: its folder, not the current one, is on the path."""
    code = f"import sys; sys.path[0] = {ROOT!r}; from latdir.cli import main; main()"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", code, *line.split()],
        capture_output=True, text=True, cwd=cwd, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("where", ["mygen", "mygen.py", "sub/../mygen.py"])
def test_functions_of_the_current_folder(folder: Path, where: str) -> None:
    (folder / "sub").mkdir()
    done = script(
        f"sample --generator {where}:make --classifier {where}:red --count 40 --out own", folder
    )
    assert done.returncode == 0, done.stderr
    assert "40 samples of mine" in done.stdout


def test_a_file_of_another_folder(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    done = script(
        "sample --generator ../mygen.py:make --classifier pixels --count 20 --out own",
        folder / "elsewhere",
    )
    assert done.returncode == 0, done.stderr


def test_a_methods_name_with_a_typing_error(typed) -> None:
    code, _, err = typed("discover boundry --samples x --out y.safetensors")
    assert code == 2
    assert "no method 'boundry': did you mean 'boundary'? there are boundary, " in err


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing.py:make", r"no such file.*name it 'module:function', with the module in this"),
        ("mygen.py:nothing", r"no generator at 'mygen.py:nothing' \(module 'mygen' has no attr"),
        ("mygen.py:sized", r"cannot be called without arguments \(missing a required .*'n'"),
        ("sub/json.py:make", r"another module is named 'json': rename the file"),
    ],
)
def test_refusals(folder: Path, monkeypatch, name: str, says: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mygen", raising=False)
    (folder / "sub").mkdir()
    (folder / "sub" / "json.py").write_text("")
    with pytest.raises(LatdirError, match=says):
        load_generator(name)
    sys.modules.pop("mygen", None)
    sys.modules.pop("parts", None)
