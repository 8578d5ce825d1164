"""Inversion against what is known of small generators."""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from sklearn.kernel_ridge import KernelRidge

from directions import invert
from directions.errors import LatdirError, SpaceError, UnknownNameError
from directions.generators.dcgan import digiface64
from directions.inversion import (
    Best,
    Degradation,
    Fitted,
    LevenbergMarquardt,
    Mean,
    Ridge,
    Typicality,
    find_solver,
    fitted,
    psnr,
)
from directions.scoring.rendering import Rendering
from tests.directions.inversion.worlds import bent, linear, pair
from tests.unchecked import unchecked

fitted_module = sys.modules["directions.inversion.fitted"]


class Half(Degradation):
    """Averages of 2×2 pixels."""

    @property
    def config(self):
        return {"degradation": "half"}

    def __call__(self, images):
        return torch.nn.functional.avg_pool2d(images, 2)


def test_a_linear_generator_is_inverted_in_one_step():
    world = linear()
    codes, images = pair(world, 5)
    solver = LevenbergMarquardt(steps=1, damping=1e-9, tolerance=1e-6)
    found = invert(world, images, solver=solver, start="mean")
    assert (found.codes - codes).abs().max() < 1e-4
    assert found.steps.tolist() == [1] * 5
    assert set(found.statuses) == {"converged"}


def test_the_optimum_is_that_of_scipy():
    # Images that no code makes: the least squares solution is inside.
    world = bent()
    codes, images = pair(world, 4)
    rng = torch.Generator().manual_seed(0)
    images = images + 0.1 * torch.randn(images.shape, generator=rng)
    found = invert(world, images, start=codes, restarts=0)
    for i in range(4):

        def residual(z, i=i):
            with torch.no_grad():
                made = world.synthesize(torch.tensor(z, dtype=torch.float32)[None])
            return ((made - images[i]) / images[i].numel() ** 0.5).flatten().double().numpy()

        best = least_squares(residual, codes[i].numpy().astype(float), diff_step=1e-3)
        assert float(found.costs[i]) <= 2 * best.cost * 1.001
        assert np.abs(found.codes[i].numpy() - best.x).max() < 0.02


def test_gradients_are_asked_for_once_a_generator():
    world = bent()
    codes, images = pair(world, 1)
    calls = []
    inner = world.synthesize
    world.synthesize = lambda *given: calls.append(given) or inner(*given)
    counts = []
    for _ in range(2):
        calls.clear()
        invert(world, images, start=codes, solver=find_solver("lbfgs"), restarts=0)
        counts.append(len(calls))
    assert counts[0] == counts[1] + 1


def test_the_result_is_rendered_again_to_the_reported_cost():
    world = bent()
    _, images = pair(world, 5)
    found = invert(world, images + 0.05, start="best")
    made = found.reconstruct(batch_size=2)
    error = (made - images - 0.05).square().flatten(1).mean(1)
    torch.testing.assert_close(error, found.costs, rtol=1e-4, atol=1e-12)
    torch.testing.assert_close(psnr(made, images + 0.05), found.psnr, rtol=1e-4, atol=0)
    assert found.record["fingerprint"] == world.fingerprint
    found.check(world)
    with pytest.raises(LatdirError, match="found with bent, and linear has another fingerprint"):
        found.check(linear())


def test_results_depend_on_neither_batch_nor_order():
    world = bent()
    _, images = pair(world, 7)
    whole = invert(world, images)
    backward = invert(world, images.flip(0), rendering=Rendering(batch_size=3))
    torch.testing.assert_close(backward.codes.flip(0), whole.codes, rtol=0, atol=1e-3)
    assert backward.statuses[::-1] == whole.statuses
    assert whole.psnr.min() > 60
    alone = invert(world, images[2:3])
    torch.testing.assert_close(alone.codes[0], whole.codes[2], rtol=0, atol=1e-3)


