"""IcGAN's second encoder: planted labels found, the cost as defined, runs that resume."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import directions.inversion.encoders.labels as labels
import directions.training.loop as loop
from directions.errors import LatdirError
from directions.inversion.encoders import LabelEncoder, TrainingSchedule, train_label_encoder
from directions.planted.world import planted
from directions.progress import progress_bars

WORLD = planted(factors=2, dim=4, nuisances=1, size=8)
CODES = WORLD.sample(256, seed=1)
IMAGES, TRUTH = WORLD.synthesize(CODES), 10 + 3 * WORLD.factors(CODES)
SHORT = TrainingSchedule(steps=4, batch_size=4, width=4)


def trained(schedule: TrainingSchedule = SHORT, **settings: object) -> LabelEncoder:
    with progress_bars(False):
        return train_label_encoder(IMAGES, TRUTH, names=WORLD.names, schedule=schedule, **settings)


def test_it_finds_planted_labels_and_has_gradients() -> None:
    made = trained(TrainingSchedule(steps=80, batch_size=32, width=8, rate=1e-2))
    others = WORLD.sample(64, seed=2)
    found = made(WORLD.synthesize(others))
    left = (found - 10 - 3 * WORLD.factors(others)).square().mean(0) / TRUTH.var(0)
    assert float(left.max()) < 0.1
    assert made.progress[-1].explained > 0.9 > 0.3 > made.progress[0].explained
    leaf = IMAGES[:2].clone().requires_grad_()
    assert torch.autograd.grad(made(leaf).sum(), leaf)[0].abs().sum() > 0


def test_the_cost_is_that_of_standardized_labels() -> None:
    made = labels._Learner(IMAGES, TRUTH, SHORT, 0)
    rows, tested = made.held["rows"], made.held["tested"]
    assert len(tested) == 32
    assert sorted([*rows.tolist(), *tested.tolist()]) == list(range(256))
    # Before training it says the mean of the labels.
    mean, spread = TRUTH[rows].mean(0), TRUTH[rows].std(0)
    expected = ((TRUTH[:5] - mean) / spread).square()
    assert torch.allclose(made._error(made.network, torch.arange(5)), expected, atol=1e-4)


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    whole, file, loss = trained(seed=3), tmp_path / "run", labels._Learner.loss

    def killed(self: labels._Learner, step: int) -> Tensor:
        if step == 2:
            raise KeyboardInterrupt
        return loss(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(labels._Learner, "loss", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(seed=3, checkpoint=file)
    resumed = trained(seed=3, checkpoint=file)
    assert resumed.fingerprint == whole.fingerprint
    assert resumed.progress == whole.progress


def test_wrong_input_is_refused() -> None:
    with pytest.raises(LatdirError, match=r"16 square ones at least, not \[4, 3, 8, 8\]"):
        train_label_encoder(IMAGES[:4], TRUTH[:4], names=WORLD.names)
    with pytest.raises(LatdirError, match="2 labels have a name each, not"):
        train_label_encoder(IMAGES, TRUTH, names=["age"])
    with pytest.raises(LatdirError, match="each differs between images"):
        train_label_encoder(IMAGES, torch.zeros_like(TRUTH), names=WORLD.names)
