"""Locked attributes stay where they are."""

import pytest
import torch

from directions import Direction, DirectionBank
from latdir.explorer.measuring import CODES
from latdir.explorer.session import Session
from tests.latdir.explorer.conftest import worked


@pytest.fixture(scope="module")
def measured(faces, few_codes):
    """A session of faces whose effects the others share."""
    return Session(*faces)


def settled(session, seed, amounts, locks):
    """The state after an edit with locks, and the drift of each lock in standard deviations."""
    session.handle({"verb": "source", "seed": seed})
    session.handle({"verb": "lock", "names": locks})
    answer, _ = session.handle({"verb": "edit", "amounts": amounts, "final": True})
    told = [answer, *worked(session)]
    scores = [t for t in told if t["verb"] == "scores"][-1]["scores"]
    std = session.locks.effects.std
    drift = {s["name"]: s["change"] / std[s["name"]] for s in scores if s["name"] in locks}
    notices = [t.get("notice", "") for t in told if t["verb"] in ("picture", "scores")][-2:]
    return drift, "".join(notices)


def test_what_compensates_is_seen_and_holds(session):
    drift, notice = settled(session, 3, {"factor_0": 1.5}, ["factor_1"])
    assert abs(drift["factor_1"]) < 0.1
    assert notice == ""
    assert session.state.amounts == {"factor_0": 1.5}
    assert session.state.held["factor_1"] < -0.2


def test_without_a_lock_it_moves(session):
    session.handle({"verb": "edit", "amounts": {"factor_0": 1.5}})
    [told] = worked(session)
    assert abs(told["scores"][1]["change"]) > 0.3


def test_locks_hold_once_another_session_has_measured(session, world, small_bank):
    other = Session(small_bank, world, world.classifier(), beside=session)
    other.handle({"verb": "edit", "amounts": {"factor_0": 1.5}})
    answer, _ = other.handle({"verb": "lock", "names": ["factor_1"]})
    assert answer["notice"] == "Measuring what the directions do; then the locks hold."
    settled(session, 3, {"factor_0": 1.0}, ["factor_2"])
    assert [told["verb"] for told in worked(other)][:3] == ["scores", "picture", "scores"]
    assert other.state.held["factor_1"] < -0.2


def test_what_cannot_be_held_is_one_sentence_and_the_best_is_applied(session, world, small_bank):
    only = Session(small_bank.select(["factor_0"]), world, world.classifier())
    _, notice = settled(only, 3, {"factor_0": 1.5}, ["factor_1"])
    assert "With factor_1 locked factor_0 stops at +0.00σ of +1.50σ" in notice
    assert only.state.moved == {}


def test_a_released_lock_leaves_the_picture_as_it_is(session):
    settled(session, 3, {"factor_0": 1.5}, ["factor_1"])
    moved = session.state.moved
    assert len(moved) > 1
    session.handle({"verb": "lock", "names": []})
    assert session.state.amounts == moved
    assert session.state.held == {}


def test_locks_need_a_classifier(world, small_bank):
    text = Session(small_bank, world).handle({"verb": "lock", "names": ["factor_0"]})[0]["text"]
    assert text == "no classifier here scores 'factor_0': start with --classifier faces"


def test_locks_of_a_large_bank_use_what_is_about_them(world, small_bank):
    torch.manual_seed(0)
    noise = [Direction.from_vector(f"n{k}", torch.randn(8), space="z") for k in range(60)]
    bank = DirectionBank.of(world, [*noise, *small_bank.directions])
    session = Session(bank, world, world.classifier())
    session.handle({"verb": "edit", "amounts": {"n59": 1.0}})
    session.handle({"verb": "lock", "names": ["factor_1"]})
    used = session.locks.usable(session.state)
    assert len(used) == 24
    assert {"n59", "factor_1"} <= set(used)


def test_faces_keep_a_locked_attribute(faces, measured):
    session = Session(*faces, beside=measured)
    drifts, infeasible = [], 0
    for seed in range(3):
        drift, notice = settled(session, seed, {"smiling": 1.5}, ["yaw", "male"])
        if notice:
            infeasible += 1
        else:
            drifts += [abs(d) for d in drift.values()]
    assert infeasible <= 1
    assert max(drifts) < 0.1


def test_a_lock_that_the_picture_keeps_by_itself_moves_nothing(faces, measured):
    """On average a smile turns a head; this one it does not."""
    session = Session(*faces, beside=measured)
    drift, notice = settled(session, 11, {"smiling": 1.5}, ["yaw"])
    assert abs(drift["yaw"]) < 0.1
    assert notice == ""
    assert session.state.held == {}


@pytest.mark.slow
def test_thirty_two_faces_keep_a_locked_attribute(faces, monkeypatch):
    monkeypatch.setattr("latdir.explorer.measuring.CODES", CODES)
    session = Session(*faces)
    held = 0
    for seed in range(32):
        drift, notice = settled(session, seed, {"smiling": 1.5}, ["yaw", "male"])
        if not notice:
            held += 1
            assert max(map(abs, drift.values())) < 0.1
    assert held >= 24
