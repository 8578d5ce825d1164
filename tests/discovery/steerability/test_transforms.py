"""Closed-form transforms against planted layers and the dense formula; edits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from directions.errors import LatdirError
from directions.generators import load_generator
from directions.generators.base import Generator
from directions.planted.world import planted
from directions.space import Space
from discovery.sampling.draw import Draw
from discovery.steerability.image_edits import EDITS, edits_named
from discovery.steerability.transforms import Transforms, closed_form, fit_layer
from discovery.unsupervised.random_directions import RandomDirections

C, SIDE, D = 3, 6, 8


class Affine(Generator):
    """Images are tanh of an affine first layer."""

    name = "affine"
    image_shape = (3, SIDE, SIDE)
    fingerprint = "2" * 64

    def __init__(self, weight, bias):
        self.spaces = {"z": Space("z", (len(weight),))}
        self.network = nn.Sequential(
            nn.Linear(len(weight), bias.numel()), nn.Unflatten(1, tuple(bias.shape)), nn.Tanh()
        )
        self.network[0].weight.data = weight.flatten(1).T.contiguous()
        self.network[0].bias.data = bias.flatten()

    def synthesize(self, codes, space="z"):
        return self.network(codes)


def planted_layer(name, *, amount, seed=0):
    """A layer in which one latent direction is exactly the transform of the mean."""
    rng = torch.Generator().manual_seed(seed)
    bias = torch.randn(C, SIDE, SIDE, generator=rng)
    moved, known = EDITS[name](bias[None], torch.tensor([amount]))
    change = (moved[0] - bias) * known[0]
    rest = torch.randn(D - 1, C, SIDE, SIDE, generator=rng)
    turn, _ = torch.linalg.qr(torch.randn(D, D, generator=rng))
    pictures = torch.cat([change[None] / 3, rest])
    # Codes turned by `turn`: the planted direction is its first column.
    weight = torch.einsum("ij,jchw->ichw", turn, pictures)
    return Affine(weight, bias), turn[:, 0]


@pytest.mark.parametrize(
    ("name", "amount"), [("shift_x", 0.25), ("shift_y", 0.25), ("zoom", 0.5), ("rotate", 20.0)]
)
def test_planted_transform_is_recovered(name, amount):
    generator, truth = planted_layer(name, amount=amount)
    bank = Transforms(transforms=name, n_codes=500, ridge=0.0).discover(generator)
    assert bank[name].evidence["layer"] == "1"
    assert float(bank[name].vector @ truth) > 1 - 1e-4
    assert bank[name].evidence["fit"] == pytest.approx(1, abs=1e-4)
    assert bank[name].evidence["step"] == pytest.approx(3, rel=1e-3)
    assert bank[name].evidence["layer_linear"] == pytest.approx(1, abs=1e-4)


def test_brightness_is_more_of_the_mean():
    rng = torch.Generator().manual_seed(1)
    bias = torch.randn(C, SIDE, SIDE, generator=rng)
    pictures = torch.cat([bias[None], torch.randn(D - 1, C, SIDE, SIDE, generator=rng)])
    bank = Transforms(transforms="brightness", n_codes=500, ridge=0.0).discover(
        Affine(pictures, bias)
    )
    assert float(bank["brightness"].vector[0]) > 1 - 1e-4
    assert bank["brightness"].evidence["step"] == pytest.approx(0.5, rel=1e-3)


def test_pictures_give_what_dense_matrices_give():
    rng = torch.Generator().manual_seed(2)
    generator = Affine(
        torch.randn(D, C, SIDE, SIDE, generator=rng), torch.randn(C, SIDE, SIDE, generator=rng)
    )
    layer = fit_layer(Draw(generator, "z", seed=0, samples=400, chunk=64), layer="1")
    assert torch.allclose(
        layer.bias.float(), generator.network[0].bias.reshape(C, SIDE, SIDE), atol=1e-4
    )
    w = layer.weight.flatten(1).T
    b = layer.bias.flatten()
    # P and D as matrices, column by column.
    units = torch.eye(SIDE * SIDE).double().reshape(-1, 1, SIDE, SIDE)
    moved, known = EDITS["zoom"](units, torch.full((len(units),), 0.5).double())
    p = torch.block_diag(*[moved.flatten(1).T] * C)
    d = known[0].flatten().repeat(C).diag()
    dense = torch.linalg.inv(w.T @ d @ w) @ w.T @ d @ (p @ b - b)
    step, fit = closed_form(layer, EDITS["zoom"])
    assert torch.allclose(step, dense, atol=1e-6)
    left = d @ (p @ b - b) - d @ (w @ dense)
    assert fit == pytest.approx(1 - float(left.square().sum() / (d @ (p @ b - b)).square().sum()))


def test_an_even_mean_is_refused_and_the_next_layer_taken():
    generator = load_generator("digiface64")
    with pytest.raises(LatdirError, match=r"nearly constant, so shift_x leaves it"):
        Transforms(layer="conv_transpose2d.0", transforms="shift_x", n_codes=256).discover(
            generator
        )
    bank = Transforms(transforms="zoom", n_codes=256).discover(generator)
    assert bank["zoom"].evidence["layer"] == "relu.0"
    assert 0.3 < bank["zoom"].evidence["layer_linear"] < 0.9


def test_what_a_generator_cannot_do_is_told_and_what_it_can_is_not(caplog):
    Transforms(transforms="shift_x,brightness", n_codes=256).discover(load_generator("digiface64"))
    told = [r.message for r in caplog.records]
    assert len(told) == 1
    assert (
        "of shift_x at layer relu.0: the direction may not produce the named transform" in told[0]
    )


def test_two_runs_are_bit_identical():
    generator, _ = planted_layer("zoom", amount=0.5)
    first, second = (Transforms(n_codes=300).discover(generator, seed=3) for _ in range(2))
    assert torch.equal(first.matrix(), second.matrix())


def test_refusals():
    generator, _ = planted_layer("zoom", amount=0.5)
    with pytest.raises(LatdirError, match="transforms 'zom': give some of shift_x, "):
        Transforms(transforms="zom").discover(generator)
    with pytest.raises(LatdirError, match="layers have no red: use the learned walks"):
        Transforms(transforms="red").discover(generator)
    with pytest.raises(LatdirError, match=r"shape \[108\], which is not a feature map"):
        Transforms(layer="0", n_codes=50).discover(generator)
    with pytest.raises(LatdirError, match="n_codes 8 must be more than the code's 8 coordinates"):
        Transforms(n_codes=8).discover(generator)
    flat = Affine(torch.randn(D, C, SIDE, SIDE), torch.ones(C, SIDE, SIDE))
    flat.network = flat.network[:2]
    with pytest.raises(LatdirError, match="no feature-map layer to derive transforms from"):
        Transforms(n_codes=300).discover(flat)


@given(
    name=st.sampled_from(sorted(EDITS)),
    fraction=st.floats(-1, 1),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_an_edit_of_nothing_is_nothing_and_unknown_places_are_zero(name, fraction, seed):
    edit = EDITS[name]
    pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) - 0.5
    same, known = edit(pictures, torch.zeros(2))
    assert torch.allclose(same, pictures, atol=1e-5)
    assert known.min() == 1
    edited, known = edit(pictures, torch.full((2,), fraction * edit.reach))
    if edit.placement is not None:
        assert (edited[known.expand_as(edited) == 0] == 0).all()
        assert known.unique().tolist() in ([0.0, 1.0], [1.0])


def test_edits_do_what_they_say():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8) / 8
    moved, _ = EDITS["shift_x"](ramp, torch.tensor([0.25]))
    assert torch.allclose(moved[0, 0, 3, 2:], ramp[0, 0, 3, :-2])
    down, _ = EDITS["shift_y"](ramp.mT, torch.tensor([0.25]))
    assert torch.allclose(down[0, 0, 2:, 3], ramp[0, 0, 3, :-2])
    near, known = EDITS["zoom"](ramp, torch.tensor([1.0]))
    assert known.min() == 1
    assert float(near[0, 0, 0, 7] - near[0, 0, 0, 0]) == pytest.approx(7 / 16)
    turned, _ = EDITS["rotate"](ramp, torch.tensor([90.0]))
    # Turned counter-clockwise, what rose to the right rises to the top.
    assert torch.allclose(turned[0, 0, :, 3], ramp[0, 0, 3].flip(0), atol=1e-5)
    red, _ = EDITS["red"](torch.zeros(1, 3, 2, 2), torch.tensor([0.3]))
    assert red[0, :, 0, 0].tolist() == pytest.approx([0.3, 0, 0])
    with pytest.raises(LatdirError, match="each once, commas between"):
        edits_named("zoom,zoom")


def test_random_directions_follow_the_prior():
    world = planted(dim=16, condition=10.0)
    bank = RandomDirections(n_directions=400).discover(world, seed=1)
    variances = world.prior().covariance
    spread = (bank.matrix() @ variances * bank.matrix()).sum(1)
    # Differences of codes vary more than the mean variance, uniform directions just so.
    uniform = RandomDirections(n_directions=400, spread="uniform").discover(world, seed=1).matrix()
    assert spread.mean() > 1.5
    assert (uniform @ variances * uniform).sum(1).mean() == pytest.approx(1, abs=0.1)
    assert [d.sigma for d in bank.directions] == pytest.approx(spread.sqrt().tolist(), rel=1e-4)
    again = RandomDirections(n_directions=3).discover(world, seed=1)
    assert torch.equal(again.matrix(), bank.matrix()[:3])
    with pytest.raises(LatdirError, match="n_directions is 0"):
        RandomDirections(n_directions=0).discover(world)
