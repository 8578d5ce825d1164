"""`import latdir`: the public names of the three packages under one name."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import latdir

ROOT = Path(__file__).parents[2]
PACKAGES = ("directions", "discovery", "analysis")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_the_package_s_own(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(latdir, name) is getattr(module, name)
    assert set(module.__all__) <= set(dir(latdir))


def test_no_name_means_two_things() -> None:
    assert len(set(latdir.__all__)) == len(latdir.__all__)
    with pytest.raises(AttributeError, match="module 'latdir' has no attribute 'magic'"):
        latdir.magic  # noqa: B018


def test_importing_it_imports_no_torch() -> None:
    code = "import sys, latdir; print([m for m in ('torch', 'numpy', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_file_that_hides_a_package_is_named_before_it_runs(package: str, tmp_path: Path) -> None:
    file = tmp_path / f"{package}.py"
    file.write_text("print('run')", encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", "import latdir"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: {file} hides the package '{package}' of latdir: rename it, or run Python in "
        "another folder"
    )


def test_the_door_opens_on_every_step_of_the_job() -> None:
    for name in ("load_generator", "load_classifier", "sample", "Boundary", "condition",
                 "measure_effects", "edit_grid", "solve", "invert", "evaluate"):  # fmt: skip
        assert callable(getattr(latdir, name))
