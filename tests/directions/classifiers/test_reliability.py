"""Reliability and ensembles, on labelers whose noise is known, and the built-in ensemble."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from directions import LatdirError, load_classifier, wrap_classifier
from directions.classifiers import Attribute, Classifier, Ensemble, measure_reliability
from directions.classifiers.reliability import Retests
from directions.generators.dcgan import digiface64

COUNT = 4000


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Noise in 4 × 4 blocks of 8 × 8 pixels, so that a move by one pixel changes nothing read."""
    blocks = torch.randn(COUNT, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)


def blocks_of(images: Tensor) -> Tensor:
    return images[:, :, 4::8, 4::8]


def labeler(
    name: str, *, view: int, noise: float, own: float, scale: float = 1.0, sign: float = 1.0
) -> Classifier:
    """Truth + own view + noise, of variances 1, own², noise².

    Truth and view are sums of the first column and the last, which a mirror exchanges; the noise
    is in the first column alone, and new in the mirror image.
    """

    def score(images: Tensor) -> Tensor:
        batch = blocks_of(images)
        even = (batch[:, :, :, 0] + batch[:, :, :, -1]) / math.sqrt(2)
        drawn = batch[:, 2, 1 + view, 0]
        total = sign * even[:, 0, 0] + own * even[:, 1, 1 + view] + noise * drawn
        return (scale * total + 3 * scale)[:, None]

    attributes = [Attribute("truth", "value", "units")]
    return wrap_classifier(
        score, attributes=attributes, name=name, differentiable=True, version=f"{name}{view}"
    )


def truth(images: Tensor) -> Tensor:
    return blocks_of(images)[:, 0, 0, [0, 3]].sum(1) / math.sqrt(2)


def correlation(first: Tensor, second: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((first, second)))[0, 1])


def test_retests_and_loadings_are_those_of_the_model(images: Tensor) -> None:
    plan = [(0, 1.0, 0.0), (1, 0.0, 1.0), (2, 0.5, 0.5)]
    three = [labeler(f"l{v}", view=v, noise=n, own=o) for v, n, o in plan]
    found = Retests(three, images)
    for i, (_, noise, own) in enumerate(plan):
        total = 1 + own**2 + noise**2
        mirror, shift = found.repeat(i, "truth")
        assert mirror == pytest.approx((1 + own**2) / total, abs=0.04)
        assert shift == pytest.approx(1)
        # Of three origins the loading is known, whatever repeats: √(truth / total).
        assert found.loading(i, "truth") == pytest.approx(total**-0.5, abs=0.04)
        # Of two it is the root of their product.
        pair = Retests([three[i], three[(i + 1) % 3]], images)
        product = math.sqrt(pair.loading(0, "truth") * pair.loading(1, "truth"))
        assert product == pytest.approx(math.sqrt(pair.agreement(0, 1, "truth")))


def test_an_odd_attribute_is_turned(images: Tensor) -> None:
    def score(batch: Tensor) -> Tensor:
        return (blocks_of(batch)[:, 0, :, 0] - blocks_of(batch)[:, 0, :, -1]).sum(1)

    odd = wrap_classifier(score, attributes="yaw", version="1")
    (turned,) = measure_reliability(odd, images)
    (plain,) = measure_reliability(odd, images, odd=())
    assert turned.mirror == pytest.approx(1)
    assert plain.mirror == pytest.approx(-1)
    assert plain.repeat == 0
    assert turned.agreement is None
    assert turned.corrected is None
    assert turned.loading == pytest.approx(math.sqrt(turned.repeat))


def test_corrected_agreement_forgives_retest_noise_and_not_views(images: Tensor) -> None:
    noisy = [labeler(f"l{v}", view=v, noise=1.0, own=0.0) for v in (0, 1)]
    opinionated = [labeler(f"l{v}", view=v, noise=0.0, own=1.0) for v in (0, 1)]
    for pair, expected in ((noisy, 1.0), (opinionated, 0.5)):
        first, second = measure_reliability(pair, images)
        assert first.agreement == pytest.approx(0.5, abs=0.04)
        assert first.corrected == pytest.approx(expected, abs=0.06)
        assert second.corrected == pytest.approx(expected, abs=0.06)


