"""The face classifier: the networks against face-api itself, poses against known rotations."""

from __future__ import annotations

import base64
import json
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import LatdirError
from directions.classifiers.crop import crop
from directions.classifiers.faces import inference as fast_faces
from directions.classifiers.faces import landmarks as lm
from directions.classifiers.faces import nets as face_nets
from directions.classifiers.faces.classifier import FaceClassifier, faces
from directions.generators.dcgan import digiface64
from tests.parity import DATA, resized_as_tensorflow_does

REFERENCE = DATA / "face_api.json"
NET_INPUT = 112


@pytest.fixture(scope="module")
def classifier() -> FaceClassifier:
    return faces()


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = digiface64()
    with torch.no_grad():
        return generator.synthesize(generator.sample(24, seed=11))


@pytest.fixture(scope="module")
def scores(classifier: FaceClassifier, images: Tensor) -> Tensor:
    with torch.no_grad():
        return classifier(images)


# --- The networks --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    """What the package answered, and the images it was asked about, in [-1, 1]."""
    stored = json.loads(REFERENCE.read_text())
    raw = torch.frombuffer(bytearray(base64.b64decode(stored.pop("images"))), dtype=torch.uint8)
    pixels = raw.reshape(stored.pop("shape")).permute(0, 3, 1, 2).float()
    answers = {k: torch.tensor(v) for k, v in stored.items() if k != "package"}
    return {"images": pixels / 127.5 - 1, **answers}


def test_networks_answer_as_the_package_does(reference: dict[str, Tensor]) -> None:
    seen, larger = (
        face_nets.normalize(resized_as_tensorflow_does(reference["images"], size))
        for size in (NET_INPUT, 150)
    )
    expression = face_nets.expression_net()(seen)
    age, gender = face_nets.age_gender_net()(seen)
    close = torch.testing.assert_close
    close(expression, reference["expression_logits"], atol=1e-4, rtol=0)
    close(expression.softmax(1), reference["expression"], atol=1e-5, rtol=0)
    close(face_nets.landmark_net()(seen), reference["landmarks"], atol=2e-6, rtol=0)
    close(age[:, None], reference["age"], atol=2e-4, rtol=0)
    close(gender, reference["gender_logits"], atol=3e-5, rtol=0)
    close(gender.softmax(1), reference["gender"], atol=1e-5, rtol=0)
    close(face_nets.recognition_net()(larger), reference["embedding"], atol=3e-6, rtol=0)


def test_same_padding_puts_the_odd_pixel_last() -> None:
    x = torch.ones(1, 1, 4, 4)
    assert face_nets.pad_same(x, 3, 2)[0, 0].sum(0).tolist() == [4, 4, 4, 4, 0]
    assert face_nets.pad_same(x, 3, 1)[0, 0].sum(0).tolist() == [0, 4, 4, 4, 4, 0]
    assert face_nets.pad_same(x, 1, 2) is x


# --- What they look at ---------------------------------------------------------------------


def test_crop_is_bilinear_and_commutes_with_flips() -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    resized = F.interpolate(images, size=NET_INPUT, mode="bilinear", align_corners=False)
    torch.testing.assert_close(crop(images, size=NET_INPUT), resized, atol=1e-4, rtol=0)
    for margin in (-0.1, 0.0, 0.2):
        made = crop(images, size=150, margin=margin)
        torch.testing.assert_close(
            crop(images.flip(3), size=150, margin=margin), made.flip(3), atol=1e-5, rtol=0
        )


