"""Prompts, and the methods that label or differentiate: boundaries, gradients, what is held."""

import pytest
import torch

from directions import LatdirError
from directions.classifiers.clip.model import clip_classifier
from directions.classifiers.clip.prompts import Prompt, prompts_of, text_directions
from directions.classifiers.clip.protocol import TextImageModel
from directions.disentangling.measured import step_effects
from directions.planted.clip import PlantedClip
from directions.planted.world import planted
from discovery import METHODS as METHODS_KNOWN
from discovery import find_method
from discovery.sampling.sampler import sample
from discovery.supervised.boundary import Boundary
from discovery.supervised.gradient import Gradient
from discovery.text.clip_boundary import ClipBoundary
from discovery.text.clip_global import ClipGlobal
from discovery.text.clip_gradient import ClipGradient
from discovery.text.clip_optimize import ClipOptimize

NAMES = ("smile", "age", "yaw")
TEXTS = {"smile": "a smile", "old": "age"}
METHODS = {
    "boundary": ClipBoundary(n_codes=600),
    "lda": ClipBoundary(n_codes=600, estimator="lda"),
    "gradient": ClipGradient(n_codes=80),
}


@pytest.fixture(scope="module")
def world():
    return planted(factors=3, dim=20, cosine=0.4, bend=0.4, names=NAMES, seed=1)


@pytest.fixture(scope="module")
def clip(world):
    return PlantedClip(world)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_planted_words_are_found(world, clip, method):
    bank = method.discover(world, text=TEXTS, neutral="nothing", clip=clip)
    assert list(bank) == ["smile", "old"]
    assert bank["smile"].vector @ world.truth[0] > 0.93
    assert bank["old"].vector @ world.truth[1] > 0.93
    for direction in bank.directions:
        assert direction.method == method.method
        assert direction.config == method.config
        assert direction.evidence["neutral"] == "nothing"
    assert bank.provenance["clip_fingerprint"] == clip.fingerprint


def test_the_gradient_is_that_of_the_classifier(world, clip):
    judge = clip_classifier(clip, {"smile": ("a smile", "nothing")})
    plain = Gradient(n_codes=40).discover(world, classifier=judge)["smile"]
    found = ClipGradient(n_codes=40).discover(
        world, text={"smile": "a smile"}, neutral="nothing", clip=clip
    )["smile"]
    assert torch.equal(found.vector, plain.vector)
    assert found.evidence["split_half_angle"] == plain.evidence["split_half_angle"] > 0


def test_the_boundary_is_that_of_the_labels(world, clip):
    judge = clip_classifier(clip, {"smile": ("a smile", "nothing")})
    labels = sample(world, judge, 300, seed=5)
    plain = Boundary(estimator="lda").discover(labels, seed=5)["smile"]
    found = ClipBoundary(n_codes=300, estimator="lda").discover(
        world, text={"smile": "a smile"}, neutral="nothing", clip=clip, seed=5
    )["smile"]
    assert torch.equal(found.vector, plain.vector)


@pytest.mark.parametrize(
    "method",
    [METHODS["boundary"], METHODS["gradient"], ClipGlobal(n_codes=20, channels=20)],
    ids=lambda m: m.method,
)
def test_what_is_held_still_stays_still_in_images(world, clip, method):
    codes = world.sample(128, seed=77)
    words = {"text": "a smile", "neutral": "nothing", "clip": clip}
    leaks = []
    for without in ((), ("age", "turned=yaw")):
        bank = method.discover(world, without=without, **words)
        assert list(bank) == ["smile"]
        effects = step_effects(world, world.classifier(), bank, codes=codes)[0]
        leaks.append(float(effects[1:].abs().max() / effects[0]))
    assert leaks[0] > 0.25
    assert leaks[1] < 0.12
    assert bank["smile"].evidence["disentangled"]["held"] == ["age", "turned"]


