"""Curvilinear coordinates: paths that commute, come back and can be told apart."""

from __future__ import annotations

import pytest
import torch

from directions.errors import LatdirError
from directions.paths import CoordinatePath, load_path
from directions.paths.flows.couplings import Couplings
from directions.planted.world import planted
from discovery import DeCurvEd
from discovery.learned.decurved import Curvilinear
from tests.discovery.learned.test_voynov_babenko import Grainy
from tests.worlds import world

SMALL = {"n_codes": 64, "steps": 6, "batch_size": 8, "hidden": 8, "precision": "float32"}


@pytest.fixture(scope="module")
def trained():
    generator = world("anisotropic", dim=8, factors=3)
    return generator, DeCurvEd(n_directions=3, rate=0.05, **SMALL).train(generator)


def test_paths_commute_come_back_and_keep_their_file(trained, tmp_path):
    generator, paths = trained
    codes = generator.sample(16, seed=4)
    a, b, _ = paths.values()
    one, other = b.shift(a.shift(codes, 1.5), -2.0), a.shift(b.shift(codes, -2.0), 1.5)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    torch.testing.assert_close(a.shift(a.shift(codes, 2.0), -2.0), codes, atol=1e-4, rtol=0)
    # They bend: steps of different codes differ.
    steps = a.shift(codes, 1.0) - codes
    assert (steps - steps.mean(0)).abs().max() > 1e-3
    again = load_path(a.save(tmp_path / "a"), generator=generator)
    assert torch.equal(again.shift(codes, 1.3), a.shift(codes, 1.3))
    each = torch.linspace(-1, 1, 16)
    torch.testing.assert_close(a.shift(codes, each)[5:6], a.shift(codes[5:6], float(each[5])))


def test_one_sigma_is_a_standard_deviation_of_the_coordinate(trained):
    generator, paths = trained
    codes = generator.sample(2000, seed=4)
    for path in paths.values():
        before = path.coordinates(codes)
        change = path.coordinates(path.shift(codes, 1.0)) - before
        others = [i for i in range(8) if i != path.index]
        torch.testing.assert_close(change[:, others], 0 * change[:, others], atol=1e-4, rtol=0)
        assert float(change[:, path.index].mean() / before[:, path.index].std()) == pytest.approx(
            1, abs=0.1
        )
        step = (path.shift(codes, 0.1, unit="latent") - codes).norm(dim=1).mean()
        assert float(step) == pytest.approx(0.1, rel=0.1)


@torch.no_grad()
def test_steps_longer_than_their_amounts_are_penalized():
    """A layer that halves two of four coordinates, so that steps along these are twice as long."""
    flow = Couplings.started(4, 0, hidden=2, layers=1, seed=0)
    flow.b3[:, :2] = torch.tensor(0.5).log().atanh()
    chart = torch.zeros(4), torch.eye(4), torch.eye(4)
    codes, by = torch.randn(6, 4), torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0, 2.0])
    none = Curvilinear(chart, flow, scale=2.0, weight=3.0).penalty(
        codes, torch.full((6,), 3), 0 * by
    )
    assert float(none) < 1e-3
    for index, cost in ((0, 0.0), (1, 0.0), (2, 1.0), (3, 1.0)):
        mover = Curvilinear(chart, flow, scale=2.0, weight=3.0)
        found = mover.penalty(codes, torch.full((6,), index), by)
        assert float(found) == pytest.approx(3 * cost, abs=1e-5)
    # Shorter steps cost nothing.
    flow.b3[:, :2] *= -1
    shorter = Curvilinear(chart, flow, scale=2.0, weight=3.0)
    assert float(shorter.penalty(codes, torch.full((6,), 3), by)) == 0


def test_paths_stay_where_codes_are_by_the_penalty():
    """The longest steps of white codes over their amounts, with and without it."""
    generator = world("anisotropic", dim=8, factors=3)
    codes, longest = generator.sample(256, seed=4), []
    for weight in (0.0, 10.0):
        method = DeCurvEd(n_directions=3, rate=0.05, length_weight=weight, **SMALL | {"steps": 20})
        steps = [
            (path.shift(codes, 1.0) - codes) @ path.chart / path.per_sigma
            for path in method.train(generator).values()
        ]
        longest.append(float(torch.stack(steps).norm(dim=2).quantile(0.9)))
    assert longest[0] > 1.5 > 1.15 > longest[1], longest