def test_crop_shrinks_without_aliasing_and_repeats_the_edge() -> None:
    large = torch.randn(1, 3, 500, 400, generator=torch.Generator().manual_seed(0))
    square = large[:, :, 50:450]
    shrunk = F.interpolate(square, size=NET_INPUT, mode="bilinear", antialias=True)
    # Only at the edge do the two differ: one cuts the filter off, one repeats the last pixel.
    torch.testing.assert_close(
        crop(square, size=NET_INPUT)[..., 2:-2, 2:-2], shrunk[..., 2:-2, 2:-2], atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        crop(large, size=NET_INPUT)[..., 2:-2, :], crop(square, size=NET_INPUT)[..., 2:-2, :]
    )
    ramp = torch.arange(8.0).expand(1, 3, 8, 8)
    padded = crop(ramp, size=16, margin=0.5)[0, 0, 0]
    assert padded.tolist() == [0.0] * 4 + ramp[0, 0, 0].tolist() + [7.0] * 4


@pytest.mark.parametrize("shape", [(64, 64), (96, 80), (37, 53), (300, 256)])
def test_images_of_any_shape_are_scored(classifier: FaceClassifier, shape: tuple[int, int]) -> None:
    scores = classifier(torch.zeros(1, 3, *shape))
    assert torch.isfinite(scores).all()


def test_a_larger_copy_of_an_image_scores_the_same(
    classifier: FaceClassifier, images: Tensor, scores: Tensor
) -> None:
    larger = F.interpolate(images[:8], scale_factor=4, mode="bilinear", align_corners=False)
    difference = (classifier(larger) - scores[:8]).square().mean(0).sqrt()
    steady = classifier.columns(["smiling", "male", "age", "yaw", "pitch", "mouth_open"])
    assert (difference < 0.2 * scores.std(0))[steady].all()


def test_margin_keeps_landmarks_in_place(classifier: FaceClassifier, images: Tensor) -> None:
    images = images[:8]
    points, padded = classifier.landmarks(images), faces(margin=0.1).landmarks(images)
    assert points.shape == (8, 68, 2)
    assert (points - padded).abs().median() < 1.0
    wide = F.pad(images, (10, 10, 0, 0), mode="replicate")
    torch.testing.assert_close(
        classifier.landmarks(wide), points + torch.tensor([10.0, 0.0]), atol=1e-3, rtol=0
    )


# --- Pose and measures ---------------------------------------------------------------------


def turned(yaw: float, pitch: float, roll: float, *, scale: float = 0.4) -> Tensor:
    """Landmarks of the mean face: looking at an azimuth and elevation, then leaning."""
    y, p, r = (math.radians(a) for a in (yaw, pitch, roll))
    about_y = [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
    about_x = [[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]]
    about_z = [[math.cos(r), math.sin(r), 0], [-math.sin(r), math.cos(r), 0], [0, 0, 1]]
    rotation = torch.tensor(about_z) @ torch.tensor(about_y) @ torch.tensor(about_x)
    points = torch.tensor(list(lm.SHAPE.values())) @ rotation.T
    made = torch.zeros(1, 68, 2)
    made[0, list(lm.POINTS)] = 0.5 + scale * points[:, :2] * torch.tensor([1.0, -1.0])
    return made


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(0, 0, 0), (30, 0, 0), (-55, 0, 0), (0, 25, 0), (0, 0, -20)]
)
def test_pose_of_the_mean_face_is_found(yaw: float, pitch: float, roll: float) -> None:
    pose = lm.head_pose(turned(yaw, pitch, roll))
    found = [float(angle) for angle in (pose.yaw, pose.pitch, pose.roll)]
    assert found == pytest.approx([yaw, pitch, roll], abs=0.02)
    assert float(pose.scale) == pytest.approx(0.4, abs=1e-4)
    assert float(pose.trust) == pytest.approx(1)


def test_yaw_and_pitch_say_where_the_face_looks_when_both_are_there() -> None:
    pose = lm.head_pose(turned(25, -12, 0))
    # Looking down first, then turning by 25 degrees about the vertical, keeps the elevation.
    assert [float(pose.yaw), float(pose.pitch)] == pytest.approx([25, -12], abs=0.05)


