"""A folder of answers: any name, the latest first, nothing overwritten unseen."""

import os

import pytest

from directions import LatdirError, SamplesError
from directions.planted.world import planted
from discovery import Answers
from discovery.teaching.kept import AnswerFolder

WORLD = planted(factors=2, dim=8)


def given(name, *levels):
    answers = Answers.of(name, WORLD)
    for k, level in enumerate(levels):
        answers = answers.with_strip(WORLD.truth[0], level, question=f"strip {k}")
    return answers


@pytest.mark.parametrize("name", ["hat", "looks tired", "a/b", "../up", ".", "100%", "眼镜" * 40])
def test_any_name_is_a_file_of_the_folder(name, tmp_path):
    folder = AnswerFolder(tmp_path / "made")
    assert folder.load(name) is None
    folder.keep(given(name, 1))
    assert [path.parent for path in tmp_path.rglob("*.json")] == [tmp_path / "made"]
    assert folder.names() == [name]
    assert AnswerFolder(tmp_path / "made").load(name).strips[0].level == 1


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(SamplesError, match="a name of 300 characters is too long"):
        AnswerFolder(tmp_path).load("x" * 300)


def test_the_latest_come_first(tmp_path):
    folder = AnswerFolder(tmp_path)
    for k, name in enumerate(("one", "two", "three")):
        folder.keep(given(name, 1))
        os.utime(folder.file(name), (k, k))
    os.utime(folder.file("one"), (9, 9))
    assert folder.names() == ["one", "three", "two"]


def test_only_what_is_among_the_new_ones_or_was_seen_is_replaced(tmp_path):
    folder, other = AnswerFolder(tmp_path), AnswerFolder(tmp_path)
    folder.keep(given("hat", 1))
    other.keep(given("hat", 1, 2))
    with pytest.raises(SamplesError, match=r"has other answers about 'hat'.*start 'hat' again"):
        folder.keep(given("hat", 1))
    other.keep(given("hat", 1))
    with pytest.raises(SamplesError, match="or move the file away"):
        AnswerFolder(tmp_path).keep(given("hat", 2))
    assert folder.load("hat").strips[0].level == 1
    folder.keep(given("hat", 2))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LatdirError, match=r"cannot make folder .*answers"):
        AnswerFolder(tmp_path / "file" / "answers").keep(given("hat", 1))
