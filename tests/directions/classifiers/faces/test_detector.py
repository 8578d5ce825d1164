"""Detection of faces: the network against face-api itself, boxes on a photograph."""

from __future__ import annotations

import base64
import json

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import LatdirError, open_images
from directions.classifiers.faces.detector import MEAN_RGB, FaceBox, detector_net, find_faces
from tests.parity import DATA, ROOT


def box(*edges: float) -> FaceBox:
    return FaceBox(*map(float, edges), 1.0)


@pytest.fixture(scope="module")
def astronaut() -> Tensor:
    return open_images(ROOT / "docs" / "images" / "astronaut.jpg")


def test_the_network_answers_as_the_package_does():
    stored = json.loads((DATA / "face_api.json").read_text())
    raw = torch.frombuffer(bytearray(base64.b64decode(stored["images"])), dtype=torch.uint8)
    pixels = raw.reshape(stored["shape"]).permute(0, 3, 1, 2).float()
    answers = detector_net()((pixels - torch.tensor(MEAN_RGB)[:, None, None]) / 255)
    torch.testing.assert_close(
        answers.flatten(1), torch.tensor(stored["detector"]), atol=1e-4, rtol=0
    )


def test_the_face_of_a_photograph(astronaut: Tensor):
    [face] = find_faces(astronaut)
    # Landmarks from the brows to the chin, by eye.
    assert face.overlap(box(105, 68, 205, 185)) > 0.7
    assert face.score > 0.9


@pytest.mark.parametrize(("top", "left"), [(0, 0), (300, 100), (40, 400)])
def test_boxes_move_with_the_picture(astronaut: Tensor, top: int, left: int):
    [plain] = find_faces(astronaut)
    edges = (left, 500 - left, top, 400 - top)
    [moved] = find_faces(F.pad(astronaut, edges, mode="constant", value=0.2))
    assert moved.overlap(
        box(plain.left + left, plain.top + top, plain.right + left, plain.bottom + top)
    ) > 0.6  # fmt: skip


def test_faces_that_fill_the_picture_are_found_with_a_border(astronaut: Tensor):
    [face] = find_faces(astronaut)
    left, top, right, bottom = (round(v) for v in (face.left, face.top, face.right, face.bottom))
    [close] = find_faces(astronaut[:, :, top:bottom, left:right])
    assert close.overlap(box(0, 0, right - left, bottom - top)) > 0.5


def test_several_faces_largest_first(astronaut: Tensor):
    small = F.interpolate(astronaut, (200, 200), mode="bilinear", antialias=True)
    both = torch.cat([F.pad(small, (0, 0, 60, 60), value=0.5), astronaut], 3)
    faces = find_faces(both)
    assert len(faces) == 2
    assert faces[0].area > faces[1].area
    assert faces[0].left > faces[1].left


def test_no_faces_and_refusals():
    stripes = torch.sin(torch.arange(64.0)).expand(1, 3, 64, 64)
    assert find_faces(stripes) == []
    with pytest.raises(LatdirError, match="image has shape"):
        find_faces(torch.zeros(2, 3, 64, 64))
    with pytest.raises(LatdirError, match="certainty"):
        find_faces(torch.zeros(1, 3, 64, 64), score=2.0)


def test_overlap_of_boxes():
    one, half = box(0, 0, 2, 2), box(0, 0, 2, 1)
    assert one.overlap(one) == 1
    assert one.overlap(half) == 0.5
    assert one.overlap(one.moved(2.0)) == 0
