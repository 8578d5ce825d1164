"""Threads of a session: the newest edit wins, and jobs never hold one up."""

import threading
import time

import pytest

from latdir.explorer.hosts.host import Host
from latdir.explorer.session import Session


class Told:
    """What a host sends, in order."""

    def __init__(self):
        self.answers, self.changed = [], threading.Condition()

    def __call__(self, header, payload):
        with self.changed:
            self.answers.append(header)
            self.changed.notify_all()

    def wait(self, when, seconds=20):
        with self.changed:
            assert self.changed.wait_for(lambda: any(map(when, self.answers)), seconds)


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def host(session, told):
    made = Host(session, told)
    yield made
    made.close()


def test_two_hundred_moves_in_a_second_end_at_the_last(host, told):
    pictures = []
    slow = host.session.studio.picture
    object.__setattr__(
        host.session.studio, "picture", lambda state: (time.sleep(0.02), slow(state))[1]
    )
    for k in range(1, 201):
        host.receive({"verb": "edit", "id": k, "amounts": {"factor_0": k / 100}, "final": False})
        time.sleep(0.005)
    sent = time.perf_counter()
    told.wait(lambda a: a["id"] == 200 if "id" in a else False)
    assert time.perf_counter() - sent < 1
    assert host.session.state.amounts == {"factor_0": 2.0}
    pictures = [a["id"] for a in told.answers if a["verb"] == "picture"]
    assert pictures == sorted(pictures)
    assert len(pictures) < 100


def test_a_final_edit_among_others_still_is_a_step(host, told):
    host.receive({"verb": "open", "id": 1})
    told.wait(lambda a: a["verb"] == "open")
    with host._inbox.changed:
        for k, final in ((2, True), (3, False)):
            host._inbox.waiting.append(
                ({"verb": "edit", "id": k, "amounts": {"factor_0": 1.0 * k}, "final": final}, b"")
            )
            if k == 3:
                item = host._inbox.waiting.pop()
        threading.Thread(target=host._inbox.put, args=(item,)).start()
        host._inbox.changed.wait(0.2)
    told.wait(lambda a: a.get("id") == 3)
    assert host.session.history.steps[-1].state.amounts == {"factor_0": 3.0}


def test_a_running_score_holds_up_no_edit(world, small_bank, told):
    classifier = world.classifier()
    started, release = threading.Event(), threading.Event()

    class Slow(type(classifier)):
        def __call__(self, images):
            started.set()
            release.wait(20)
            return super().__call__(images)

    classifier.__class__ = Slow
    host = Host(Session(small_bank, world, classifier), told)
    host.receive({"verb": "open", "id": 1})
    assert started.wait(10)
    begun = time.perf_counter()
    host.receive({"verb": "edit", "id": 2, "amounts": {"factor_0": 1.0}})
    told.wait(lambda a: a.get("id") == 2)
    assert time.perf_counter() - begun < 0.5
    assert not any(a["verb"] == "scores" for a in told.answers)
    release.set()
    told.wait(lambda a: a["verb"] == "scores")
    host.close()


def test_scores_follow_when_it_is_quiet(host, told):
    host.receive({"verb": "open", "id": 1})
    told.wait(lambda a: a["verb"] == "scores")
    assert [a["verb"] for a in told.answers[:2]] == ["open", "scores"]