def test_a_run_is_the_same_again_and_goes_on(tmp_path):
    generator = world(dim=8, factors=3)
    method = DeCurvEd(n_directions=3, **SMALL)
    bank = method.discover(generator, seed=2, checkpoint=tmp_path / "run")
    assert torch.equal(bank.matrix(), method.discover(generator, seed=2).matrix())
    resumed = method.discover(generator, seed=2, checkpoint=tmp_path / "run")
    assert torch.equal(bank.matrix(), resumed.matrix())


@pytest.mark.slow
def test_paths_are_where_the_image_changes(tmp_path):
    """A factor bends, and at each code the steps turn to where the factors change there."""
    generator = planted(factors=3, dim=12, nuisances=0, size=8, bend=0.5)
    generator.__class__ = Grainy
    settings = {"n_codes": 256, "rate": 1e-2, "amount_weight": 1.0, "precision": "float32"}
    codes = generator.sample(128, seed=9)
    rows = torch.linalg.qr(generator.jacobian(codes).mT).Q.mT  # [n, 3, d]
    own, others, banks = [], [], []
    for steps in (800, 1):
        method = DeCurvEd(n_directions=3, steps=steps, hidden=16, **settings)
        paths = method.train(generator, checkpoint=tmp_path / str(steps))
        moves = torch.stack([p.shift(codes, 0.1) - codes for p in paths.values()], 1)  # [n, 3, d]
        # The part of a step in the span of the factors' gradients, at its code and at another one.
        for shares, spans in ((own, rows), (others, rows.roll(1, 0))):
            inside = (moves @ spans.mT).square().sum(2) / moves.square().sum(2)
            shares.append(float(inside.mean()))
        banks.append(method.discover(generator, checkpoint=tmp_path / str(steps)))
    assert own[0] > 0.85 > 0.4 > own[1] > 3 / 12, own  # chance is 3 of 12
    assert own[0] > others[0] + 0.02 > others[1] + 0.02 > own[1], (own, others)
    assert banks[0].provenance["accuracy"] > 0.85 > 0.4 > banks[1].provenance["accuracy"]


def test_bad_input_is_named(trained):
    generator, paths = trained
    path = next(iter(paths.values()))
    with pytest.raises(LatdirError, match="vary in 8 dimensions, which have no 9 coordinates: low"):
        DeCurvEd(n_directions=9, **SMALL).discover(generator)
    with pytest.raises(LatdirError, match="hidden 0 must be at least 1"):
        DeCurvEd(hidden=0)
    with pytest.raises(LatdirError, match="length_weight -1"):
        DeCurvEd(length_weight=-1.0)
    with pytest.raises(LatdirError, match="has no unit 'years': use sigma, latent"):
        path.shift(torch.zeros(1, 8), 1.0, unit="years")
    with pytest.raises(LatdirError, match="moves codes of 8 numbers, not 7"):
        path.shift(torch.zeros(1, 7), 1.0)
    flow = Couplings.started(4, 0, hidden=2, layers=2, seed=0)
    chart = torch.zeros(4), torch.eye(4), torch.eye(4)
    owner = flow, "toy", "0" * 64
    with pytest.raises(LatdirError, match="has index 4: there are 4 coordinates, from 0"):
        CoordinatePath("a", "z", 4, 1.0, 1.0, *chart, *owner, {})
    with pytest.raises(LatdirError, match="a response is not zero"):
        CoordinatePath("a", "z", 0, 1.0, 1.0, *chart, *owner, {"years": 0.0})
    other = Couplings.started(4, 1, hidden=2, layers=2, seed=0)
    with pytest.raises(LatdirError, match="with codes of 4 numbers they must be"):
        CoordinatePath("a", "z", 0, 1.0, 1.0, *chart, other, "toy", "0" * 64, {})
