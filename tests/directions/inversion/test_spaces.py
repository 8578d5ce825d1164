"""Codes of the prior are found again in every space, from the start that is fitted."""

from __future__ import annotations

import pytest
import torch

from directions import invert
from directions.inversion import Hybrid, NoiseMaps, Ridge
from directions.scoring.rendering import Rendering
from tests.styles import small_stylegan2

BRIEF = {
    "solver": Hybrid(target=60.0), "start": Ridge(count=128), "restarts": 0,
    "rendering": Rendering(progress=False),
}  # fmt: skip
LARGE = [pytest.param(space, marks=pytest.mark.slow) for space in ("w+", "s", "pn+")]


@pytest.mark.parametrize("space", ["z", "w", "p", "pn", *LARGE])
def test_a_code_of_the_prior_is_found_again(space):
    generator = small_stylegan2()
    codes = generator.sample(1, seed=4, space=space)
    with torch.no_grad():
        images = generator.synthesize(codes, space)
    found = invert(generator, images, space=space, **BRIEF)
    assert found.psnr > 50


@pytest.mark.slow
def test_noise_maps_beside_w():
    generator = NoiseMaps(small_stylegan2(), space="w")
    with torch.no_grad():
        images = generator.synthesize(generator.sample(1, seed=4))
    assert invert(generator, images, **BRIEF).psnr > 50


def test_z_is_found_from_w():
    generator = small_stylegan2()
    w = generator.sample(1, seed=4, space="w")
    with torch.no_grad():
        images = generator.synthesize(w, "w")
    found = invert(generator, images, space="z", **BRIEF)
    assert found.psnr > 50
    torch.testing.assert_close(generator.map(found.codes, "z", "w"), w, rtol=0, atol=0.1)