def test_a_dead_image_fails_alone():
    world = bent()
    _, images = pair(world, 3)
    clean = invert(world, images)
    images[1] = torch.nan
    found = invert(world, images)
    assert found.statuses == (clean.statuses[0], "failed", clean.statuses[2])
    assert torch.isfinite(found.codes).all()
    assert found.psnr[1].isnan()
    torch.testing.assert_close(found.codes[::2], clean.codes[::2], rtol=0, atol=1e-3)


def test_an_image_out_of_range_says_so_with_a_typical_code_beside_it():
    world = bent()
    noise = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = invert(world, noise)
    assert found.statuses == ("out of range", "out of range")
    assert (found.psnr < 35).all()
    assert (found.typical_psnr <= found.psnr + 1e-3).all()
    assert (found.typical_psnr > 0).all()
    once = invert(world, noise, restarts=0)
    assert once.statuses == ("stagnated", "stagnated")
    assert (found.costs <= once.costs * 1.0001).all()


def test_a_degradation_is_inverted_through():
    world = bent()
    _, images = pair(world, 4)
    found = invert(world, Half()(images), degradation=Half())
    assert found.record["degradation"] == {"degradation": "half"}
    assert (found.psnr > 60).all()
    torch.testing.assert_close(Half()(found.reconstruct()), Half()(images), rtol=0, atol=3e-3)


@pytest.mark.parametrize("start", ["mean", "best", "ridge", Best(count=8), Ridge(count=128)])
def test_every_start_leads_there(start):
    world = bent()
    _, images = pair(world, 3)
    assert (invert(world, images, start=start).psnr > 60).all()


def test_the_mean_of_the_built_in_generator_is_moved_off():
    # There all first ReLUs are off, and the image does not change with the code.
    generator = digiface64()
    mean = torch.zeros(1, 100)
    assert generator.linearize_batch(mean).push(torch.ones(1, 100)).abs().max() == 0
    _, images = pair(generator, 1)
    found = invert(generator, images, start=Mean(), solver=LevenbergMarquardt(steps=3), restarts=0)
    with torch.no_grad():
        before = psnr(generator.synthesize(mean), images)
    assert found.psnr > before + 3


def test_a_folder_keeps_the_fit(tmp_path, monkeypatch):
    world = bent()  # with kernels
    assert fitted(world, space="z", count=100).dual.numel()
    monkeypatch.setattr(fitted_module, "_memory", OrderedDict())
    _, images = pair(world, 2)
    first = invert(world, images, start=Ridge(count=100, folder=tmp_path))
    [file] = tmp_path.iterdir()
    written = file.read_bytes()
    monkeypatch.setattr(fitted_module, "_memory", OrderedDict())
    again = invert(world, images, start=Ridge(count=100, folder=tmp_path))
    assert torch.equal(first.codes, again.codes)
    assert file.read_bytes() == written


def test_kernels_are_regressed_on_where_they_come_nearer():
    assert not fitted(linear(), space="z", count=256).dual.numel()
    world = bent()
    fit = fitted(world, space="z", count=256)
    assert len(fit.dual) == len(fit.coarse) == 256
    codes, images = pair(world, 64)
    reference = KernelRidge(
        kernel="rbf", gamma=fitted_module.WIDTH / fit.median, alpha=fit.penalty
    ).fit(fit.coarse.numpy(), (fit.codes - fit.codes.mean(0)).numpy())
    expected = reference.predict(images.flatten(1).numpy()) + fit.codes.mean(0).numpy()
    np.testing.assert_allclose(fit.predicted(images).numpy(), expected, atol=2e-3)
    straight = replace(fit, dual=fit.dual[:0])
    with torch.no_grad():
        gain = psnr(world.synthesize(fit.predicted(images)), images) - psnr(
            world.synthesize(straight.predicted(images)), images
        )
    assert gain.mean() > 1
    held = (fit.predicted(images) - codes).square().sum() / codes.square().sum()
    assert abs(1 - float(held) - fit.explained) < 0.1


