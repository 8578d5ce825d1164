"""Learned walks: the planted world's first three factors are red, green and blue."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.planted.world import planted
from directions.space import Space
from discovery.steerability.walks import NeuralWalk, Walks

WORLD = {"factors": 3, "dim": 12, "nuisances": 3, "size": 8}


def test_planted_colors_are_recovered():
    world = planted(**WORLD)
    bank = Walks(transforms="red,green,blue,brightness", steps=100, reach=0.15).discover(world)
    cosines = bank.matrix() @ world.truth.T
    assert cosines[:3].diagonal().min() > 0.99
    assert (cosines[3] - 3**-0.5).abs().max() < 0.05
    assert all(d.evidence["explained"] > 0.5 for d in bank.directions)
    assert bank["red"].sigma == pytest.approx(1, rel=1e-4)


def test_what_a_generator_cannot_do_is_reported(caplog):
    # Its patterns are the plain colors only, so nothing in it can turn or shift.
    world = planted(factors=3, dim=6, nuisances=0, size=8)
    bank = Walks(transforms="rotate,red", steps=60, reach=0.15).discover(world)
    assert bank["rotate"].evidence["explained"] < 0.1
    assert "it cannot do this edit" in caplog.text
    assert bank["red"].evidence["explained"] > 0.5


class Saddle(Generator):
    """Red is the product of two coordinates: which way is redder depends on the code."""

    name = "saddle"
    image_shape = (3, 4, 4)
    fingerprint = "3" * 64
    spaces: ClassVar = {"z": Space("z", (4,))}

    def synthesize(self, codes, space="z"):
        level = torch.tanh(codes[:, 0] * torch.tanh(3 * codes[:, 1]) / 2)
        return level[:, None, None, None] * torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(
            3, 4, 4
        )


def test_a_neural_walk_bends_where_no_line_leads():
    walks = Walks(transforms="red", steps=150, hidden=16)
    line = walks.discover(Saddle())["red"]
    curve = walks.bend(Saddle())["red"]
    assert isinstance(curve, NeuralWalk)
    assert line.evidence["explained"] < 0.1
    assert curve.explained > 0.4
    codes = Saddle().sample(200, seed=9)
    moved = curve.shift(codes, 0.3, unit=curve.unit)
    change = (Saddle().synthesize(moved) - Saddle().synthesize(codes))[:, 0].mean()
    assert 0.1 < float(change) < 0.4
    back = curve.shift(moved, -0.3, unit=curve.unit)
    assert (back - codes).norm(dim=1).mean() < 0.2 * (moved - codes).norm(dim=1).mean()


def walk():
    zeros = torch.zeros(2, 3)
    return NeuralWalk(
        "up",
        "steps",
        "z",
        torch.tensor([0.0, 2.0, 0.0]),
        zeros,
        zeros[:, 0],
        zeros.T,
        2.0,
        0.5,
        1.0,
        "toy",
        "0" * 64,
    )


def test_amounts_have_units():
    codes = torch.zeros(2, 3)
    assert walk().shift(codes, 1.0, unit="steps")[:, 1].tolist() == [2.0, 2.0]
    assert walk().shift(codes, 1.0, unit="latent")[:, 1].tolist() == [1.0, 1.0]
    assert walk().shift(codes, torch.tensor([1.0, -2.0]))[:, 1].tolist() == [0.5, -1.0]
    with pytest.raises(LatdirError, match="has no unit 'degrees': use sigma, latent, steps"):
        walk().shift(codes, 1.0, unit="degrees")
    with pytest.raises(LatdirError, match="moves codes of 3 numbers, not 4"):
        walk().shift(torch.zeros(1, 4), 1.0)


def test_two_runs_are_bit_identical():
    world = planted(**WORLD)
    method = Walks(transforms="zoom", steps=20)
    first, second = (method.discover(world, seed=5).matrix() for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, method.discover(world, seed=6).matrix())
    one, two = (method.bend(world, seed=5)["zoom"] for _ in range(2))
    assert torch.equal(one.outer, two.outer)


def test_refusals():
    with pytest.raises(LatdirError, match="steps is 0: give at least 1"):
        Walks(steps=0)
    with pytest.raises(LatdirError, match="transforms 'turn': give some of"):
        Walks(transforms="turn").discover(planted(**WORLD))
    world = planted(**WORLD)
    real = world.synthesize

    def detached(codes: Tensor, space: str = "z") -> Tensor:
        return real(codes, space).detach()

    world.synthesize = detached
    with pytest.raises(LatdirError, match="no gradient reaches the codes of planted"):
        Walks(transforms="red", steps=3).discover(world)