def test_an_ensemble_is_nearer_to_the_truth_than_its_members(images: Tensor) -> None:
    members = [
        labeler("a", view=0, noise=1.0, own=0.3, scale=5.0),
        labeler("b", view=1, noise=0.2, own=1.0),
        labeler("c", view=2, noise=1.0, own=0.2),
    ]
    fit, test = images[: COUNT // 2], images[COUNT // 2 :]
    alone = [correlation(m(test)[:, 0], truth(test)) for m in members]
    plain = Ensemble.fit(members, fit, mirror=False)
    both = Ensemble.fit(members, fit)
    together = correlation(plain(test)[:, 0], truth(test))
    assert together > max(alone) + 0.05
    # Mirror images halve the variance of the noise.
    assert correlation(both(test)[:, 0], truth(test)) > together + 0.02
    # Units and scale are the first member's.
    assert both.attributes == members[0].attributes
    own = members[0](test)[:, 0]
    assert float(plain(test).std()) == pytest.approx(float(own.std()), rel=0.05)
    assert float(plain(test).mean()) == pytest.approx(15, abs=0.3)


def test_weights_follow_the_loadings_of_three_origins_and_are_equal_for_two(
    images: Tensor,
) -> None:
    good = labeler("good", view=0, noise=0.1, own=0.1)
    steady = labeler("steady", view=1, noise=0.0, own=2.0)
    fair = labeler("fair", view=2, noise=0.5, own=0.5)

    def standardized(members: list[Classifier]) -> list[float]:
        _, *weights = Ensemble.fit(members, images, mirror=False).weights["truth"]
        return [w * float(m(images).std()) for w, m in zip(weights, members, strict=True)]

    three, two = standardized([good, steady, fair]), standardized([good, steady])
    assert three[0] > 2 * three[2] > 2 * three[1]
    assert two[0] == pytest.approx(two[1], rel=1e-3)


def test_attributes_of_one_member_only_are_taken_over(images: Tensor) -> None:
    red = wrap_classifier(lambda batch: batch[:, 0, 0, 0], attributes="red", version="1")
    one = labeler("a", view=0, noise=0.0, own=0.5)
    both = Ensemble.fit([one, red], images, mirror=False)
    assert both.names == ("truth", "red")
    torch.testing.assert_close(both(images[:9])[:, 1], images[:9, 0, 0, 0], atol=1e-4, rtol=1e-4)
    assert both.weights["red"][1] == 0
    fewer = Ensemble.fit([one, red], images, attributes=["red"], mirror=False)
    assert fewer.names == ("red",)
    assert both.fingerprint != fewer.fingerprint


def test_probabilities_are_averaged_as_log_odds(images: Tensor) -> None:
    def member(shift: float) -> Classifier:
        def score(batch: Tensor) -> Tensor:
            return (batch[:, 0, 0, 0] + shift).sigmoid()

        return wrap_classifier(
            score, attributes=Attribute("sure", "probability"), version=str(shift), name="m"
        )

    both = Ensemble.fit([member(0), member(2)], images, mirror=False)
    assert both.attributes[0].kind == "probability"
    torch.testing.assert_close(both(images[:9]), member(0)(images[:9]), atol=1e-4, rtol=0)
    torch.testing.assert_close(both.inference()(images[:9]), both(images[:9]))


def test_what_cannot_be_measured_or_averaged_is_refused(images: Tensor) -> None:
    one = labeler("one", view=0, noise=0.1, own=0.1)
    against = labeler("against", view=1, noise=0.1, own=0.1, sign=-1)
    with pytest.raises(
        LatdirError, match=r"one and against do not agree about 'truth' \(correlation -0\.9"
    ):
        Ensemble.fit([one, against], images)
    with pytest.raises(LatdirError, match="reliability needs at least 16 images, not 3: make more"):
        measure_reliability(one, images[:3])
    with pytest.raises(LatdirError, match="none of the classifiers has an attribute 'wings'"):
        measure_reliability([one, against], images, attributes=["wings"])
    with pytest.raises(LatdirError, match="give at least one classifier"):
        measure_reliability([], images)
    flat = wrap_classifier(lambda batch: batch[:, 0, 0, 0] * 0, attributes="flat", version="1")
    with pytest.raises(LatdirError, match="wrapped scores 'flat' the same for all 4000 images"):
        measure_reliability(flat, images)


def test_the_built_in_ensemble_is_fitted_and_turns_with_the_face() -> None:
    generator = digiface64()
    faces = generator.synthesize(generator.sample(96, seed=3)).detach()
    members = [load_classifier(name) for name in ("faces", "mobile-faces")]
    both = load_classifier("face-ensemble")
    names = ("yaw", "mouth_open", "smiling")
    fitted = Ensemble.fit(members, faces, attributes=names)
    for name in names:
        assert both.weights[name][1:] == pytest.approx(fitted.weights[name][1:], rel=0.25)
    found = both.inference(names=names)(faces)
    for member in members:
        scores = member.inference(names=names)(faces)
        for column in range(3):
            assert correlation(found[:, column], scores[:, column]) > 0.6, (member, column)
    turned = both.inference(names=["yaw"])(faces[:9].flip(3))
    offset = both.weights["yaw"][0]
    torch.testing.assert_close(turned[:, 0] - offset, offset - found[:9, 0], atol=1e-2, rtol=0)
