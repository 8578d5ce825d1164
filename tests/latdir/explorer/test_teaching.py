"""Teaching in a session, without a browser."""

from __future__ import annotations

import json
import statistics
import time

import pytest
import torch

from directions import Direction, DirectionBank
from directions.planted.world import planted
from discovery import Answers, Teach
from discovery.teaching.files import loads
from latdir.explorer.session import Session
from latdir.explorer.teaching import tiled
from tests.latdir.explorer.conftest import opened, worked

TEACH = Teach(features="pixels", n_codes=256)


@pytest.fixture
def session(world, small_bank):
    made = Session(small_bank, world, teach=TEACH)
    made.handle({"verb": "open"})
    return made


def teach(session, do, payload=b"", **more):
    answer, data = session.handle({"verb": "teach", "do": do, **more}, payload)
    assert answer["verb"] != "error", answer["text"]
    return answer, data


def answer(session, factor=0, wrong=()):
    """What somebody answers who sees a planted factor."""
    question = session.teaching.question
    level = session.studio.generator.factors(question.codes)[:, factor]
    if question.kind == "strip":
        change = float((level[question.columns :] - level[: question.columns]).mean())
        size = sum(abs(change) > cut for cut in (0.35, 1.0))
        given = {"level": size if change > 0 else -size}
    elif question.kind == "sheet":
        given = {"clicked": (level > 0.4).nonzero()[:, 0].tolist()}
    else:
        given = {"clicked": list(wrong)}
    return teach(session, "answer", question=question.name, **given)


def taught(session, count=13):
    teach(session, "start", name="smile")
    worked(session)
    for _ in range(count):
        answer(session)
        worked(session)


def test_a_sheet_is_asked_while_the_images_are_looked_at_and_then_strips(world, small_bank):
    # Another number of images than elsewhere: these are not known yet.
    session = Session(small_bank, world, teach=Teach(features="pixels", n_codes=300))
    asked, picture = teach(session, "start", name=" smile ")
    assert asked["question"] | {"text": ""} == {
        "name": "sheet 0", "kind": "sheet", "text": "", "count": 64, "columns": 8
    }  # fmt: skip
    assert (asked["name"], asked["answers"], asked["ready"]) == ("smile", 0, False)
    assert opened(picture).size == (8 * 16, 8 * 16)
    told = worked(session)
    assert [t["fraction"] for t in told if t["verb"] == "looked"] == [128 / 300, 256 / 300, 0.99, 1]
    known = [t for t in told if t["verb"] == "known"]
    assert [(k["angle"], k["text"]) for k in known] == [(90.0, "")]
    asked, picture = answer(session)
    assert (asked["question"]["kind"], asked["ready"]) == ("strip", True)
    assert opened(picture).size == (4 * 16, 2 * 16)


def test_answers_teach_what_the_lesson_of_the_library_learns(session, world):
    taught(session)
    lesson = session.teaching.lesson
    found = TEACH.discover(lesson.answers, generator=world)["smile"]
    assert float(found.vector @ world.truth[0]) > 0.9
    [told] = [t for t in _rejudged(session) if t["verb"] == "known"]
    assert told["angle"] == round(lesson.angle, 1)
    assert told["cone"] == round(found.evidence["cone_degrees"], 1)
    gain = lesson.gain()
    assert (told["strips"], told["sheet"]) == (round(gain.strips, 1), round(gain.sheet, 1))


def _rejudged(session):
    session.teaching._known = None
    return worked(session)


def test_the_next_question_is_drawn_before_it_is_asked(session):
    teach(session, "start", name="smile")
    worked(session)
    drawn = []
    session.teaching._draw = lambda question: drawn.append(question.name)
    shown, picture = answer(session)
    assert drawn == []
    assert shown["question"]["kind"] == "strip"
    assert len(picture) > 0


def test_undo_asks_again_and_knows_what_was_known(session):
    taught(session, 4)
    before = session.teaching.lesson.answers.given
    name, angle = session.teaching.question.name, session.teaching.lesson.angle
    shown, _ = answer(session)
    assert shown["answers"] == 5
    undone, _ = teach(session, "undo")
    assert undone["question"]["name"] == name
    assert undone["answers"] == 4
    assert session.teaching.lesson.answers.given == before
    assert session.teaching.lesson.angle == angle


def test_saved_answers_go_on_elsewhere(session, world, small_bank):
    taught(session, 5)
    file, data = teach(session, "save")
    assert file["name"] == "smile-answers.json"
    other = Session(small_bank, world, teach=TEACH)
    shown, _ = teach(other, "start", data)
    assert (shown["name"], shown["answers"]) == ("smile", 5)
    assert [a.question for a in loads(data).given] == [
        a.question for a in session.teaching.lesson.answers.given
    ]
    worked(other)
    assert other.teaching.lesson.angle == pytest.approx(session.teaching.lesson.angle)


def kept(world, bank, folder, name="smile"):
    session = Session(bank, world, teach=TEACH, answers=folder)
    shown, _ = teach(session, "start", name=name)
    return session, shown


