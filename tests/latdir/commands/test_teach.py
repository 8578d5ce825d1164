"""`latdir teach`: questions into a folder, answers out of it, a bank."""

import csv
import json
from pathlib import Path

import pytest

from directions import DirectionBank
from directions.planted.world import planted
from discovery import Answers, Lesson, Teach

SOURCE = """
from directions.planted.world import planted

def made():
    return planted(factors=2, dim=16)
"""
WORLD = planted(factors=2, dim=16)
LINE = (
    "teach smile --folder lesson --strips 4 --features pixels --n-codes 256 --generator mine:made "
    "--device cpu"
)


@pytest.fixture
def run(typed, beside):
    beside(SOURCE)
    return typed


def fill(path: Path) -> None:
    """Answers of somebody who sees the first planted factor."""
    lesson = Lesson("smile", WORLD, teach=Teach(features="pixels", n_codes=256))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        kind, number = row["question"].split()
        question = getattr(lesson, kind)(int(number))
        level = WORLD.factors(question.codes)[:, 0]
        if kind == "sheet":
            row["answer"] = " ".join(map(str, (level > 0.4).nonzero()[:, 0].tolist()))
        else:
            change = float(level[4:].mean() - level[:4].mean())
            size = sum(abs(change) > cut for cut in (0.35, 1.0))
            row["answer"] = str(size if change > 0 else -size)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "answer"])
        writer.writeheader()
        writer.writerows(rows)


def test_a_direction_is_taught_in_two_runs_of_one_line(run, tmp_path: Path) -> None:
    code, out, err = run(f"{LINE} --out smile.safetensors")
    assert code == 0, err
    assert "write answers into lesson/answers.csv" in " ".join(out.split())
    assert not (tmp_path / "smile.safetensors").exists()
    fill(tmp_path / "lesson" / "answers.csv")
    code, out, err = run(f"{LINE} --out smile.safetensors --json")
    assert code == 0, err
    figures = json.loads(out)
    assert (figures["strips"], figures["sheets"], figures["unanswered"]) == (4, 1, 0)
    bank = DirectionBank.load(tmp_path / "smile.safetensors")
    assert float(bank["smile"].vector @ WORLD.truth[0]) > 0.8
    assert bank["smile"].evidence["cone_degrees"] == figures["cone_degrees"]
    assert (tmp_path / "lesson" / "check_0.png").exists()
    # The JSON goes on in another folder, as on the page.
    saved = "--answers lesson/answers.json --out again.safetensors"
    code, out, err = run(f"{LINE} {saved}".replace("lesson --strips 4", "more --strips 0"))
    assert code == 0, err
    again = DirectionBank.load(tmp_path / "again.safetensors")["smile"]
    assert float(again.vector @ bank["smile"].vector) > 1 - 1e-6


def test_mistakes_are_one_line(run, tmp_path: Path) -> None:
    run(LINE)
    table = tmp_path / "lesson" / "answers.csv"
    table.write_text(table.read_text().replace("strip 2,", "strip 2,a lot"))
    code, _, err = run(LINE)
    assert code == 2
    assert "answers.csv, line 4: a strip is answered by one of much less" in err
    assert run(LINE.replace("pixels", "clip"))[0] == 2
    (tmp_path / "other.json").write_text(Answers.of("age", WORLD).save(tmp_path / "a").read_text())
    code, _, err = run(f"{LINE} --answers other.json")
    assert code == 2
    assert "other.json has answers about 'age', not about 'smile'" in err
