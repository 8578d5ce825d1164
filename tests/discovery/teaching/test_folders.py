"""Lessons on paper: pictures of questions, and tables of answers."""

from __future__ import annotations

import csv

import pytest
from PIL import Image

from directions.errors import LatdirError, SamplesError
from directions.planted.world import planted
from discovery import Lesson, Teach
from discovery.teaching.folders import TABLE, read_table, write_check, write_questions

WORLD = planted(factors=3, dim=12, size=8, names=("smile", "age", "hat"))
TEACH = Teach(features="pixels", n_codes=256)


def lesson():
    return Lesson("smile", WORLD, teach=TEACH)


def rows_of(folder):
    with (folder / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def filled(folder, answers):
    rows = rows_of(folder)
    for row in rows:
        row["answer"] = answers.get(row["question"], row["answer"])
    with (folder / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "answer"])
        writer.writeheader()
        writer.writerows(rows)


def test_questions_are_pictures_and_rows_and_answered_ones_stay(tmp_path):
    assert write_questions(lesson(), tmp_path, strips=2, sheets=1) == 3
    assert [row["question"] for row in rows_of(tmp_path)] == ["strip 0", "strip 1", "sheet 0"]
    assert sorted(p.name for p in tmp_path.glob("*.png")) == [
        "sheet_0.png",
        "strip_0.png",
        "strip_1.png",
    ]
    with Image.open(tmp_path / "sheet_0.png") as picture:
        assert picture.size[0] > 8 * 96
    filled(tmp_path, {"strip 0": "more"})
    assert write_questions(lesson(), tmp_path, strips=99, sheets=1) == 5  # of seven directions
    assert rows_of(tmp_path)[0] == {"question": "strip 0", "answer": "more"}
    assert write_questions(lesson(), tmp_path, strips=7, sheets=1) == 0


def test_answers_of_a_table_are_those_of_the_lesson(tmp_path):
    asked, read = lesson(), lesson()
    write_questions(asked, tmp_path, strips=2, sheets=2)
    filled(tmp_path, {"strip 0": "Much  more", "sheet 0": "3, 17 42", "sheet 1": "none"})
    assert read_table(read, tmp_path / TABLE) == 1
    asked.answer(asked.strip(0), 2)
    asked.answer(asked.sheet(0), [3, 17, 42])
    asked.answer(asked.sheet(1), [])
    assert read.angle == asked.angle
    assert read.answers.clicks == 4
    check = write_check(read, tmp_path)
    assert check.name == "check_0.png"
    (tmp_path / TABLE).write_text("question,answer\nstrip 0,2\ncheck 0,4 5\n")
    again = lesson()
    read_table(again, tmp_path / TABLE)
    assert again.answers.confirmed == (10, 12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question,answer\nstrip 0,a lot\n", r"line 2: a strip is answered by one of much less"),
        (
            "question,answer\nsheet 0,64\n",
            r"line 2: image 64 was clicked, and the sheet has images",
        ),
        ("question,answer\n\nsheet 0,many\n", "'many' is not numbers of images, such as 3 17 42"),
        ("question,answer\nface 0,1\n", "no question 'face 0': they are named as strip 3"),
        ("strip,level\n0,1\n", "is not a table of answers: its columns are question and answer"),
    ],
)
def test_tables_that_are_none_are_refused(text, said, tmp_path):
    (tmp_path / TABLE).write_text(text)
    with pytest.raises(SamplesError, match=said):
        read_table(lesson(), tmp_path / TABLE)


def test_a_table_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(LatdirError, match="cannot be read: No such file"):
        read_table(lesson(), tmp_path / TABLE)
