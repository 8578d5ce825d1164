"""Scores that are kept: the same as those made, found by everything they depend on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import directions.scoring.kept as kept_module
from analysis import evaluate, measure_effects
from directions import LatdirError, Rendering, keep_scores, load_classifier
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.scoring.kept import FILE, KeptScores
from directions.scoring.scorer import Scorer
from tests.analysis.measured import true_bank
from tests.worlds import world

WORLD = world()


class Counted:
    """Embeddings with a fingerprint, which count the images they have seen."""

    def __init__(self, fingerprint: str = "one") -> None:
        self.fingerprint, self.images = fingerprint, 0

    def __call__(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return images.flatten(1)[:, :5]


def counted(scorer: Scorer, count: list[int]) -> Scorer:
    """The scorer, which appends the size of each batch of images it makes."""
    make = scorer._renderer.make

    def made(codes: Tensor) -> Tensor:
        count.append(len(codes))
        return make(codes)

    scorer._renderer.__dict__["make"] = made
    return scorer


def test_a_second_look_makes_only_the_images_that_are_new(tmp_path: Path):
    codes = WORLD.sample(10, seed=3)
    plain = Scorer(WORLD, WORLD.classifier()).score(codes)
    made: list[int] = []
    for part, fresh in ((codes[:6], 6), (codes, 4), (codes.flip(0), 0)):
        with keep_scores(tmp_path) as kept:
            found = counted(Scorer(WORLD, WORLD.classifier()), made).score(part)
        torch.testing.assert_close(found, plain.flip(0) if fresh == 0 else plain[: len(part)])
        assert (kept.added, sum(made)) == (fresh, fresh)
        made.clear()


def test_scores_and_embeddings_of_some_are_from_images_made_once(tmp_path: Path):
    codes, ahead = WORLD.sample(7, seed=1), torch.tensor([1, 0, 1, 1, 0, 0, 1]).bool()
    embed = Counted()
    made: list[int] = []
    expected = Scorer(WORLD, WORLD.classifier()).score(codes)
    images = WORLD.synthesize(codes).flatten(1)[:, :5]
    for again in (False, True):
        with keep_scores(tmp_path):
            scorer = counted(Scorer(WORLD, WORLD.classifier(), embed=embed), made)
            scores, seen = scorer.score_and_embed(codes, ahead)
        torch.testing.assert_close(scores, expected)
        torch.testing.assert_close(seen, images[ahead])
        assert (sum(made), embed.images) == (7, 4), again
    with keep_scores(tmp_path):
        _, seen = counted(Scorer(WORLD, WORLD.classifier(), embed=embed), made).score_and_embed(
            codes
        )
    torch.testing.assert_close(seen, images)
    assert (sum(made), embed.images) == (10, 7), "only the three that were not embedded"


def test_a_narrower_selection_reads_the_columns_of_a_wider_one(tmp_path: Path):
    codes = WORLD.sample(4, seed=0)
    names = list(WORLD.classifier().names)
    with keep_scores(tmp_path):
        every = Scorer(WORLD, WORLD.classifier()).score(codes)
    with keep_scores(tmp_path) as kept:
        some = Scorer(WORLD, WORLD.classifier(), names=[names[2], names[0]]).score(codes)
    assert kept.added == 0
    torch.testing.assert_close(some, every[:, [2, 0]])


OTHERS: dict[str, Callable[[], Scorer]] = {
    "generator": lambda: Scorer(world(seed=5), WORLD.classifier()),
    "classifier": lambda: Scorer(WORLD, load_classifier("pixels")),
    "precision": lambda: Scorer(
        WORLD, WORLD.classifier(), rendering=Rendering(precision="bfloat16")
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_scores_of_another_model_or_arithmetic_are_not_taken(other: str, tmp_path: Path):
    codes = WORLD.sample(4, seed=0)
    with keep_scores(tmp_path):
        Scorer(WORLD, WORLD.classifier()).score(codes)
    with keep_scores(tmp_path) as kept:
        OTHERS[other]().score(codes)
    assert kept.added == 4


def test_codes_of_another_type_or_shape_with_the_same_bytes_are_others(tmp_path: Path):
    rows = KeptScores(tmp_path).rows({"generator": "toy"}, ["a"])
    rows.add(torch.zeros(1, 4), torch.ones(1, 1))
    for other in (torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, 2, 2)):
        assert not rows.find(other)[0].any()
    assert rows.find(torch.zeros(1, 4))[0].all()


def test_another_source_makes_other_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    codes = WORLD.sample(4, seed=0)
    with keep_scores(tmp_path):
        Scorer(WORLD, WORLD.classifier()).score(codes)
    monkeypatch.setattr(kept_module, "_versions", lambda: {"torch": "9.9", "source": "other"})
    with keep_scores(tmp_path) as kept:
        Scorer(WORLD, WORLD.classifier()).score(codes)
    assert kept.added == 4


def test_an_interrupted_measurement_goes_on_where_it_was(tmp_path: Path):
    bank = true_bank(WORLD)
    options = {"count": 16, "rendering": Rendering(batch_size=8, precision="float32")}
    plain = measure_effects(WORLD, WORLD.classifier(), bank, **options)

    calls = iter(range(100))
    judge = WORLD.classifier()
    read = judge.inference

    def inference(**given: object) -> Callable[[Tensor], Tensor]:
        run = read(**given)  # type: ignore[arg-type]

        def one(images: Tensor) -> Tensor:
            if next(calls) == 3:
                raise KeyboardInterrupt
            return run(images)

        return one

    judge.inference = inference  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt) as stopped, keep_scores(tmp_path):
        measure_effects(WORLD, judge, bank, **options)
    assert stopped.value.__notes__ == [
        f"the scores of 24 images are kept in {tmp_path}: run the same again, which goes on from "
        "there"
    ]
    with keep_scores(tmp_path) as kept:
        resumed = measure_effects(WORLD, WORLD.classifier(), bank, **options)
    assert torch.equal(resumed.mean, plain.mean)
    assert kept.added == 16 * (1 + len(bank)) - 24


def test_without_a_folder_an_interruption_says_how_to_keep_scores():
    judge = WORLD.classifier()

    def stop(images: Tensor) -> Tensor:
        raise KeyboardInterrupt

    judge.inference = lambda **_: stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt) as stopped:
        Scorer(WORLD, judge).score(WORLD.sample(2, seed=0))
    assert "with directions.keep_scores(folder):" in stopped.value.__notes__[0]


def test_an_evaluation_of_kept_scores_is_the_same(tmp_path: Path):
    bank, made = true_bank(WORLD), []
    for _ in range(2):
        with keep_scores(tmp_path) as kept:
            made.append(evaluate(bank, WORLD, WORLD.classifier(), count=12, null=3))
    assert kept.added == 0
    assert made[0].as_dict() == made[1].as_dict()


def test_the_settings_measured_for_long_runs_are_kept(tmp_path: Path):
    pipelines: list[str] = []

    class Watched(Scorer):
        def _pipeline(self, precision: str) -> Callable[[Tensor], Tensor]:  # type: ignore[override]
            pipelines.append(precision)
            return super()._pipeline(precision)  # type: ignore[arg-type]

    found = []
    for _ in range(2):
        with keep_scores(tmp_path):
            found.append(Watched(WORLD, WORLD.classifier(), n=4096).rendering)
        assert pipelines, "the first time they are measured"
        times = len(pipelines)
    assert (found[0], len(pipelines)) == (found[1], times)


def test_what_was_used_least_recently_is_dropped_when_the_file_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("old", "new"):
        store = KeptScores(tmp_path)
        store.rows({"generator": name}, ["a"]).add(torch.randn(4000, 2), torch.ones(4000, 1))
        size = store._size()
        store.close()
    monkeypatch.setattr(kept_module, "LIMIT", int(size * 0.9))
    store = KeptScores(tmp_path)
    [left] = store._file.execute("SELECT identity FROM models").fetchall()
    assert '"new"' in left[0]
    assert store._size() < 0.6 * size


def test_a_file_that_cannot_be_used_is_one_clear_error(tmp_path: Path):
    (tmp_path / FILE).write_text("not a database" * 100)
    with pytest.raises(LatdirError, match=r"cannot keep scores in .*scores\.sqlite.* delete the f"):
        KeptScores(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(LatdirError, match="choose another folder"):
        KeptScores(tmp_path / "file")


def test_a_second_process_reads_and_writes_beside_the_first(tmp_path: Path):
    one, two = KeptScores(tmp_path), KeptScores(tmp_path)
    codes = torch.eye(2)
    one.rows({"generator": "toy"}, ["a"]).add(codes[:1], torch.ones(1, 1))
    rows = two.rows({"generator": "toy"}, ["a"])
    rows.add(codes[1:], torch.ones(1, 1))
    assert rows.find(codes)[0].all()


def test_the_built_in_embedding_has_a_fingerprint_of_weights_and_margin():
    assert FaceEmbedding().fingerprint == FaceEmbedding().fingerprint
    assert FaceEmbedding().fingerprint != FaceEmbedding(margin=0.1).fingerprint


def test_sqlite_is_the_only_thing_that_reads_the_file(tmp_path: Path):
    with keep_scores(tmp_path):
        Scorer(WORLD, WORLD.classifier()).score(WORLD.sample(2, seed=0))
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("SELECT count(*) FROM rows").fetchone() == (2,)
