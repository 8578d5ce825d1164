"""Potential flows: closed derivatives, waves, rest at first, planted truth."""

from __future__ import annotations

import pytest
import torch

from directions.errors import LatdirError
from directions.paths import PotentialPath, load_path
from directions.paths.potential import Potential, follow_potential
from directions.planted.world import planted
from discovery import PotentialFlow
from tests.discovery.learned.test_voynov_babenko import Grainy, inside
from tests.worlds import world

SMALL = {"n_codes": 64, "steps": 6, "batch_size": 8, "hidden": 4, "precision": "float32"}


def drawn(*before, h=5, d=4, m=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    shapes = (*before, h, d), (*before, h), (*before, h, m), (*before, h)
    return Potential(*(torch.randn(*s, generator=rng).double() for s in shapes))


def test_gradient_and_wave_residual_are_autograd_s():
    u = drawn()
    rng = torch.Generator().manual_seed(1)
    x, t = torch.randn(3, 4, generator=rng).double(), torch.rand(3, generator=rng).double()

    def value(x, t):
        level = u.inner @ x + u.offset
        times = (torch.pi / 2 * torch.arange(1, 4).double() * t).sin()
        return u.outer @ (torch.tanh(level + u.phase @ times) - torch.tanh(level))

    grad, hess = torch.func.grad, torch.autograd.functional.hessian
    near = torch.testing.assert_close
    near(u.gradient(x, t), torch.stack([grad(value)(*p) for p in zip(x, t, strict=True)]))
    residual = [
        grad(grad(value, 1), 1)(x, t) / 9 - hess(lambda x, t=t: value(x, t), x).trace()
        for x, t in zip(x, t, strict=True)
    ]
    near(u.wave(x, t, 3.0), torch.stack(residual))


def test_potentials_of_each_place_are_those_of_one_by_one():
    many = drawn(3)
    x, t = torch.randn(3, 4).double(), torch.rand(3).double()
    for k in range(3):
        one = Potential(*(part[k] for part in many))
        near, mine = torch.testing.assert_close, (x[k : k + 1], t[k : k + 1])
        near(many.gradient(x, t)[k], one.gradient(*mine)[0])
        near(many.wave(x, t, 2.0)[k], one.wave(*mine, 2.0)[0])


def test_codes_start_at_rest_and_do_not_outrun_their_amount():
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(2)).double()
    assert (drawn().gradient(x, torch.zeros(20).double()) == 0).all()
    two = torch.full((20,), 2.0).double()
    moved = follow_potential(drawn(), x, two, reach=3.0)
    assert 0.5 < (moved - x).norm(dim=1).max() < 2
    little = follow_potential(drawn(), x, two / 20, reach=3.0)
    assert (little - x).norm(dim=1).mean() < 0.03 * (moved - x).norm(dim=1).mean()
    fine = follow_potential(drawn(), x, two, reach=3.0, stride=0.01)
    torch.testing.assert_close(moved, fine, atol=0.1, rtol=0)
    finer = follow_potential(drawn(), x, two, reach=3.0, stride=0.005)
    torch.testing.assert_close(fine, finer, atol=1e-3, rtol=0)


def test_paths_keep_their_file(tmp_path):
    generator = world("anisotropic", dim=8, factors=3)
    paths = PotentialFlow(n_directions=2, **SMALL).train(generator)
    codes = generator.sample(16, seed=4)
    for name, path in paths.items():
        moved = path.shift(codes, path.length / path.sigma) - codes  # to the end of the reach
        assert float(moved.norm(dim=1).mean()) == pytest.approx(path.length, rel=0.2)
        again = load_path(path.save(tmp_path / name), generator=generator)
        assert torch.equal(again.shift(codes, 1.3), path.shift(codes, 1.3))
    each = torch.linspace(-1, 1, 16)
    moved = path.shift(codes, each)
    torch.testing.assert_close(moved[3:4], path.shift(codes[3:4], float(each[3])))


def test_the_penalty_makes_waves_whatever_the_size_of_u():
    generator = world("anisotropic", dim=8, factors=3)
    mover = PotentialFlow(n_directions=2, physics=1.0, hidden=4)._mover(generator, "z", 0)
    codes, index = generator.sample(64, seed=1), torch.arange(64) % 2
    by = mover.scale * mover.reach * torch.linspace(-1, 1, 64)
    adam = torch.optim.Adam(mover.parameters(), lr=0.02)
    first = mover.penalty(codes, index, by)
    for _ in range(60):
        adam.zero_grad()
        mover.penalty(codes, index, by).backward()
        adam.step()
    last = mover.penalty(codes, index, by)
    assert last < 0.3 * first
    x, t, u = codes / mover.scale, torch.ones(64), mover.of(index)
    ratio = [
        v.wave(x, t, 3.0).square().mean() / v.gradient(x, t).square().sum(1).mean()
        for v in (u, u._replace(outer=7 * u.outer))
    ]
    torch.testing.assert_close(*ratio)


def test_a_run_is_the_same_again_and_goes_on(tmp_path):
    generator = world(dim=8, factors=3)
    method = PotentialFlow(n_directions=3, **SMALL)
    bank = method.discover(generator, seed=2, checkpoint=tmp_path / "run")
    for run in (None, tmp_path / "run"):
        assert torch.equal(
            bank.matrix(), method.discover(generator, seed=2, checkpoint=run).matrix()
        )


@pytest.mark.slow
def test_paths_are_where_the_image_changes():
    """Of twelve dimensions three change the image: each flow takes one, nearer waves if asked."""
    generator = planted(factors=3, dim=12, nuisances=0, size=8)
    generator.__class__ = Grainy
    settings = {"n_codes": 256, "rate": 2e-2, "precision": "float32"}
    found, start, wavy = (
        PotentialFlow(n_directions=3, steps=s, hidden=8, physics=p, **settings).discover(generator)
        for s, p in ((400, 1e-2), (1, 1e-2), (400, 1e-1))
    )
    within = inside(found, generator.truth)
    assert within.min() > 0.95 > 0.75 > inside(start, generator.truth).mean()
    assert found.provenance["accuracy"] > 0.8 > 0.5 > start.provenance["accuracy"]
    waves, others = (sum(d.evidence["residual"] for d in b.directions) for b in (wavy, found))
    assert waves < 0.7 * others


def test_bad_input_is_named():
    with pytest.raises(LatdirError, match="hidden 0 must be at least 1"):
        PotentialFlow(hidden=0)
    u = Potential(torch.ones(3, 2), torch.zeros(3), torch.ones(3, 3), torch.ones(3))
    owner = "toy", "0" * 64
    with pytest.raises(LatdirError, match=r"they must be \[d\], \[h, d\], \[h\], \[h, m\] and"):
        PotentialPath("a", "z", 1.0, 1.0, 1.0, 1.0, torch.zeros(3), u, *owner)
    with pytest.raises(LatdirError, match=r"and length 0\.0: all four are positive"):
        PotentialPath("a", "z", 1.0, 1.0, 1.0, 0.0, torch.zeros(2), u, *owner)
