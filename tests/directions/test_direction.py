"""One direction: what it refuses, its units, and where a step lands."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directions import Calibration, Direction, LatdirError

YAW = Calibration("yaw", "degrees", per_sigma=10.0, low=-3.0, high=2.0)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    vector = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return vector / vector.norm()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "a direction needs a name"),
        ({"vector": torch.tensor([1.0, 1.0])}, "has norm 1.41421, not 1: use Direction.from_v"),
        ({"vector": torch.tensor([float("inf"), 0.0])}, "NaN or infinite"),
        ({"vector": torch.tensor(1.0)}, r"a vector of torch.float32 and shape \[\]"),
        ({"sigma": 0.0}, "has sigma 0.0: it must be positive"),
        ({"sigma": float("nan")}, "has sigma nan"),
        ({"sigma": float("inf")}, "has sigma inf"),
        ({"offset": float("nan")}, "has offset nan"),
        ({"layers": ()}, r"acts on layers \[\]"),
        ({"layers": (1, 1)}, "distinct numbers from 0"),
        ({"layers": (-1,)}, "distinct numbers from 0"),
    ],
)
def test_what_is_no_direction_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(LatdirError, match=message):
        Direction("a", torch.tensor([1.0, 0.0]), "z").evolve(**changes)


@pytest.mark.parametrize("figures", [(float("nan"), -1.0, 1.0), (1.0, 2.0, -2.0)])
def test_a_calibration_is_sound(figures: tuple[float, float, float]) -> None:
    with pytest.raises(LatdirError, match="must be finite, low first"):
        Calibration("yaw", "degrees", *figures)


def test_any_vector_is_normalized_with_its_offset() -> None:
    for scale in (1e-30, 1e-3, 1.0, 1e30):
        d = Direction.from_vector(
            "a", torch.tensor([3.0, 4.0]) * scale, space="z", offset=10.0 * scale
        )
        torch.testing.assert_close(d.vector, torch.tensor([0.6, 0.8]))
        assert d.offset == pytest.approx(2.0)
    for vector in (torch.zeros(2), torch.tensor([float("nan"), 1.0])):
        with pytest.raises(LatdirError, match="'a' cannot be normalized"):
            Direction.from_vector("a", vector, space="z")
    assert Direction.from_vector("a", torch.tensor([3, 4]), space="z").vector.dtype == torch.float32
    half = Direction.from_vector("a", torch.randn(512).half(), space="z")
    assert half.vector.dtype == torch.float32


@settings(deadline=None)
@given(
    amount=st.floats(-5, 5),
    sigma=st.floats(0.01, 100),
    n=st.integers(1, 4),
    double=st.booleans(),
)
def test_a_step_is_amount_times_sigma(amount: float, sigma: float, n: int, double: bool) -> None:
    d = Direction("a", unit(6), "z", sigma=sigma)
    codes = torch.randn(n, 6, dtype=torch.float64 if double else torch.float32)
    moved = d.shift(codes, amount)
    assert moved.dtype == codes.dtype
    torch.testing.assert_close(
        moved - codes, (amount * sigma * d.vector.to(codes)).expand(n, 6), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close((-d).shift(codes, -amount), moved)


def test_units_agree() -> None:
    d = Direction("turn", unit(4), "z", sigma=0.5, calibration=YAW)
    assert d.units == ("sigma", "latent", "attribute", "degrees")
    codes = torch.randn(3, 4)
    for amount, name in ((15.0, "degrees"), (15.0, "attribute"), (0.75, "latent")):
        torch.testing.assert_close(d.shift(codes, amount, unit=name), d.shift(codes, 1.5))
    with pytest.raises(LatdirError, match="no unit 'years': use one of sigma, latent, attribute"):
        d.shift(codes, 1.0, unit="years")
    with pytest.raises(LatdirError, match=r"or calibrate it first with analysis\.calibrate"):
        Direction("a", unit(4), "z").shift(codes, 1.0, unit="degrees")


def test_beyond_the_linear_range_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    d = Direction("turn", unit(4), "z", calibration=YAW)
    with caplog.at_level(logging.WARNING):
        d.latent_amount(20.0, "degrees")
        assert not caplog.records
        d.latent_amount(torch.tensor([0.0, 25.0]), "degrees")
    assert "responds linearly from -3 to 2 sigma along turn only" in caplog.text


def test_an_attribute_that_does_not_answer_has_no_unit() -> None:
    dead = Calibration("yaw", "degrees", 0.0, -1.0, 1.0)
    with pytest.raises(LatdirError, match="'yaw' does not respond to direction 'a'"):
        Direction("a", unit(4), "z", calibration=dead).latent_amount(1.0, "degrees")


def test_each_code_may_have_its_own_amount() -> None:
    d = Direction("a", unit(4), "z", sigma=2.0)
    codes = torch.randn(3, 4)
    amounts = torch.tensor([-1.0, 0.0, 2.0])
    one_by_one = [d.shift(c[None], float(a)) for c, a in zip(codes, amounts, strict=True)]
    torch.testing.assert_close(d.shift(codes, amounts), torch.cat(one_by_one))
    with pytest.raises(LatdirError, match=r"amount has shape \[2\].* each of the 3 codes"):
        d.shift(codes, torch.zeros(2))


def test_a_vector_moves_the_layers_it_acts_on() -> None:
    codes = torch.randn(2, 5, 4)
    everywhere = Direction("a", unit(4), "w")
    torch.testing.assert_close(
        everywhere.shift(codes, 1.0) - codes, everywhere.vector.expand(2, 5, 4)
    )
    some = everywhere.evolve(layers=(1, 3))
    moved = some.shift(codes, 1.0) - codes
    torch.testing.assert_close(moved[:, [1, 3]], some.vector.expand(2, 2, 4))
    assert (moved[:, [0, 2, 4]] == 0).all()
    with pytest.raises(LatdirError, match=r"give it codes with a layer axis \[n, layers, 4\]"):
        some.shift(codes[:, 0], 1.0)
    with pytest.raises(LatdirError, match=r"layers \[9\], but the codes have 5"):
        some.evolve(layers=(9,)).shift(codes, 1.0)


def test_a_layered_vector_moves_its_layers() -> None:
    d = Direction("a", unit(5, 4), "w+", layers=(0, 2))
    moved = d.shift(torch.zeros(2, 5, 4), 2.0)
    torch.testing.assert_close(moved[0, [0, 2]], 2 * d.vector[[0, 2]])
    assert (moved[:, [1, 3, 4]] == 0).all()


@pytest.mark.parametrize("shape", [(2, 5), (4,), (2, 2, 2, 4), (2, 4, 5)])
def test_codes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LatdirError, match="which does not fit codes of shape"):
        Direction("a", unit(4), "z").shift(torch.zeros(shape), 1.0)


def test_levels_are_signed_distances() -> None:
    d = Direction.from_vector("a", torch.tensor([3.0, 4.0]), space="z", offset=-5.0)
    codes = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, 0.5]])
    torch.testing.assert_close(d.level(codes), torch.tensor([4.0, -1.0, 0.0]))
    torch.testing.assert_close((-d).level(codes), -d.level(codes))
    with pytest.raises(LatdirError, match="does not fit codes of shape"):
        d.level(torch.zeros(2, 3))


def test_negation_turns_the_calibration_round() -> None:
    turned = (-Direction("turn", unit(4), "z", calibration=YAW)).calibration
    assert turned == Calibration("yaw", "degrees", -10.0, -2.0, 3.0)


def test_steps_are_differentiable() -> None:
    d = Direction("a", unit(4), "z")
    codes = torch.randn(2, 4, requires_grad=True)
    amount = torch.zeros(2, requires_grad=True)
    d.shift(codes, amount).sum().backward()
    torch.testing.assert_close(codes.grad, torch.ones(2, 4))
    torch.testing.assert_close(amount.grad, d.vector.sum().expand(2))
