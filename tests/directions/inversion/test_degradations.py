"""Degradations: transposes, references, and images recovered through them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from directions import invert
from directions.errors import LatdirError
from directions.generators.dcgan import digiface64
from directions.inversion import (
    KERNELS,
    Blur,
    Chain,
    Crop,
    Degraded,
    Gray,
    LevenbergMarquardt,
    Mask,
    Noise,
    Ridge,
    Shrink,
    psnr,
    transpose,
)
from tests.directions.inversion.worlds import bent, linear, pair


def hole(height, width):
    visible = torch.ones(height, width, dtype=torch.bool)
    visible[height // 4 : height // 2, width // 3 : width // 2] = False
    return Mask(visible)


KINDS = [
    hole(12, 16),
    *(Shrink(4, kernel) for kernel in KERNELS),
    Shrink(3, "lanczos"),
    Blur(1.5),
    Gray(),
    Crop(2, 3, 5, 7),
    Noise(0.1),
    Chain((Blur(0.7), Shrink(2), Gray())),
    Degraded(lambda images: images.flip(-1) * 0.5),
]


@pytest.mark.parametrize("degradation", KINDS, ids=lambda d: type(d).__name__)
def test_the_transpose_is_that_of_the_matrix(degradation):
    basis = torch.eye(3 * 12 * 16).reshape(-1, 3, 12, 16)
    matrix = degradation(basis).flatten(1)
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 12, 16, generator=rng)
    seen = degradation(images)
    torch.testing.assert_close(seen.flatten(1), images.flatten(1) @ matrix, rtol=1e-5, atol=1e-5)
    other = torch.randn(seen.shape, generator=rng)
    pulled = transpose(degradation, other, (3, 12, 16)).flatten(1)
    torch.testing.assert_close(pulled, other.flatten(1) @ matrix.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("degradation", KINDS[1:8], ids=lambda d: str(d.config))
def test_a_uniform_image_stays_as_bright(degradation):
    seen = degradation(torch.full((1, 3, 12, 16), 0.3))
    torch.testing.assert_close(seen, torch.full_like(seen, 0.3))


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_shrinking_is_that_of_torch(kernel):
    images = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    theirs = functional.interpolate(images, (8, 12), mode=kernel, antialias=True)
    torch.testing.assert_close(Shrink(4, kernel)(images), theirs, rtol=0, atol=1e-5)


def test_shrinking_by_area_and_lanczos_is_that_of_pooling_and_pillow():
    images = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(Shrink(4)(images), functional.avg_pool2d(images, 4))
    one = Image.fromarray(images[0, 0].numpy()).resize((12, 8), Image.Resampling.LANCZOS)
    torch.testing.assert_close(
        Shrink(4, "lanczos")(images)[0, 0], torch.from_numpy(np.array(one)), rtol=0, atol=1e-5
    )


def test_what_is_in_the_hole_does_not_count():
    world = linear()
    _, images = pair(world, 3)
    mask = hole(*images.shape[2:])
    torn = torch.where(mask.visible, images, 5.0)
    found = invert(world, torn, degradation=mask, start="mean")
    assert found.psnr.min() > 90
    torch.testing.assert_close(found.reconstruct(), images, rtol=0, atol=1e-3)
    given = invert(world, mask(images), degradation=mask, start="mean")
    torch.testing.assert_close(given.codes, found.codes, rtol=0, atol=1e-5)


def test_the_most_probable_code_of_a_noisy_image_is_that_of_ridge():
    world = linear()
    codes, images = pair(world, 6)
    rng = torch.Generator().manual_seed(2)
    noise = 0.5
    noisy = images + noise * torch.randn(images.shape, generator=rng)
    found = invert(world, noisy, degradation=Noise(noise), start="mean")
    d = codes.shape[1]
    basis = torch.eye(d)
    center = world.synthesize(torch.zeros(1, d)).flatten(1)
    matrix = world.synthesize(basis).flatten(1) - center
    gram = matrix @ matrix.T + noise**2 * torch.eye(d)
    ridge = torch.linalg.solve(gram, matrix @ (noisy.flatten(1) - center).T).T
    torch.testing.assert_close(found.codes, ridge, rtol=0, atol=2e-2)
    assert set(found.statuses) == {"converged"}
    # A claim of less noise than there is makes of the same images what no code explains.
    assert set(invert(world, noisy, degradation=Noise(0.1), start="mean").statuses) == {
        "out of range"
    }


def test_records_tell_degradations_apart():
    kinds = [*KINDS, Mask(torch.ones(12, 16)), Shrink(2), Noise(0.2), Degraded(torch.tanh)]
    assert len({str(kind.config) for kind in kinds}) == len(kinds)


def test_a_chain_has_the_noise_of_its_last_part():
    assert Chain((Gray(), Noise(0.2))).noise == 0.2
    assert Chain((Gray(), Shrink(2))).noise == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mask(torch.zeros(4, 4)), "hides every pixel"),
        (lambda: Mask(torch.ones(3, 4, 4)), r"a mask is \[height, width\]"),
        (lambda: Mask(torch.ones(8, 8))(torch.zeros(1, 3, 4, 6)), "mask is 8×8 and the image 6×4"),
        (lambda: Shrink(1), "factor"),
        (lambda: Shrink(2, "cubic"), "area"),
        (lambda: Shrink(8)(torch.zeros(1, 3, 4, 4)), "cannot shrink by 8"),
        (lambda: Blur(0.0), "above 0"),
        (lambda: Noise(-1.0), "above 0"),
        (lambda: Crop(2, 2, 4, 4)(torch.zeros(1, 3, 4, 4)), "reaches beyond"),
        (lambda: Chain(()), "a chain takes degradations"),
        (lambda: Chain((Noise(0.1), Gray())), "noise is the last part"),
        (lambda: Degraded(abs, noise=-1.0), "noise -1 must be at least 0"),
        (lambda: transpose(Gray(), torch.zeros(1, 1, 2, 2), (3,)), "shape is .3, height, width."),
        (lambda: transpose(Gray(), torch.full((1, 1, 2, 2), torch.nan), (3, 2, 2)), "are NaN or"),
        (lambda: Degraded(lambda x: x[:1])(torch.zeros(2, 3, 4, 4)), "returns n of them"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(LatdirError, match=message):
        make()


def test_images_of_another_size_than_the_degradation_makes_are_refused():
    world = linear()
    _, images = pair(world, 2)
    with pytest.raises(LatdirError, match="this degradation makes"):
        invert(world, images, degradation=Shrink(2), start="mean")


def test_each_start_has_an_answer_of_its_own():
    world = bent()
    _, images = pair(world, 1)
    few = Shrink(4)(images).expand(3, -1, -1, -1)
    found = invert(
        world, few, degradation=Shrink(4), start=world.sample(3, seed=8), restarts=0,
        solver=LevenbergMarquardt(steps=30),
    )  # fmt: skip
    made = found.reconstruct()
    assert (psnr(Shrink(4)(made), few) > 60).all()
    apart = torch.cdist(made.flatten(1), made.flatten(1))
    assert apart[~torch.eye(3, dtype=torch.bool)].min() > 0.5


@pytest.mark.slow  # about ten seconds each to fit the start
@pytest.mark.parametrize(
    ("kind", "least"), [("hole", 42), ("shrink", 40), ("gray", 40), ("noise", 15)]
)
def test_faces_are_recovered_from_what_is_left_of_them(kind, least):
    generator = digiface64()
    images = generator.synthesize(generator.sample(16, seed=77))
    if kind == "hole":
        visible = torch.ones(64, 64, dtype=torch.bool)
        visible[16:40, 20:44] = False
        degradation, noise = Mask(visible), 0.0
    elif kind == "noise":
        degradation, noise = Noise(0.1), 0.1
    else:
        degradation, noise = (Shrink(4) if kind == "shrink" else Gray()), 0.0
    seen = degradation(images)
    seen = seen + noise * torch.randn(seen.shape, generator=torch.Generator().manual_seed(0))
    found = invert(generator, seen, degradation=degradation, start=Ridge(count=2048))
    quality = float(psnr(found.reconstruct(), images).median())
    before = 10 * math.log10(4 / noise**2) if noise else 0.0
    assert quality - before >= least
