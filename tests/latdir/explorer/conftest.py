"""A small world to explore, and the built-in faces."""

import contextlib
import io
import threading

import pytest
import torch
from PIL import Image

from benchmarks.browsers import CHROMIUM, SWITCHES
from directions import Calibration, Direction, DirectionBank
from directions.classifiers import load_classifier
from directions.generators import load_generator
from directions.planted.world import planted
from discovery import Boundary, sample
from latdir.explorer.hosts.server import application, listening, web_server
from latdir.explorer.session import Session

NAMES = ["smiling", "yaw", "mouth_open", "male", "age"]


@pytest.fixture(scope="session")
def world():
    return planted(factors=3, dim=8)


@pytest.fixture(scope="session")
def small_bank(world):
    """Three directions that move more than their own factor."""
    mixed = torch.eye(3) + 0.4 * torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    made = [
        Direction.from_vector(
            f"factor_{k}",
            mixed[k] @ world.truth,
            space="z",
            calibration=Calibration(f"factor_{k}", "units", 0.9, -1.0, 1.5),
        )
        for k in range(3)
    ]
    return DirectionBank.of(world, made)


@pytest.fixture
def session(world, small_bank):
    return Session(small_bank, world, world.classifier())


@pytest.fixture(scope="session")
def faces():
    """A generator, a bank of five directions and a classifier."""
    generator, classifier = load_generator("digiface64"), load_classifier("faces+pixels")
    labels = sample(generator, classifier, 300, seed=0, attributes=NAMES)
    return Boundary().discover(labels), generator, classifier


@pytest.fixture(scope="module")
def few_codes():
    """Effects of directions measured quickly, on fewer codes than a session takes by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latdir.explorer.measuring.CODES", 24)
        yield


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def worked(session: Session, most: int = 200) -> list[dict]:
    """All that a session tells when it is left alone."""
    told = []
    for _ in range(most):
        job = session.job()
        if job is None:
            return told
        told += [answer for answer, _ in job.finish(job.run())]
    raise AssertionError("the session never comes to rest")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield made
        made.close()


@contextlib.contextmanager
def running(make, host="127.0.0.1", port=0):
    """A server on this machine; by default on a free port."""
    server = web_server(application(make, host=host))
    with listening("127.0.0.1", port) as taken:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        try:
            yield taken.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()
