import logging
from itertools import pairwise

import pytest
import torch

from analysis import apply_calibrations, calibrate, calibration_curves, measure_curves
from directions import Calibration, Direction, LatdirError
from directions.classifiers.base import Attribute
from directions.numerics.monotone import monotone_knots
from tests.analysis.measured import bank_of, curves, true_bank
from tests.worlds import world

AMOUNTS = (-3, -2, -1, 0, 1, 2, 3)


def answer(function, *, n=30, attribute="a"):
    """Curves of one direction whose attribute is a function of the amount, plus a start."""
    start = torch.linspace(-1, 1, n)
    scores = torch.stack([start + function(a) for a in map(float, AMOUNTS)])
    return curves(scores[None, :, :, None], AMOUNTS, attributes=[attribute], targets={"d0": "a"})


def test_in_a_linear_world_the_slope_is_known_and_holds_everywhere():
    generator = world("anisotropic")
    bank = true_bank(generator)
    found = measure_curves(generator, generator.classifier(), bank, count=20)
    for curve, direction in zip(calibration_curves(found), bank.directions, strict=True):
        assert curve.slope == pytest.approx(direction.sigma, rel=1e-3)
        assert curve.slope_low <= curve.slope + 1e-4
        assert curve.slope_high >= curve.slope - 1e-4
        assert curve.linear == (-3, 3)
        assert curve.significant


def test_amounts_may_then_be_given_in_the_attribute_s_unit():
    generator = world("entangled")
    bank = calibrate(generator, generator.classifier(), true_bank(generator), count=20)
    codes = generator.sample(5, seed=1)
    direction = bank["factor_1"]
    assert direction.calibration.attribute == "factor_1"
    assert direction.calibration.unit == "latent"
    renamed = direction.evolve(calibration=None)
    # `latent` is the unit of planted factors and of codes alike: convert by hand.
    amount = 0.7 / direction.calibration.per_sigma
    moved = generator.factors(renamed.shift(codes, amount)) - generator.factors(codes)
    torch.testing.assert_close(moved[:, 1], torch.full((5,), 0.7), atol=1e-3, rtol=1e-3)


def test_the_linear_range_ends_where_the_curve_leaves_the_line():
    # Slope 1 up to 1, then flat: at amount a the miss is a - 1, of which a fifth of a is allowed.
    curve = calibration_curves(answer(lambda a: max(-1.0, min(1.0, a))), tolerance=0.2)[0]
    assert curve.slope == pytest.approx(1)
    # Between 1 (miss 0, allowed 0.2) and 2 (miss 1, allowed 0.4): a - 1 = 0.2 a at a = 1.25.
    assert curve.linear == pytest.approx((-1.25, 1.25), abs=1e-4)


def test_the_range_is_one_sided_where_the_curve_is():
    curve = calibration_curves(answer(lambda a: min(a, 1.0)), tolerance=0.2)[0]
    assert curve.linear == pytest.approx((-3, 1.25), abs=1e-4)


def test_a_falling_answer_keeps_its_sign():
    curve = calibration_curves(answer(lambda a: -2 * a))[0]
    assert curve.slope == pytest.approx(-2)
    assert curve.linear == (-3, 3)
    assert curve.calibration.per_sigma == pytest.approx(-2)


def test_the_line_is_the_least_squares_one_through_the_start():
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(1, 5, 50, 1, generator=rng)
    found = curves(scores, (-1, -0.5, 0, 0.5, 1), attributes=["a"], targets={"d0": "a"})
    at = torch.tensor([-1, -0.5, 0.5, 1]).double()
    change = (scores[0, [0, 1, 3, 4], :, 0] - scores[0, 2, :, 0]).mean(1).double()
    expected = torch.linalg.lstsq(at[:, None], change[:, None]).solution
    curve = calibration_curves(found)[0]
    assert curve.slope == pytest.approx(float(expected), abs=1e-5)
    assert curve.slope_low < curve.slope < curve.slope_high
    torch.testing.assert_close(curve.mean, scores[0].mean(1)[:, 0], atol=1e-5, rtol=1e-5)
    assert (curve.low <= curve.mean + 1e-6).all()


