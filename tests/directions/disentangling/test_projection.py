"""Orthogonalizing: the official projections, properties, planted effects, refusals."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from directions import (
    Calibration,
    Direction,
    DirectionBank,
    LatdirError,
    Prior,
    condition,
    disentangle,
    orthonormalize,
)
from directions.planted.world import PlantedGenerator, planted
from tests.parity import FIXTURES

FIXTURE = FIXTURES / "interfacegan" / "boundaries.npz"


def bank_of(
    rows: Tensor, *, prior: Prior | None = None, names: str | list[str] = ""
) -> DirectionBank:
    labels = names or [f"d{i}" for i in range(len(rows))]
    made = [Direction.from_vector(n, r, space="z") for n, r in zip(labels, rows, strict=True)]
    if prior is not None:
        made = [d.evolve(sigma=prior.sigma(d.vector)) for d in made]
    return DirectionBank(tuple(made), "toy", "0" * 64)


def rows(k: int, d: int, seed: int) -> Tensor:
    return torch.randn(k, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def spread(d: int, seed: int) -> Prior:
    mixing = rows(d, d, seed) * torch.linspace(0.3, 2, d, dtype=torch.float64)
    return Prior(torch.zeros(d), (mixing @ mixing.T).float())


def rotation(d: int, seed: int) -> Tensor:
    return torch.linalg.qr(rows(d, d, seed))[0]


# condition


@pytest.mark.parametrize(
    ("primal", "others", "result"),
    [
        ("male", ["expr1"], "proj_male_given_expr1"),
        ("expr1", ["male"], "proj_expr1_given_male"),
        ("expr1", ["male", "age"], "proj_expr1_given_male_age"),
        ("age", ["male", "expr1", "male_ratio0.2"], "proj_age_given_male_expr1_male0.2"),
    ],
)
def test_conditioning_agrees_with_the_official_code(
    primal: str, others: list[str], result: str
) -> None:
    if not FIXTURE.exists():
        pytest.skip(f"no fixture {FIXTURE}")
    fixture = np.load(FIXTURE)
    names = [primal, *others]
    bank = bank_of(torch.from_numpy(np.stack([fixture[f"boundary_{n}"][0] for n in names])))
    bank = bank.replaced(d.evolve(name=n) for d, n in zip(bank.directions, names, strict=True))
    made = condition(bank, on={primal: others})
    np.testing.assert_allclose(made[primal].vector.numpy(), fixture[result][0], atol=2e-6)
    assert made["male"] is bank["male"] or primal == "male"


@settings(deadline=None, max_examples=40)
@given(k=st.integers(1, 6), seed=st.integers(0, 999), covariance=st.booleans())
def test_conditioning_projects(k: int, seed: int, covariance: bool) -> None:
    d = 12
    metric = spread(d, seed) if covariance else None
    bank = bank_of(rows(k + 1, d, seed + 1), prior=metric)
    names = list(bank)[1:]
    once = condition(bank, on={"d0": names}, metric=metric)
    M = metric.covariance.double() if metric else torch.eye(d, dtype=torch.float64)
    C = torch.stack([bank[n].vector for n in names]).double()
    n = once["d0"].vector.double()
    assert (C @ M @ n).abs().max() < 1e-5 * float(M.diagonal().max())
    twice = condition(once, on={"d0": names}, metric=metric)
    torch.testing.assert_close(twice["d0"].vector, once["d0"].vector, rtol=0, atol=1e-5)
    # Neither the order of the conditions nor their signs matter.
    turned = bank.replaced([bank["d0"], *(-bank[name] for name in reversed(names))])
    again = condition(turned, on={"d0": names[::-1]}, metric=metric)
    torch.testing.assert_close(again["d0"].vector, once["d0"].vector, rtol=0, atol=1e-5)
    # Nothing in the complement is nearer to the original.
    record = once["d0"].evidence["conditioned"]
    assert record["cosine"] == pytest.approx(float(n @ bank["d0"].vector.double()), abs=1e-5)
    if not covariance:
        assert record["kept"] == pytest.approx(record["cosine"], abs=1e-6)
        other = rows(1, d, seed + 2)[0]
        other -= torch.linalg.lstsq(C.T, other).solution @ C
        assert (
            abs(float(other @ bank["d0"].vector.double() / other.norm())) <= record["cosine"] + 1e-6
        )


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999))
def test_conditioning_turns_with_the_space(seed: int) -> None:
    R, V = rotation(8, seed), rows(4, 8, seed + 1)
    plain = condition(bank_of(V), on=["d1", "d2"]).matrix()
    turned = condition(bank_of(V @ R), on=["d1", "d2"]).matrix()
    torch.testing.assert_close(turned, (plain.double() @ R).float(), rtol=0, atol=1e-5)


def test_one_list_conditions_each_on_the_rest() -> None:
    bank = bank_of(rows(4, 10, 0))
    made = condition(bank, on=["d0", "d1"])
    products = made.matrix() @ bank.matrix().T
    assert abs(float(products[0, 1])) < 1e-6
    assert abs(float(products[1, 0])) < 1e-6
    assert products[2:, :2].abs().max() < 1e-6
    assert made["d0"].evidence["conditioned"]["on"] == ["d1"]
    assert made["d3"].evidence["conditioned"]["on"] == ["d0", "d1"]


def test_one_condition_in_a_list_is_left_as_it_is() -> None:
    bank = bank_of(rows(3, 10, 0))
    made = condition(bank, on=["d1"])
    assert made["d1"] is bank["d1"]


def test_one_name_is_a_list_of_one() -> None:
    bank = bank_of(rows(3, 10, 0))
    assert torch.equal(condition(bank, on="d1").matrix(), condition(bank, on=["d1"]).matrix())
    given, listed = (condition(bank, on={"d0": names}).matrix() for names in ("d1", ["d1"]))
    assert torch.equal(given, listed)
    with pytest.raises(LatdirError, match="the names have 'd1' twice: leave one out"):
        condition(bank, on={"d0": ["d1", "d1"]})


def test_what_is_no_longer_true_is_dropped() -> None:
    bank = bank_of(rows(2, 6, 0))
    first = bank["d0"].evolve(
        offset=1.0,
        calibration=Calibration("a", "degrees", 1.0, -1.0, 1.0),
        evidence={"accuracy": 0.9},
        method="boundary",
        config={"C": 1.0},
        layers=None,
    )
    made = condition(bank.replaced([first, bank["d1"]]), on={"d0": ["d1"]})["d0"]
    assert (made.offset, made.calibration) == (None, None)
    assert made.evidence["original"] == {"accuracy": 0.9}
    assert "accuracy" not in made.evidence
    assert (made.method, made.config, made.name) == ("boundary", {"C": 1.0}, "d0")


def test_both_kinds_fit_in_one_bank_when_renamed() -> None:
    bank = bank_of(rows(3, 6, 0))
    made = condition(bank, on={"d0": ["d1", "d2"]}, rename=True)
    assert list(made) == ["d0 | d1, d2", "d1", "d2"]


def test_sigma_follows_the_prior() -> None:
    prior = spread(6, 3)
    bank = bank_of(rows(2, 6, 0), prior=prior)
    made = condition(bank, on={"d0": ["d1"]}, prior=prior)["d0"]
    v = made.vector.double()
    assert made.sigma == pytest.approx(float((v @ prior.covariance.double() @ v).sqrt()), rel=1e-5)
    with pytest.raises(LatdirError, match=r"give prior=generator\.prior\('z'\)"):
        condition(bank, on={"d0": ["d1"]})


def test_masked_layers_are_projected_where_they_act() -> None:
    V = rows(2, 12, 0).reshape(2, 4, 3)
    made = [
        Direction.from_vector("a", V[0], space="w+", layers=(1, 2)),
        Direction.from_vector("b", V[1], space="w+"),
    ]
    bank = condition(DirectionBank(tuple(made), "toy", "0" * 64), on={"a": ["b"]})
    moved = bank["a"].shift(torch.zeros(1, 4, 3), 1.0)[0]
    assert abs(float((moved * made[1].vector).sum())) < 1e-6
    assert (moved[[0, 3]] == 0).all()


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ({"d0": []}, "'d0' is conditioned on nothing"),
        ({"d0": ["d0"]}, "'d0' cannot be conditioned on itself"),
        ({"d0": ["nope"]}, "no direction 'nope' in this bank"),
        ({"nope": ["d0"]}, "no direction 'nope' in this bank"),
        ({"d0": ["d1", "d2", "copy"]}, "span fewer dimensions .*'d1' and 'copy', cosine 1.000000"),
        ({"d0": ["d1", "d2", "sum"]}, "span fewer dimensions"),
        ({"copy": ["d1"]}, "nothing is left of 'copy' once d1 is taken out"),
        ({"sum": ["d1", "d2"]}, "nothing is left of 'sum' once d1, d2 are taken out"),
    ],
)
def test_what_cannot_be_conditioned_is_refused(on: object, message: str) -> None:
    V = rows(3, 8, 0)
    V = torch.cat([V, V[1:2], V[1:2] + V[2:3]])
    bank = bank_of(V, names=["d0", "d1", "d2", "copy", "sum"])
    with pytest.raises(LatdirError, match=message):
        condition(bank, on=on)


def test_nearly_parallel_conditions_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    V = rows(3, 8, 0)
    V[2] = V[1] + 1e-3 * V[2]
    with caplog.at_level(logging.WARNING):
        made = condition(bank_of(V), on={"d0": ["d1", "d2"]})
    assert "d1 and d2 are nearly parallel (cosine 1.00000)" in caplog.text
    assert made["d0"].evidence["conditioned"]["condition_number"] > 1000


def test_directions_of_two_spaces_are_refused() -> None:
    bank = bank_of(rows(2, 8, 0))
    mixed = bank.replaced([bank["d0"], bank["d1"].evolve(space="w")])
    with pytest.raises(LatdirError, match="live in spaces 'z' and 'w'"):
        condition(mixed, on={"d0": ["d1"]})
    with pytest.raises(LatdirError, match=r"of codes of size 3, .*give generator\.prior\('z'\)"):
        condition(bank, on={"d0": ["d1"]}, metric=Prior.standard(3))


# orthonormalize


@settings(deadline=None, max_examples=40)
@given(
    k=st.integers(1, 6),
    seed=st.integers(0, 999),
    order=st.sampled_from(["qr", "lowdin"]),
    covariance=st.booleans(),
)
def test_a_bank_becomes_orthogonal(k: int, seed: int, order: str, covariance: bool) -> None:
    d = 12
    metric = spread(d, seed) if covariance else None
    bank = bank_of(rows(k, d, seed + 1), prior=metric)
    made = orthonormalize(bank, order=order, metric=metric)
    V = made.matrix().double()
    M = metric.covariance.double() if metric else torch.eye(d, dtype=torch.float64)
    gram = V @ M @ V.T
    off = gram - torch.diag(gram.diagonal())
    assert off.abs().max() < 1e-5 * float(gram.diagonal().max())
    # Signs keep, and the same subspace is spanned.
    assert (torch.linalg.matrix_rank(torch.cat([V, bank.matrix().double()]), rtol=1e-5)) == k
    if order == "qr":
        torch.testing.assert_close(V[0].float(), bank.matrix()[0], rtol=0, atol=1e-6)
        assert (V @ M * bank.matrix().double()).sum(1).min() > 0
    again = orthonormalize(made, order=order, metric=metric).matrix()
    torch.testing.assert_close(again, made.matrix(), rtol=0, atol=1e-5)


def test_qr_agrees_with_numpy() -> None:
    bank = bank_of(rows(5, 9, 0))
    Q, R = np.linalg.qr(bank.matrix().double().numpy().T)
    np.testing.assert_allclose(
        orthonormalize(bank).matrix().numpy(), (Q * np.sign(np.diag(R))).T, atol=1e-6
    )


def test_lowdin_is_the_nearest_orthonormal_set_whatever_the_order() -> None:
    bank = bank_of(rows(4, 9, 0))
    V = bank.matrix().double()
    U, _, Wh = torch.linalg.svd(V, full_matrices=False)
    made = orthonormalize(bank, order="lowdin").matrix().double()
    torch.testing.assert_close(made, U @ Wh, rtol=0, atol=1e-6)
    shuffled = bank.select(["d2", "d0", "d3", "d1"])
    again = orthonormalize(shuffled, order="lowdin").select(list(bank)).matrix().double()
    torch.testing.assert_close(again, made, rtol=0, atol=1e-6)
    assert (made - V).norm() < (orthonormalize(bank).matrix().double() - V).norm()


def test_orthonormalizing_refuses() -> None:
    V = rows(3, 8, 0)
    V[2] = V[0] - V[1]
    with pytest.raises(LatdirError, match="3 directions span fewer dimensions than their number"):
        orthonormalize(bank_of(V))
    with pytest.raises(LatdirError, match="5 directions span fewer dimensions"):
        orthonormalize(bank_of(rows(5, 4, 0)))
    with pytest.raises(LatdirError, match="no order 'gram': use 'qr' or 'lowdin'"):
        orthonormalize(bank_of(rows(2, 4, 0)), order="gram")
    bank = bank_of(rows(2, 8, 0))
    layered = bank.replaced([bank["d0"].evolve(layers=(1,)), bank["d1"]])
    with pytest.raises(LatdirError, match="'d0' and 'd1' act on different layers"):
        orthonormalize(layered)


# disentangle


def factor_effects(generator: PlantedGenerator, bank: DirectionBank) -> Tensor:
    """Exact change of each linear factor per sigma of each direction."""
    sigma = torch.tensor([d.sigma for d in bank.directions])
    return sigma[:, None] * bank.matrix() @ generator.truth.T


def test_disentangled_directions_move_one_planted_factor_each() -> None:
    generator = planted(factors=4, cosine=0.5, condition=4.0, seed=3)
    prior = generator.prior("z")
    noisy = generator.truth + 0.3 * rows(4, 32, 1).float() / 32**0.5
    bank = bank_of(noisy, prior=prior, names=list(generator.names))
    made = disentangle(bank, effects=factor_effects(generator, bank), prior=prior)
    E = factor_effects(generator, made)
    off = E - torch.diag(E.diagonal())
    before = factor_effects(generator, bank)
    assert off.abs().max() < 1e-5
    assert (before - torch.diag(before.diagonal())).abs().max() > 0.2
    for i, d in enumerate(made.directions):
        record = d.evidence["disentangled"]
        assert record["leakage_after"] < 1e-5
        assert record["leakage_before"] > 0.2
        assert record["effect_kept"] == pytest.approx(float(E[i, i] / before[i, i]), rel=1e-4)
        assert record["cosine"] == pytest.approx(
            float(d.vector @ bank.directions[i].vector), abs=1e-5
        )
        assert d.sigma == pytest.approx(prior.sigma(d.vector), rel=1e-5)
        # One sigma along the result is the mix of sigmas along the ingredients that it records.
        mix = sum(amount * bank[n].sigma * bank[n].vector for n, amount in record["mix"].items())
        torch.testing.assert_close(mix, d.sigma * d.vector, rtol=1e-4, atol=1e-5)


def test_the_result_is_the_nearest_without_leakage() -> None:
    V, E = rows(5, 9, 0), rows(5, 3, 1)
    bank = bank_of(V)
    made = disentangle(
        bank, effects=E, attributes=["a", "b", "c"], targets={"d0": "a"}, hold=["b", "c"]
    )
    d0 = made["d0"].vector.double()
    S = bank.matrix().double()
    c = torch.linalg.lstsq(S.T, d0).solution
    assert (c @ E[:, 1:]).abs().max() < 1e-6
    # Every direction in the allowed subspace is at most as near.
    null = torch.linalg.svd(E[:, 1:].T)[2][2:]
    allowed = torch.linalg.qr((null @ S).T)[0]
    assert float(d0 @ S[0]) == pytest.approx(float((allowed.T @ S[0]).norm()), abs=1e-6)
    assert all(made[n] is bank[n] for n in list(bank)[1:])


def test_disentangling_twice_changes_nothing() -> None:
    generator = planted(factors=3, cosine=0.5)
    bank = bank_of(generator.truth, names=list(generator.names))
    once = disentangle(bank, effects=factor_effects(generator, bank))
    twice = disentangle(once, effects=factor_effects(generator, once))
    torch.testing.assert_close(once.matrix(), twice.matrix(), rtol=0, atol=1e-5)


def test_a_ridge_trades_leakage_for_likeness() -> None:
    V, E = rows(4, 9, 0), torch.eye(4) + 0.4 * rows(4, 4, 1)
    bank, cosines, leaks = bank_of(V), [], []
    for ridge in (0.0, 0.01, 0.1, 1.0, 1e6):
        record = disentangle(bank, effects=E, ridge=ridge)["d0"].evidence["disentangled"]
        cosines.append(record["cosine"])
        leaks.append(record["leakage_after"])
    assert cosines == sorted(cosines)
    assert leaks[0] < 1e-9 < leaks[1]
    assert cosines[-1] == pytest.approx(1.0, abs=1e-6)
    assert leaks[-1] == pytest.approx(record["leakage_before"], rel=1e-4)


def test_a_trust_bound_is_kept_and_used_up() -> None:
    V, E = rows(4, 9, 0), torch.eye(4) + 0.4 * rows(4, 4, 1)
    free = disentangle(bank_of(V), effects=E)["d0"].evidence["disentangled"]
    half = (1 + free["cosine"]) / 2
    assert half < 0.99
    bound = disentangle(bank_of(V), effects=E, least_cosine=half)["d0"].evidence["disentangled"]
    assert bound["cosine"] == pytest.approx(half, abs=1e-6)
    assert 0 < bound["leakage_after"] < bound["leakage_before"]
    loose = disentangle(bank_of(V), effects=E, least_cosine=free["cosine"] - 0.1)
    assert loose["d0"].evidence["disentangled"]["ridge"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"effects": torch.ones(2, 3)}, r"effects have shape \[2, 3\], but there are 3 directions"),
        ({"effects": torch.full((3, 3), float("nan"))}, "the effect of 'd0' on 'd0' is nan"),
        ({"effects": torch.ones(3, 3), "ridge": -1.0}, "ridge -1.0 must not be negative"),
        ({"effects": torch.ones(3, 3), "least_cosine": 1.5}, "least_cosine 1.5 must be"),
        ({"effects": torch.ones(3, 1), "attributes": ["x"]}, "no direction is named after an attr"),
        ({"effects": torch.eye(3), "targets": {"d0": "x"}}, "no effect on 'x' was measured"),
        ({"effects": torch.eye(3), "targets": {"x": "d0"}}, "no direction 'x' in this bank"),
        ({"effects": torch.eye(3), "hold": ["x"]}, "no effect on 'x' was measured"),
        ({"effects": torch.eye(3), "hold": ["d0"]}, "'d0' cannot be disentangled: there is noth"),
        ({"effects": torch.zeros(3, 3)}, "'d0' cannot be disentangled: it does not move 'd0'"),
        (
            {
                "effects": torch.cat([torch.eye(3), torch.eye(3)], 1),
                "attributes": ["d0", "a", "b", "twin", "e", "f"],
                "targets": {"d0": "d0"},
            },
            "no mix of d0, d1, d2 moves 'd0' and leaves a, b, twin, e, f alone",
        ),
    ],
)
def test_what_cannot_be_disentangled_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(LatdirError, match=message):
        disentangle(bank_of(rows(3, 8, 0)), **arguments)


def test_dependent_ingredients_are_refused() -> None:
    V = rows(3, 8, 0)
    V[2] = V[0]
    with pytest.raises(LatdirError, match=r"span fewer dimensions .*'d0' and 'd2'"):
        disentangle(bank_of(V), effects=torch.eye(3))
