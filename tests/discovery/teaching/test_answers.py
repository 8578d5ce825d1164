"""Answers: what they hold, take back, keep in a file, and refuse."""

from __future__ import annotations

import json

import pytest
import torch

from directions.errors import BankError, LatdirError, SamplesError
from directions.planted.world import planted
from discovery import Answers, Samples

WORLD = planted(factors=2, dim=8)
CODES = WORLD.sample(6, seed=0)
STEP = torch.arange(8.0)


def some():
    return (
        Answers.of("smile", WORLD)
        .with_sheet(CODES, [0, 3], question="sheet 0")
        .with_strip(STEP, "much less", question="strip 4")
    )


def test_clicks_are_those_that_have_it_and_one_a_strip():
    answers = some()
    assert answers.clicks == 3
    assert answers.sheets[0].has.tolist() == [True, False, False, True, False, False]
    assert answers.strips[0].level == -2


def test_an_answer_to_the_same_question_takes_the_older_one_s_place():
    answers = some().with_strip(STEP, 1, question="strip 4").with_strip(STEP, 1)
    assert [strip.level for strip in answers.strips] == [1, 1]
    assert len(answers.with_strip(STEP, 0).strips) == 3  # without a question it is new


def test_a_check_is_counted_taken_back_and_replaced_like_an_answer():
    answers = some().with_check(12, [1, 2], question="check 0")
    assert (answers.confirmed, answers.clicks) == ((10, 12), 5)
    assert answers.with_check(12, [], question="check 0").confirmed == (12, 12)
    assert answers.with_check(12, [3], question="check 1").confirmed == (21, 24)
    assert answers.undone().confirmed == (0, 0)
    with pytest.raises(SamplesError, match="image 12 was clicked, and the check has images 0 … 11"):
        answers.with_check(12, [12])


def test_undone_is_as_before():
    before = some()
    after = before.with_strip(STEP, 2).undone()
    assert after.given == before.given
    with pytest.raises(SamplesError, match="there is no answer to take back"):
        Answers.of("smile", WORLD).undone()


def test_a_file_gives_them_back_bit_for_bit(tmp_path):
    answers = some().with_check(12, [4], question="check 0")
    found = Answers.load(answers.save(tmp_path / "smile.json"))
    assert repr(found) == repr(answers)
    assert torch.equal(found.sheets[0].codes, CODES)
    assert torch.equal(found.sheets[0].has, answers.sheets[0].has)
    assert torch.equal(found.strips[0].step, STEP)
    assert [a.question for a in found.given] == ["sheet 0", "strip 4", "check 0"]
    assert found.confirmed == (11, 12)
    assert found.undone().undone().clicks == 2


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: f.pop("space"), "space: Field required"),
        (lambda f: f.update(format="bank"), "format: Input should be 'latdir.answers'"),
        (lambda f: f["given"][1].update(level=3), "level: Input should be less than or equal to 2"),
        (lambda f: f["given"][0].update(has=[6]), "a sheet of 6 images has others clicked"),
        (lambda f: f["given"][0]["codes"].update(float32="AAAA!"), "holds no answers: "),
        (
            lambda f: f["given"][0]["codes"].update(shape=[5, 8]),
            "48 numbers have no shape",
        ),
        (
            lambda f: f["given"].append({"kind": "check", "question": "", "right": 3, "shown": 2}),
            "3 of 2 images are right",
        ),
    ],
)
def test_a_damaged_file_is_refused(damage, said, tmp_path):
    path = some().save(tmp_path / "smile.json")
    held = json.loads(path.read_text())
    damage(held)
    path.write_text(json.dumps(held))
    with pytest.raises(SamplesError, match=said):
        Answers.load(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(SamplesError, match="cannot be read: No such file"):
        Answers.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(SamplesError, match="holds no answers: it is not JSON"):
        Answers.load(tmp_path / "text.json")


def test_labels_of_a_table_are_answers(tmp_path):
    frame = {"seed": [0] * 6, "index": range(6), "hat": [1, 0, 0, 1, 0, 0]}
    answers = Answers.from_samples(Samples.from_frame(frame, generator=WORLD))
    assert answers.name == "hat"
    assert torch.equal(answers.sheets[0].codes, CODES)
    path = tmp_path / "hat.csv"
    path.write_text("seed,index,hat,coat\n0,0,1,0\n0,1,0,1\n")
    both = Samples.from_frame(path, generator=WORLD)
    assert Answers.from_samples(both, "hat").clicks == 1
    with pytest.raises(SamplesError, match=r"labels of hat, coat: choose one with name="):
        Answers.from_samples(both)


def test_labels_that_are_no_answers_are_refused():
    def of(labels, codes=CODES):
        return Answers.from_samples(Samples.from_arrays(codes, labels, "hat", generator=WORLD))

    with pytest.raises(
        SamplesError, match=r"are 0 and 1, not 0 … 3: values are labels for discovery"
    ):
        of([0, 1, 3, 0, 1, 0])
    none = Samples.from_arrays(CODES, [0] * len(CODES), "hat", generator=WORLD).rows([])
    with pytest.raises(SamplesError, match="there are no answers of 'hat': label at least one"):
        Answers.from_samples(none)
    twice = torch.cat([CODES[:3], CODES[:3]])
    with pytest.raises(SamplesError, match="rows 1 and 4 are one image, once with and once"):
        of([1, 0, 0, 1, 1, 0], twice)
    assert of([1, 0, 0, 1, 0, 0], twice).clicks == 2
    with pytest.raises(SamplesError, match="codes are NaN or infinite"):
        of([1, 0, 0, 1, 0, 0], CODES / 0)


def test_clicks_and_levels_beyond_the_question_are_refused():
    answers = Answers.of("smile", WORLD)
    with pytest.raises(SamplesError, match=r"image 6 was clicked, and the sheet has images 0 … 5"):
        answers.with_sheet(CODES, [1, 6])
    for level in ("a lot", 3, "0.5"):
        with pytest.raises(SamplesError, match="one of much less, less, the same, more, much more"):
            answers.with_strip(STEP, level)
    with pytest.raises(SamplesError, match="name the attribute to teach"):
        Answers.of(" ", WORLD)
    with pytest.raises(LatdirError, match="no space 'w'"):
        Answers.of("smile", WORLD, space="w")


def test_answers_of_another_generator_are_refused():
    other = planted(factors=3, dim=8)
    with pytest.raises(BankError, match="answers about 'smile' are of images of planted"):
        some().check(other)
