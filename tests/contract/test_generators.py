"""What every generator must do, whatever it is."""

import re
import warnings

import pytest
import torch
from torch import nn

from directions import LatdirError
from directions.generators.base import BLOCK, Generator
from directions.generators.checks import check_images
from directions.generators.dcgan import DCGAN, digiface64
from directions.generators.stylegan.generator import StyleGenerator
from directions.generators.stylegan.stylegan2_generator import styleface64
from directions.generators.wrap import wrap
from tests.styles import small_progan, small_stylegan1, small_stylegan2
from tests.waves import small_biggan, small_stylegan3
from tests.worlds import WORLDS, Mapped, world


def small_dcgan():
    rng = torch.Generator().manual_seed(0)
    widths = (6, 16, 8, 1)
    state = {}
    for i in range(3):
        weight = torch.randn(widths[i], widths[i + 1], 4, 4, generator=rng)
        state[f"main.{3 * i}.weight"] = weight / widths[i] ** 0.5
    for i in range(2):
        for part in ("weight", "bias", "running_mean", "running_var"):
            value = torch.rand(widths[i + 1], generator=rng) + 0.5
            state[f"main.{3 * i + 1}.{part}"] = value
    return DCGAN(state)


def wrapped():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(10, 3 * 64), nn.Sigmoid(), nn.Unflatten(1, (3, 8, 8)))
    return wrap(net, latent_dim=10, pixels="0..1", name="wrapped")


GENERATORS = {
    **{name: (lambda name=name: world(name)) for name in WORLDS},
    "mapped": lambda: Mapped(world("anisotropic")),
    "small_dcgan": small_dcgan,
    "digiface64": digiface64,
    "styleface64": styleface64,
    "wrapped": wrapped,
    "small_stylegan2": small_stylegan2,
    "small_stylegan1": small_stylegan1,
    "small_progan": small_progan,
    "small_stylegan3_t": small_stylegan3,
    "small_stylegan3_r": lambda: small_stylegan3(radial=True),
    "small_biggan": small_biggan,
}


@pytest.fixture(scope="module", params=GENERATORS)
def generator(request):
    return GENERATORS[request.param]()


def every_space(generator):
    return [(name, generator.sample(5, seed=1, space=name)) for name in generator.spaces]


def test_images_are_images_in_every_space(generator):
    for name, codes in every_space(generator):
        images = generator.synthesize(codes, name)
        check_images(images, name=generator.name, count=5)
        assert images.dtype == torch.float32
        assert tuple(images.shape[1:]) == generator.image_shape
        if not isinstance(generator, StyleGenerator):  # whose last layer is not bounded
            assert images.abs().max() <= 1.001
        assert (images[0] - images[1]).abs().max() > 1e-3


def test_codes_depend_on_nothing_but_seed_and_place(generator):
    for name in generator.spaces:
        whole = generator.sample(2 * BLOCK + 7, seed=11, space=name)
        parts = [(0, 1), (1, BLOCK), (BLOCK + 1, 3), (BLOCK + 4, BLOCK + 3)]
        pieces = [generator.sample(n, seed=11, start=s, space=name) for s, n in parts]
        assert torch.equal(torch.cat(pieces), whole)
        assert not torch.equal(generator.sample(7, seed=12, space=name), whole[:7])
        assert len(whole.unique(dim=0)) == len(whole)


def test_prior_is_what_codes_are_drawn_from(generator):
    for name in generator.spaces:
        prior = generator.prior(name)
        codes = generator.sample(20_000, seed=3, space=name).flatten(1)
        scale = prior.covariance.diagonal().max()
        # Whitening sorts axes of like variance by chance, and fits the codes it was learned from.
        near = 0.1 if name.startswith("pn") else 0.06
        torch.testing.assert_close(torch.cov(codes.T), prior.covariance, atol=near * scale, rtol=0)
        torch.testing.assert_close(codes.mean(0), prior.mean, atol=0.05 * scale**0.5, rtol=0)


def test_truncation_draws_codes_to_the_mean(generator):
    for name in generator.spaces:
        style = isinstance(generator, StyleGenerator)
        if style and name == "z":
            with pytest.raises(LatdirError, match="truncation in z changes nothing"):
                generator.sample(4, seed=1, space=name, truncation=0.5)
            continue
        full = generator.sample(4, seed=1, space=name)
        mean = generator.sample(4, seed=1, space=name, truncation=0.0)
        assert torch.equal(mean, mean[:1].expand_as(mean)) or torch.allclose(mean, mean[:1])
        if not style:
            expected = generator.prior(name).mean.reshape(full[0].shape)
            torch.testing.assert_close(mean[0], expected)
        if name not in ("p", "pn", "pn+"):
            half = generator.sample(4, seed=1, space=name, truncation=0.5)
            torch.testing.assert_close(half, mean + 0.5 * (full - mean))