def test_scattered_points_are_no_face_and_get_the_neutral_answer() -> None:
    scattered = torch.rand(50, 68, 2, generator=torch.Generator().manual_seed(0))
    pose = lm.head_pose(scattered)
    assert pose.trust.max() < 0.01
    assert pose.yaw.abs().max() < 1
    assert (lm.mouth_open(scattered, pose) - lm.NEUTRAL_MOUTH).abs().max() < 0.02
    collapsed = lm.head_pose(torch.zeros(1, 68, 2))
    assert all(torch.isfinite(value).all() for value in collapsed)


def test_measures_are_ratios_that_turning_leaves_alone() -> None:
    gaps = {"mouth": 0.0, "eyes": 0.0, "smile": 0.0}
    for yaw in (0, 30):
        face = turned(yaw, 0, 0)
        center = face[0, 33] + torch.tensor([0.0, 0.08])
        for upper, lower in ((61, 67), (62, 66), (63, 65)):
            face[0, upper], face[0, lower] = center, center + torch.tensor([0.0, 0.2 * 0.4])
        for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
            face[0, upper], face[0, lower] = center, center + torch.tensor([0.0, 0.1 * 0.4])
        pose = lm.head_pose(face)
        gaps["mouth"] = float(lm.mouth_open(face, pose))
        gaps["eyes"] = float(lm.eyes_open(face, pose))
        gaps["smile"] = float(lm.smile_width(face, pose))
        assert gaps == pytest.approx({"mouth": 0.2, "eyes": 0.1, "smile": 0.574}, abs=1e-3), yaw


