"""Moving, levels, sweeps, interpolation, truncation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directions import (
    Calibration,
    Direction,
    DirectionBank,
    LatdirError,
    Prior,
    lerp,
    move,
    set_level,
    slerp,
    sweep,
    truncate,
)
from directions.planted.world import planted
from tests.parity import FIXTURES

FIXTURE = FIXTURES / "interfacegan" / "boundaries.npz"


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bank(size: int = 6) -> DirectionBank:
    a = Direction.from_vector(
        "a",
        draws(size),
        space="z",
        sigma=2.0,
        calibration=Calibration("a", "degrees", 10.0, -9.0, 9.0),
    )
    b = Direction.from_vector(
        "b",
        draws(size, seed=1),
        space="z",
        sigma=0.5,
        offset=0.3,
        calibration=Calibration("b", "years", -4.0, -9.0, 9.0),
    )
    return DirectionBank((a, b), "toy", "0" * 64)


# move


def test_moves_add_up_in_any_order() -> None:
    codes, both = draws(3, 6, seed=2), bank()
    per_code = torch.tensor([0.0, 1.0, -2.0])
    moved = move(codes, both, {"a": 1.5, "b": per_code})
    expected = codes + 3.0 * both["a"].vector + 0.5 * per_code[:, None] * both["b"].vector
    torch.testing.assert_close(moved, expected)
    torch.testing.assert_close(move(codes, both, {"b": per_code, "a": 1.5}), expected)
    torch.testing.assert_close(move(moved, both, {"a": -1.5, "b": -per_code}), codes)
    assert move(codes, both, {}) is codes


def test_each_attribute_moves_in_its_own_unit() -> None:
    codes, both = draws(3, 6, seed=2), bank()
    torch.testing.assert_close(
        move(codes, both, {"a": 20.0, "b": 8.0}, unit="attribute"),
        move(codes, both, {"a": 2.0, "b": -2.0}),
    )
    with pytest.raises(LatdirError, match="direction 'b' has no unit 'degrees'"):
        move(codes, both, {"a": 20.0, "b": 8.0}, unit="degrees")


def test_a_move_refuses_what_it_does_not_know() -> None:
    codes = draws(2, 32)
    generator = planted()
    with pytest.raises(LatdirError, match=r"made for toy .* not for planted"):
        move(codes, bank(32), {"a": 1.0}, generator=generator)
    own = DirectionBank(bank(32).directions, generator.name, generator.fingerprint)
    assert move(codes, own, {"a": 1.0}, generator=generator).shape == codes.shape
    with pytest.raises(LatdirError, match="no direction 'c' in this bank"):
        move(codes, own, {"c": 1.0})
    with pytest.raises(LatdirError, match=r"does not fit codes of shape \[2, 5\]"):
        move(codes[:, :5], own, {"a": 1.0})


def test_layers_are_chosen_when_moving() -> None:
    codes, both = draws(2, 5, 6), bank()
    moved = move(codes, both, {"a": 1.0}, layers=[1, 2])
    torch.testing.assert_close(moved[:, 1:3], codes[:, 1:3] + 2.0 * both["a"].vector)
    assert torch.equal(moved[:, [0, 3, 4]], codes[:, [0, 3, 4]])


def test_double_codes_stay_double() -> None:
    codes = draws(2, 6).double()
    for made in (
        move(codes, bank(), {"a": 1.0}),
        set_level(codes, bank()["a"], 1.0),
        sweep(codes, bank()["a"], [1.0]),
        slerp(codes, codes + 1, [0.5]),
        truncate(codes, 0.5, prior=Prior.standard(6)),
    ):
        assert made.dtype == torch.float64


# set_level


def test_levels_agree_with_the_official_interpolation() -> None:
    if not FIXTURE.exists():
        pytest.skip(f"no fixture {FIXTURE}")
    fixture = np.load(FIXTURE)
    code = torch.from_numpy(fixture["lin_code"])
    d = Direction.from_vector("male", torch.from_numpy(fixture["boundary_male"][0]), space="z")
    for low, high, steps, key in ((-3, 3, 10, "default"), (-2, 5, 7, "m2_5_7")):
        levels = torch.linspace(low, high, steps)
        made = set_level(code.expand(steps, -1), d, levels, unit="latent")
        np.testing.assert_allclose(made.numpy(), fixture[f"lin_{key}"], atol=2e-6)


def test_layered_codes_agree_with_the_official_interpolation() -> None:
    if not FIXTURE.exists():
        pytest.skip(f"no fixture {FIXTURE}")
    fixture = np.load(FIXTURE)
    code = torch.from_numpy(fixture["lin_wp_code"])
    d = Direction.from_vector("male", torch.from_numpy(fixture["boundary_male"][0]), space="w")
    # For layered codes the official function moves, and sets no level.
    made = sweep(code, d, torch.linspace(-3, 3, 10), unit="latent")[:, 0]
    np.testing.assert_allclose(made.numpy(), fixture["lin_wp"], atol=2e-6)


@settings(deadline=None)
@given(level=st.floats(-4, 4), seed=st.integers(0, 99), unit=st.sampled_from(["sigma", "latent"]))
def test_a_level_is_met_and_nothing_else_moves(level: float, seed: int, unit: str) -> None:
    d = bank()["b"]
    codes = draws(3, 6, seed=seed).double()
    made = set_level(codes, d, level, unit=unit)
    wanted = level * (d.sigma if unit == "sigma" else 1.0)
    torch.testing.assert_close(d.level(made), torch.full((3,), wanted).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(set_level(made, d, level, unit=unit), made, rtol=0, atol=1e-6)
    across = torch.eye(6).double() - torch.outer(d.vector, d.vector).double()
    torch.testing.assert_close(made @ across, codes @ across, rtol=0, atol=1e-5)


def test_levels_of_layered_codes() -> None:
    codes, d = draws(2, 5, 6), bank()["b"].evolve(layers=(1, 3))
    made = set_level(codes, d, torch.tensor([1.0, -1.0]))
    levels = made @ d.vector + d.offset
    torch.testing.assert_close(levels[:, [1, 3]], torch.tensor([[0.5, 0.5], [-0.5, -0.5]]))
    assert torch.equal(made[:, [0, 2, 4]], codes[:, [0, 2, 4]])
    whole = Direction.from_vector("w", draws(5, 6), space="w+", layers=(1, 3), offset=0.2)
    made = set_level(codes, whole, 2.0)
    torch.testing.assert_close(whole.level(made), torch.full((2,), 2.0))
    assert torch.equal(made[:, [0, 2, 4]], codes[:, [0, 2, 4]])


def test_a_level_has_no_attribute_unit() -> None:
    with pytest.raises(LatdirError, match="a level is given in 'sigma' or 'latent' units, not 'de"):
        set_level(draws(2, 6), bank()["a"], 1.0, unit="degrees")
    with pytest.raises(LatdirError, match=r"level has shape \[3\]: .* each of the 2 codes"):
        set_level(draws(2, 6), bank()["a"], torch.zeros(3))


# sweep


def test_a_sweep_is_many_moves() -> None:
    codes, d = draws(3, 6), bank()["a"]
    made = sweep(codes, d, [-2.0, 0.0, 15.0])
    assert made.shape == (3, 3, 6)
    for row, amount in zip(made, (-2.0, 0.0, 15.0), strict=True):
        torch.testing.assert_close(row, d.shift(codes, amount))
    torch.testing.assert_close(sweep(codes, d, [10.0], unit="degrees")[0], d.shift(codes, 1.0))
    layered = sweep(draws(3, 5, 6), d, torch.tensor([1.0, 2.0]), layers=(0,))
    assert layered.shape == (2, 3, 5, 6)
    assert torch.equal(layered[0, :, 1:], layered[1, :, 1:])
    with pytest.raises(LatdirError, match=r"amounts of shape \[0\]"):
        sweep(codes, d, [])


# Interpolation


@settings(deadline=None)
@given(seed=st.integers(0, 99), t=st.floats(0, 1))
def test_arcs_keep_length_and_angle(seed: int, t: float) -> None:
    a, b = (torch.nn.functional.normalize(draws(4, 6, seed=seed + i).double()) for i in (0, 100))
    (middle,) = slerp(a, b, torch.tensor([t], dtype=torch.float64))
    torch.testing.assert_close(middle.norm(dim=1), torch.ones(4).double())
    whole = torch.arccos((a * b).sum(1))
    part = torch.arccos((a * middle).sum(1).clamp(-1, 1))
    torch.testing.assert_close(part, t * whole, rtol=0, atol=1e-5)
    (back,) = slerp(b, a, torch.tensor([1 - t], dtype=torch.float64))
    torch.testing.assert_close(back, middle, rtol=0, atol=1e-9)


@pytest.mark.parametrize("path", [lerp, slerp])
def test_paths_begin_and_end_exactly(path: object) -> None:
    a, b = 1e3 * draws(4, 2, 3), draws(4, 2, 3, seed=1)
    made = path(a, b, [0.0, 0.5, 1.0])
    assert made.shape == (3, 4, 2, 3)
    assert torch.equal(made[0], a)
    torch.testing.assert_close(made[2], b, rtol=1e-6, atol=1e-6)


def test_nearly_parallel_codes_take_the_straight_line() -> None:
    a = draws(2, 6)
    for b in (a, a * 1.5, a + 1e-8):
        torch.testing.assert_close(slerp(a, b, [0.3]), lerp(a, b, [0.3]))


def test_paths_that_do_not_exist_are_refused() -> None:
    a = draws(2, 6)
    for b in (-a, -2 * a, torch.zeros(2, 6)):
        with pytest.raises(LatdirError, match="between a code and its opposite, or zero"):
            slerp(a, b, [0.5])
    with pytest.raises(LatdirError, match=r"fractions of shape \[0\]: give a list"):
        lerp(a, a, [])


# truncate


def test_truncation_draws_toward_the_mean() -> None:
    prior = Prior(draws(6), torch.eye(6))
    codes = draws(3, 6, seed=1)
    torch.testing.assert_close(
        truncate(codes, 0.7, prior=prior), prior.mean + 0.7 * (codes - prior.mean)
    )
    torch.testing.assert_close(truncate(codes, 1.0, prior=prior), codes)
    torch.testing.assert_close(truncate(codes, 0.0, prior=prior), prior.mean.expand(3, 6))
    each = truncate(codes, torch.tensor([0.0, 0.5, 1.0]), prior=prior)
    torch.testing.assert_close(each[2], codes[2])
    torch.testing.assert_close(each[0], prior.mean)


def test_truncation_of_chosen_layers() -> None:
    prior = Prior(draws(6), torch.eye(6))
    codes = draws(3, 5, 6, seed=1)
    made = truncate(codes, 0.5, prior=prior, layers=range(2))
    torch.testing.assert_close(made[:, :2], truncate(codes, 0.5, prior=prior)[:, :2])
    assert torch.equal(made[:, 2:], codes[:, 2:])
    for layers in ([5], [-1]):
        with pytest.raises(LatdirError, match=r"codes of shape \[3, 5, 6\] have no layers"):
            truncate(codes, 0.5, prior=prior, layers=layers)
    with pytest.raises(LatdirError, match="this prior is of codes of size 4"):
        truncate(codes, 0.5, prior=Prior.standard(4))
