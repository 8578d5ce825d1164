import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directions import LatdirError
from directions.planted.world import planted
from tests.worlds import WORLDS, Noisy, world


@pytest.mark.parametrize("name", WORLDS)
def test_classifier_reads_the_factors_back(name):
    generator = world(name, seed=3)
    codes = generator.sample(600, seed=1)
    scores = generator.classifier()(generator.synthesize(codes))
    torch.testing.assert_close(scores, generator.factors(codes), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", WORLDS)
def test_jacobian_is_the_gradient_of_classifier_and_generator_together(name):
    generator = world(name)
    classifier = generator.classifier()
    codes = generator.sample(3, seed=2).double()

    def score(code):
        return classifier(generator.synthesize(code[None]))[0].double()

    for i in range(len(codes)):
        gradient = torch.autograd.functional.jacobian(score, codes[i])
        torch.testing.assert_close(gradient, generator.jacobian(codes)[i], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", WORLDS)
def test_truth_is_the_mean_gradient(name):
    generator = world(name)
    codes = generator.sample(40_000, seed=0)
    mean = generator.jacobian(codes).mean(0)
    torch.testing.assert_close(mean, generator.truth, atol=0.02, rtol=0)
    torch.testing.assert_close(generator.factors(codes).mean(0), torch.zeros(4), atol=0.03, rtol=0)


def test_cosine_and_prior_are_as_asked():
    generator = planted(factors=3, cosine=-0.3, condition=8.0)
    gram = generator.truth @ generator.truth.T
    torch.testing.assert_close(gram, 1.3 * torch.eye(3) - 0.3 * torch.ones(3, 3))
    prior = generator.prior()
    spread = torch.linalg.eigvalsh(prior.covariance.double()).sqrt()
    assert spread[-1] / spread[0] == pytest.approx(8.0, rel=1e-3)
    codes = generator.sample(60_000, seed=4)
    torch.testing.assert_close(torch.cov(codes.T), prior.covariance, atol=0.03, rtol=0)
    assert codes.mean(0).abs().max() < 0.02


def test_probabilities_are_the_sigmoid_of_the_factors():
    generator = planted()
    codes = generator.sample(50, seed=0)
    classifier = generator.classifier(kind="probability", steepness=3.0)
    images = generator.synthesize(codes)
    expected = torch.sigmoid(3.0 * generator.factors(codes))
    torch.testing.assert_close(classifier(images), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(classifier.logits(images), expected.logit(), atol=1e-2, rtol=1e-3)
    assert {a.kind for a in classifier.attributes} == {"probability"}


def test_gains_order_the_patterns_in_the_image():
    generator = planted(factors=2, nuisances=1, gains=[4.0, 2.0, 1.0])
    strength = torch.linalg.svdvals(generator.style_matrices()[0])
    assert (strength / strength[-1]).tolist() == pytest.approx([4.0, 2.0, 1.0], rel=1e-5)
    codes = generator.sample(200, seed=0)
    assert torch.allclose(
        generator.classifier()(generator.synthesize(codes)), generator.factors(codes), atol=1e-4
    )


@settings(deadline=None, max_examples=15)
@given(
    factors=st.integers(1, 6),
    spare=st.integers(0, 5),
    nuisances=st.integers(0, 4),
    bend=st.sampled_from([0.0, 1.0]),
    size=st.sampled_from([4, 8]),
    seed=st.integers(0, 5),
)
def test_any_geometry_reads_back(factors, spare, nuisances, bend, size, seed):
    dim = factors * (2 if bend else 1) + nuisances + spare
    generator = planted(
        factors=factors, dim=dim, nuisances=nuisances, bend=bend, size=size, seed=seed
    )
    codes = generator.sample(20, seed=seed)
    images = generator.synthesize(codes)
    assert images.abs().max() <= 1
    torch.testing.assert_close(
        generator.classifier()(images), generator.factors(codes), atol=1e-4, rtol=1e-4
    )


def test_fingerprint_tells_geometries_apart():
    prints = {planted(seed=s, bend=b).fingerprint for s in (0, 1) for b in (0.0, 0.5)}
    assert len(prints) == 4
    assert planted().fingerprint == planted().fingerprint


def test_noise_is_normal_and_belongs_to_the_image():
    generator = planted()
    images = generator.synthesize(generator.sample(4000, seed=0))
    clean, noisy = generator.classifier(), Noisy(generator.classifier(), noise=0.5)
    noise = noisy(images) - clean(images)
    torch.testing.assert_close(noisy(images[10:20]), noisy(images)[10:20], atol=1e-5, rtol=0)
    assert noise.mean().abs() < 0.02
    assert noise.std().item() == pytest.approx(0.5, rel=0.05)
    assert torch.corrcoef(noise.T).fill_diagonal_(0).abs().max() < 0.06
    assert noise.abs().max() < 0.5 * math.sqrt(2 * math.log(16_000)) * 1.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": 4, "dim": 7}, "4 factors and 4 nuisances need a dim of at least 8, not 7"),
        ({"bend": 1.0, "dim": 11}, "need a dim of at least 12, not 11"),
        ({"cosine": -0.5}, "cosine -0.5 must be between"),
        ({"cosine": 1.0}, "cosine 1.0 must be between"),
        ({"condition": 0.5}, "condition 0.5 must be at least 1"),
        ({"size": 1}, "images of size 1 have no room for 8 patterns"),
        ({"gains": [1.0]}, "gains are 8 positive numbers"),
        ({"names": ["a"]}, "4 factors need 4 names, not 1"),
    ],
)
def test_impossible_geometries_are_refused(options, message):
    with pytest.raises(LatdirError, match=message):
        planted(**options)


def test_classifier_reads_only_its_own_images():
    with pytest.raises(LatdirError, match=r"images have shape \[3, 8, 8\]"):
        planted(size=16).classifier()(torch.zeros(1, 3, 8, 8))
