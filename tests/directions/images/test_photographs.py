"""Pictures of every kind as images of a generator's size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from directions import open_images
from directions.errors import LatdirError
from directions.images import to_uint8


def picture(height=20, width=30, channels=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def as_bytes(images):
    return to_uint8(images)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_files_come_back_as_they_were(tmp_path, suffix):
    path = tmp_path / f"ä b.{suffix}"
    Image.fromarray(picture()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    for source in (path, str(path), [path], Image.open(path), picture()):
        assert (as_bytes(open_images(source)) == picture()).all()


def test_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise
    Image.fromarray(picture()).save(tmp_path / "turned.png", exif=exif)
    made = as_bytes(open_images(tmp_path / "turned.png"))
    assert (made == np.rot90(picture(), -1)).all()


def test_gray_palette_alpha_and_sixteen_bits():
    gray = picture(channels=1)[:, :, 0]
    three = np.repeat(gray[:, :, None], 3, 2)
    assert (as_bytes(open_images(gray)) == three).all()
    assert (as_bytes(open_images(gray.astype(np.uint16) * 257)) == three).all()
    assert (as_bytes(open_images(Image.fromarray(gray.astype(np.uint16) * 257))) == three).all()
    assert (as_bytes(open_images(gray / 255)) == three).all()
    assert (as_bytes(open_images(gray.astype(np.int64))) == three).all()
    palette = Image.fromarray(picture()).quantize(16)
    assert (as_bytes(open_images(palette)) == np.array(palette.convert("RGB"))).all()
    clear = np.dstack([picture(), np.zeros((20, 30), np.uint8)])
    assert (open_images(clear) == 1).all()
    assert (open_images(clear, background=-0.5) == -0.5).all()


def test_sizes_and_boxes():
    wide = torch.zeros(20, 40, 3)
    wide[:, 10:30] = 1
    assert (open_images(wide.numpy(), size=20) == 1).all()  # the square in the middle
    assert open_images(wide, size=(10, 20)).shape == (1, 3, 10, 20)
    assert (open_images(wide, box=(0, 0, 10, 20)) == -1).all()
    assert open_images(wide, box=(0, 0, 10, 20), size=64).shape == (1, 3, 64, 64)
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    assert open_images(stripes, size=8).abs().max() < 0.1  # antialiased


def test_folders_are_in_the_order_of_names(tmp_path):
    for i in (2, 0, 1):
        Image.new("L", (10, 10), i * 100).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    brightness = (open_images(tmp_path)[:, 0, 0, 0] + 1) * 127.5
    assert brightness.round().tolist() == [0, 100, 200]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "no pictures to open"),
        (7, "a picture is a path, a PIL image or an array, not"),
        (np.zeros((1, 1, 3), np.uint8), "1×1"),
        (np.zeros((3, 64, 64), np.uint8), r"move the channels last with array.transpose\(1, 2, 0"),
        (np.zeros((2, 2, 2, 2), np.uint8), r"not \[2, 2, 2, 2\]"),
        (np.full((9, 9), np.nan), "NaN"),
        (np.full((9, 9), -0.5), r"\(array \+ 1\) / 2"),
        (np.full((9, 9), 70000), "65535"),
        (np.broadcast_to(np.uint8(0), (10_000, 10_000)), "100 million pixels"),
        ([np.zeros((9, 9)), np.zeros((9, 12))], "picture 1 is 12×9 and the first picture 9×9"),
        ("absent.png", "cannot read absent.png"),
    ],
)
def test_refusals(source, message):
    with pytest.raises(LatdirError, match=message):
        open_images(source)


def test_refused_files(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(LatdirError, match="not a picture that Pillow reads"):
        open_images(tmp_path / "text.png")
    frames = [Image.new("L", (9, 9), i) for i in (0, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(LatdirError, match=r"moving.gif is an animation of 2 frames"):
        open_images(tmp_path / "moving.gif")
    Image.fromarray(picture()).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LatdirError, match="cannot read"):
        open_images(tmp_path / "half.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LatdirError, match="no pictures in"):
        open_images(tmp_path / "empty")


@pytest.mark.parametrize(
    ("box", "message"),
    [((0, 0, 31, 20), "not within"), ((5, 5, 5, 9), "not within"), ((1,), "box")],
)
def test_refused_boxes(box, message):
    with pytest.raises(LatdirError, match=message):
        open_images(picture(), box=box)
