"""Generators of more than a code: what they make, and inversions that find all of it."""

from __future__ import annotations

import pytest
import torch

from directions import LatdirError, Rendering, invert, load_generator
from directions.generators.dcgan import digiface64
from directions.generators.stylegan.stylegan2 import PlainSynthesis
from directions.generators.wrap import wrap
from directions.inversion import (
    FeatureOffsets,
    Frames,
    NoiseMaps,
    Paddings,
    SeveralCodes,
    flow_features,
)
from directions.inversion.recipes import find_recipe
from directions.inversion.solvers import LevenbergMarquardt, find_solver
from directions.inversion.unknowns import IndependentPrior, noise_autocorrelation
from directions.scoring.activations import layer_activations
from tests.directions.inversion.worlds import bent
from tests.styles import small_stylegan1, small_stylegan2


class _Skip(torch.nn.Module):
    """Later layers see the code too."""

    def __init__(self):
        super().__init__()
        self.bend = torch.nn.Tanh()

    def forward(self, z):
        return (self.bend(z) * z).mean(1)[:, None, None, None].expand(-1, 3, 4, 4)


MAKERS = {
    "noise, StyleGAN2": lambda: NoiseMaps(small_stylegan2(), space="w"),
    "noise, StyleGAN1": lambda: NoiseMaps(small_stylegan1()),
    "frames": lambda: Frames(small_stylegan2(), count=3),
    "frames of z": lambda: Frames(bent(), count=2),
    "offsets": lambda: FeatureOffsets(small_stylegan2(), layer="leaky_relu.4"),
    "offsets of a DCGAN": lambda: FeatureOffsets(digiface64(), layer="relu.1"),
    "paddings": lambda: Paddings(small_stylegan2(), count=3, space="w"),
    "paddings, StyleGAN1": lambda: Paddings(small_stylegan1(), count=2),
    "several": lambda: SeveralCodes(digiface64(), layer="relu.1", count=3),
    "several of a module": lambda: SeveralCodes(bent(), layer="_module.1", count=4),
}


@pytest.mark.parametrize("name", MAKERS)
def test_codes_are_parts_side_by_side(name):
    world = MAKERS[name]()
    codes = world.sample(3, seed=1)
    parts = world.parts(codes)
    assert torch.equal(world.joined(parts), codes)
    assert world.fingerprint == MAKERS[name]().fingerprint != world.inner.fingerprint
    near = world.prior()
    assert near.mean.shape == near.deviations.shape == codes.shape[1:]
    with torch.no_grad():
        images = world.synthesize(codes)
    assert images.shape == (3, *world.image_shape)
    with torch.no_grad():
        torch.testing.assert_close(world.synthesize(codes[1:2])[0], images[1], rtol=0, atol=1e-4)
    with pytest.raises(LatdirError, match="is missing"):
        world.joined({k: v for k, v in parts.items() if k != next(iter(parts))})


@pytest.mark.parametrize("make", [small_stylegan1, small_stylegan2])
def test_the_stored_maps_make_the_generators_own_images(make):
    inner = make()
    world = NoiseMaps(inner, space="w+")
    codes = inner.sample(2, seed=3, space="w+")
    stored = dict(inner.network.named_buffers())
    maps = {name: stored[name].expand(2, *world.shapes[name]) for name in world.maps}
    with torch.no_grad():
        made = world.synthesize(world.joined({"code": codes, **maps}))
        torch.testing.assert_close(made, inner.synthesize(codes, "w+"), rtol=0, atol=1e-5)
        for name in world.maps:
            changed = maps | {name: maps[name] + 1}
            other = world.synthesize(world.joined({"code": codes, **changed}))
            assert (other - made).abs().max() > 1e-4, name