EVERY = {
    "clip_boundary": {"n_codes": 200},
    "clip_gradient": {"n_codes": 12},
    "clip_global": {"n_codes": 4, "channels": 20},
    "clip_optimize": {"n_codes": 2, "steps": 8},
    "clip_mapper": {"steps": 6, "batch_size": 4},
}


@pytest.mark.parametrize("name", [n for n in METHODS_KNOWN if "text" in find_method(n).needs])
def test_every_method_of_texts_keeps_the_contract(world, clip, name):
    method = find_method(name)(**EVERY[name])
    words = {"text": TEXTS, "neutral": "nothing", "clip": clip, "seed": 3}
    first, second = (method.discover(world, **words) for _ in range(2))
    assert list(first) == list(TEXTS)
    assert torch.equal(first.matrix(), second.matrix())
    first.check(world)
    for one, other in zip(first.directions, second.directions, strict=True):
        assert one.method == name == method.method
        assert one.config == method.config
        assert one.evidence == other.evidence
        assert one.evidence["text"] == TEXTS[one.name]
        assert one.sigma == pytest.approx(world.prior().sigma(one.vector), rel=0.2)


def test_prompts():
    assert prompts_of("a smiling face") == (Prompt("smiling", "a smiling face", "a face"),)
    assert [p.name for p in prompts_of(["the face of an old man", "a face"], neutral="a cat")] == [
        "face old man",
        "face",
    ]
    assert prompts_of("grin = a wide smile  vs. a frown") == (
        Prompt("grin", "a wide smile", "a frown"),
    )
    assert prompts_of({"x": "a man vs a woman"})[0].neutral == "a woman"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ([], "give a target text, such as 'a smiling face'"),
        ("", "is not whole: write 'a smiling face'"),
        ("=a smiling face", "is not whole"),
        ("smiling=", "is not whole"),
        ({"": "a smiling face"}, "is not whole"),
        ("a face", "'a face' is the neutral text as well"),
        ("man=a man vs a man", "'a man' is the neutral text as well"),
        (
            ["a smiling face", "the smiling face"],
            "two texts are named 'smiling': give them different names",
        ),
    ],
)
def test_refused_prompts(text, says):
    with pytest.raises(LatdirError, match=says):
        prompts_of(text)


def test_other_refusals(world, clip):
    words = {"neutral": "nothing", "clip": clip}
    with pytest.raises(LatdirError, match="'smile' cannot both change and hold"):
        ClipGradient().discover(world, text="smile", without="smile=a smile", **words)
    with pytest.raises(LatdirError, match="is not whole"):
        prompts_of("x", neutral=" ")
    with pytest.raises(
        LatdirError, match=r"cannot distinguish 'a hat' from 'nothing'.*words in its"
    ):
        text_directions(clip, prompts_of("a hat", neutral="nothing"))
    bank = ClipGradient(n_codes=20).discover(world, text="smile", **words)
    with pytest.raises(LatdirError, match="effects on 1 codes have no scale"):
        step_effects(world, world.classifier(), bank, codes=world.sample(1, seed=0))
    with pytest.raises(LatdirError, match="embeddings of 3 factors need a dim of 4, not 2"):
        PlantedClip(world, dim=2)


class Blind(PlantedClip):
    """Sees without gradients."""

    def encode_images(self, images):
        return super().encode_images(images).detach()


def test_a_model_without_gradients_is_told_so(world):
    blind = Blind(world)
    assert isinstance(blind, TextImageModel)
    words = {"text": "smile", "neutral": "nothing", "clip": blind}
    with pytest.raises(LatdirError, match="no gradient flows"):
        ClipGradient(n_codes=8).discover(world, **words)
    with pytest.raises(LatdirError, match=r"no gradient flows.*way='differences'"):
        ClipGlobal(n_codes=4, way="jacobian").discover(world, **words)
    with pytest.raises(LatdirError, match=r"no gradient flows.*use `clip_boundary`"):
        ClipOptimize(steps=2, n_codes=2).discover(world, **words)
    assert len(ClipBoundary(n_codes=200).discover(world, **words)) == 1
