"""Every reserved seed has one home and one value."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import directions
from directions import seeds

ROOT = Path(directions.__file__).parent.parent
PACKAGES = ("directions", "discovery", "analysis", "latdir", "benchmarks")
RESERVED = {name: getattr(seeds, name) for name in seeds.__all__}
# Smaller numbers mean other things as well, such as the 11 of `PICTURE_SEED`.
DISTINCTIVE = {value for value in RESERVED.values() if value > 1000}


def test_reserved_seeds_are_pairwise_different() -> None:
    assert len(set(RESERVED.values())) == len(RESERVED)


def test_every_seed_of_the_module_is_public() -> None:
    assert set(RESERVED) == {name for name in vars(seeds) if name.endswith("SEED")}


def test_no_seed_is_reserved_anywhere_else() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {what}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != Path(seeds.__file__)
        for line, what in reservations(ast.parse(path.read_text()))
        # A benchmark may have a seed of its own, since it may not have one of these.
        if package != "benchmarks" or what != "SEED"
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "TRIAL_SEED = HELD_OUT_SEED + 1",
        "MY_SEED: int = 7",
        "codes = generator.sample(4, seed=920_419_823)",
        "seed = 0xC11A",
        "codes = generator.sample(4, seed=seeds.HELD_OUT_SEED + 1)",
    ],
)
def test_a_reservation_is_noticed(source: str) -> None:
    assert list(reservations(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["def f(*, seed: int = 1): ...", "x = sample(4, seed=TRIAL_SEED)", "SEEDS = 3"]
)
def test_a_use_is_no_reservation(source: str) -> None:
    assert not list(reservations(ast.parse(source)))


def reservations(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that end in SEED and are assigned, reserved values, sums of seeds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            if node.id.endswith("SEED"):
                yield node.lineno, node.id
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            if node.value in DISTINCTIVE:
                yield node.lineno, str(node.value)
        elif isinstance(node, ast.BinOp):
            for side in (node.left, node.right):
                name = getattr(side, "attr", getattr(side, "id", ""))
                if name.endswith("SEED"):
                    yield node.lineno, f"{name} with something"