def test_noise_maps_are_found_with_the_code():
    world = NoiseMaps(small_stylegan2(), space="w")
    codes = world.sample(2, seed=4)
    with torch.no_grad():
        images = world.synthesize(codes)
    near = codes + 0.1 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    found = invert(world, images, start=near, solver=LevenbergMarquardt(steps=30, target=60.0))
    assert (found.psnr > 60).all()
    torch.testing.assert_close(found.reconstruct(), images, rtol=0, atol=0.02)
    alone = invert(
        world.inner, images, space="w", start=world.parts(near)["code"], restarts=0,
        solver=LevenbergMarquardt(steps=30),
    )  # fmt: skip
    assert (alone.psnr < found.psnr - 15).all()


def test_several_codes_are_the_weighted_sum_of_features():
    inner = digiface64()
    world = SeveralCodes(inner, layer="relu.1", count=3)
    codes = world.sample(2, seed=5)
    parts = world.parts(codes)
    assert torch.equal(parts["weights"], torch.full((2, 3, 256), 1 / 3))
    weights = torch.rand(parts["weights"].shape, generator=torch.Generator().manual_seed(0))
    chain = inner._chain_in(torch.float32)
    split = [i for i, layer in enumerate(chain) if isinstance(layer, torch.nn.ReLU)][1] + 1
    z = parts["codes"].flatten(0, 1)[:, :, None, None]
    features = torch.nn.Sequential(*chain[:split])(z).reshape(2, 3, 256, 8, 8)
    summed = (features * weights[..., None, None]).sum(1) / 3
    with torch.no_grad():
        expected = torch.nn.Sequential(*chain[split:])(summed)
        made = world.synthesize(world.joined({"codes": parts["codes"], "weights": weights}))
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-4)
    one = SeveralCodes(inner, layer="relu.1", count=1)
    codes = one.sample(2, seed=5)
    with torch.no_grad():
        torch.testing.assert_close(
            one.synthesize(codes), inner.synthesize(one.parts(codes)["codes"][:, 0]),
            rtol=0, atol=1e-4,
        )  # fmt: skip


def test_offsets_of_features_vary_as_the_features_do():
    inner = digiface64()
    _, spread = FeatureOffsets(inner, layer="relu.1").moments()["features"]
    features = layer_activations(inner, layer="relu.1", space="z")(inner.sample(64, seed=0))
    expected = features.std((0, 2, 3)).clamp_min(1e-3)
    torch.testing.assert_close(spread, expected[:, None, None].expand_as(spread))


def test_offsets_lead_from_frame_to_frame():
    inner = small_stylegan2()
    world = Frames(inner, count=3)
    codes = world.sample(2, seed=6)
    parts = world.parts(codes)
    first, step = parts["code"], parts["offsets"]
    chain = [first, first + step[:, :1], first + step[:, :1] + step[:, 1:]]
    with torch.no_grad():
        expected = torch.cat([inner.synthesize(c, "w+") for c in chain], 2)
        torch.testing.assert_close(world.synthesize(codes), expected, rtol=0, atol=1e-4)
    frames = world.unstacked(expected)
    assert torch.equal(frames[1], inner.synthesize(chain[1], "w+")[0]) or torch.allclose(
        frames[1], inner.synthesize(chain[1], "w+")[0], atol=1e-4
    )
    assert torch.equal(world.stacked(frames), expected)


def test_flow_features_are_the_three_mean_squares():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 1, 3, 12, 5, generator=rng)
    still = torch.zeros(2, 2, 4, 5)
    loss = flow_features(still, still)
    frames = (a - b).unflatten(2, (3, 4))
    expected = (
        frames.square().mean() + frames[:, :, 0].square().mean() + frames[:, :, 1:].square().mean()
    )
    torch.testing.assert_close((loss(a) - loss(b)).square().sum(), expected)
    # Flow (1, 0): each pixel of the later frame is one to the right in the first.
    right = still.clone()
    right[:, 0] = 1
    moved = flow_features(right, still)(a)[0, 180:300].reshape(2, 3, 4, 5) * 120**0.5
    torch.testing.assert_close(moved[0][..., :4], a[0, :, :4, 1:])