def test_inference_makes_the_same_images(generator):
    for name, codes in every_space(generator):
        images = generator.synthesize(codes, name)
        fast = generator.inference(space=name)(codes)
        torch.testing.assert_close(fast, images, atol=5e-5, rtol=0)
        assert not fast.requires_grad
        half = generator.inference(precision="bfloat16", space=name)(codes)
        assert half.dtype == torch.float32
        assert (half - images).abs().mean() < 0.003


def test_gradients_reach_the_codes(generator):
    for name, codes in every_space(generator):
        leaf = codes.clone().requires_grad_()
        loss = generator.synthesize(leaf, name).square().sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
        assert torch.isfinite(gradient).all()
        assert gradient.flatten(1).norm(dim=1).min() > 0


def test_mapping_keeps_the_image(generator):
    first, *others = generator.spaces
    codes = generator.sample(4, seed=5)
    images = generator.synthesize(codes, first)
    for name in others:
        there = generator.map(codes, first, name)
        assert torch.equal(there, generator.sample(4, seed=5, space=name)) or torch.allclose(
            there, generator.sample(4, seed=5, space=name), atol=1e-5
        )
        torch.testing.assert_close(generator.synthesize(there, name), images, atol=1e-4, rtol=0)


def test_nothing_outside_is_touched(generator):
    state = torch.random.get_rng_state()
    for name, codes in every_space(generator):
        before = codes.clone()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            generator.synthesize(codes, name)
            generator.inference(space=name)(codes)
        assert torch.equal(codes, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_fingerprint_is_the_models_own():
    prints = {name: make().fingerprint for name, make in GENERATORS.items()}
    assert all(re.fullmatch("[0-9a-f]{64}", p) for p in prints.values())
    assert len(set(prints.values())) == len(prints)
    assert prints == {name: make().fingerprint for name, make in GENERATORS.items()}


def test_style_matrix_is_the_first_map_of_the_code(generator):
    if type(generator).style_matrices is Generator.style_matrices:
        with pytest.raises(LatdirError, match="exposes no style matrices"):
            generator.style_matrices()
        return
    matrices = generator.style_matrices()
    # Style-based generators map w, all others the code of their own space.
    d = generator.space("w" if "w" in generator.spaces else next(iter(generator.spaces))).size
    assert all(m.ndim == 2 and m.shape[1] == d for m in matrices)
    with pytest.raises(LatdirError, match=r"not \[?99"):
        generator.style_matrices((99,))


def test_wrong_codes_and_spaces_are_refused(generator):
    name, space = next(iter(generator.spaces.items()))
    with pytest.raises(LatdirError, match=r"has no space 'q': it has " + re.escape(name)):
        generator.synthesize(torch.zeros(1, *space.shape), "q")
    with pytest.raises(LatdirError, match=f"codes of space '{name}' have shape"):
        generator.synthesize(torch.zeros(1, 3), name)
    with pytest.raises(LatdirError, match="must not be negative"):
        generator.sample(-1, seed=0)
    with pytest.raises(LatdirError, match=r"seed -1 must be in 0 … 2\*\*64 - 1"):
        generator.sample(1, seed=-1)


def test_batched_first_order_models_are_those_of_automatic_differentiation(generator):
    rng = torch.Generator().manual_seed(2)
    for name, codes in every_space(generator):
        codes = codes[:3]
        model = generator.linearize_batch(codes, space=name)
        plain = Generator.linearize_batch(generator, codes, space=name)
        tangents = torch.randn(codes.shape, generator=rng)
        cotangents = torch.randn(plain.value.shape, generator=rng)
        pushed, pulled = model.push(tangents), model.pull(cotangents)
        for got, expected in (
            (model.value, plain.value),
            (pushed, plain.push(tangents)),
            (pulled, plain.pull(cotangents)),
            (model.push(torch.stack([tangents, -tangents]))[1], -pushed),
            (model.pull(torch.stack([cotangents, -cotangents]))[1], -pulled),
        ):
            scale = float(expected.abs().max())
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * scale)
        left = (pushed * cotangents).flatten(1).sum(1)
        right = (pulled * tangents).flatten(1).sum(1)
        scale = pushed.flatten(1).norm(dim=1) * cotangents.flatten(1).norm(dim=1)
        assert ((left - right).abs() / scale).max() < 1e-6
