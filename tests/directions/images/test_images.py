"""Pixels: exact bytes, antialiased resizing, grids with everything in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from directions import Calibration, Direction, DirectionBank, LatdirError, edit_grid, grid, save_png
from directions.images import from_pil, from_uint8, resize, to_pil, to_uint8
from directions.images.grids import ACCENT, PAPER
from directions.planted.world import planted


def test_every_byte_survives_there_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(2, 3, 16, 16)
    images = from_uint8(pixels)
    assert float(images.min()) == -1
    assert float(images.max()) == 1
    assert torch.equal(to_uint8(images), pixels)
    picture = to_pil(images[0])
    assert torch.equal(from_pil(picture), images[:1])
    assert torch.equal(from_pil(picture.convert("RGBA")), images[:1])


def test_bytes_are_the_nearest_and_clipped() -> None:
    values = torch.linspace(-1.5, 1.5, 301).reshape(1, 1, -1).expand(3, 1, -1)
    exact = (values.clamp(-1, 1) + 1) * 127.5
    assert (to_uint8(values).float() - exact).abs().max() <= 0.5 + 1e-4
    with pytest.raises(LatdirError, match="these images have NaN pixels"):
        to_uint8(torch.full((3, 1, 1), float("nan")))


def test_shrinking_averages_and_never_aliases() -> None:
    # The finest stripes there are become even gray, which plain sampling would not give.
    stripes = torch.ones(1, 3, 64, 64)
    stripes[..., ::2] = -1
    small = resize(stripes, 16)
    assert small[..., 2:-2].abs().max() < 0.1
    ramp = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    reference = Image.fromarray(ramp[0, 0].contiguous().numpy()).resize(
        (20, 24), Image.Resampling.BILINEAR
    )
    made = resize(ramp, (24, 20))[0, 0]
    np.testing.assert_allclose(made.numpy(), np.asarray(reference), atol=1e-5)


def test_resizing_to_the_same_size_changes_nothing() -> None:
    images = torch.rand(2, 3, 8, 9)
    assert resize(images, (8, 9)) is images
    with pytest.raises(LatdirError, match="images cannot be 0×4"):
        resize(images, (0, 4))


def test_resizing_is_differentiable() -> None:
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    resize(images, 4).sum().backward()
    assert images.grad is not None
    assert (images.grad > 0).all()


def tiles(picture: Image.Image, rows: int, columns: int, tile: int) -> np.ndarray:
    """Center color of each tile, counted from the lower right, where no labels are."""
    gap, margin = max(2, tile // 32), min(max(8, tile // 8), 24)
    pixels = np.asarray(picture)
    colors = np.empty((rows, columns, 3), dtype=np.uint8)
    for i in range(rows):
        for j in range(columns):
            y = pixels.shape[0] - margin - (rows - i - 1) * (tile + gap) - tile // 2
            x = pixels.shape[1] - margin - (columns - j - 1) * (tile + gap) - tile // 2
            colors[i, j] = pixels[y, x]
    return colors


@pytest.mark.parametrize("labeled", [False, True])
def test_each_image_lies_in_its_place(labeled: bool) -> None:
    colors = torch.rand(2, 3, 3) * 2 - 1
    images = colors[..., None, None].expand(2, 3, 3, 64, 64)
    words = {"columns": ["−1σ", "original", "+1σ"], "rows": ["one", "two"], "title": "smiling"}
    picture = grid(images, **(words if labeled else {}))
    expected = to_uint8(images)[..., 0, 0].numpy()
    np.testing.assert_array_equal(tiles(picture, 2, 3, 128), expected)


def test_labels_are_drawn_and_the_mark_frames_its_column() -> None:
    images = torch.zeros(2, 3, 3, 64, 64)
    plain = np.asarray(grid(images))
    marked = np.asarray(grid(images, marked=1))
    blue = (marked == np.array(ACCENT)).all(-1)
    ys, xs = np.nonzero(blue)
    assert not (plain == np.array(ACCENT)).all(-1).any()
    # From margin + tile + gap, one frame's width outside, to the other side.
    assert (xs.min(), xs.max()) == (16 + 132 - 2, 16 + 132 + 128 + 1)
    assert (ys.min(), ys.max()) == (16 - 2, 16 + 260 + 1)
    titled = np.asarray(grid(images, title="smiling"))
    above = titled[: titled.shape[0] - plain.shape[0]]
    assert (above != np.array(PAPER)).any(-1).mean() > 0.005
    left = np.asarray(grid(images, rows=["a", "b"]))[:, :20]
    assert (left != np.array(PAPER)).any()


def test_small_images_grow_and_large_ones_shrink() -> None:
    assert grid(torch.zeros(1, 1, 3, 16, 16)).size == (160, 160)
    assert grid(torch.zeros(1, 1, 3, 512, 256)).size == (128 + 48, 256 + 48)
    assert grid(torch.zeros(1, 1, 3, 512, 512), tile=512).size == (560, 560)


def test_long_labels_stay_within_their_columns() -> None:
    images = torch.zeros(1, 2, 3, 64, 64)
    crowded = np.asarray(grid(images, columns=["w" * 200, ""]))
    right = crowded[:40, 16 + 132 + 4 :]
    assert (right == np.array(PAPER)).all()
    long = grid(images, title="a title far wider than the two small images that stand under it")
    assert long.size[0] > grid(images).size[0]


def test_a_grid_refuses() -> None:
    images = torch.zeros(2, 3, 3, 8, 8)
    with pytest.raises(LatdirError, match="2 labels for 3 columns"):
        grid(images, columns=["a", "b"])
    with pytest.raises(LatdirError, match="1 labels for 2 rows"):
        grid(images, rows=["a"])
    with pytest.raises(LatdirError, match=r"column 3 cannot be marked: there are 0 … 2"):
        grid(images, marked=3)
    with pytest.raises(LatdirError, match="0 rows and 3 columns has no images"):
        grid(images[:0])


def test_pictures_are_saved_whole(tmp_path: Path) -> None:
    picture = grid(torch.rand(1, 2, 3, 8, 8) * 2 - 1)
    path = save_png(picture, tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(picture))
    with pytest.raises(LatdirError, match=r"written as \.png, not 'a\.jpg'"):
        save_png(picture, tmp_path / "a.jpg")
    with pytest.raises(LatdirError, match="there is no folder"):
        save_png(picture, tmp_path / "nowhere" / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


# Grids of edits


def drawn(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What `edit_grid` hands to `grid`."""
    handed: dict = {}

    def keep(images: torch.Tensor, **rest: object) -> Image.Image:
        handed.update(rest, images=images)
        return grid(images, **rest)

    monkeypatch.setattr("directions.editing.grids.grid", keep)
    return handed