def test_autocorrelation_is_that_of_the_projectors_code():
    noise = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = torch.zeros(2)
    for i in range(2):
        x = noise[None, None, i]
        while True:
            expected[i] += (x * torch.roll(x, shifts=1, dims=3)).mean() ** 2
            expected[i] += (x * torch.roll(x, shifts=1, dims=2)).mean() ** 2
            if x.shape[2] <= 8:
                break
            x = torch.nn.functional.avg_pool2d(x, kernel_size=2)
    torch.testing.assert_close(noise_autocorrelation(noise), expected)


def test_a_prior_of_independent_coordinates():
    prior = IndependentPrior(torch.zeros(3), torch.tensor([1.0, 2.0, 3.0]))
    vector = torch.tensor([0.5, -1.0, 2.0])
    expected = float((vector @ prior.covariance @ vector).sqrt())
    assert prior.sigma(vector) == pytest.approx(expected)
    torch.testing.assert_close(prior.times(vector), prior.covariance @ vector)
    torch.testing.assert_close(prior.root @ prior.root.T, prior.covariance.double())
    assert prior.scaled(0.5).deviations.tolist() == [0.5, 1.0, 1.5]
    assert prior.effective_size == pytest.approx(14**2 / 98)


def test_refusals():
    with pytest.raises(LatdirError, match=r"bent has 0 convolutions .* fit FeatureOffsets instead"):
        Paddings(bent())
    with pytest.raises(
        LatdirError, match=r"small_stylegan2 has 3 convolutions .*, not 4: give count=3"
    ):
        Paddings(small_stylegan2())
    with pytest.raises(LatdirError, match="bent has no noise maps"):
        NoiseMaps(bent())
    with pytest.raises(LatdirError, match=r"runs no layer 'relu\.9'"):
        SeveralCodes(digiface64(), layer="relu.9")
    with pytest.raises(LatdirError, match="see the codes as well: sum several"):
        SeveralCodes(small_stylegan2(), layer="leaky_relu.4", space="w")
    skip = wrap(_Skip(), latent_dim=6, name="skip")
    with pytest.raises(LatdirError, match="see the codes as well: sum several"):
        SeveralCodes(skip, layer="_module.bend")
    with pytest.raises(LatdirError, match="4 frames do not make clips of 3"):
        Frames(bent(), count=3).stacked(torch.zeros(4, 3, 4, 4))
    with pytest.raises(LatdirError, match=r"backward has shape \[2, 2, 4, 4\], not"):
        flow_features(torch.zeros(1, 2, 4, 4), torch.zeros(2, 2, 4, 4))


def test_offsets_make_features_and_follow_or_hold_them():
    inner = small_stylegan2()
    world = FeatureOffsets(inner, layer="leaky_relu.4")
    codes = inner.sample(3, seed=1, space="w+")
    plain = world.around(codes)
    torch.testing.assert_close(
        world.synthesize(plain), inner.synthesize(codes, "w+"), rtol=0, atol=1e-5
    )
    joint = world.joined({"code": codes[:1], "features": world.parts(plain)["features"][:1] + 0.5})
    seen = layer_activations(inner, layer="leaky_relu.4", space="w+")
    moved = codes[1:2]
    held = world.parts(world.edited(joint, moved, features="hold"))
    torch.testing.assert_close(seen(moved) + held["features"], seen(codes[:1]) + 0.5)
    followed = world.parts(world.edited(joint, moved))
    assert torch.equal(followed["features"], torch.full_like(followed["features"], 0.5))
    assert torch.equal(followed["code"], moved)


def test_offsets_fit_what_no_code_makes():
    inner = bent()
    world = FeatureOffsets(inner, layer="_module.2")
    image = inner.synthesize(inner.sample(1, seed=3)).detach().flip(3) * 0.9
    alone = invert(inner, image, restarts=0, start="mean")
    start = world.around(alone.codes)
    solver = find_recipe("layer_residuals", steps=300, rate=0.05, features=1e-4)
    joint = invert(world, image, solver=solver, start=start, restarts=0)
    assert float(joint.psnr) > float(alone.psnr) + 10


