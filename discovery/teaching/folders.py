"""A lesson on paper: questions as pictures in a folder, answers in a table beside them."""

from __future__ import annotations

import csv
from pathlib import Path

from directions.errors import SamplesError
from directions.images.grids import grid, save_png
from directions.storage.atomic import atomic, made_folder
from discovery.teaching.lesson import Lesson, Question

__all__ = ["TABLE", "read_table", "write_check", "write_questions"]

TABLE = "answers.csv"
TILES = {"sheet": 96, "strip": 128, "check": 128}


def write_questions(lesson: Lesson, folder: Path, *, strips: int = 20, sheets: int = 1) -> int:
    """Draw the questions that a folder does not have yet, and a row for each in its table.

    Args:
        lesson: Asks.
        folder: Where; made if it is not there. Answers in its table stay.
        strips: Number of strips, at most as many as there are leading directions.
        sheets: Number of sheets.

    Returns:
        Number of questions drawn.

    Raises:
        LatdirError: The table there is none of a lesson.
    """
    made_folder(folder)
    table = folder / TABLE
    rows = _rows(table) if table.exists() else []
    known = {name for name, _ in rows}
    wanted = [lesson.strip(k) for k in range(min(strips, lesson.model.rank))]
    wanted += [lesson.sheet(k) for k in range(sheets)]
    new = [q for q in wanted if q.name not in known]
    for question in new:
        _draw(lesson, question, folder)
    if new or not table.exists():
        with atomic(table) as target, target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["question", "answer"])
            writer.writerows([*rows, *((q.name, "") for q in new)])
    return len(new)


def read_table(lesson: Lesson, path: Path) -> int:
    """Give a lesson the answers of a table; rows without an answer are still to be answered.

    Args:
        lesson: Asked the questions.
        path: Columns `question` and `answer`: of a strip one of `LEVELS` or -2 … 2, of a sheet the
            numbers of the images that have it, with spaces between, or `none`; of a check the
            wrong ones.

    Returns:
        Number of rows without an answer.

    Raises:
        LatdirError: A question that the lesson does not have, or an answer that does not fit.
    """
    left = 0
    for line, (name, answer) in enumerate(_rows(path), 2):
        if not answer:
            left += 1
            continue
        try:
            question = _question(lesson, name)
            lesson.answer(question, answer if question.kind == "strip" else _numbers(answer))
        except SamplesError as error:
            raise SamplesError(f"{path}, line {line}: {error}") from error
    return left


def write_check(lesson: Lesson, folder: Path) -> Path:
    """Draw the next check of a lesson.

    Raises:
        LatdirError: Its answers tell nothing yet.
    """
    return _draw(lesson, lesson.check(), folder)


def _question(lesson: Lesson, name: str) -> Question:
    kind, _, number = name.strip().partition(" ")
    if kind not in ("strip", "sheet", "check") or not number.isdecimal():
        raise SamplesError(f"no question {name!r}: they are named as strip 3, sheet 0 or check 0")
    found: Question = getattr(lesson, kind)(int(number))
    return found


def _numbers(answer: str) -> list[int]:
    words = answer.replace(",", " ").replace(";", " ").split()
    if [w.lower() for w in words] in (["none"], ["-"]):
        return []
    if not all(word.isdecimal() for word in words):
        raise SamplesError(f"{answer!r} is not numbers of images, such as 3 17 42, or none")
    return [int(word) for word in words]


def _rows(path: Path) -> list[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [((r["question"] or "").strip(), (r["answer"] or "").strip()) for r in reader]
    except OSError as error:
        raise SamplesError(f"{path} cannot be read: {error.strerror or error}") from error
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise SamplesError(
            f"{path} is not a table of answers: its columns are question and answer"
        ) from error
    return [row for row in rows if any(row)]


def _draw(lesson: Lesson, question: Question, folder: Path) -> Path:
    images = lesson.generator.inference(space=lesson.answers.space)(question.codes)
    columns = question.columns
    strip = question.kind == "strip"
    picture = grid(
        images.reshape(-1, columns, *images.shape[1:]),
        columns=() if strip else [f"+{k}" for k in range(columns)],
        rows=("upper", "lower") if strip else [f"{k}" for k in range(0, len(images), columns)],
        title=f"{question.name}: {question.text}",
        tile=TILES[question.kind],
    )
    return save_png(picture, folder / f"{question.name.replace(' ', '_')}.png")