def test_rows_are_samples_and_columns_amounts(monkeypatch: pytest.MonkeyPatch) -> None:
    handed, generator = drawn(monkeypatch), planted()
    codes = generator.sample(3, seed=0)
    d = Direction("a", generator.truth[0], "z", sigma=0.5)
    edit_grid(generator, codes, d, amounts=[2.0, -1.5])
    assert handed["columns"] == ["−1.5σ", "original", "+2σ"]
    assert handed["marked"] == 1
    assert handed["title"] == "a"
    for j, amount in enumerate((-1.5, 0.0, 2.0)):
        expected = generator.synthesize(d.shift(codes, amount))
        torch.testing.assert_close(handed["images"][:, j], expected)


def test_many_images_are_made_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    handed, generator = drawn(monkeypatch), planted()
    codes = generator.sample(30, seed=0)
    edit_grid(generator, codes, Direction("a", generator.truth[0], "z"), tile=16)
    torch.testing.assert_close(handed["images"][:, 3], generator.synthesize(codes))


def test_a_bank_is_drawn_direction_by_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    handed, generator = drawn(monkeypatch), planted()
    made = tuple(
        Direction(n, t, "z", calibration=Calibration(n, "degrees", 5.0, -9.0, 9.0))
        for n, t in zip("ab", generator.truth[:2], strict=True)
    )
    bank = DirectionBank(made, generator.name, generator.fingerprint)
    codes = generator.sample(2, seed=0)
    edit_grid(generator, codes, bank, amounts=[10.0], unit="attribute")
    assert handed["rows"] == ["a", "", "b", ""]
    assert handed["columns"] == ["original", "+10°"]
    torch.testing.assert_close(
        handed["images"][3, 1], generator.synthesize(made[1].shift(codes, 2.0))[1]
    )
    other = planted(seed=1)
    with pytest.raises(LatdirError, match="this bank was made for planted"):
        edit_grid(other, codes, bank)
    with pytest.raises(LatdirError, match="this bank is empty"):
        edit_grid(generator, codes, bank.replaced([]))
    with pytest.raises(LatdirError, match="no codes to draw"):
        edit_grid(generator, codes[:0], bank)
    with pytest.raises(LatdirError, match=r"codes of space 'z' have shape \[n, 32\]"):
        edit_grid(generator, codes[:, :5], bank)
