"""Tables of the command fit a terminal of 80 columns, and no number in them is folded."""

import re
from pathlib import Path

import pytest
import torch
from rich.console import Console

from directions.planted.world import planted
from latdir.output import table
from tests.analysis.measured import bank_of, true_bank

NAMES = tuple(f"attribute_of_the_face_{k}" for k in range(12))
OWN = f"""
from directions.planted.world import planted

NAMES = {NAMES!r}

def generator():
    return planted(factors=12, dim=24, cosine=0.1, names=NAMES)

def classifier():
    made = generator().classifier()
    made.embed = lambda images: made(images)
    return made
"""
MINE = "--generator mine:generator --classifier mine:classifier"
LINES = (
    "list methods",
    "list generators",
    "bank show bank.safetensors",
    "bank condition bank.safetensors --out clean.safetensors",
    f"sample {MINE} --count 40 --out samples",
    "discover boundary --samples samples --bootstrap 2 --out found.safetensors",
    f"discover gradient {MINE} --n-codes 4 --out found.safetensors",
    "discover pca --generator mine:generator --n-codes 50 --n-directions 2 --out p.safetensors",
    f"effects bank.safetensors {MINE} --count 4",
    f"evaluate bank.safetensors {MINE} --count 8 --null 3 --realism 16",
    f"compare bank.safetensors other.safetensors {MINE} --count 8",
)


@pytest.fixture
def run(typed, beside, monkeypatch):
    beside(OWN)
    monkeypatch.setenv("COLUMNS", "80")
    return typed


@pytest.fixture
def banks(tmp_path: Path) -> None:
    world = planted(factors=12, dim=24, cosine=0.1, names=NAMES)
    true_bank(world).save(tmp_path / "bank.safetensors")
    bank_of(world, **{NAMES[0]: world.truth[0] + world.truth[1]}).save(
        tmp_path / "other.safetensors"
    )


def fits(code: int, out: str, err: str) -> None:
    assert code == 0, err
    rows = [text for text in out.splitlines() if text[:1] in "┏┃┡│└"]
    assert rows
    assert max(map(len, rows)) <= 80
    # A number that is folded leaves a cell that ends in its point or exponent.
    cells = [cell.strip() for text in rows for cell in re.split("[│┃]", text)]
    assert [c for c in cells if re.fullmatch(r"[-+]?\d+(\.|\.?\d*e[-+]?)", c)] == []


@pytest.mark.parametrize("line", LINES)
def test_every_table_fits_80_columns(run, banks, line: str) -> None:
    if "--samples" in line:
        assert run(f"sample {MINE} --count 40 --out samples")[0] == 0
    if line.startswith("bank condition"):
        line += " --generator mine:generator"
    fits(*run(line))


def test_so_does_the_table_of_a_text_method(run) -> None:
    texts = ("--text", "a smiling face", "--neutral", "a face")
    fits(*run("discover clip_gradient --n-codes 4 --out text.safetensors", *texts))


def test_narrow_tables_stay_whole_and_wide_ones_repeat_the_names_of_rows() -> None:
    columns = ["direction", *(f"a long name {k}" for k in range(9))]
    rows = [[f"direction_{j}", *torch.rand(9).tolist()] for j in range(3)]
    grid = table("title", columns, rows, note="note")
    assert len(grid.blocks(200)) == 1
    blocks = grid.blocks(60)
    assert len(blocks) > 1
    console = Console(width=60, highlight=False)
    with console.capture() as capture:
        for block in blocks:
            console.print(block)
    out = capture.get()
    assert max(map(len, out.splitlines())) <= 60
    assert out.count("direction_1") == len(blocks)
    assert (out.count("title"), out.count("note")) == (1, 1)
    for row in grid.rows:
        assert all(cell in out for cell in row)


def test_a_column_wider_than_the_terminal_has_a_block_of_its_own() -> None:
    [block] = table("t", ["name", "description"], [["a", "word " * 60]]).blocks(80)
    assert sum(column.width + 3 for column in block.columns) + 1 == 80