def test_probabilities_and_bare_values_have_units_too():
    probability = answer(lambda a: a, attribute=Attribute("a", "probability"))
    assert calibration_curves(probability)[0].unit == "probability"
    assert calibration_curves(answer(lambda a: a))[0].unit == "a"
    degrees = answer(lambda a: a, attribute=Attribute("a", unit="degrees"))
    assert calibration_curves(degrees)[0].calibration.unit == "degrees"


def test_a_wider_tolerance_never_narrows_the_range():
    found = answer(lambda a: float(torch.tanh(torch.tensor(a / 2))))
    widths = []
    for tolerance in (0.05, 0.1, 0.2, 0.4, 0.8):
        low, high = calibration_curves(found, tolerance=tolerance)[0].linear
        widths.append(high - low)
    assert all(a <= b for a, b in pairwise(widths))
    assert widths[0] < widths[-1]


def test_what_does_not_answer_is_left_uncalibrated_and_said(caplog):
    generator = world()
    idle = torch.linalg.svd(torch.cat([generator.truth, generator._nuisances])).Vh[-1]
    bank = bank_of(generator, idle=idle, factor_0=generator.truth[0])
    noise = 1e-3 * torch.randn(2, 7, 40, 2, generator=torch.Generator().manual_seed(0))
    noise[1, :, :, 0] += torch.tensor(AMOUNTS)[:, None]
    found = curves(
        noise,
        AMOUNTS,
        attributes=["factor_0", "factor_1"],
        directions=("idle", "factor_0"),
        targets={"idle": "factor_1", "factor_0": "factor_0"},
    )
    with caplog.at_level(logging.WARNING):
        made = apply_calibrations(bank, calibration_curves(found))
    assert made["idle"].calibration is None
    assert made["factor_0"].calibration is not None
    assert "direction 'idle' is left uncalibrated: factor_1 changes by" in caplog.text
    assert made["idle"].evidence["calibration"]["attribute"] == "factor_1"


def test_only_directions_with_a_target_change():
    generator = world()
    bank = bank_of(generator, factor_0=generator.truth[0], pc1=generator.truth[1])
    made = calibrate(generator, generator.classifier(), bank, count=10)
    assert made["pc1"] is bank["pc1"]
    named = calibrate(
        generator, generator.classifier(), bank, targets={"pc1": "factor_1"}, count=10
    )
    assert named["pc1"].calibration.attribute == "factor_1"


def test_a_calibrated_bank_survives_its_file(tmp_path):
    generator = world()
    bank = calibrate(generator, generator.classifier(), true_bank(generator), count=10)
    read = type(bank).load(bank.save(tmp_path / "bank.safetensors"), generator)
    assert read["factor_2"].calibration == bank["factor_2"].calibration


def saturating(a):
    return 2 * float(torch.tanh(torch.tensor(a / 2)))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_monotone_response_hits_its_mark_beyond_the_linear_range(sign, caplog):
    """Amounts in the unit of a saturating attribute: the curve hits where the line misses."""
    found = calibration_curves(answer(lambda a: sign * saturating(a)))[0]
    line, curve = found.calibration, found.monotone
    assert line.high < 2
    wanted = sign * torch.tensor([-1.7, -0.7, 0.0, 0.4, 1.7])
    hit = torch.tensor([sign * saturating(float(a)) for a in curve.sigmas(wanted)])
    miss = torch.tensor([sign * saturating(float(a)) for a in line.sigmas(wanted)])
    torch.testing.assert_close(hit, wanted, atol=0.06, rtol=0)
    assert (miss - wanted).abs().max() > 0.2
    # The knots are met exactly, and a negated direction has the negated curve.
    knots = torch.tensor(curve.response)
    torch.testing.assert_close(curve.sigmas(knots[:, 1]), knots[:, 0])
    torch.testing.assert_close((-curve).sigmas(wanted), -curve.sigmas(wanted))
    direction = Direction("d0", torch.tensor([1.0, 0.0]), "z", sigma=2.0, calibration=curve)
    moved = direction.shift(torch.zeros(1, 2), sign * 1.7, unit="a")
    assert float(moved[0, 0]) == pytest.approx(2 * float(curve.sigmas(wanted[4:])), rel=1e-5)
    assert "responds" not in caplog.text
    direction.shift(torch.zeros(1, 2), sign * 3.0, unit="a")
    assert "a responds steadily from -3 to 3 sigma along d0 only" in caplog.text


