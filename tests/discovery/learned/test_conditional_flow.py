"""Conditional flows on planted codes: curved sheets, held attributes, and what is refused."""

import logging

import pytest
import torch

import directions.training.loop as loop
import discovery.learned.path_methods as path_methods
from directions.classifiers.base import Attribute
from directions.errors import LatdirError
from discovery import ConditionalFlow, ConditionalMean
from discovery.sampling.samples import Samples
from tests.worlds import labeled, world

SMALL = {"steps": 300, "hidden": 24, "batch_size": 256}


def sheet(n=4000, *, seed=0, turned=True):
    """Codes on a thin curved sheet: the third coordinate follows the square of the first."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=rng)
    x[:, 2] = 0.1 * x[:, 2] + x[:, 0].square() / 2
    x[:, 1] = 0.8 * x[:, 1] + 0.6 * x[:, 0]
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(7)))[0]
    turn = turn if turned else torch.eye(6)
    return x @ turn, x, turn


def samples_of(codes, scores, names=None):
    names = names or "abcdef"[: scores.shape[1]]
    attributes = tuple(Attribute(name, unit="degrees") for name in names)
    return Samples(codes, scores, attributes, "w", "toy", "0" * 64, "exact", "1" * 64, seed=0)


def off_sheet(codes, turn):
    x = codes @ turn.T
    return float((x[:, 2] - x[:, 0].square() / 2).abs().mean())


def test_paths_stay_on_a_curved_sheet_that_straight_directions_leave():
    codes, x, turn = sheet()
    samples = samples_of(codes, x[:, :2])
    path = ConditionalFlow(scale="raw", **SMALL).train(samples)["a"]
    straight = ConditionalMean(scale="raw").discover(samples)["a"]
    new = sheet(500, seed=9)[0]
    moved, line = path.shift(new, 1.0), straight.shift(new, 1.0)
    assert off_sheet(moved, turn) < 0.4 * off_sheet(line, turn)
    # The other attribute holds, and the attribute changes by as much as its unit says.
    change = (path.shift(new, 0.5, unit="degrees") - new) @ turn.T
    assert change[:, 1].abs().max() < 0.1
    assert float(change[:, 0].mean()) == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(path.shift(moved, -1.0), new, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["linear", "entangled", "curved", "anisotropic"])
def test_in_planted_worlds_the_other_factors_hold(name):
    planted = world(name, dim=12, factors=3)
    samples = labeled(planted, planted.classifier(), 4000)
    paths = ConditionalFlow(steps=100, hidden=16).train(samples)
    codes = planted.sample(64, seed=9)
    before = planted.factors(codes)
    for k, path in enumerate(paths.values()):
        change = (planted.factors(path.shift(codes, 1.0)) - before).mean(0)
        assert change[k] > 0.3
        assert change[[j for j in range(3) if j != k]].abs().max() < 0.15 * change[k]


def test_two_runs_of_a_seed_are_identical_and_the_gap_is_small():
    codes, x, _ = sheet()
    short = ConditionalFlow(scale="raw", steps=10)
    banks = [short.discover(samples_of(codes, x[:, :2]), seed=3) for _ in range(2)]
    assert torch.equal(banks[0].matrix(), banks[1].matrix())
    method = ConditionalFlow(scale="raw", **SMALL)
    found = method.discover(samples_of(codes, x[:, :2]), seed=3)["a"].evidence
    assert found["validation_nats"] - found["train_nats"] < 0.05
    assert found["validation_nats"] < 0.1  # 0.5 without a flow
    assert (
        found["bend"]
        > 0.05
        > ConditionalFlow(scale="raw", steps=1)
        .discover(samples_of(codes, x[:, :2]))["a"]
        .evidence["bend"]
    )
    assert found["rank_correlation"] > 0.99
    state = torch.get_rng_state()
    short.discover(samples_of(codes[:200], x[:200, :2]))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_training_goes_on_to_the_same_flow(precision, tmp_path, monkeypatch):
    codes, x, _ = sheet(400)
    samples = samples_of(codes, x[:, :2])
    method = ConditionalFlow(steps=20, hidden=8, batch_size=32, precision=precision)
    whole = method.train(samples)["a"]
    draw, file = path_methods.step_rng, tmp_path / "run"
    monkeypatch.setattr(loop, "EVERY", 0.0)

    def killed(seed, step):
        if step == 13:
            raise KeyboardInterrupt
        return draw(seed, step)

    with monkeypatch.context() as patched:
        patched.setattr(path_methods, "step_rng", killed)
        with pytest.raises(KeyboardInterrupt):
            method.train(samples, checkpoint=file)
    for _ in range(2):  # the second goes on from the end
        again = method.train(samples, checkpoint=file)["a"]
        assert torch.equal(again.shift(codes, 1.0), whole.shift(codes, 1.0))
    with pytest.raises(LatdirError, match="keeps a training with seed 0, and this one has 1"):
        method.train(samples, seed=1, checkpoint=file)


def test_bfloat16_learns_the_same_sheet_with_exact_codes():
    codes, x, _ = sheet()
    both = [
        ConditionalFlow(scale="raw", precision=p, steps=100, hidden=16, batch_size=128).train(
            samples_of(codes, x[:, :2])
        )["a"]
        for p in ("float32", "bfloat16")
    ]
    new = sheet(500, seed=9)[0]
    moves = [path.shift(new, 1.0) - new for path in both]
    assert 0 < (moves[0] - moves[1]).norm(dim=1).mean() < 0.1 * moves[0].norm(dim=1).mean()
    back = both[1].shift(both[1].shift(new, 1.0), -1.0)
    torch.testing.assert_close(back, new, atol=1e-4, rtol=0)


def test_the_weights_best_on_held_out_data_are_kept():
    learned = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(learned.weight)
    fitted = loop.fit(
        learned,
        lambda step: (learned.weight - 2).square().sum(),
        torch.optim.SGD(learned.parameters(), lr=0.01),
        steps=320,
        checkpoint=loop.Checkpoint(None, {}),
        judged=lambda: float((learned.weight - 1).square()),
    )
    assert 0 < fitted.kept < fitted.steps == 320
    assert float(learned.weight) == pytest.approx(1, abs=0.25)  # where 2 would be the last


def test_codes_on_a_plane_stay_on_it():
    codes, x, _ = sheet(turned=False)
    flat = torch.cat([codes, codes[:, :1] * 0], 1)
    path = ConditionalFlow(steps=20).train(samples_of(flat, x[:, :1]))["a"]
    assert path.chart.shape == (7, 6)
    assert (path.shift(flat + 2.0, 1.0)[:, 6] == 2.0).all()


def test_training_that_diverges_keeps_the_best(caplog):
    codes, x, _ = sheet(1000)
    codes[0] = 1e6
    with caplog.at_level(logging.WARNING):
        path = ConditionalFlow(steps=50, rate=1e4).train(samples_of(codes, x[:, :1]))["a"]
    assert "training diverged at step" in caplog.text
    assert path.shift(codes, 1.0).isfinite().all()


def test_bad_input_is_named():
    codes, x, _ = sheet(300)
    method = ConditionalFlow(steps=2)
    with pytest.raises(LatdirError, match="18 samples to train on are too few for a flow of 6 c"):
        method.train(samples_of(codes[:20], x[:20, :1]))
    with pytest.raises(LatdirError, match="a and b are collinear"):
        method.train(samples_of(codes, x[:, [0, 0]] * torch.tensor([1.0, 2.0])))
    with pytest.raises(LatdirError, match="attribute 'a' is constant"):
        method.train(samples_of(codes, x[:, :1] * 0))
    noise = torch.randn(300, 1, generator=torch.Generator().manual_seed(1))
    with pytest.raises(LatdirError, match=r"the codes do not tell 'a' \(correlation 0"):
        method.train(samples_of(codes, noise))
    with pytest.raises(
        LatdirError, match="leave nothing to flow beside 5 attributes: name at most 4"
    ):
        method.train(samples_of(codes, x[:, :5]))
    with pytest.raises(LatdirError, match="no attribute 'wings'"):
        method.train(samples_of(codes, x[:, :2]), attributes=["wings"])
    with pytest.raises(LatdirError, match="validation is a fraction between 0 and 1"):
        ConditionalFlow(validation=0.0)
    with pytest.raises(LatdirError, match="rate 0 must be above 0"):
        ConditionalFlow(rate=0.0)
