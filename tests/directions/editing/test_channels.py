"""Directions restricted to their strongest style channels."""

import pytest
import torch

from directions import (
    Direction,
    DirectionBank,
    LatdirError,
    SpaceError,
    load_generator,
    move,
    strongest_channels,
)
from directions.planted.world import planted


@pytest.fixture(scope="module")
def generator():
    return load_generator("styleface64")


@pytest.fixture(scope="module")
def bank(generator):
    rng = torch.Generator().manual_seed(0)
    made = [
        Direction.from_vector(name, torch.randn(256, generator=rng), space="w", sigma=1.5)
        for name in ("a", "b")
    ]
    return DirectionBank.of(generator, made)


def test_all_channels_are_the_direction_itself(generator, bank):
    size = generator.space("s").size
    whole = strongest_channels(bank, generator, count=size)
    code = generator.sample(2, seed=1, space="w")
    wanted = generator.map(move(code, bank, {"a": 1.2, "b": -0.5}), "w", "s")
    made = move(generator.map(code, "w", "s"), whole, {"a": 1.2, "b": -0.5})
    torch.testing.assert_close(made, wanted, atol=1e-4, rtol=1e-4)


def test_few_channels_are_those_of_the_largest_change_in_deviations(generator, bank):
    few = strongest_channels(bank, generator, count=5)["a"]
    kept = few.vector.nonzero().flatten()
    code = generator.sample(1, seed=1, space="w")
    moved = generator.map(torch.cat([code, move(code, bank, {"a": 1.0})]), "w", "s")
    change = moved[1] - moved[0]
    strength = change.abs() / generator.sample(2000, seed=9, space="s").std(0)
    assert len(kept) == 5
    # The deviations are estimates of two samples: the ranks may differ at the edge.
    assert set(kept.tolist()) <= set(strength.topk(8).indices.tolist())
    assert set(strength.topk(2).indices.tolist()) <= set(kept.tolist())
    torch.testing.assert_close(few.sigma * few.vector[kept], change[kept], atol=1e-4, rtol=1e-4)


def test_layers_leave_the_others_channels_alone(generator, bank):
    few = strongest_channels(bank, generator, count=50, layers=range(4, 8))["a"]
    code = generator.sample(1, seed=1, space="w+")
    moved = move(code, bank, {"a": 1.0}, layers=range(4, 8))
    ends = generator.map(torch.cat([code, moved]), "w+", "s")
    allowed = (ends[1] - ends[0]).abs() > 1e-6
    assert few.vector.count_nonzero() == 50
    assert not few.vector[~allowed].any()


def test_a_direction_is_the_same_alone_and_among_others(generator, bank):
    alone = strongest_channels(bank.select(["b"]), generator, count=9)["b"]
    assert torch.equal(alone.vector, strongest_channels(bank, generator, count=9)["b"].vector)


def test_refusals(generator, bank):
    world = planted()
    plain = DirectionBank.of(world, [Direction("up", world.truth[0], "z")])
    with pytest.raises(SpaceError, match=r"has no style codes, only z.*choose a style generator"):
        strongest_channels(plain, world, count=3)
    in_z = DirectionBank.of(generator, [Direction.from_vector("z", torch.ones(100), space="z")])
    with pytest.raises(
        SpaceError, match=r"not an affine function of z: take directions of w or w\+"
    ):
        strongest_channels(in_z, generator, count=3)
    with pytest.raises(LatdirError, match="count"):
        strongest_channels(bank, generator, count=0)
