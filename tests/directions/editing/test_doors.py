"""What a move, a grid and a direction take, and how they refuse what they do not."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from directions import BankError, Direction, DirectionBank, LatdirError, edit_grid, grid, move
from directions.images import save_png
from directions.planted.world import planted
from tests.styles import small_stylegan2


def test_arrays_and_lists_are_taken() -> None:
    generator = planted()
    codes = generator.sample(2, seed=0)
    by_list = Direction.from_vector("up", generator.truth[0].tolist(), space="z")
    by_array = Direction.from_vector("up", generator.truth[0].numpy(), space="z")
    torch.testing.assert_close(by_list.vector, by_array.vector)
    bank = DirectionBank((by_array,), generator.name, generator.fingerprint)
    expected = move(codes, bank, {"up": torch.tensor([1.0, 2.0])})
    torch.testing.assert_close(move(codes.numpy(), bank, {"up": [1.0, 2.0]}), expected)
    torch.testing.assert_close(move(codes, bank, {"up": np.array([1, 2])}), expected)
    drawn = edit_grid(generator, codes.numpy(), [by_array, by_array.evolve(name="b")])
    assert drawn.size[1] > edit_grid(generator, codes, by_array).size[1]


def test_one_row_of_images_is_a_grid_and_one_image_a_file(tmp_path) -> None:
    images = torch.zeros(3, 3, 8, 8)
    assert grid(images).size == grid(images[None]).size
    for one in (images[0], images[:1]):
        assert save_png(one, tmp_path / "one.png").exists()
    with pytest.raises(LatdirError, match=r"save_png\(grid\(images\), path\) writes several"):
        save_png(images, tmp_path / "many.png")


def test_a_direction_from_a_bank_knows_its_generator() -> None:
    generator, other = planted(), planted(seed=1)
    codes = generator.sample(2, seed=0)
    loose = Direction("up", generator.truth[0], "z")
    bank = DirectionBank((loose,), generator.name, generator.fingerprint)
    edit_grid(other, codes, loose)
    with pytest.raises(BankError, match=r"direction 'up' was made for another generator"):
        edit_grid(other, codes, bank["up"])
    edit_grid(other, codes, bank["up"].evolve(fingerprint=None))
    edit_grid(other, codes, bank.transfer(other)["up"])


def test_codes_of_another_space_are_refused_or_carried_over() -> None:
    styles = small_stylegan2(z_dim=64, w_dim=64, depth=8)
    z, w = styles.sample(3, seed=5), styles.sample(3, seed=5, space="w")
    made = Direction.from_vector("a", w[0] - w[1], space="w", sigma=0.1)
    bank = DirectionBank((made,), styles.name, styles.fingerprint)
    with pytest.raises(LatdirError, match="given as of space 'w' look like codes of 'z'"):
        edit_grid(styles, z, bank["a"])
    with pytest.raises(LatdirError, match="given as of space 'w' look like codes of 'z'"):
        move(z, bank, {"a": 1.0}, generator=styles)
    carried = edit_grid(styles, z, bank["a"], space="z")
    assert carried.tobytes() == edit_grid(styles, w, bank["a"]).tobytes()


SCRIPT = """
import torch
from directions import Direction, DirectionBank, LatdirError, move
bank = DirectionBank((Direction("a", torch.tensor([1.0, 0.0]), "z"),), "toy", "0" * 64)
for codes, amounts in (
    (torch.zeros(1, 2), {"a": "2"}), (torch.zeros(1, 2), {"a": None}),
    (torch.zeros(1, 2), {"a": True}), (torch.zeros(1, 2), [2.0]), ("z", {"a": 2.0}),
):
    try:
        move(codes, bank, amounts)
    except LatdirError as error:
        print(error)
"""


def test_wrong_kinds_get_one_line() -> None:
    # In a process of its own, where annotations are not enforced.
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == 5
    wanted = "amounts['a'] is a number, a tensor or array or a list of numbers, not "
    assert lines[:3] == [wanted + given for given in ("'2'", "None", "True")]
    assert lines[3] == "amounts is a dict or what directions.solve(…) returns, not a list"
    assert lines[4] == "codes is a tensor or array, not 'z'"