def test_paddings_are_what_convolutions_read_around_their_inputs():
    """Beside the layers written out: modulation, then numbers of the image in place of zeros."""
    inner = small_stylegan2()
    world = Paddings(inner, count=2)
    codes = inner.sample(2, seed=1, space="w+")
    plain = world.around(codes)
    torch.testing.assert_close(
        world.synthesize(plain), inner.synthesize(codes, "w+"), rtol=0, atol=1e-5
    )
    rng = torch.Generator().manual_seed(0)
    parts = {n: torch.randn(2, *s, generator=rng) for n, s in world.shapes.items()}
    parts["code"] = codes
    net, borders = inner.network, {"b4.conv1": "padding.0", "b8.conv1": "padding.1"}

    class Slow(PlainSynthesis):
        def modulated(self, x, name):
            made, demodulation = super().modulated(x, name)
            if name in borders:
                s, side = self.styles[name][:, :, None, None], x.shape[-1] + 2
                wider, numbers = torch.zeros(2, x.shape[1], side, side), iter(range(4 * side - 4))
                for i in range(side):
                    for j in range(side):
                        if i in (0, side - 1) or j in (0, side - 1):
                            wider[:, :, i, j] = parts[borders[name]][:, :, next(numbers)]
                        else:
                            wider[:, :, i, j] = x[:, :, i - 1, j - 1] * s[:, :, 0, 0]
                made = torch.nn.functional.conv2d(wider, net.layer(name).weight)
            return made, demodulation

    styles = {
        name: net.affine(i)(codes[:, slot])
        for i, (name, slot) in enumerate(zip(net.style_names, net.style_slots, strict=True))
    }
    joint = world.joined(parts)
    with torch.no_grad():
        expected = Slow(net, styles, noise="const").blocks(net.const + parts["const"])[1]
        torch.testing.assert_close(world.synthesize(joint), expected, rtol=0, atol=1e-5)
    moved = inner.sample(2, seed=2, space="w+")
    after = world.parts(world.edited(joint, moved))
    assert torch.equal(after["code"], moved)
    assert torch.equal(after["padding.1"], parts["padding.1"])


def test_paddings_fit_images_that_no_code_makes():
    inner = small_stylegan2()
    world = Paddings(inner, count=3, space="w")
    code = inner.sample(1, seed=3, space="w")
    truth = world.parts(world.around(code))
    rng = torch.Generator().manual_seed(0)
    for name in truth:
        if name.startswith("padding"):
            truth[name] = torch.randn(truth[name].shape, generator=rng)
    image = world.synthesize(world.joined(truth)).detach()
    solver = find_solver("lbfgs", steps=40)
    alone = invert(inner, image, space="w", solver=solver, start=code, restarts=0)
    joint = invert(world, image, solver=solver, start=world.around(code), restarts=0)
    assert float(joint.psnr) > float(alone.psnr) + 10


@pytest.mark.slow
def test_shifted_faces_fit_better_with_paddings_and_features():
    inner = load_generator("styleface64")
    images = inner.synthesize(inner.sample(2, seed=7, space="w"), "w").detach().clamp(-1, 1)
    images = torch.nn.functional.pad(images, (8, 0, 0, 0), mode="reflect")[:, :, :, :64]
    quiet = Rendering(progress=False)

    def fitted(world, start, steps):
        solver = find_solver("lbfgs", steps=steps)
        return invert(world, images, solver=solver, start=start, restarts=0, rendering=quiet)

    short = invert(inner, images, space="w+", solver=find_solver("lbfgs", steps=30), restarts=0,
                   start="mean", rendering=quiet)  # fmt: skip
    longer = invert(inner, images, space="w+", solver=find_solver("lbfgs", steps=60), restarts=0,
                    start=short.codes, rendering=quiet)  # fmt: skip
    for world, more in ((Paddings(inner), 0.3), (FeatureOffsets(inner, layer="leaky_relu.4"), 5)):
        assert (fitted(world, world.around(short.codes), 60).psnr > longer.psnr + more).all()
