"""Frames of an edit and contact sheets: the images are those of the codes, in order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from directions import (
    Direction,
    LatdirError,
    contact_sheet,
    edit_frames,
    picked,
    save_animation,
    sweep,
)
from directions.images import to_pil
from directions.planted.world import planted
from tests.worlds import Mapped, world

WORLD = planted(factors=2, dim=16)
UP = Direction("up", WORLD.truth[0], "z")


def tile_of(picture, image, side):
    """Where a picture holds an image, drawn at a side, up to rounding: (left, top), or None."""
    wanted = np.asarray(to_pil(image).resize((side, side), Image.Resampling.BICUBIC), int)
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(picture, int), (side, side, 3))
    near = np.abs(windows[:, :, 0] - wanted).max((2, 3, 4)) <= 2
    return tuple(np.argwhere(near)[0][::-1]) if near.any() else None


def test_frames_hold_the_moved_samples_side_by_side():
    codes = WORLD.sample(2, seed=4)
    frames = edit_frames(WORLD, codes, UP, low=-1.0, high=2.0, count=4, tile=32)
    assert len(frames) == 4
    for frame, amount in zip(frames, (-1.0, 0.0, 1.0, 2.0), strict=True):
        images = WORLD.synthesize(sweep(codes, UP, [amount])[0])
        left, right = (tile_of(frame, image, 32) for image in images)
        assert left is not None
        assert right is not None
        assert left[0] < right[0]
        assert left[1] == right[1]


def test_amounts_may_be_in_the_unit_of_a_calibration():
    with pytest.raises(LatdirError, match="calibrat"):
        edit_frames(WORLD, WORLD.sample(1, seed=0), UP, unit="years")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1}, "1 frames do not move: take 2 or more"),
        ({"codes": torch.zeros(0, 16)}, "no codes to draw"),
        ({"codes": torch.zeros(1, 5)}, "5"),
    ],
)
def test_frames_that_cannot_be_drawn_are_refused(change, message):
    given = {"generator": WORLD, "codes": WORLD.sample(1, seed=0), "direction": UP} | change
    with pytest.raises(LatdirError, match=message):
        edit_frames(**given)


def shades(count=4):
    return [Image.new("RGB", (24, 16), (40 * i, 10, 200 - 40 * i)) for i in range(count)]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".GIF"])
@pytest.mark.parametrize("back", [True, False])
def test_animations_are_read_back_frame_by_frame(tmp_path, suffix, back):
    path = save_animation(shades(), tmp_path / f"a{suffix}", seconds=0.4, back=back)
    order = [0, 1, 2, 3, 2, 1] if back else [0, 1, 2, 3]
    with Image.open(path) as read:
        assert read.n_frames == len(order)
        for at, i in enumerate(order):
            read.seek(at)
            read.load()
            drawn = np.asarray(read.convert("RGB"), int)
            assert np.abs(drawn - np.asarray(shades()[i], int)).max() <= 12
            assert read.info["duration"] == 100
        assert read.info["loop"] == 0


def test_smaller_frames_are_put_on_white(tmp_path):
    frames = [Image.new("RGB", (8, 8)), Image.new("RGB", (16, 12))]
    with Image.open(save_animation(frames, tmp_path / "a.gif")) as read:
        assert read.size == (16, 12)
        assert read.convert("RGB").getpixel((15, 11)) == (255, 255, 255)
        assert read.convert("RGB").getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("frames", "name", "options", "message"),
    [
        (shades(), "a.png", {}, r"animations are written as .gif or .webp, not 'a.png'"),
        ([], "a.gif", {}, "takes one PIL image or more, such as edit_frames makes"),
        (shades(), "a.gif", {"seconds": 0.01}, "4 frames in 0.01 seconds are 2 ms each"),
        (shades(), "a.gif", {"seconds": -1.0}, "from 20 to 60,000"),
        (shades(), "missing/a.gif", {}, "missing"),
    ],
)
def test_animations_that_cannot_be_written_are_refused(tmp_path, frames, name, options, message):
    with pytest.raises(LatdirError, match=message):
        save_animation(frames, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_numbers_of_a_sheet_are_those_of_the_codes_picked():
    sheet = contact_sheet(WORLD, 23, seed=3, start=100, tile=24)
    numbers = (100, 109, 110, 122)
    codes = picked(WORLD, numbers, seed=3)
    assert torch.equal(codes, WORLD.sample(23, seed=3, start=100)[[0, 9, 10, 22]])
    spots = [tile_of(sheet, image, 24) for image in WORLD.synthesize(codes)]
    assert None not in spots
    (x0, y0), (x9, y9), (x10, y10), (x22, y22) = spots
    assert y0 == y9 < y10 < y22
    assert x0 == x10 < x22 < x9


def test_picked_codes_are_of_the_space_and_truncation_asked():
    mapped = Mapped(world())
    codes = picked(mapped, [4, 1], seed=2, space="w", truncation=0.5)
    expected = mapped.sample(5, seed=2, space="w", truncation=0.5)[[4, 1]]
    torch.testing.assert_close(codes, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: contact_sheet(WORLD, 0), "a sheet of 0 images: take 1 or more"),
        (lambda: contact_sheet(WORLD, 2, seed=-1), "seed -1 must be in"),
        (lambda: picked(WORLD, []), r"no numbers: name those of the sheet, such as \[3, 17\]"),
        (lambda: picked(WORLD, [-2]), "start -2 must not be negative"),
        (lambda: picked(WORLD, [1], space="w"), "has no space 'w'"),
    ],
)
def test_sheets_and_numbers_that_do_not_exist_are_refused(call, message):
    with pytest.raises(LatdirError, match=message):
        call()
