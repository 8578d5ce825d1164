"""`import latdir`: the public names of the three packages under one name."""

import importlib
import subprocess
import sys

import pytest

import latdir

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