def test_each_answer_is_kept_and_another_session_goes_on(world, small_bank, tmp_path):
    folder = tmp_path / "faces-answers"
    first, shown = kept(world, small_bank, folder, "looks tired")
    assert (shown["notice"], folder.exists()) == ("", False)
    worked(first)
    for count in (1, 2):
        answer(first)
        assert len(loads((folder / "looks tired.json").read_bytes()).given) == count
    teach(first, "undo")
    answers = first.teaching.lesson.answers
    other = Session(small_bank, world, teach=TEACH, answers=folder)
    assert teach(other, "show")[0]["kept"] == ["looks tired"]
    shown, _ = teach(other, "start", name="looks tired")
    assert shown["notice"] == f"Going on with answers of {folder / 'looks tired.json'}"
    assert torch.equal(other.teaching.lesson.answers.sheets[0].codes, answers.sheets[0].codes)


def test_answers_of_two_tabs_overwrite_none(world, small_bank, tmp_path):
    first, _ = kept(world, small_bank, tmp_path)
    second, _ = kept(world, small_bank, tmp_path)
    answer(first)
    before, question = (tmp_path / "smile.json").read_bytes(), second.teaching.question
    message = {"do": "answer", "question": question.name, "clicked": []}
    reply, _ = second.handle({"verb": "teach", **message})
    assert "has other answers about 'smile', perhaps of another tab" in reply["text"]
    assert (tmp_path / "smile.json").read_bytes() == before
    assert second.teaching.lesson.answers.given == ()
    assert teach(second, "start", name="smile")[0]["answers"] == 1
    answer(second)
    # All that is kept is in an opened file: nothing is lost by writing it.
    opened, _ = kept(world, small_bank, tmp_path, "other")
    teach(opened, "start", teach(second, "save")[1])
    answer(opened)
    assert len(loads((tmp_path / "smile.json").read_bytes()).given) == 3


def test_an_answer_that_cannot_be_kept_is_taken_and_said(world, small_bank, tmp_path):
    (tmp_path / "file").write_text("no folder")
    session, _ = kept(world, small_bank, tmp_path / "file" / "answers")
    shown, _ = answer(session)
    assert shown["answers"] == 1
    assert "cannot make folder" in shown["notice"]
    assert "save the answers by their button" in shown["notice"]


def test_a_kept_file_that_is_damaged_is_one_sentence(world, small_bank, tmp_path):
    (tmp_path / "hat.json").write_text("{}")
    session = Session(small_bank, world, teach=TEACH, answers=tmp_path)
    reply, _ = session.handle({"verb": "teach", "do": "start", "name": "hat"})
    assert f"{tmp_path / 'hat.json'} holds no answers" in reply["text"]


def test_a_check_counts_the_right_ones_and_teaches_nothing(session):
    taught(session)
    angle = session.teaching.lesson.angle
    shown, picture = teach(session, "check")
    assert (shown["question"]["kind"], shown["question"]["count"]) == ("check", 12)
    assert opened(picture).size == (6 * 16, 2 * 16)
    shown, _ = answer(session, wrong=[0, 7, 9])
    assert (shown["right"], shown["shown"]) == (9, 12)
    assert shown["question"]["kind"] != "check"
    assert session.teaching.lesson.angle == angle
    assert teach(session, "undo")[0]["shown"] == 0


def test_a_taught_direction_is_a_slider(session, world):
    taught(session)
    session.handle({"verb": "edit", "amounts": {"factor_1": 0.5}})
    added, picture = teach(session, "add")
    assert (added["verb"], added["added"], added["total"]) == ("bank", "smile", 4)
    assert added["sliders"][-1]["remark"].startswith("teach")
    assert len(picture) > 0
    assert session.state.amounts == {"factor_1": 0.5}
    moved, _ = session.handle({"verb": "edit", "amounts": {"smile": 2.0}})
    assert moved["verb"] == "picture"
    change = world.factors(session.studio.edited(session.state)) - world.factors(
        session.studio.start(session.state)
    )
    assert float(change[0, 0]) > 1
    answer(session)
    again, _ = teach(session, "add")
    assert again["total"] == 4
    assert session.studio.bank["smile"].evidence["clicks"] == session.teaching.lesson.answers.clicks
    bank, data = teach(session, "bank")
    assert bank["name"] == "smile.safetensors"
    assert data[8:9] == b"{"


def test_effects_of_a_retaught_direction_are_measured_anew(world, small_bank):
    first = Session(small_bank, world, world.classifier())
    session = Session(small_bank, world, world.classifier(), beside=first, teach=TEACH)
    taught(session)
    teach(session, "add")
    session.handle({"verb": "lock", "names": ["factor_1"]})
    worked(session)
    assert set(session.locks.effects.rows) == {"factor_0", "factor_1", "factor_2", "smile"}
    answer(session)
    teach(session, "add")
    assert set(session.locks.effects.rows) == {"factor_0", "factor_1", "factor_2"}
    assert "smile" not in first.locks.effects.rows


