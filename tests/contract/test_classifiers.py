"""What every classifier must do, whatever it is."""

import re

import pytest
import torch

from directions import LatdirError
from directions.classifiers import Combined, Renamed, load_classifier
from directions.generators.dcgan import digiface64
from tests.worlds import Noisy, world

PLANTED = world("everything")
FACES = digiface64()

CLASSIFIERS = {
    "planted": lambda: (PLANTED.classifier(), PLANTED),
    "planted_probability": lambda: (PLANTED.classifier(kind="probability"), PLANTED),
    "noisy": lambda: (Noisy(PLANTED.classifier(), noise=0.2), PLANTED),
    "faces": lambda: (load_classifier("faces"), FACES),
    "mobile-faces": lambda: (load_classifier("mobile-faces"), FACES),
    "face-ensemble": lambda: (load_classifier("face-ensemble"), FACES),
    "pixels": lambda: (load_classifier("pixels"), FACES),
    "faces+pixels": lambda: (load_classifier("faces+pixels"), FACES),
    "clip": lambda: (load_classifier("clip"), FACES),
    "renamed": lambda: (Renamed(load_classifier("pixels"), {"contrast": "spread"}), FACES),
}


@pytest.fixture(scope="module", params=CLASSIFIERS)
def case(request):
    classifier, generator = CLASSIFIERS[request.param]()
    with torch.no_grad():
        images = generator.synthesize(generator.sample(6, seed=2))
        return classifier, images, classifier(images)


def test_scores_are_one_finite_column_for_each_attribute(case):
    classifier, images, scores = case
    assert scores.shape == (len(images), len(classifier.attributes))
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    assert len(set(classifier.names)) == len(classifier.names)
    assert (scores.std(0) > 0).all()


def test_probabilities_lie_between_0_and_1_and_have_logits(case):
    classifier, images, scores = case
    with torch.no_grad():
        logits = classifier.logits(images)
    for j, attribute in enumerate(classifier.attributes):
        if attribute.kind == "probability":
            assert 0 <= scores[:, j].min() <= scores[:, j].max() <= 1
            torch.testing.assert_close(logits[:, j].sigmoid(), scores[:, j], atol=1e-4, rtol=0)
        else:
            assert torch.equal(logits[:, j], scores[:, j])


def test_scores_of_an_image_do_not_depend_on_its_company(case):
    classifier, images, scores = case
    spread = scores.std(0)
    with torch.no_grad():
        alone = torch.cat([classifier(image[None]) for image in images])
    assert ((alone - scores).abs() <= 1e-3 * spread + 1e-5).all()


def test_inference_gives_the_columns_asked_for(case):
    classifier, images, scores = case
    names = classifier.names[::-2]
    picked = scores[:, classifier.columns(names)]
    spread = picked.std(0)
    fast = classifier.inference(names=names)(images)
    assert ((fast - picked).abs() <= 0.01 * spread + 1e-5).all()
    assert not fast.requires_grad
    half = classifier.inference(names=names, precision="bfloat16")(images)
    assert half.dtype == torch.float32
    assert ((half - picked).square().mean(0).sqrt() <= 0.2 * spread + 1e-5).all()


def test_logits_of_some_attributes_are_the_columns_of_all_of_them(case):
    classifier, images, _ = case
    names = classifier.names[::-3]
    with torch.no_grad():
        picked = classifier.logits(images)[:, classifier.columns(names)]
        torch.testing.assert_close(classifier.logits_of(images, names), picked)
    fast = classifier.inference_logits(names=names)(images)
    assert ((fast - picked).abs() <= 0.01 * picked.std(0) + 1e-4).all()
    assert not fast.requires_grad
    with pytest.raises(LatdirError, match="has no attribute 'wings'"):
        classifier.logits_of(images, ["wings"])


def test_gradients_reach_the_images_if_it_says_so(case):
    classifier, images, _ = case
    leaf = images.clone().requires_grad_()
    logits = classifier.logits(leaf)
    if classifier.differentiable:
        (gradient,) = torch.autograd.grad(logits.sum(), leaf)
        assert torch.isfinite(gradient).all()
        assert gradient.flatten(1).norm(dim=1).min() > 0


def test_nothing_outside_is_touched(case):
    classifier, images, _ = case
    state, before = torch.random.get_rng_state(), images.clone()
    classifier(images)
    assert torch.equal(images, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_unknown_attributes_are_refused(case):
    classifier, *_ = case
    message = f"classifier {re.escape(classifier.name)} has no attribute 'wings': it has "
    with pytest.raises(LatdirError, match=message):
        classifier.columns(["wings"])
    with pytest.raises(LatdirError, match="has no attribute 'wings'"):
        classifier.inference(names=["wings"])


def test_fingerprints_tell_classifiers_apart():
    prints = [make()[0].fingerprint for make in CLASSIFIERS.values()]
    assert all(re.fullmatch("[0-9a-f]{64}", p) for p in prints)
    assert len(set(prints)) == len(prints)
    assert prints == [make()[0].fingerprint for make in CLASSIFIERS.values()]


def test_combined_puts_columns_side_by_side_and_refuses_twins():
    classifier, noisy = PLANTED.classifier(), PLANTED.classifier(kind="probability")
    with pytest.raises(LatdirError, match="two classifiers offer factor_0, factor_1"):
        Combined(classifier, noisy)
    with pytest.raises(LatdirError, match="give at least one classifier"):
        Combined()
    named = Renamed(noisy, {name: f"sure {name}" for name in noisy.names}, name="sure")
    scores = Combined(classifier, named)(PLANTED.synthesize(PLANTED.sample(3, seed=0)))
    torch.testing.assert_close(scores[:, 4:], (2 * scores[:, :4]).sigmoid())
    with pytest.raises(LatdirError, match="two attributes would be called 'factor_1'"):
        Renamed(noisy, {"factor_0": "factor_1"})
    both = load_classifier("faces+pixels")
    images = FACES.synthesize(FACES.sample(3, seed=0))
    parts = [load_classifier(name)(images) for name in ("faces", "pixels")]
    torch.testing.assert_close(both(images), torch.cat(parts, 1))
    warm, yaw = both.inference(names=["warmth", "yaw"])(images).unbind(1)
    torch.testing.assert_close(warm, both(images)[:, both.names.index("warmth")])
    torch.testing.assert_close(yaw, both(images)[:, both.names.index("yaw")], atol=0.05, rtol=0)