def test_samples_nearest_to_an_image_are_moved_by_the_regression_of_the_difference():
    rng = torch.Generator().manual_seed(0)
    images, codes = torch.rand(5, 3, 4, 4, generator=rng), torch.randn(5, 6, generator=rng)
    weight, none = torch.randn(48, 6, generator=rng), torch.empty(0, 0)
    fit = Fitted(codes, images.flatten(1), weight, none, none, none, 1.0, 1.0)
    seen = images[[3]] + 0.01
    order = (images - seen).flatten(1).norm(dim=1).argsort()
    assert order[0] == 3
    for rank in (0, 1):
        i = order[rank]
        expected = codes[i] + (seen[0] - images[i]).flatten() @ weight
        torch.testing.assert_close(fit.near(seen, rank=rank)[0], expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("face.png", r"images is a tensor or array, not 'face\.png'"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), r"from_uint8\(images\) converts bytes"),
        (torch.zeros(3, 4, 4), r"add a batch axis with images\[None\]"),
        (torch.zeros(1, 3, 8, 8), r"not \[1, 3, 8, 8\]: directions\.images\.resize\(images"),
        (torch.zeros(1, 1, 4, 4), r"are \[n, 3, 4, 4\], not \[1, 1, 4, 4\]"),
        (torch.zeros(0, 3, 4, 4), "there are no images: give at least one"),
        (torch.full((1, 3, 4, 4), torch.nan), "NaN or infinite pixels"),
        (torch.full((1, 3, 4, 4), 200.0), r"as large as 200: write images / 127\.5 - 1"),
    ],
)
def test_images_that_are_refused(images, message):
    with unchecked(), pytest.raises(LatdirError, match=message):
        invert(linear(), images)


def test_other_arguments_that_are_refused():
    world = linear()
    _, images = pair(world, 2)
    with pytest.raises(UnknownNameError, match="has no space 'w': it has z"):
        invert(world, images, space="w")
    with pytest.raises(SpaceError, match="are compared with as many of the same size, not with"):
        psnr(images, images[:, :1])
    with pytest.raises(LatdirError, match="count 10 must be at least 64"):
        fitted(world, space="z", count=10)
    with pytest.raises(UnknownNameError, match="no solver 'levenberg': did you mean"):
        invert(world, images, solver="levenberg")
    with pytest.raises(UnknownNameError, match="no start 'rige': did you mean 'ridge'"):
        invert(world, images, start="rige")
    with pytest.raises(SpaceError, match="1 codes to start from for 2 images"):
        invert(world, images, start=torch.zeros(1, 6))
    with pytest.raises(LatdirError, match="restarts -1 must be at least 0"):
        invert(world, images, restarts=-1)
    with pytest.raises(LatdirError, match="makes \\[3, 2, 2\\] of an image of linear"):
        invert(world, images, degradation=Half())


@pytest.mark.parametrize("name", ["hybrid", "lbfgs", "levenberg_marquardt"])
def test_a_prior_gives_the_ridge_solution(name):
    world = linear()
    codes, images = pair(world, 3)
    found = invert(world, images, solver=find_solver(name, prior=0.05), start="mean", restarts=0)
    basis = torch.eye(6)
    with torch.no_grad():
        base = world.synthesize(0 * basis[:1]).flatten()
        columns = (world.synthesize(basis).flatten(1) - base) / base.numel() ** 0.5
    gram = columns @ columns.T + 0.05 / 6 * basis
    right = (images.flatten(1) - base) / base.numel() ** 0.5 @ columns.T
    expected = torch.linalg.solve(gram, right.T).T
    torch.testing.assert_close(found.codes, expected, rtol=0, atol=2e-3)
    assert (found.distances < Typicality.of(world, "z").distances(codes)).all()
    assert found.record["prior"] == 0.05
    with pytest.raises(LatdirError, match="prior -1 must be at least 0"):
        find_solver(name, prior=-1.0)
