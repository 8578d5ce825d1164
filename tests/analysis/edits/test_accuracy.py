import pytest
import torch

from analysis import calibrate
from analysis.edits.accuracy import editing_accuracy
from directions import LatdirError
from directions.direction import Calibration
from tests.analysis.measured import Altered, true_bank
from tests.worlds import world


def calibrated(generator, classifier=None):
    classifier = classifier or generator.classifier()
    return calibrate(generator, classifier, true_bank(generator), count=256, seed=77)


def asked(bank, *values):
    return {name: [float(v) for v in values] for name in bank}


@pytest.mark.parametrize("goal", ["change", "value"])
def test_where_the_answer_is_a_line_what_is_asked_comes(goal):
    generator = world("anisotropic", dim=24)
    bank = calibrated(generator)
    found = editing_accuracy(
        generator, generator.classifier(), bank, goal=goal, asked=asked(bank, -1, 0.5, 2), count=32
    )
    assert found.directions == tuple(bank)
    assert found.asked[0].tolist() == [-1, 0.5, 2]
    assert found.errors.abs().max() < 2e-3
    assert found.reached.shape == (4, 3, 32)


def test_a_calibration_that_is_off_is_off_by_that_much():
    generator = world(dim=24)
    bank = calibrated(generator)
    name = bank.directions[0].name
    own = bank[name].calibration
    half = Calibration(own.attribute, own.unit, own.per_sigma / 2, own.low, own.high)
    wrong = bank.replaced([bank[name].evolve(calibration=half)])
    found = editing_accuracy(
        generator, generator.classifier(), wrong, asked={name: [-1.0, 1.0]}, count=32
    )
    torch.testing.assert_close(
        found.reached[0].mean(1), torch.tensor([-2.0, 2.0]), atol=2e-2, rtol=0
    )
    torch.testing.assert_close(found.bias[0], torch.tensor([-1.0, 1.0]), atol=2e-2, rtol=0)
    torch.testing.assert_close(found.absolute[0], torch.ones(2), atol=2e-2, rtol=0)
    expected = (
        found.absolute[0] / generator.factors(generator.sample(32, seed=920_419_823))[:, 0].std()
    )
    torch.testing.assert_close(found.relative[0], expected, atol=1e-3, rtol=1e-3)


def test_setting_levels_misses_by_what_the_position_does_not_say():
    """In a bent world the score is position plus a wave across it, whose spread is the error's."""
    generator = world("curved", dim=24)
    bank = calibrated(generator)
    codes = generator.sample(400, seed=920_419_823)
    waves = generator.factors(codes) - codes @ generator.truth.T
    classifier = generator.classifier()
    level = editing_accuracy(
        generator, classifier, bank, goal="level", asked=asked(bank, -1, 1), count=400
    )
    value = editing_accuracy(
        generator, classifier, bank, goal="value", asked=asked(bank, -1, 1), count=400
    )
    spread = level.errors.std(2)
    torch.testing.assert_close(spread, waves.std(0)[:, None].expand(-1, 2), atol=0.03, rtol=0.1)
    assert level.bias.abs().max() < 0.2
    # Measuring first takes away what differs from code to code.
    assert (value.absolute < 0.35 * level.absolute).all()


def test_quantiles_are_those_of_the_errors_and_the_figures_are_plain():
    import json

    generator = world("curved", dim=24)
    found = editing_accuracy(generator, generator.classifier(), calibrated(generator), count=50)
    # By default the whole calibrated range is asked for, on both sides.
    assert found.asked.shape == (4, 6)
    assert (found.asked.diff(dim=1) > 0).all()
    errors = found.errors[1, 2].sort().values
    median = found.quantiles([0.5])[0, 1, 2]
    assert float(median) == pytest.approx(float((errors[24] + errors[25]) / 2), abs=1e-6)
    assert json.loads(json.dumps(found.as_dict()))["quantile_levels"] == [
        0.05,
        0.25,
        0.5,
        0.75,
        0.95,
    ]
    values = editing_accuracy(
        generator, generator.classifier(), calibrated(generator), goal="value", count=50
    )
    scores = generator.factors(generator.sample(50, seed=920_419_823))
    assert values.asked[:, 2].tolist() == pytest.approx(scores.median(0).values.tolist(), abs=0.1)


def test_a_constant_attribute_has_no_relative_error():
    generator = world(dim=24)
    bank = calibrated(generator)
    flat = Altered(generator.classifier(), lambda s: s * 0)
    found = editing_accuracy(generator, flat, bank, asked=asked(bank, 1), count=8)
    assert found.relative.isnan().all()
    assert (found.absolute == 1).all()


def test_refusals():
    generator = world(dim=24)
    classifier, bare = generator.classifier(), true_bank(generator)
    bank = calibrated(generator)
    with pytest.raises(LatdirError, match=r"is not calibrated.*use analysis\.calibrate"):
        editing_accuracy(generator, classifier, bare)
    mixed = bank.replaced([bank["factor_0"], bare["factor_1"]])
    with pytest.raises(LatdirError, match="'factor_1' is not calibrated"):
        editing_accuracy(generator, classifier, mixed, asked=asked(mixed, 1))
    with pytest.raises(LatdirError, match="goal is one of change, value, level, not 'much'"):
        editing_accuracy(generator, classifier, bank, goal="much")
    with pytest.raises(LatdirError, match=r"asked holds \[1, 2\] values"):
        editing_accuracy(
            generator, classifier, bank, asked={"factor_0": [1.0], "factor_1": [1.0, 2.0]}
        )
    with pytest.raises(LatdirError, match="count 1 must be at least 2"):
        editing_accuracy(generator, classifier, bank, count=1)
    with pytest.raises(LatdirError, match="was made for planted"):
        editing_accuracy(world(dim=24, seed=5), classifier, bank)
