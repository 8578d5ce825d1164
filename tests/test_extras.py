"""The tool that installs extras alone knows all of them."""

from __future__ import annotations

import tomllib

from tools.extras import FEATURES, ROOT, closure

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_extra_for_users_has_a_feature() -> None:
    assert set(FEATURES) == {"", *PROJECT["optional-dependencies"]} - {"docs", "test"}
    for extra, code in FEATURES.items():
        compile(code, extra, "exec")


def test_what_is_shared_is_what_the_package_needs_and_no_extra() -> None:
    names = {found.metadata["Name"].lower() for found in closure(PROJECT["dependencies"])}
    assert {"torch", "numpy", "sympy"} <= names
    assert not names & {"pytest", "starlette", "onnx", "cmaes"}
