"""Lessons: what is asked, what an answer changes, and how soon."""

from __future__ import annotations

import statistics
import time

import pytest
import torch

from directions.errors import BankError, SamplesError
from directions.planted.world import PlantedGenerator, planted
from discovery import Answers, Lesson, Teach

WORLD = planted(factors=3, dim=12, size=8, names=("smile", "age", "hat"))
TEACH = Teach(features="pixels", n_codes=512)


def lesson(name="smile", world=WORLD):
    return Lesson(name, world, teach=TEACH)


def answered(teach, question, factor=0):
    """What somebody answers who sees a planted factor."""
    level = WORLD.factors(question.codes)[:, factor]
    if question.kind == "strip":
        change = float((level[question.columns :] - level[: question.columns]).mean())
        size = sum(abs(change) > cut for cut in (0.35, 1.0))
        teach.answer(question, size if change > 0 else -size)
    else:
        teach.answer(question, level > 0.4)


def test_questions_are_the_same_each_time_and_differ_from_each_other():
    first, again = lesson(), lesson()
    for ask in ("sheet", "strip"):
        one, same, other = getattr(first, ask)(), getattr(again, ask)(), getattr(first, ask)(1)
        assert torch.equal(one.codes, same.codes)
        assert one.name == f"{ask} 0"
        assert not torch.equal(one.codes, other.codes)
    assert first.sheet().codes.shape == (64, 12)


def test_a_strip_moves_the_same_images_along_one_leading_direction():
    taught = lesson()
    first, second = taught.strip(2).codes.split(4)
    steps = second - first
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), rtol=0, atol=1e-5)
    white = taught.model.white.steps(steps[:1])
    assert float(white.norm()) == pytest.approx(4, rel=1e-5)  # two sigma to each side
    leading = taught.model.factor[:, 2]
    assert float(white[0] @ leading / leading.norm()) == pytest.approx(4, rel=1e-5)


def test_strips_are_asked_first_and_then_sheets_in_between():
    taught = lesson()
    kinds = []
    for _ in range(16):
        question = taught.ask()
        kinds.append(question.kind)
        answered(taught, question)
    # Three factors and four nuisances: there are seven leading directions to move along.
    assert kinds == ["strip"] * 7 + ["sheet"] * 9
    assert len({a.question for a in taught.answers.given}) == 16


def test_a_lesson_comes_near_what_was_planted_and_says_how_near():
    taught = lesson()
    angles = []
    for _ in range(15):
        answered(taught, taught.ask())
        angles.append(taught.angle)
    direction = taught.direction()
    cosine = float(direction.vector @ WORLD.truth[0])
    assert cosine > 0.95
    assert angles[-1] < 25 < angles[0]
    assert direction.evidence["angle_degrees"] == taught.angle
    assert direction.evidence["clicks"] == taught.answers.clicks


def test_undo_and_going_on_from_a_file_are_as_if_nothing_was(tmp_path):
    taught = lesson()
    for _ in range(5):
        answered(taught, taught.ask())
    before, angle = taught.answers, taught.angle
    answered(taught, taught.ask())
    assert taught.angle != angle
    taught.undo()
    assert taught.angle == angle
    resumed = lesson(Answers.load(before.save(tmp_path / "smile.json")))
    assert resumed.angle == pytest.approx(angle, abs=1e-9)
    assert torch.equal(resumed.ask().codes, taught.ask().codes)
    assert resumed.ask().name == "strip 5"


def test_what_more_answers_would_bring_is_less_than_now():
    taught = lesson()
    for _ in range(4):
        answered(taught, taught.ask())
    gain = taught.gain()
    assert 0 < gain.strips < taught.angle
    assert 0 < gain.sheet < taught.angle


def test_a_check_shows_those_with_most_of_it_and_counts_the_right_ones():
    taught = lesson()
    with pytest.raises(SamplesError, match="no answers about 'smile' yet"):
        taught.check()
    for _ in range(13):
        answered(taught, taught.ask())
    check = taught.check()
    assert len(check.codes) == 12
    assert float(WORLD.factors(check.codes)[:, 0].mean()) > 1
    before = taught.angle
    taught.answer(check, [0, 7, 9])
    assert taught.answers.confirmed == (9, 12)
    assert taught.direction().evidence["confirmed"] == 0.75
    assert taught.angle == before


def test_answers_that_do_not_fit_are_refused():
    taught = lesson()
    with pytest.raises(SamplesError, match="a strip has one answer, one of much less"):
        taught.answer(taught.strip(), [1, 2])
    with pytest.raises(SamplesError, match="a sheet is answered by the numbers of images"):
        taught.answer(taught.sheet(), "more")
    with pytest.raises(SamplesError, match=r"image 64 was clicked, and the sheet has .* 0 … 63"):
        taught.answer(taught.sheet(), [64])
    with pytest.raises(SamplesError, match="strips are numbered from 0, not -1"):
        taught.strip(-1)
    with pytest.raises(BankError, match="answers about 'smile' are of images of planted"):
        lesson(Answers.of("smile", planted(factors=3, dim=8)))
    assert taught.answers.given == ()


def test_the_sheet_answered_twice_counts_once():
    taught = lesson()
    sheet = taught.sheet()
    taught.answer(sheet, [1])
    once = taught.angle
    taught.answer(sheet, [1, 2])
    taught.answer(sheet, [1])
    assert len(taught.answers.sheets) == 1
    assert taught.angle == once


def test_a_click_at_512_coordinates_is_answered_at_once():
    g = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(512, 40, generator=g))[0].T.contiguous()
    wide = PlantedGenerator(
        axes[:8], bends=axes[:8], nuisances=axes[8:], covariance=torch.eye(512), size=8
    )
    taught = lesson(world=wide)
    for k in range(4):
        taught.answer(taught.sheet(k), list(range(k, 64, 3)))
    for k in range(20):
        taught.answer(taught.strip(k), k % 5 - 2)
    assert taught.angle < 90
    seconds = []
    for k in range(5):
        strip = taught.strip()
        start = time.perf_counter()
        taught.answer(strip, k - 2)
        assert taught.angle < 90
        seconds.append(time.perf_counter() - start)
    # 0.08 on one busy core.
    assert statistics.median(seconds) < 0.15