def test_a_monotone_calibration_survives_its_file(tmp_path):
    generator = world("curved")
    bank = calibrate(
        generator, generator.classifier(), true_bank(generator), count=10, response="monotone"
    )
    assert len(bank["factor_2"].calibration.response) > 4
    read = type(bank).load(bank.save(tmp_path / "bank.safetensors"), generator)
    assert read["factor_2"].calibration == bank["factor_2"].calibration


@pytest.mark.parametrize("rising", [True, False])
def test_monotone_fits_are_scikit_learn_s(rising):
    from sklearn.isotonic import IsotonicRegression

    x = torch.linspace(-2, 2, 9).double()
    y = torch.randn(9, generator=torch.Generator().manual_seed(3)).double() + x * (2 * rising - 1)
    y = y - y[4]
    knots = torch.tensor(monotone_knots(x, y, rising=rising), dtype=torch.float64)
    assert (0.0, 0.0) in monotone_knots(x, y, rising=rising)
    sides = [(x > 0, {"y_min": 0.0} if rising else {"y_max": 0.0}),
             (x < 0, {"y_max": 0.0} if rising else {"y_min": 0.0})]  # fmt: skip
    for side, bound in sides:
        fitted = IsotonicRegression(increasing=rising, **bound).fit_transform(x[side], y[side])
        want = set(fitted.round(9)) - {0.0}
        mine = knots[knots[:, 0] > 0] if side[-1] else knots[knots[:, 0] < 0]
        assert set(mine[:, 1].numpy().round(9)) == want


def test_refusals():
    generator = world()
    bank = bank_of(generator, pc1=generator.truth[1])
    with pytest.raises(LatdirError, match=r"no direction of this bank has the name .*'pc1'"):
        calibrate(generator, generator.classifier(), bank)
    with pytest.raises(LatdirError, match=r"no amount within 0\.5 sigma was measured"):
        calibration_curves(answer(lambda a: a), near=0.5)
    with pytest.raises(LatdirError, match=r"tolerance 1 must be in \(0, 1\)"):
        calibration_curves(answer(lambda a: a), tolerance=1.0)
    with pytest.raises(
        LatdirError, match=r"the change in the sense of per_sigma -1\.0, and \(0, 0"
    ):
        Calibration("a", "", -1.0, -1.0, 1.0, ((0.0, 0.0), (1.0, 1.0)))
    with pytest.raises(LatdirError, match=r"and \(0, 0\) is one of them"):
        Calibration("a", "", 1.0, -1.0, 1.0, ((0.5, 0.5), (1.0, 1.0)))
    with pytest.raises(LatdirError, match="no direction 'd0' in this bank"):
        apply_calibrations(bank, calibration_curves(answer(lambda a: a)))


def test_close_to_zero_the_miss_allowed_is_that_at_one_sigma():
    # Slope 1 by construction of the outer points; the inner ones miss by 0.1 of one sigma's 0.15.
    change = {-2.0: -2.0, -1.0: -0.95, -0.5: -0.6, 0.0: 0.0, 0.5: 0.6, 1.0: 0.95, 2.0: 2.0}
    scores = torch.stack([torch.linspace(-1, 1, 9) + c for c in change.values()])
    found = curves(scores[None, :, :, None], list(change), attributes=["a"], targets={"d0": "a"})
    curve = calibration_curves(found)[0]
    assert curve.slope == pytest.approx(1)
    assert curve.linear == (-2, 2)