@pytest.mark.parametrize(
    ("message", "payload", "text"),
    [
        (
            {"do": "answer", "question": "sheet 0", "clicked": []},
            b"",
            "name what you want to teach",
        ),
        ({"do": "undo"}, b"", "name what you want to teach"),
        ({"do": "add"}, b"", "name what you want to teach"),
        ({"do": "start", "name": "  "}, b"", "name the attribute to teach, such as 'glasses'"),
        ({"do": "start"}, b"\x89PNG", "the file holds no answers: it is not JSON"),
        ({"do": "start"}, b"[1, 2]", "the file holds no answers"),
        ({"do": "dance"}, b"", "a message that this session does not know: teach.do"),
    ],
)
def test_bad_input_before_a_lesson_is_one_sentence(session, message, payload, text):
    reply, _ = session.handle({"verb": "teach", **message}, payload)
    assert reply["verb"] == "error"
    assert text in reply["text"]
    assert "\n" not in reply["text"]


def test_bad_input_in_a_lesson_is_one_sentence_and_changes_nothing(session):
    teach(session, "start", name="factor_0")
    worked(session)
    for message, text in (
        ({"do": "answer", "question": "sheet 9", "clicked": []}, "was answered before"),
        ({"do": "answer", "question": "sheet 0", "clicked": [64]}, "image 64 was clicked"),
        ({"do": "answer", "question": "sheet 0", "level": 1}, "a sheet has no such answer"),
        ({"do": "undo"}, "there is no answer to take back"),
        ({"do": "add"}, "there are no answers about 'factor_0' yet"),
        ({"do": "check"}, "there are no answers about 'factor_0' yet"),
    ):
        reply, _ = session.handle({"verb": "teach", **message})
        assert reply["verb"] == "error"
        assert text in reply["text"]
    assert session.teaching.lesson.answers.given == ()
    assert session.teaching.question.name == "sheet 0"
    answer(session)
    worked(session)
    answer(session)
    reply, _ = session.handle({"verb": "teach", "do": "add"})
    assert "the bank has a direction 'factor_0' already: teach it under another" in reply["text"]


def test_answers_of_another_generator_or_space_are_refused(session):
    other = planted(factors=3, dim=8, seed=5)
    file = json.dumps(
        {
            "format": "latdir.answers", "version": 1, "name": "x", "generator": "planted",
            "fingerprint": other.fingerprint, "space": "z", "given": [],
        }
    ).encode()  # fmt: skip
    reply, _ = session.handle({"verb": "teach", "do": "start"}, file)
    assert "the answers about 'x' are of images of planted" in reply["text"]
    own = file.replace(other.fingerprint.encode(), session.studio.generator.fingerprint.encode())
    reply, _ = session.handle({"verb": "teach", "do": "start"}, own.replace(b'"z"', b'"w"'))
    assert "these answers are about codes of w, and the directions here move" in reply["text"]


def test_answers_that_point_nowhere_say_so_and_one_click_points_somewhere(session):
    teach(session, "start", name="smile")
    worked(session)
    teach(session, "answer", question="sheet 0", clicked=[])
    told = [t for t in worked(session) if t["verb"] == "known"]
    assert "point nowhere (0 of 64 images have it)" in told[-1]["text"]
    assert told[-1]["angle"] == 90
    teach(session, "undo")
    teach(session, "answer", question=session.teaching.question.name, clicked=[]) if (
        session.teaching.question.kind == "sheet"
    ) else teach(session, "answer", question=session.teaching.question.name, level=2)
    told = [t for t in worked(session) if t["verb"] == "known"]
    assert told[-1]["angle"] < 90


def test_tiles_are_the_images_in_order():
    images = torch.linspace(-1, 1, 6).reshape(6, 1, 1, 1).expand(6, 3, 10, 10)
    picture = tiled(images, 3, 10)
    shown = [picture.getpixel((10 * (k % 3) + 5, 10 * (k // 3) + 5))[0] for k in range(6)]
    assert shown == [0, 51, 102, 153, 204, 255]


def test_a_click_is_answered_at_once_in_512_coordinates():
    g = torch.Generator().manual_seed(0)
    from directions.planted.world import PlantedGenerator

    axes = torch.linalg.qr(torch.randn(512, 40, generator=g))[0].T.contiguous()
    wide = PlantedGenerator(
        axes[:8], bends=axes[:8], nuisances=axes[8:], covariance=torch.eye(512), size=8
    )
    bank = DirectionBank.of(wide, [Direction("up", wide.truth[0], "z")])
    session = Session(bank, wide, teach=Teach(features="pixels", n_codes=512))
    teach(session, "start", name="x")
    worked(session)
    for _ in range(3):
        answer(session)
        worked(session)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        answer(session)
        seconds.append(time.perf_counter() - start)
        worked(session)
    assert statistics.median(seconds) < 0.05
    assert Answers.of("x", wide).space == "z"
