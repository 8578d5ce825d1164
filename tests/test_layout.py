"""Limits of size: modules in a folder, parameters of a function."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("directions", "discovery", "analysis", "latdir")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# Networks take their tensors one by one.
MODELS = ROOT / "directions" / "generators" / "stylegan"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_holds_at_most_fourteen_modules(package: str) -> None:
    folders = {path.parent for path in FILES if path.is_relative_to(ROOT / package)}
    crowded = {
        folder.relative_to(ROOT): count
        for folder in folders
        if (count := len([p for p in folder.glob("*.py") if p.name != "__init__.py"])) > 14
    }
    assert not crowded


def test_a_function_takes_at_most_ten_parameters() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {node.name} takes {len(names)}"
        for path in FILES
        if not path.is_relative_to(MODELS)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and len(names := [a.arg for a in _parameters(node.args) if a.arg not in ("self", "cls")])
        > 10
    ]
    assert not long


def _parameters(args: ast.arguments) -> list[ast.arg]:
    return [*args.posonlyargs, *args.args, *args.kwonlyargs]
