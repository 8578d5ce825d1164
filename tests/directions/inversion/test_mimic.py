"""Unknown filters, fitted along with the codes."""

from __future__ import annotations

import pytest
import torch

from directions import LatdirError, invert
from directions.generators.dcgan import digiface64
from directions.inversion import Blur, Filter, LevenbergMarquardt, mimic, psnr
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
    found = mimic(world, tint(images), size=1, rounds=6)
    plain = invert(
        world, tint(images), solver=LevenbergMarquardt(), start="best", restarts=0
    ).reconstruct()
    assert psnr(found.reconstruct(), images).median() > psnr(plain, images).median() + 10
    assert found.record["mimic"] == {"size": 1, "rounds": 6, "steps": 4}
    assert found.record["degradation"]["kind"] == "filter"


@pytest.mark.slow  # about a minute
def test_faces_through_an_unknown_blur_and_tint():
    generator = digiface64()
    with torch.no_grad():
        images = generator.synthesize(generator.sample(24, seed=77))
    seen = 0.8 * Blur(1.0)(images) + 0.1
    found = mimic(generator, seen)
    assert psnr(found.reconstruct(), images).median() > psnr(seen, images).median() + 8


def test_refusals():
    world = bent()
    with pytest.raises(LatdirError, match="size 4 of a filter must be odd"):
        mimic(world, torch.zeros(1, 3, 4, 4), size=4)
    with pytest.raises(
        LatdirError, match=r"images are a batch, one row an image, not of shape \[\]"
    ):
        mimic(world, torch.zeros(()))
    with pytest.raises(LatdirError, match="size 2 of a filter must be odd"):
        Filter(torch.zeros(3, 3, 2, 2), torch.zeros(3))
    with pytest.raises(LatdirError, match="bias: 3 of 3 values are NaN or infinite"):
        Filter(torch.zeros(3, 3, 1, 1), torch.full((3,), torch.nan))
