"""The loop of tuning beside a slow one, and what locality in closed form is made of."""

from __future__ import annotations

import math

import pytest
import torch

from directions.inversion import psnr
from directions.inversion.tuning import LocalPivotal, Pivotal, local, tune
from directions.seeds import TUNING_SEED
from tests.directions.inversion.tuning.test_local import task
from tests.directions.inversion.tuning.test_pivotal import dcgan, style_generator, target

FEW = LocalPivotal(steps=10, first_block=0, probes=8, locality=2.0, style_rate=0.05, rate=0.02)


def test_local_tuning_is_its_slow_loop() -> None:
    """Adam (0.9, 0.9), a rate for styles, both falling in the last three tenths, the best kept."""
    generator = style_generator()
    codes, images, space = target(generator)
    changes = local._Whitened(task(generator, codes, images, space), FEW)
    products = [*changes.left.values(), *changes.right.values()]
    styles = [*changes.styles.values()]
    adams = [torch.optim.Adam(part, lr=1.0, betas=(0.9, 0.9)) for part in (products, styles)]
    average, best, kept = math.nan, math.inf, generator
    for step in range(11):
        off = (changes.tuned().synthesize(codes, space) - images).square().mean()
        cost = off + 2.0 * changes.drift()
        now = cost.item()
        average = now if step == 0 else 0.9 * average + 0.1 * now
        if average < best:
            best = average
            with torch.no_grad():
                kept = changes.tuned()
        for adam, rate in zip(adams, (0.02, 0.05), strict=True):
            adam.param_groups[0]["lr"] = rate * min(1.0, (10 - step) / 3)
            adam.zero_grad()
        cost.backward()
        for adam in adams:
            adam.step()
    made = tune(generator, images, codes, method=FEW, progress=False)
    expected = kept.synthesize(codes, space)
    torch.testing.assert_close(made.generator.synthesize(codes, space), expected, atol=2e-3, rtol=0)
    assert float((expected - generator.synthesize(codes, space)).abs().mean()) > 0.02


def test_weights_that_are_worse_than_before_are_not_kept() -> None:
    generator = dcgan()
    codes, images, _ = target(generator)
    wild = Pivotal(form="full", steps=3, rate=3.0, locality=0.0, falling=False)
    made = tune(generator, images, codes, method=wild, progress=False)
    assert not any(change["added"].any() for change in made.deltas.changes.values())


def test_what_tuning_reached_is_measured_on_images_and_on_others() -> None:
    generator = dcgan()
    codes, images, space = target(generator)
    made = tune(generator, images, codes, method=FEW, progress=False)
    probe = generator.sample(64, seed=TUNING_SEED, space=space)
    torch.testing.assert_close(
        made.before, psnr(generator.synthesize(codes), images), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        made.psnr, psnr(made.generator.synthesize(codes), images), atol=1e-3, rtol=0
    )
    others = psnr(made.generator.synthesize(probe), generator.synthesize(probe))
    torch.testing.assert_close(made.others, others, atol=1e-2, rtol=0)


@pytest.mark.parametrize(("near", "done"), [(0.1, False), (0.3, True)])
def test_it_is_done_when_the_worst_image_is(near: float, done: bool) -> None:
    far = torch.full((2,), 1.0)
    assert Pivotal(near=near)._done(far, torch.tensor([0.05, 0.2])) == done
    errors = 4 / 10 ** (torch.tensor([40.0, 34.0]) / 10)
    assert Pivotal(goal=33.9)._done(errors, far)
    assert not Pivotal(goal=34.1)._done(errors, far)


def test_coordinates_are_the_inverse_roots_of_both_moments() -> None:
    """Shampoo's factors: G Gᵀ over rows and over columns, of random projections of images."""
    generator = dcgan()
    codes, images, space = target(generator)
    own, probes = local._tuned(generator, 0), generator.sample(8, seed=0)
    found = local._coordinates(task(generator, codes, images, space), own, probes)
    draw = torch.Generator().manual_seed(0)
    free = {key: weight.clone().requires_grad_() for key, weight in own.items()}
    parts = []
    for part in probes.split(4):
        made = generator.with_weights(free).synthesize(part)
        direction = torch.randn(made.shape, generator=draw)
        parts.append(torch.autograd.grad((made * direction).sum(), list(free.values())))
    for number, (key, weight) in enumerate(own.items()):
        rows, columns = (
            sum(torch.einsum(rule, part[number], part[number]) for part in parts) / 8
            for rule in ("iokl,jokl->ij", "oikl,ojkl->ij")
        )
        scale = local.UNIT * math.sqrt(math.prod(generator.image_shape) / float(rows.trace()))
        for got, moment, size in ((found[key][0], rows, 1.0), (found[key][1], columns, scale)):
            whole = moment * len(moment) / moment.trace() + 1e-2 * torch.eye(len(moment))
            torch.testing.assert_close(
                got @ whole @ got, size**2 * torch.eye(len(moment)), atol=1e-3 * size**2, rtol=0
            )
        assert len(rows) == weight.shape[0]


def test_a_gate_is_the_smallest_vector_that_is_one_at_its_pivot() -> None:
    """M⁻¹w / wᵀM⁻¹w of one pivot, M the second moment of w."""
    generator = style_generator()
    codes, images, space = target(generator)
    gates = local._gates(task(generator, codes[:1], images[:1], space))
    prior = generator.prior("w")
    moment = prior.covariance + prior.mean.outer(prior.mean)
    moment += 1e-3 * prior.covariance.diagonal().mean() * torch.eye(len(moment))
    toward = torch.linalg.solve(moment.double(), codes[0].double())
    expected = (toward / (toward @ codes[0].double())).float()
    for gate in gates.values():
        torch.testing.assert_close(gate[0], expected, atol=1e-3, rtol=1e-3)
