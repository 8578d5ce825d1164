"""The joint solver: exact where it can be, honest where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from torch import Tensor

from directions import (
    Calibration,
    Direction,
    DirectionBank,
    InfeasibleError,
    LatdirError,
    Level,
    move,
    solve,
)
from directions.planted.world import planted


def draws(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def bank_of(k: int, d: int = 10, seed: int = 0) -> DirectionBank:
    sigmas = torch.linspace(0.5, 2.0, k)
    made = [
        Direction.from_vector(f"d{i}", row, space="z", sigma=float(sigma))
        for i, (row, sigma) in enumerate(zip(draws(k, d, seed=seed), sigmas, strict=True))
    ]
    return DirectionBank(tuple(made), "toy", "0" * 64)


def latent(bank: DirectionBank, amounts: Tensor) -> Tensor:
    steps = torch.stack([d.vector.double() * d.sigma for d in bank.directions])
    return amounts @ steps


ATTRIBUTES = ["a", "b", "c", "e"]


def test_planted_factors_change_as_asked() -> None:
    generator = planted(factors=4, cosine=0.5, condition=3.0)
    prior, names = generator.prior("z"), list(generator.names)
    noisy = generator.truth + 0.05 * draws(4, 32).float()
    made = [Direction.from_vector(n, v, space="z") for n, v in zip(names, noisy, strict=True)]
    made = [d.evolve(sigma=prior.sigma(d.vector)) for d in made]
    bank = DirectionBank(tuple(made), generator.name, generator.fingerprint)
    effects = torch.stack([d.sigma * d.vector for d in made]) @ generator.truth.T
    codes = generator.sample(5, seed=0)
    targets = {names[0]: torch.linspace(-2, 2, 5), names[2]: 1.0}
    found = solve(bank, targets=targets, hold=[names[1], names[3]], effects=effects, bound=None)
    changes = (move(codes, bank, found.amounts, generator=generator) - codes) @ generator.truth.T
    expected = torch.zeros(5, 4)
    expected[:, 0], expected[:, 2] = torch.linspace(-2, 2, 5), 1.0
    torch.testing.assert_close(changes, expected, rtol=0, atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999), held=st.integers(0, 2))
def test_the_shortest_way_agrees_with_a_general_optimizer(seed: int, held: int) -> None:
    bank, effects = bank_of(6, seed=seed), draws(6, 4, seed=seed + 1)
    targets = {"a": 1.0, "b": -0.5}
    found = solve(
        bank,
        targets=targets,
        effects=effects,
        attributes=ATTRIBUTES,
        hold=["c", "e"][:held],
        bound=None,
    )
    amounts = torch.stack(list(found.amounts.values()), 1)
    E = effects[:, : 2 + held]
    wanted = torch.tensor([1.0, -0.5, 0.0, 0.0])[: 2 + held].double()
    torch.testing.assert_close(amounts[0] @ E, wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.distance, latent(bank, amounts).norm(dim=1))
    # The change of latent variable x = Sᵀ c makes this the textbook least-norm problem.
    S = torch.stack([d.vector.double() * d.sigma for d in bank.directions])
    L = torch.linalg.cholesky(S @ S.T)
    y = np.linalg.pinv((torch.linalg.inv(L) @ E).T.numpy()) @ wanted.numpy()
    assert float(found.distance) == pytest.approx(float(np.linalg.norm(y)), rel=1e-6)


def test_a_bound_agrees_with_a_general_optimizer() -> None:
    bank, effects = bank_of(5), draws(5, 4, seed=1)
    wanted = np.array([2.0, -1.0])
    arguments = {"targets": {"a": 2.0, "b": -1.0}, "effects": effects, "attributes": ATTRIBUTES}
    free = solve(bank, hold=["c"], bound=None, **arguments)
    bound = 0.5 * float(free.distance)
    with pytest.raises(InfeasibleError) as met:
        solve(bank, hold=["c"], bound=bound, **arguments)
    best = met.value.best
    assert float(best.distance) == pytest.approx(bound, rel=1e-6)
    assert float(best.changes["c"]) == pytest.approx(0, abs=1e-9)
    S = torch.stack([d.vector.double() * d.sigma for d in bank.directions]).numpy()
    E = effects.numpy()
    reference = optimize.minimize(
        lambda c: float(((c @ E[:, :2] - wanted) ** 2).sum()),
        np.zeros(5),
        constraints=[
            {"type": "eq", "fun": lambda c: c @ E[:, 2]},
            {"type": "ineq", "fun": lambda c: bound**2 - float(((c @ S) ** 2).sum())},
        ],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert reference.success
    ours = sum((float(best.changes[n]) - w) ** 2 for n, w in zip("ab", wanted, strict=True))
    assert ours == pytest.approx(reference.fun, rel=1e-4)


def test_a_bound_that_suffices_changes_nothing() -> None:
    bank, effects = bank_of(5), draws(5, 4, seed=1)
    arguments = {"targets": {"a": 1.0}, "effects": effects, "attributes": ATTRIBUTES}
    free = solve(bank, bound=None, **arguments)
    bound = solve(bank, bound=1.01 * float(free.distance), **arguments)
    for name in bank:
        torch.testing.assert_close(bound.amounts[name], free.amounts[name])


def test_the_message_says_what_can_be_had() -> None:
    made = [Direction(n, torch.eye(2)[i], "z") for i, n in enumerate(("smiling", "yaw"))]
    bank = DirectionBank(tuple(made), "toy", "0" * 64)
    effects = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
    with pytest.raises(
        LatdirError,
        match=r"smiling \+2 cannot be reached within a distance of 1 with yaw held: the best is "
        r"smiling \+0\.686; raise the bound \(2\.92 would do\), hold fewer attributes, or ask for",
    ):
        solve(bank, targets={"smiling": 2.0}, hold=["yaw"], effects=effects, bound=1.0)
    # Of several codes only the far ones are at fault.
    amounts = torch.tensor([0.1, 2.0, -3.0])
    with pytest.raises(InfeasibleError, match=r"smiling \+2 \(and 1 more codes\) cannot") as met:
        solve(bank, targets={"smiling": amounts}, effects=effects, bound=1.0)
    torch.testing.assert_close(met.value.best.changes["smiling"][0], amounts[0].double())
    assert (met.value.best.distance <= 1 + 1e-9).all()


def test_what_no_distance_reaches_is_reported() -> None:
    bank = bank_of(2)
    effects = torch.tensor([[1.0, 2.0, 0.0], [0.5, 1.0, 1.0]])
    names = ["a", "twin", "c"]
    with pytest.raises(
        InfeasibleError, match=r"a \+1, twin -1 cannot be reached: the best is"
    ) as met:
        solve(bank, targets={"a": 1.0, "twin": -1.0}, effects=effects, attributes=names)
    # The nearest point on the line that can be reached: (1, 2) scaled.
    best = met.value.best
    assert float(best.changes["a"]) == pytest.approx(-0.2, abs=1e-9)
    assert float(best.changes["twin"]) == pytest.approx(-0.4, abs=1e-9)
    with pytest.raises(InfeasibleError, match=r"with twin held: the best is a .0; hold fewer"):
        solve(bank, targets={"a": 1.0}, hold=["twin"], effects=effects, attributes=names, bound=9.0)


@pytest.mark.parametrize("sigma", [1e-4, 1.0, 1e4])
def test_rounding_is_not_taken_for_reach(sigma: float) -> None:
    bank = bank_of(3)
    bank = bank.replaced(d.evolve(sigma=sigma) for d in bank.directions)
    effects = draws(3, 4, seed=2)
    with pytest.raises(InfeasibleError, match=r"a \+1 cannot be reached with b, c, e held"):
        solve(
            bank,
            targets={"a": 1.0},
            hold=["b", "c", "e"],
            effects=effects,
            attributes=ATTRIBUTES,
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": {}}, "no targets"),
        ({"targets": {"x": 1.0}}, "no effect on 'x' was measured"),
        ({"targets": {"d0": 1.0}, "hold": ["x"]}, "no effect on 'x' was measured"),
        ({"targets": {"d0": 1.0}, "hold": ["d0"]}, "'d0' cannot be a target and held at once"),
        ({"targets": {"d0": 1.0}, "bound": 0.0}, "the bound is a positive distance, not 0.0"),
        ({"targets": {"d0": float("nan")}}, r"targets\['d0'\] is a finite number, not nan"),
        (
            {"targets": {"d0": torch.zeros(2), "d1": torch.zeros(3)}},
            r"targets have shapes d0 \[2\], d1 \[3\]",
        ),
        ({"targets": {"d0": 1.0}, "effects": torch.ones(2, 2)}, r"effects have shape \[2, 2\]"),
        ({"targets": {"d0": 1.0}, "effects": None}, "nothing says what the directions do"),
        ({"targets": {"d0": Level(1.0)}}, "the value of 'd0' is reached on images only"),
        ({"targets": {"d0": 1.0}, "codes": torch.zeros(1, 10)}, "takes all of codes=, generator="),
        ({"targets": {"d0": 1.0}, "bound": {"x": (0.0, 1.0)}}, "no direction 'x'"),
        ({"targets": {"d0": 1.0}, "bound": {"d0": (1.0, 2.0)}}, "the range of 'd0' is 1 … 2 sigma"),
        ({"targets": {"d0": 1.0}, "bound": float("nan")}, "bound is a finite number, not nan"),
    ],
)
def test_what_is_no_question_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(LatdirError, match=message):
        solve(bank_of(3), **{"effects": torch.eye(3), **arguments})


def test_a_target_of_nothing_needs_no_move() -> None:
    found = solve(bank_of(3), targets={"d0": 0.0}, effects=torch.eye(3))
    assert float(found.distance) == 0


class Measured:
    """As `measure_effects` returns them, with one constant attribute."""

    standardized = torch.tensor([[0.8, float("nan"), 0.6], [0.0, float("nan"), 1.0]])
    directions = ("smiling", "yaw")
    names = ("smiling", "constant", "yaw")


def flat(**calibrations: Calibration) -> DirectionBank:
    made = [
        Direction(n, torch.eye(2)[i], "z", calibration=calibrations.get(n))
        for i, n in enumerate(("smiling", "yaw"))
    ]
    return DirectionBank(tuple(made), "toy", "0" * 64)


def test_effects_are_taken_as_they_are_returned(caplog: pytest.LogCaptureFixture) -> None:
    bank = flat()
    found = solve(bank, targets={"smiling": 1.6}, hold=["yaw"], effects=Measured())
    assert float(found.amounts["smiling"]) == pytest.approx(2.0, rel=1e-5)
    assert not caplog.records
    moved = move(torch.zeros(1, 2), bank, found)
    torch.testing.assert_close(moved, torch.tensor([[2.0, -1.2]]))
    turned = bank.select(["yaw", "smiling"])
    with pytest.raises(LatdirError, match="effects are of smiling, yaw, but the bank has yaw, smi"):
        solve(turned, targets={"smiling": 1.6}, effects=Measured())


def test_absurd_requests_are_refused_and_say_what_stops_them() -> None:
    with pytest.raises(
        InfeasibleError,
        match=r"smiling \+50 cannot be reached, because the range of smiling ends at \+3 sigma: "
        r"the best is smiling \+2.4; ask for less, correct it on images .*, or go beyond .*=None",
    ) as met:
        solve(flat(), targets={"smiling": 50.0}, effects=Measured())
    assert met.value.best.stopped == ("the range of smiling ends at +3 sigma",)
    far = solve(flat(), targets={"smiling": 50.0}, effects=Measured(), bound=None)
    assert float(far.amounts["smiling"]) == pytest.approx(62.5)


def test_linear_ranges_of_calibrations_bound_the_amounts() -> None:
    bank = flat(smiling=Calibration("smiling", "probability", 0.2, -0.9, 1.0))
    arguments = {"hold": ["yaw"], "effects": Measured()}
    fits = solve(bank, targets={"smiling": 0.8}, **arguments)
    assert float(fits.amounts["smiling"]) == pytest.approx(1.0)
    with pytest.raises(InfeasibleError, match=r"the range of smiling ends at -0[.]9 sigma") as met:
        solve(bank, targets={"smiling": torch.tensor([-0.4, -1.6])}, **arguments)
    best = met.value.best
    assert best.reached.tolist() == [True, False]
    torch.testing.assert_close(best.changes["yaw"], torch.zeros(2).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(best.changes["smiling"], torch.tensor([-0.4, -0.72]).double())
    for told in ({"smiling": (-3.0, 3.0)}, [Ranged()]):
        assert float(solve(bank, targets={"smiling": 1.6}, bound=told, **arguments).distance) > 2


class Ranged:
    """As `linear_ranges` returns them."""

    direction, low, high = "smiling", -3.0, 2.5


def test_other_directions_take_over_where_one_ends() -> None:
    effects = torch.tensor([[1.0], [0.5]])
    arguments = {"targets": {"a": 2.0}, "effects": effects, "attributes": ["a"]}
    free = solve(flat(), **arguments)
    assert float(free.amounts["smiling"]) == pytest.approx(1.6)
    found = solve(flat(), bound={"smiling": (0.0, 1.0)}, **arguments)
    assert float(found.amounts["smiling"]) == pytest.approx(1.0)
    assert float(found.amounts["yaw"]) == pytest.approx(2.0, rel=1e-4)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999))
def test_ranges_agree_with_a_general_optimizer(seed: int) -> None:
    bank, effects = bank_of(5, seed=seed), draws(5, 4, seed=seed + 1)
    arguments = {"targets": {"a": 2.0, "b": -1.0}, "hold": ["c"]}
    try:
        ours = solve(
            bank, effects=effects, attributes=ATTRIBUTES,
            bound=dict.fromkeys(bank, (-0.5, 0.5)), **arguments,
        )  # fmt: skip
    except InfeasibleError as error:
        ours = error.best
    c = torch.cat(list(ours.amounts.values())).numpy()
    E, wanted = effects.numpy(), np.array([2.0, -1.0])
    assert np.abs(c).max() <= 0.5
    assert abs(c @ E[:, 2]) < 1e-6
    reference = optimize.minimize(
        lambda c: float(((c @ E[:, :2] - wanted) ** 2).sum()),
        np.zeros(5),
        bounds=[(-0.5, 0.5)] * 5,
        constraints=[{"type": "eq", "fun": lambda c: c @ E[:, 2]}],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert float(((c @ E[:, :2] - wanted) ** 2).sum()) <= reference.fun + 1e-6
