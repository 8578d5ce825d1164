"""Solutions corrected on images: on planted worlds whose attributes are curved."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

import analysis
from directions import (
    Direction,
    DirectionBank,
    LatdirError,
    Level,
    Rendering,
    SpaceError,
    edit_grid,
    move,
    set_level,
    solve,
)
from directions.classifiers.base import Classifier
from directions.editing.response import COARSEST, FINEST, measure_response
from directions.planted.world import PlantedGenerator, planted
from directions.scoring.scorer import Scorer

NAMES = ("factor_0", "factor_1", "factor_2")
QUIET = Rendering(progress=False)


@cache
def world(kind: str = "value") -> tuple[PlantedGenerator, Classifier, DirectionBank]:
    generator = planted(factors=3, dim=16, cosine=0.4, bend=0.6)
    # Partly along the curved directions, so that no prediction holds for every code.
    tilted = generator.truth + 0.4 * generator._bends
    directions = [
        Direction.from_vector(n, v, space="z") for n, v in zip(NAMES, tilted, strict=True)
    ]
    bank = DirectionBank.of(generator, directions)
    return generator, generator.classifier(kind=kind), bank  # type: ignore[arg-type]


def models(kind: str = "value", count: int = 12, seed: int = 3) -> dict[str, object]:
    generator, classifier, _ = world(kind)
    codes = generator.sample(count, seed=seed)
    return {
        "codes": codes, "generator": generator, "classifier": classifier, "rendering": QUIET
    }  # fmt: skip


def test_targets_are_reached_and_held_attributes_return_where_a_prediction_drifts() -> None:
    generator, classifier, bank = world()
    given = models()
    effects = analysis.measure_effects(generator, classifier, bank, count=64, rendering=QUIET)
    request = {"targets": {"factor_0": 1.0}, "hold": NAMES[1:], "effects": effects}
    found = solve(bank, **request, **given)
    assert bool(found.reached.all()), found.remarks
    before, after = (
        generator.factors(c) for c in (given["codes"], move(given["codes"], bank, found))
    )
    changes = (after - before) / effects.std
    wanted = torch.tensor([1.0, 0, 0])
    assert float((changes - wanted).abs().max()) <= COARSEST + 1e-3
    # What it reports is what is rendered.
    for a, name in enumerate(NAMES):
        torch.testing.assert_close(found.scores[name].float(), after[:, a], rtol=0, atol=1e-4)
        torch.testing.assert_close(found.changes[name].float(), changes[:, a], rtol=0, atol=1e-4)
    # The same request by prediction misses.
    linear = solve(bank, bound=None, **request)
    moved = generator.factors(move(given["codes"], bank, linear))
    assert float(((moved - before) / effects.std - wanted).abs().max()) > 3 * COARSEST


def test_each_code_is_solved_by_itself() -> None:
    _, _, bank = world()
    targets = torch.linspace(-1.0, 1.0, 12)
    given = models()
    whole = solve(bank, targets={"factor_0": targets}, hold=["factor_1"], **given)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    part = order[:5]
    given |= {"codes": given["codes"][part], "rendering": Rendering(batch_size=2, progress=False)}
    some = solve(bank, targets={"factor_0": targets[part]}, hold=["factor_1"], **given)
    for name in bank:
        torch.testing.assert_close(some.amounts[name], whole.amounts[name][part], rtol=0, atol=1e-3)
    torch.testing.assert_close(whole.wanted["factor_0"].float(), targets)


def test_an_attribute_is_set_to_its_own_value() -> None:
    generator, _, bank = world()
    given = models()
    found = solve(bank, targets={"factor_0": Level(0.6, "latent")}, hold=["factor_1"], **given)
    made = generator.factors(move(given["codes"], bank, found))
    assert bool(found.reached.all())
    assert float((made[:, 0] - 0.6).abs().max()) < 0.15
    with pytest.raises(LatdirError, match="measured in latent, not 'years': give Level"):
        solve(bank, targets={"factor_0": Level(50.0, "years")}, **given)


def test_probabilities_are_driven_from_near_zero_and_never_beyond_one() -> None:
    generator, classifier, bank = world("probability")
    given = models("probability", count=16)
    scores = classifier(generator.synthesize(given["codes"]))[:, 0]
    assert float(scores.min()) < 0.02
    request = {"targets": {"factor_0": Level(0.9)}, "hold": NAMES[1:]}
    found = solve(bank, bound=dict.fromkeys(bank, (-5.0, 5.0)), **request, **given)
    reached = found.reached
    assert float(reached.float().mean()) >= 0.9
    assert float((found.scores["factor_0"][reached] - 0.9).abs().max()) < 0.05
    asked = solve(bank, targets={"factor_0": 2.0}, **given)
    impossible = scores + 2 * float(asked.wanted["factor_0"][0] / 2) > 0.7
    row = int(scores.argmax())
    assert "factor_0 is a probability and cannot be 1." in asked.stopped[row]
    assert float(asked.scores["factor_0"][row]) > 0.95
    assert impossible[row]


def test_what_cannot_be_reached_says_how_far_it_came_and_what_stopped_it() -> None:
    _, _, bank = world()
    given = models(count=3)
    found = solve(bank, targets={"factor_0": 50.0}, hold=["factor_1"], **given)
    assert not bool(found.reached.any())
    for row, remark in enumerate(found.remarks):
        assert remark.startswith(f"code {row}: factor_0 +")
        assert "of +50" in remark
        assert "the range" in remark
    assert max(float(a.abs().max()) for a in found.amounts.values()) <= 3
    assert float(found.changes["factor_1"].abs().max()) <= COARSEST
    near = solve(bank, targets={"factor_0": 50.0}, bound=1.0, **given)
    assert float(near.distance.max()) <= 1 + 1e-6
    assert float(near.distance.min()) > 0.9
    assert set(near.stopped) == {"the bound on the distance is met"}
    wide = solve(bank, targets={"factor_0": 50.0}, bound={"factor_0": (0.0, 0.5)}, **given)
    assert float(wide.amounts["factor_0"].max()) <= 0.5
    assert f"{found!r}" == "Solution(0 of 3 codes reach factor_0, factor_1)"
    assert "factor_0 wanted" in found._repr_html_()
    assert len(found.to_frame()) == 3


def test_nothing_asked_moves_nothing() -> None:
    _, _, bank = world()
    found = solve(bank, targets={"factor_0": 0.0}, hold=["factor_1"], **models())
    assert bool(found.reached.all())
    assert float(found.distance.max()) == 0


def test_tolerance_is_the_noise_of_the_classifier_within_limits() -> None:
    generator, classifier, bank = world()
    scorer = Scorer(generator, classifier, names=NAMES)
    response = measure_response(generator, scorer, bank, attributes=classifier.attributes)
    codes = generator.sample(128, seed=920_419_823)
    images = generator.synthesize(codes)
    left = torch.cat([images[..., 1:], images[..., -1:]], 3)
    change = (classifier(left) - classifier(images)) / response.std
    # One of the four shifts: of the order of all.
    assert 0.3 < float((change.square().mean(0).sqrt() / response.noise).min()) < 2
    assert bool((response.tolerance <= COARSEST).all() and (response.tolerance >= FINEST).all())
    expected = generator.factors(codes).std(0)
    torch.testing.assert_close(response.std.float(), expected, rtol=1e-3, atol=0)
    # On log-odds, effects of unit steps are those of the factors.
    slopes = (generator.factors(codes + bank["factor_0"].vector) - generator.factors(codes)).mean(0)
    assert float((response.effects[0].float() - slopes).abs().max()) < 0.2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"targets": {"nose": 1.0}}, LatdirError, "no attribute 'nose'"),
        ({"targets": {"factor_0": torch.zeros(3)}}, LatdirError, r"'factor_0' has shape \[3\]"),
        (
            {"targets": {"factor_0": float("inf")}},
            LatdirError,
            r"targets\['factor_0'\] is a finite number, not inf",
        ),
        ({"effects": torch.eye(3)}, LatdirError, "effects is what analysis.measure_effects"),
        ({"codes": torch.zeros(2, 5)}, SpaceError, "5"),
        ({"codes": torch.zeros(0, 16)}, SpaceError, "at least one code"),
    ],
)
def test_what_is_no_question_is_refused(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    _, _, bank = world()
    request: dict[str, object] = {"targets": {"factor_0": 1.0}, **models(count=2)}
    with pytest.raises(error, match=message):
        solve(bank, **(request | arguments))


def test_solutions_are_drawn_beside_the_originals() -> None:
    generator, _, bank = world()
    given = models(count=2)
    found = solve(bank, targets={"factor_0": 1.0}, **given)
    picture = edit_grid(generator, given["codes"], bank, amounts=found)
    swept = edit_grid(generator, given["codes"], bank["factor_0"], amounts=[1.0], title="")
    assert picture.size == swept.size
    with pytest.raises(LatdirError, match="give the bank it was found for"):
        edit_grid(generator, given["codes"], bank["factor_0"], amounts=found)


def levels(unit: str, level: float | Tensor, count: int = 4, **models_: object) -> Tensor:
    generator, classifier, bank = world()
    given = {"generator": generator, "classifier": classifier, "rendering": QUIET} | models_
    return set_level(generator.sample(count, seed=1), bank["factor_0"], level, unit=unit, **given)


def test_set_level_reaches_values_or_says_how_far_it_came(
    caplog: pytest.LogCaptureFixture,
) -> None:
    generator, _, bank = world()
    wanted = torch.tensor([1.0, -1.0, 0.5, 0.0])
    made = generator.factors(levels("attribute", wanted))[:, 0]
    assert float((made - wanted).abs().max()) < 0.15
    assert not caplog.records
    levels("attribute", 40.0, count=2)
    assert "2 of 2 codes do not reach the level of factor_0: code 0: " in caplog.text
    assert "the range of factor_0 ends at +3 sigma" in caplog.text
    with pytest.raises(LatdirError, match="measured in latent, not 'years'"):
        levels("years", 1.0)
    with pytest.raises(LatdirError, match="a level in sigma needs no images"):
        levels("sigma", 1.0)
    caplog.clear()
    set_level(generator.sample(2, seed=1), bank["factor_0"], 50.0)
    assert "a level of 50 sigma along factor_0 is beyond the codes of the prior" in caplog.text
