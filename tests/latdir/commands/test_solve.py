"""`latdir solve`: targets from flags, a table of what was reached, errors on one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from directions import Direction, DirectionBank, invert
from directions.inversion import save_inversion
from directions.planted.world import planted

MODELS = "--generator mine:made --classifier mine:judge --device cpu"
SOURCE = """
from directions.planted.world import planted

def made():
    return planted(factors=3, dim=16, cosine=0.4)

def judge():
    return made().classifier()
"""


@pytest.fixture
def solving(typed, beside: Callable[[str], None], tmp_path: Path):
    """Type a line of `latdir solve` on a planted world of three factors."""
    beside(SOURCE)
    world = planted(factors=3, dim=16, cosine=0.4)
    directions = [Direction(n, v, "z") for n, v in zip(world.names, world.truth, strict=True)]
    DirectionBank.of(world, directions).save(tmp_path / "b.safetensors")
    return lambda line: typed(f"solve b.safetensors --out s.png {MODELS} {line}")


def test_changes_and_values_are_reached_and_told(solving, tmp_path: Path) -> None:
    code, out, err = solving("--set factor_0=+1 --to factor_1=0.5 --hold factor_2 --count 3 --json")
    assert code == 0, err
    found = json.loads(out[out.index("{") :])
    assert found["stopped"] == ["", "", ""]
    assert all(abs(v - 0.5) < 0.15 for v in found["factor_1 score"])
    assert all(abs(v - 1) < 0.11 for v in found["factor_0 changed"])
    assert all(abs(v) < 0.11 for v in found["factor_2 changed"])
    assert (tmp_path / "s.png").exists()


def test_a_table_says_what_stopped_the_rest_within_80_columns(
    solving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = solving("--set factor_0=+40 --hold factor_1,factor_2 --count 2")
    assert code == 0, err
    assert "0 of 2 samples as asked" in out
    assert "factor_2 drift" in out
    assert "of +40" in out
    assert "the range" in out
    assert max(map(len, out.splitlines())) <= 80


def test_codes_of_an_inversion_are_changed_instead_of_samples(solving, tmp_path: Path) -> None:
    world = planted(factors=3, dim=16, cosine=0.4)
    images = world.synthesize(world.sample(3, seed=7))
    save_inversion(invert(world, images, start="mean"), tmp_path / "c.safetensors")
    line = "--set factor_0=+1 --hold factor_1 --codes c.safetensors --json"
    code, out, err = solving(line)
    assert code == 0, err
    found = json.loads(out[out.index("{") :])
    before = world.classifier()(images)[:, 0]
    reached, changed = (torch.tensor(found[f"factor_0 {what}"]) for what in ("score", "changed"))
    spread = (reached - before) / changed
    torch.testing.assert_close(spread, spread.mean().expand(3), rtol=1e-2, atol=0)
    assert (changed - 1).abs().max() < 0.11
    code, out, err = solving(f"{line} --pick 2")
    assert code == 0, err
    alone = json.loads(out[out.index("{") :])["factor_0 score"]
    assert alone == pytest.approx([float(reached[2])], abs=1e-4)
    code, _, err = solving(f"{line} --pick 3")
    assert code == 2
    assert "c.safetensors holds codes 0 to 2, and --pick asks for" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "say what to change: --set smiling=+2, or --to age=50"),
        ("--set factor_0", "--set takes name=number, such as smiling=2, not 'factor_0'"),
        ("--to factor_0=old", "--to factor_0 takes numbers, not 'old'"),
        ("--set factor_0=1 --to factor_0=2", "'factor_0' has two targets"),
        ("--set nose=1", "no attribute 'nose'"),
        ("--set factor_0=1 --using nose", "no direction 'nose'"),
        ("--set factor_0=1 --hold factor_0", "cannot be a target and held at once"),
    ],
)
def test_mistakes_are_one_line(solving, line: str, message: str) -> None:
    code, _, err = solving(line)
    assert code == 2
    assert message in err
