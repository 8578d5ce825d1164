"""Unknown filters, fitted along with the codes."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch

from directions import LatdirError, invert
from directions.generators.dcgan import digiface64
from directions.inversion import Blur, Filter, LevenbergMarquardt, mimic, psnr
from directions.inversion.mimic import DAMPING, LEVEL, _step
from tests.directions.inversion.worlds import bent


def test_a_filter_is_recovered_from_pairs():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(6, 3, 16, 16, generator=rng) * 2 - 1
    truth = Filter(0.2 * torch.randn(3, 3, 3, 3, generator=rng), torch.tensor([0.1, 0.0, -0.2]))
    got = Filter.fit(images, truth(images), 3)
    torch.testing.assert_close(got.kernel, truth.kernel, rtol=0, atol=2e-3)
    torch.testing.assert_close(got.bias, truth.bias, rtol=0, atol=2e-3)
    assert torch.equal(Filter.identity(5)(images), images)
    blurred = Filter.fit(images, Blur(0.7)(images), 5)
    # Borders differ: repeated here, renormalized there.
    apart = (blurred(images) - Blur(0.7)(images))[..., 4:-4, 4:-4]
    assert apart.abs().max() < 0.03
    assert got.config != truth.config == Filter(truth.kernel, truth.bias).config


def test_colors_that_were_changed_are_given_back():
    world = bent()
    codes = world.sample(24, seed=3)
    with torch.no_grad():
        images = world.synthesize(codes)
    tint = Filter(
        torch.diag(torch.tensor([0.6, 0.9, 0.7]))[..., None, None], torch.tensor([0.2, 0, 0])
    )
    found = mimic(world, tint(images), size=1, rounds=3)
    assert psnr(found.reconstruct(), images).median() > 100
    torch.testing.assert_close(found.degradation.weights, tint.weights, rtol=0, atol=1e-5)
    assert found.record["mimic"] == {"size": 1, "rounds": 3, "steps": 4}
    assert found.record["degradation"]["kind"] == "filter"


def faces(count: int) -> torch.Tensor:
    generator = digiface64()
    with torch.no_grad():
        return generator.synthesize(generator.sample(count, seed=77))


def test_a_filter_matches_statistics_of_images_without_partners():
    images = faces(192)
    own, others = images[:96], images[96:]
    mixed = torch.tensor([[0.6, 0.1, 0.0], [0.1, 0.7, 0.2], [0.0, 0.2, 0.9]])
    for truth in (
        lambda x: 0.8 * Blur(1.0)(x) + 0.1,
        lambda x: torch.einsum("cd,ndhw->nchw", mixed, x) - 0.1,
    ):
        got = Filter.matching(own, truth(others), 5)
        assert psnr(got(others), truth(others)).median() > 33  # 15 to 20 of the identity
        torch.testing.assert_close(got.kernel, got.kernel.flip(2, 3))
        same = Filter.matching(own, truth(own), 5)
        assert psnr(same(own), truth(own)).median() > 40
    # Gray images have one channel's worth of statistics.
    gray = own.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    dark = Filter.matching(gray, 0.5 * gray, 3)
    assert psnr(dark(gray), 0.5 * gray).median() > 60


@pytest.mark.slow  # about 60 s
def test_faces_through_an_unknown_blur_and_tint():
    images = faces(12)
    seen = 0.8 * Blur(1.0)(images) + 0.1
    found = mimic(digiface64(), seen)
    quality = psnr(found.reconstruct(), images)
    assert quality.median() > psnr(seen, images).median() + 30
    assert (quality > 40).float().mean() > 0.9


def test_a_step_is_that_of_all_unknowns_at_once(monkeypatch):
    # Of the size that is used its effect is below rounding.
    firmness = 0.1
    monkeypatch.setattr(import_module("directions.inversion.mimic"), "FIRMNESS", firmness)
    world, n = bent(), 3
    codes = world.sample(n, seed=5)
    with torch.no_grad():
        observed = 0.7 * world.synthesize(codes) + 0.1
    near = codes + 0.1 * world.sample(n, seed=6)
    first, now = Filter.identity(3), Filter(0.9 * Filter.identity(3).kernel, torch.full((3,), 0.05))
    found = invert(
        world, observed, start=near, degradation=now, restarts=0,
        solver=LevenbergMarquardt(steps=1, target=-50.0),
    )  # fmt: skip
    assert torch.equal(found.codes, near)
    stepped, moved = _step(found, now, first, observed, torch.eye(6))

    def residuals(weights: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        rows = now.regressors(world.synthesize(codes))
        return observed.flatten(2) - (rows @ weights.T).mT

    known = now.weights
    by_weight, by_code = torch.autograd.functional.jacobian(residuals, (known, near))
    rest = residuals(known, near).detach().double()
    scale = (1 / (found.costs + LEVEL)).double().sqrt()
    square = torch.zeros(84 + 18, 84 + 18, dtype=torch.float64)
    right = torch.zeros(84 + 18, dtype=torch.float64)
    for i in range(n):
        own = -by_code[i].flatten(0, 1)[:, i].double()
        joint = torch.zeros(48, 84 + 18, dtype=torch.float64)
        joint[:, :84] = -by_weight[i].reshape(48, 84)
        joint[:, 84 + 6 * i : 90 + 6 * i] = own
        square += (scale[i] * joint).T @ (scale[i] * joint)
        right += scale[i] ** 2 * joint.T @ rest[i].flatten()
        damping = DAMPING * own.square().sum() / 6
        square.diagonal()[84 + 6 * i : 90 + 6 * i] += scale[i] ** 2 * damping
    firm = firmness * square.diagonal()[:84].mean()
    square.diagonal()[:84] += firm
    right[:84] += firm * (first.weights - known).flatten()
    change = torch.linalg.solve(square, right).float()
    torch.testing.assert_close(
        stepped.weights, known + change[:84].reshape(3, 28), rtol=0, atol=1e-4
    )
    torch.testing.assert_close(moved, near + change[84:].reshape(3, 6), rtol=0, atol=1e-4)


def test_one_damaged_image_does_not_touch_the_others():
    world = bent()
    with torch.no_grad():
        images = 0.5 * world.synthesize(world.sample(4, seed=3))
    images[1, 0, 0, 0] = torch.nan
    found = mimic(world, images, size=1, rounds=1, steps=2)
    assert [i for i, status in enumerate(found.statuses) if status == "failed"] == [1]
    assert found.costs[[0, 2, 3]].isfinite().all()
    assert found.codes.isfinite().all()


def test_refusals(monkeypatch):
    world = bent()
    with pytest.raises(LatdirError, match="size 4 of a filter must be odd"):
        mimic(world, torch.zeros(1, 3, 4, 4), size=4)
    with pytest.raises(LatdirError, match="size 5 of a filter is beyond images of 4×4"):
        mimic(world, torch.zeros(1, 3, 4, 4), size=5)
    broken = bent()
    monkeypatch.setattr(
        broken, "inference", lambda **_: lambda z: torch.nan * z.new_ones(3, 3, 4, 4)
    )
    with pytest.raises(LatdirError, match="bent makes images with NaN or infinite pixels"):
        mimic(broken, torch.zeros(1, 3, 4, 4), size=1)
    with pytest.raises(LatdirError, match="the images have NaN or infinite pixels"):
        mimic(world, torch.full((1, 3, 4, 4), torch.nan), size=1)
    with pytest.raises(
        LatdirError, match=r"images are a batch, one row an image, not of shape \[\]"
    ):
        mimic(world, torch.zeros(()))
    with pytest.raises(LatdirError, match="size 2 of a filter must be odd"):
        Filter(torch.zeros(3, 3, 2, 2), torch.zeros(3))
    with pytest.raises(LatdirError, match="bias: 3 of 3 values are NaN or infinite"):
        Filter(torch.zeros(3, 3, 1, 1), torch.full((3,), torch.nan))
