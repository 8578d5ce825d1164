import pytest
import torch

from directions.classifiers import Attribute, Classifier
from directions.scoring import tuning
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.scoring.tuning import agrees, break_even
from tests.worlds import world

WORLD = world()
LONG = tuning.MEASURE_FROM


class Clock:
    """Time that passes only when somebody says so."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(tuning, "time", clock)
    return clock


class Timed(Classifier):
    """Takes a stated time for a batch, less in bfloat16, and errs there a little."""

    name = "timed"
    attributes = (Attribute("a"),)
    fingerprint = "1" * 64
    compiles = True

    def __init__(self, clock, seconds, *, bf16_speedup=1.0, bf16_error=0.0):
        self.clock, self.seconds = clock, seconds
        self.speedup, self.error = bf16_speedup, bf16_error

    def __call__(self, images):
        raise NotImplementedError

    def inference(self, *, precision="float32", names=None, compile=False):
        fast = precision == "bfloat16"

        def run(images):
            self.clock.now += self.seconds(len(images)) / (self.speedup if fast else 1.0)
            score = images.flatten(1)[:, :1]
            return score + self.error * score.roll(1, 0) if fast else score

        return run


def chosen(classifier, n=LONG, **fixed):
    return Scorer(WORLD, classifier, rendering=Rendering(**fixed), n=n).rendering


@pytest.mark.parametrize(
    ("speedup", "error", "expected"),
    [
        (2.0, 0.0, "bfloat16"),
        (2.0, 0.03, "bfloat16"),
        (2.0, 0.3, "float32"),
        (1.05, 0.0, "float32"),
        (0.8, 0.0, "float32"),
    ],
)
def test_bfloat16_must_be_faster_and_agree(clock, speedup, error, expected):
    classifier = Timed(clock, lambda n: 0.01 * n, bf16_speedup=speedup, bf16_error=error)
    assert chosen(classifier).precision == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (lambda n: 0.5 + 0.01 * n, 128),  # a fixed cost for each call
        (lambda n: 0.01 * n**1.5, 32),  # caches that overflow
        (lambda n: 0.01 * n, 32),  # no difference: the smallest
        (lambda n: 0.01 * n + abs(n - 64), 64),
    ],
)
def test_the_batch_is_the_fastest(clock, seconds, expected):
    assert chosen(Timed(clock, seconds)).batch_size == expected


def test_short_runs_are_not_measured_for(clock):
    settings = chosen(Timed(clock, lambda n: 1.0, bf16_speedup=9.0), n=LONG - 1)
    assert settings == Rendering(batch_size=64, precision="float32", compile=False)
    assert clock.now == 0


def test_compiling_must_pay(clock, monkeypatch):
    monkeypatch.setattr(tuning, "_has_compiler", lambda: True)
    classifier = Timed(clock, lambda n: n / 100.0)
    limit = round(break_even(100.0))
    assert not chosen(classifier, n=limit - 10).compile
    assert chosen(classifier, n=limit + 10).compile
    classifier.compiles = False
    assert not chosen(classifier, n=limit + 10).compile
    classifier.compiles = True
    monkeypatch.setattr(tuning, "_has_compiler", lambda: False)
    assert not chosen(classifier, n=limit + 10).compile


def test_what_is_fixed_stays(clock):
    settings = chosen(
        Timed(clock, lambda n: 0.01 * n), batch_size=5, precision="bfloat16", compile=True
    )
    assert settings == Rendering(batch_size=5, precision="bfloat16", compile=True)


def test_agreement_is_measured_against_the_spread():
    scores = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    assert agrees(scores, scores + 0.08 * noise)
    assert not agrees(scores, scores + 0.15 * noise)
    assert not agrees(scores, scores + noise * torch.tensor([0.0, 0.15]))
    constant = torch.ones(50, 1)
    assert agrees(constant, constant)
    assert not agrees(constant, constant + 0.01)