def test_landmarks_of_a_face_have_gradients_everywhere() -> None:
    face = turned(20, 5, 3).double().requires_grad_()

    def measures(points: Tensor) -> tuple[Tensor, ...]:
        pose = lm.head_pose(points)
        return (*pose[:3], lm.mouth_open(points, pose), lm.smile_width(points, pose))

    with torch.no_grad():
        face += 0.01 * torch.rand(face.shape, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(measures, (face,), atol=1e-4)


# --- The classifier ------------------------------------------------------------------------


def test_a_flip_turns_yaw_and_roll_around_and_leaves_the_rest(
    classifier: FaceClassifier, images: Tensor, scores: Tensor
) -> None:
    flipped = classifier(images.flip(3))
    # The networks are themselves no more symmetric than this; their card has the figures.
    least = {"smiling": 0.7, "age": 0.6, "mouth_open": 0.6, "pitch": 0.7, "yaw": 0.9, "roll": 0.6}
    for name, bound in least.items():
        j = classifier.names.index(name)
        sign = -1 if name in ("yaw", "roll") else 1
        pair = torch.stack((scores[:, j], sign * flipped[:, j]))
        assert torch.corrcoef(pair)[0, 1] > bound, name


def test_logits_are_log_odds_and_exact_where_probabilities_saturate(
    classifier: FaceClassifier, images: Tensor, scores: Tensor
) -> None:
    logits = classifier.logits(images)
    columns = classifier.columns(["smiling", "fearful", "male"])
    torch.testing.assert_close(logits[:, columns].sigmoid(), scores[:, columns])
    # Some class of some face is beyond what a float32 probability can tell from 0.
    assert logits[:, :7].min() < math.log(1e-6)
    torch.testing.assert_close(scores[:, :7].sum(1), torch.ones(24))
    expression = face_nets.expression_net()(face_nets.normalize(crop(images, size=NET_INPUT)))
    probability = expression.double().softmax(1)[:, face_nets.EXPRESSIONS.index("happy")]
    exact = probability.log() - (1 - probability).log()
    torch.testing.assert_close(logits[:, 0].double(), exact, atol=1e-3, rtol=1e-4)


def test_logits_of_some_attributes_run_only_the_networks_they_come_from(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = faces()
    ran: list[str] = []
    find = made._net
    monkeypatch.setattr(made, "_net", lambda net, device: ran.append(net) or find(net, device))
    odds = made.logits_of(images[:2], ["yaw", "smiling"])
    assert sorted(ran) == ["expression", "landmarks"]
    torch.testing.assert_close(odds, made.logits(images[:2])[:, made.columns(["yaw", "smiling"])])
    assert sorted(ran[2:]) == ["age_gender", "expression", "landmarks"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_fast_form_agrees_and_does_not_depend_on_the_batch(
    classifier: FaceClassifier, images: Tensor, scores: Tensor, precision: str
) -> None:
    run = classifier.inference(precision=precision)
    fast = run(images)
    if precision == "float32":
        torch.testing.assert_close(fast, scores, atol=2e-3, rtol=1e-4)
    else:
        labels = classifier.columns(["smiling", "neutral", "male"])
        assert ((fast > 0.5) == (scores > 0.5))[:, labels].float().mean() > 0.95
        assert ((fast - scores).square().mean(0).sqrt() < 0.1 * scores.std(0)).all()
    for size in (1, fast_faces.TILE + 1):
        pieces = torch.cat([run(piece) for piece in images[15:18].split(size)])
        assert torch.equal(pieces, fast[15:18]), size
    assert run(images[:0]).shape == (0, len(classifier.names))


def test_networks_that_no_wanted_attribute_needs_are_not_run(
    classifier: FaceClassifier, images: Tensor, scores: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from directions.classifiers.faces import classifier as module

    def refused() -> None:
        raise AssertionError("this network is not needed")

    for net in ("expression", "age_gender"):
        monkeypatch.setitem(module.NETS, net, refused)
    wanted = ["mouth_open", "yaw"]
    fast = classifier.inference(names=wanted)(images[:4])
    torch.testing.assert_close(fast, scores[:4, classifier.columns(wanted)], atol=2e-3, rtol=1e-4)


def test_embeddings_of_a_face_stay_near_it(classifier: FaceClassifier, images: Tensor) -> None:
    embedded = classifier.embed(images[:8])
    assert embedded.shape == (8, 128)
    brighter = classifier.embed((images[:8] + 0.05).clamp(-1, 1))
    own = (embedded - brighter).norm(dim=1)
    others = (embedded - embedded.roll(1, 0)).norm(dim=1)
    assert own.max() < others.min()


def test_gradients_of_the_embedding_reach_the_image(
    classifier: FaceClassifier, images: Tensor
) -> None:
    leaf = images[:2].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.embed(leaf).square().sum(), leaf)
    assert gradient.flatten(1).norm(dim=1).min() > 0


def test_a_first_call_in_inference_mode_does_not_forbid_gradients_later() -> None:
    made = faces(margin=0.03)
    picture = torch.zeros(1, 3, 61, 61)
    with torch.inference_mode():
        made(picture)
    made.inference()(torch.zeros(1, 3, 59, 59))
    for shape in (picture.shape, (1, 3, 59, 59)):
        leaf = torch.zeros(shape, requires_grad=True)
        (gradient,) = torch.autograd.grad(made(leaf).sum(), leaf)
        assert torch.isfinite(gradient).all()


def test_other_precisions_are_scored_in_float32(
    classifier: FaceClassifier, images: Tensor, scores: Tensor
) -> None:
    double = classifier(images[:4].double())
    assert double.dtype == torch.float32
    torch.testing.assert_close(double, scores[:4], atol=1e-4, rtol=1e-4)


def test_the_fingerprint_knows_the_margin(classifier: FaceClassifier) -> None:
    assert classifier.fingerprint != faces(margin=0.1).fingerprint


def test_what_cannot_be_scored_is_refused(classifier: FaceClassifier) -> None:
    with pytest.raises(LatdirError, match=r"not \[3, 64, 64\]: add a batch axis"):
        classifier(torch.zeros(3, 64, 64))
    with pytest.raises(LatdirError, match=r"not \[1, 4, 64, 64\]: give RGB images"):
        classifier.inference()(torch.zeros(1, 4, 64, 64))
    with pytest.raises(LatdirError, match=r"margin is a fraction .* in -0.4 … 1, not -0.5"):
        faces(margin=-0.5)
