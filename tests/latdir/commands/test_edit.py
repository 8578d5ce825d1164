"""`latdir sheet` and the animations and chosen samples of `latdir edit` and `solve`."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from directions import Direction, DirectionBank, contact_sheet, edit_grid, picked
from directions.planted.world import planted

SOURCE = """
from directions.planted.world import planted

def made():
    return planted(factors=2, dim=16)

def judge():
    return made().classifier()
"""
MODEL = "--generator mine:made --device cpu"
WORLD = planted(factors=2, dim=16)
BANK = DirectionBank.of(
    WORLD, [Direction(n, v, "z") for n, v in zip(WORLD.names, WORLD.truth, strict=True)]
)


@pytest.fixture
def run(typed, beside, tmp_path: Path):
    """Type a line in a folder with a bank and its generator."""
    beside(SOURCE)
    BANK.save(tmp_path / "b.safetensors")
    return typed


def same(path: Path, picture: Image.Image) -> bool:
    with Image.open(path) as drawn:
        return drawn.size == picture.size and drawn.tobytes() == picture.tobytes()


def test_samples_are_chosen_from_a_sheet(run, tmp_path: Path) -> None:
    code, out, err = run(f"sheet --count 12 --seed 5 --start 20 {MODEL} --out sheet.png")
    assert (code, out.strip()) == (0, "sheet.png"), err
    assert same(tmp_path / "sheet.png", contact_sheet(WORLD, 12, seed=5, start=20))
    line = f"edit b.safetensors --sweep factor_0 --amounts -1,1 --seed 5 {MODEL}"
    code, _, err = run(f"{line} --pick 21,30 --out strip.png")
    assert code == 0, err
    codes = picked(WORLD, [21, 30], seed=5)
    assert same(tmp_path / "strip.png", edit_grid(WORLD, codes, BANK["factor_0"], amounts=[-1, 1]))
    judged = f"{MODEL} --classifier mine:judge"
    code, out, err = run(f"solve b.safetensors --set factor_0=1 {judged} --pick 3 --out s.png")
    assert code == 0, err
    assert "of 1 samples as asked" in out


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_a_sweep_is_animated(run, tmp_path: Path, suffix: str) -> None:
    line = f"edit b.safetensors --sweep factor_1 --count 2 {MODEL} --out a.{suffix}"
    code, out, err = run(line)
    assert (code, out.strip()) == (0, f"a.{suffix}"), err
    with Image.open(tmp_path / f"a.{suffix}") as read:
        assert read.n_frames == 25 + 23


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "--set factor_0=1 --out a.gif",
            "a.gif is an animation, which takes --sweep NAME and",
        ),
        ("--sweep factor_0 --pick 1,two --out a.png", "--pick takes numbers with commas"),
        ("--sweep factor_0 --pick , --out a.png", "--pick takes numbers with commas"),
        ("--sweep factor_0 --amounts 1,1 --count 1 --out a.mp4", "images are written as .png"),
    ],
)
def test_mistakes_are_one_line(run, line: str, message: str) -> None:
    code, _, err = run(f"edit b.safetensors {MODEL} {line}")
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_picked_codes_are_those_of_the_seed() -> None:
    assert torch.equal(picked(WORLD, [2], seed=1), WORLD.sample(3, seed=1)[2:])
