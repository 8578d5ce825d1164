"""The second face classifier: its networks against TensorFlow.js, its scores against `faces`."""

from __future__ import annotations

import base64
import json

import pytest
import torch
from torch import Tensor

from directions.classifiers import load_classifier
from directions.classifiers.faces import landmarks
from directions.classifiers.mobile_faces import MobileFaceClassifier, mobile_faces, nets
from directions.classifiers.mobile_faces import classifier as module
from directions.generators.dcgan import digiface64
from tests.parity import DATA, resized_as_tensorflow_does

LUMA, MEAN_BGR = (0.299, 0.587, 0.114), (103.939, 116.779, 123.68)


@pytest.fixture(scope="module")
def classifier() -> MobileFaceClassifier:
    return mobile_faces()


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = digiface64()
    with torch.no_grad():
        return generator.synthesize(generator.sample(96, seed=11))


@pytest.fixture(scope="module")
def scores(classifier: MobileFaceClassifier, images: Tensor) -> dict[str, Tensor]:
    return dict(zip(classifier.names, classifier.inference()(images).T, strict=True))


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """The images of the fixture, in 0 … 255."""
    stored = json.loads((DATA / "face_api.json").read_text())
    raw = torch.frombuffer(bytearray(base64.b64decode(stored["images"])), dtype=torch.uint8)
    return raw.reshape(stored["shape"]).permute(0, 3, 1, 2).float()


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    """What TensorFlow.js answered."""
    stored = json.loads((DATA / "human.json").read_text())
    assert stored.pop("package") == "@vladmandic/human@3.3.6"
    return {
        name: torch.frombuffer(bytearray(base64.b64decode(entry["data"])), dtype=torch.float32)
        .reshape(entry["shape"])
        .clone()
        for name, entry in stored.items()
    }


def test_networks_answer_as_tensorflow_does(pixels: Tensor, reference: dict[str, Tensor]) -> None:
    close = torch.testing.assert_close
    gray = (resized_as_tensorflow_does(pixels, 64) * torch.tensor(LUMA)[:, None, None]).sum(1)
    expression = nets.expression_net()(gray[:, None] / 127.5 - 1).softmax(1)
    close(expression, reference["expression"], atol=1e-5, rtol=0)
    mesh, flag = nets.mesh_net()(resized_as_tensorflow_does(pixels, 192) / 255)
    close(mesh.flatten(1), reference["mesh"], atol=1e-3, rtol=0)  # thousandths of a pixel of 192
    close(flag.sigmoid(), reference["flag"].flatten(), atol=1e-5, rtol=0)
    bgr = resized_as_tensorflow_does(pixels, 224).flip(1) - torch.tensor(MEAN_BGR)[:, None, None]
    age, male = nets.age_gender_net()(bgr)
    close(age.softmax(1), reference["age"], atol=1e-5, rtol=0)
    close(male.sigmoid(), reference["male"].flatten(), atol=1e-5, rtol=0)


def test_networks_see_the_colors_they_were_trained_on() -> None:
    orange = torch.tensor([1.0, 0.0, -1.0])[:, None, None].expand(1, 3, 8, 8)  # 255, 127.5, 0
    expected = torch.tensor([0 - MEAN_BGR[0], 127.5 - MEAN_BGR[1], 255 - MEAN_BGR[2]])
    seen = module._seen("age_gender", orange)
    assert seen.shape == (1, 3, 224, 224)
    torch.testing.assert_close(seen.mean((0, 2, 3)), expected)
    torch.testing.assert_close(
        module._seen("mesh", orange)[0, :, 5, 5], orange[0, :, 0, 0] / 2 + 0.5
    )
    luma = module._seen("expression", orange)
    assert float(luma.mean()) == pytest.approx(LUMA[0] - LUMA[2])


def test_attributes_are_those_of_faces(classifier: MobileFaceClassifier) -> None:
    faces = load_classifier("faces")
    shared = [a for a in faces.attributes if a.name != "disgusted"]
    assert classifier.names == tuple(a.name for a in shared)
    pairs = zip(classifier.attributes, shared, strict=True)
    assert all((a.kind, a.unit) == (b.kind, b.unit) for a, b in pairs)
    assert classifier.fingerprint != faces.fingerprint


def test_it_agrees_with_faces_about_every_attribute_that_matters(
    images: Tensor, scores: dict[str, Tensor]
) -> None:
    faces = load_classifier("faces")
    first = dict(zip(faces.names, faces.inference()(images).T, strict=True))

    def ranks(values: Tensor) -> Tensor:
        return values.argsort().argsort().float()

    def agreement(name: str) -> float:
        return float(torch.corrcoef(torch.stack((ranks(first[name]), ranks(scores[name]))))[0, 1])

    # Of 2,048 images: .61, .51, .43, .96, .85, .77; wrong channels or points bring them to zero.
    least = {"smiling": 0.4, "male": 0.3, "age": 0.2, "yaw": 0.9, "pitch": 0.7, "mouth_open": 0.6}
    assert {name: agreement(name) for name, low in least.items() if agreement(name) < low} == {}


def test_ratios_are_those_of_an_ordinary_face_where_there_is_none(
    classifier: MobileFaceClassifier,
) -> None:
    noise = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = classifier.inference(names=["mouth_open", "eyes_open", "smile_width"])(noise)
    ordinary = torch.tensor([landmarks.NEUTRAL_MOUTH, landmarks.NEUTRAL_EYES, 0.57])
    torch.testing.assert_close(found, ordinary.expand(4, 3), atol=0.01, rtol=0)


def test_yaw_changes_sign_in_a_mirror(
    classifier: MobileFaceClassifier, images: Tensor, scores: dict[str, Tensor]
) -> None:
    turned = classifier.inference(names=["yaw", "smiling"])(images.flip(3))
    assert torch.corrcoef(torch.stack((turned[:, 0], scores["yaw"])))[0, 1] < -0.9
    assert torch.corrcoef(torch.stack((turned[:, 1], scores["smiling"])))[0, 1] > 0.8


def test_landmarks_lie_on_the_central_square(classifier: MobileFaceClassifier) -> None:
    generator = digiface64()
    images = generator.synthesize(generator.sample(2, seed=11)).detach()
    points = classifier.landmarks(images)
    wide = torch.nn.functional.pad(images, (10, 10, 0, 0), mode="replicate")
    moved = classifier.landmarks(wide)
    torch.testing.assert_close(moved, points + torch.tensor([10.0, 0.0]), atol=0.05, rtol=0)
    eyes, mouth = points[:, 36:48, 1].mean(1), points[:, 48:, 1].mean(1)
    assert (eyes < mouth).all()
    assert (points > 0).all()
    assert (points < 64).all()


def test_scores_are_the_same_to_the_bit_in_any_company(
    classifier: MobileFaceClassifier, images: Tensor
) -> None:
    run = classifier.inference(names=["smiling", "yaw"])
    assert torch.equal(run(images[:18])[3:4], run(images[3:4]))
    assert run(images[:0]).shape == (0, 2)
