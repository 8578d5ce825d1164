"""Scores and embeddings of codes: the same as by hand, in batches, and checked."""

from __future__ import annotations

import pytest
import torch

from analysis import measure_effects, random_directions, random_null
from directions import LatdirError, Rendering
from directions.classifiers import load_classifier
from directions.classifiers.base import Attribute, Classifier
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.generators import load_generator
from directions.scoring.graphs import Replayed
from directions.scoring.scorer import Scorer
from tests.analysis.measured import true_bank
from tests.worlds import Mapped, world

WORLD = world()


def test_scores_are_those_of_the_plain_functions_whatever_the_batch():
    generator = Mapped(world())
    classifier = generator.classifier()
    codes = generator.sample(11, seed=1, space="w")
    images = generator.synthesize(codes, "w")
    for batch in (1, 4, 64):
        scorer = Scorer(
            generator,
            classifier,
            space="w",
            names=["factor_2", "factor_0"],
            embed=lambda x: x.flatten(1),
            rendering=Rendering(batch_size=batch),
        )
        expected = classifier(images)[:, [2, 0]]
        torch.testing.assert_close(scorer.score(codes), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(scorer.embed(codes), images.flatten(1), atol=1e-5, rtol=1e-5)
        assert [len(part) for part in scorer.images(codes)] == [
            min(batch, 11 - i) for i in range(0, 11, batch)
        ]


def test_what_a_scorer_was_not_given_it_refuses():
    generator = world()
    codes = generator.sample(3, seed=0)
    with pytest.raises(LatdirError, match="has no classifier: it gives embeddings only"):
        Scorer(generator, embed=torch.flatten).score(codes)
    with pytest.raises(LatdirError, match="has no embedding: give it embed="):
        Scorer(generator, generator.classifier()).embed(codes)
    with pytest.raises(LatdirError, match="has no attribute 'wings'"):
        Scorer(generator, generator.classifier(), names=["wings"])
    with pytest.raises(LatdirError, match="has no space 'w'"):
        Scorer(generator, generator.classifier(), space="w")


class Broken(Classifier):
    """Scores that are infinite from the third image of a batch on."""

    name = "broken"
    attributes = (Attribute("a"), Attribute("b"))
    fingerprint = "2" * 64

    def __call__(self, images):
        scores = images.flatten(1)[:, :2].clone()
        scores[2:, 1] = torch.inf
        return scores


def test_scores_that_are_not_finite_are_refused():
    generator = world()
    message = (
        r"3 of 5 scores of 'b' are NaN or infinite \(inf in row 2\): fix the classifier broken, "
        "or leave that attribute out"
    )
    with pytest.raises(LatdirError, match=message):
        Scorer(generator, Broken()).score(generator.sample(5, seed=0))


class Counting(Mapped):
    """Counts the images that it makes."""

    made = 0

    def inference(self, **options):
        render = super().inference(**options)

        def run(codes):
            self.made += len(codes)
            return render(codes)

        return run


def test_a_null_makes_no_unmoved_images_again():
    generator = Counting(world())
    classifier = generator.classifier()
    effects = measure_effects(generator, classifier, true_bank(generator), count=8)
    assert generator.made == 8 * 5
    null = random_null(generator, classifier, effects, count=3)
    assert generator.made == 8 * 5 + 8 * 3
    assert torch.equal(null.effects.curves.baseline, effects.curves.baseline)


@pytest.fixture(scope="module")
def faces():
    generator = load_generator("digiface64")
    with torch.inference_mode():
        return generator.synthesize(generator.sample(40, seed=4))


def test_the_fast_embedding_is_the_plain_one(faces):
    embed = FaceEmbedding()
    with torch.no_grad():
        plain = embed(faces)
    fast = embed.inference()(faces)
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-4)
    half = embed.inference(precision="bfloat16")(faces)
    similar = torch.nn.functional.cosine_similarity
    assert similar(half, plain).min() > 0.999
    # What edits are judged by: cosines between images.
    exact, rounded = (similar(e, e.roll(1, 0)) for e in (plain, half))
    assert (exact - rounded).abs().max() < 0.05 * (1 - exact).mean()


def test_bfloat16_effects_agree_with_float32_within_their_intervals():
    generator, classifier = load_generator("digiface64"), load_classifier("faces+pixels")
    bank = random_directions(generator, n_directions=2)
    exact, rounded = (
        measure_effects(
            generator, classifier, bank, count=64, rendering=Rendering(precision=precision)
        )
        for precision in ("float32", "bfloat16")
    )
    assert (exact.source.precision, rounded.source.precision) == ("float32", "bfloat16")
    off = (exact.mean - rounded.mean).abs() / (exact.high - exact.low)
    assert off.max() < 0.1


class Small(type(WORLD)):
    """A planted generator that has no memory for more than 8 images, as often as it is asked."""

    failed = 0

    def inference(self, **options):
        make = super().inference(**options)

        def run(codes):
            if len(codes) > 8:
                type(self).failed += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return make(codes)

        return run


@pytest.fixture
def small():
    made = object.__new__(Small)
    vars(made).update(vars(WORLD))
    Small.failed = 0
    return made


def test_out_of_memory_halves_the_batch_and_says_so(small, caplog):
    codes = WORLD.sample(40, seed=3)
    scorer = Scorer(small, WORLD.classifier(), rendering=Rendering(batch_size=32))
    scores = scorer.score(codes)
    torch.testing.assert_close(scores, Scorer(WORLD, WORLD.classifier()).score(codes))
    assert scorer.batch_size == 8
    assert Small.failed == 2
    assert [r.message for r in caplog.records if "out of memory" in r.message] == [
        "out of memory with 32 images at a time: going on with 16",
        "out of memory with 16 images at a time: going on with 8",
    ]


def test_no_memory_for_one_image_is_an_error(small):
    def nothing(images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    scorer = Scorer(small, embed=nothing, rendering=Rendering(batch_size=2))
    with pytest.raises(LatdirError, match=r"not enough memory on cpu for one image of planted"):
        scorer.embed(WORLD.sample(2, seed=3))


@pytest.mark.parametrize(("device", "n", "replays"), [
    ("cuda", 2048, True), ("cuda", 64, False), ("cpu", 2048, False)
])  # fmt: skip
def test_long_runs_on_a_card_replay_their_batches(monkeypatch, device, n, replays):
    generator = world()
    settled = Rendering(precision="float32", batch_size=16)
    monkeypatch.setattr(type(generator), "device", torch.device(device))
    scorer = Scorer(generator, embed=lambda x: x, rendering=settled, n=n)
    assert isinstance(scorer._renderer.make, Replayed) is replays
