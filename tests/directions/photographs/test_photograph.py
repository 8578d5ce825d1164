"""Photographs opened in a generator's framing, and images pasted back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import LatdirError, open_photograph
from directions.classifiers.faces.classifier import faces
from directions.generators.dcgan import digiface64
from directions.images import to_pil
from directions.photographs import Framing, Photograph, Similarity
from directions.planted.world import planted
from tests.parity import ROOT

ASTRONAUT = ROOT / "docs" / "images" / "astronaut.jpg"


@pytest.fixture(scope="module")
def photo() -> Photograph:
    return open_photograph(ASTRONAUT, digiface64())


def test_landmarks_of_an_aligned_photograph_are_those_of_the_generator(photo: Photograph):
    assert photo.image.shape == (1, 3, 64, 64)
    assert photo.picture.shape == (1, 3, 320, 320)
    points = faces().landmarks(photo.image)[0]
    mean = Framing.of(digiface64()).points.mean(0)
    eyes = (points[36:48].mean(0) - mean[36:48].mean(0)).norm()
    assert eyes < 4
    assert (points.mean(0) - mean.mean(0)).norm() < 2
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    assert abs(float(left[1] - right[1])) < 1.5  # upright


@pytest.mark.parametrize("degrees", [20, -15])
def test_alignment_undoes_rotation_and_scale(photo: Photograph, degrees: int):
    turned = to_pil(photo.picture[0]).rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    other = open_photograph(turned.resize((700, 700)), digiface64())
    inside = (slice(None), slice(None), slice(8, 56), slice(8, 56))
    error = (other.image - photo.image)[inside].square().mean().sqrt()
    assert error < 0.2


def test_center_and_box():
    world = planted()
    pixels = np.arange(48 * 80 * 3, dtype=np.uint8).reshape(48, 80, 3)
    center = open_photograph(pixels, world, align="center")
    by_box = open_photograph(pixels, world, box=(16, 0, 64, 48))
    assert center.alignment == by_box.alignment
    corner = open_photograph(pixels[:, :64], world, box=(0, 0, 16, 16))
    torch.testing.assert_close(corner.image, corner.picture[:, :, :16, :16], atol=1e-5, rtol=0)


def test_pasting_the_image_itself_changes_little_and_a_difference_of_none_nothing(
    photo: Photograph,
):
    pasted = photo.paste(photo.image)
    # What is lost is the detail that 64 pixels do not hold.
    assert (pasted - photo.picture).abs().mean() < 0.02
    assert torch.equal(photo.paste(photo.image, instead_of=photo.image), photo.picture)


def test_pasting_changes_the_frame_only_and_has_no_seam(photo: Photograph):
    white = photo.paste(torch.ones(2, 3, 64, 64))
    assert white.shape == (2, 3, 320, 320)
    rows, columns = torch.arange(320) + 0.5, torch.arange(320) + 0.5
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    places = photo.alignment(grid)
    inside = ((places > 0) & (places < 64)).all(-1)
    center = ((places > 12) & (places < 52)).all(-1)
    assert torch.equal(white[..., ~inside], photo.picture.expand(2, -1, -1, -1)[..., ~inside])
    assert (white[..., center] > 0.999).all()
    mask = photo._mask(0.15)
    assert mask.diff(dim=1).abs().max() < 0.1  # a ramp of some twenty pixels, not a step


@pytest.mark.parametrize(("scale", "angle"), [(0.3, 0.2), (4.0, -0.5)])
def test_the_paste_undoes_the_alignment(scale: float, angle: float):
    alignment = Similarity(complex(torch.polar(torch.tensor(scale), torch.tensor(angle))), 10 + 20j)
    smooth = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    photo = Photograph(torch.zeros(1, 3, 240, 240), smooth, alignment)
    pasted = photo.paste(smooth, feather=0.0)
    places = alignment(torch.tensor([[20.5, 10.5], [5.5, 7.5], [8.5, 3.5]]))
    for (x, y), (px, py) in zip(places.tolist(), ((20, 10), (5, 7), (8, 3)), strict=True):
        if 4 < x < 60 and 4 < y < 60:
            assert abs(float(pasted[0, 0, py, px]) - (2 * (x - 0.5) / 63 - 1)) < 0.05


def test_two_faces_are_chosen_by_size(photo: Photograph):
    small = F.interpolate(photo.picture, (200, 200), mode="bilinear", antialias=True)
    both = to_pil(torch.cat([F.pad(small, (0, 0, 60, 60), value=0.5), photo.picture], 3)[0])
    with pytest.raises(LatdirError, match=r"the picture shows 2 faces: choose one, such as face=0"):
        open_photograph(both, digiface64())
    first, second = (open_photograph(both, digiface64(), face=i) for i in (0, 1))
    assert abs(first.alignment.factor) < 0.8 * abs(second.alignment.factor)
    with pytest.raises(LatdirError, match="no face 2 in the picture: the largest of 2"):
        open_photograph(both, digiface64(), face=2)


def test_refusals(photo: Photograph, tmp_path):
    generator = digiface64()
    gray = np.full((90, 90), 128, np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    with pytest.raises(
        LatdirError, match=r"no face is found in gray.png: say where it is by a box"
    ):
        open_photograph(tmp_path / "gray.png", generator)
    with pytest.raises(LatdirError, match="one picture, and there are 2"):
        open_photograph([gray, gray], generator)
    with pytest.raises(LatdirError, match="not within the picture, which is 90×90"):
        open_photograph(gray, generator, box=(0, 0, 91, 90))
    with pytest.raises(LatdirError, match="a box is"):
        open_photograph(gray, generator, box=(0, 0, 91))
    with pytest.raises(LatdirError, match="no faces that photographs could be aligned to"):
        open_photograph(ASTRONAUT, planted())
    with pytest.raises(LatdirError, match="images to paste are"):
        photo.paste(torch.zeros(1, 3, 32, 32))
    with pytest.raises(LatdirError, match="fraction of the image's side"):
        photo.paste(photo.image, feather=0.7)
