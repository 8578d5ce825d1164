import math

import numpy as np
import pytest
import torch

from analysis.edits.effects import measure_effects
from analysis.edits.held_out import measure_curves
from analysis.edits.targets import amounts_reaching, between, match_targets
from directions import Calibration, Direction, DirectionBank, LatdirError, Rendering
from directions.planted.world import planted
from directions.seeds import HELD_OUT_SEED
from tests.analysis.measured import Altered, bank_of, curves, true_bank
from tests.worlds import WORLDS, Mapped, world


@pytest.mark.parametrize("name", WORLDS)
def test_scores_are_those_of_every_code_moved_by_hand(name):
    generator = world(name)
    bank = true_bank(generator)
    found = measure_curves(
        generator,
        generator.classifier(),
        bank,
        amounts=(-1.5, 1.0),
        count=9,
        rendering=Rendering(batch_size=5),
    )
    codes = generator.sample(9, seed=HELD_OUT_SEED)
    assert found.amounts.tolist() == [-1.5, 0, 1]
    for k, direction in enumerate(bank.directions):
        for t, amount in enumerate(found.amounts.tolist()):
            for i, code in enumerate(codes):
                moved = code + amount * direction.sigma * direction.vector
                expected = generator.factors(moved[None])[0]
                torch.testing.assert_close(found.scores[k, t, i], expected, atol=1e-4, rtol=1e-4)


def test_batch_size_does_not_matter():
    generator = world("curved")
    both = [
        measure_curves(
            generator,
            generator.classifier(),
            true_bank(generator),
            count=11,
            rendering=Rendering(batch_size=batch),
        ).scores
        for batch in (3, 500)
    ]
    torch.testing.assert_close(*both, atol=1e-5, rtol=1e-5)


def test_unmoved_codes_are_scored_once():
    generator = world()
    seen = []
    counting = Altered(generator.classifier(), lambda scores: seen.append(len(scores)) or scores)
    measure_curves(generator, counting, true_bank(generator), amounts=(1.0, 2.0), count=10)
    assert sum(seen) == 10 + 4 * 2 * 10


def test_directions_of_two_spaces_are_measured_on_the_same_images():
    generator = Mapped(world("entangled"))
    step = generator.truth[0]
    carried = generator._matrix @ step
    pair = (
        Direction("in z", step, "z"),
        Direction.from_vector("in w", carried, space="w", sigma=float(carried.norm())),
    )
    bank = DirectionBank(pair, generator.name, generator.fingerprint)
    found = measure_curves(
        generator, generator.classifier(), bank, count=8, embed=lambda x: x.flatten(1)
    )
    assert found.spaces == ("z", "w")
    torch.testing.assert_close(found.scores[0], found.scores[1], atol=1e-3, rtol=1e-3)
    forward = found.amounts >= 0
    z, w = found.identity[:, forward]
    torch.testing.assert_close(z, w, atol=1e-3, rtol=1e-3)
    assert found.identity[:, ~forward].isnan().all()


def test_identity_is_the_cosine_with_the_unmoved_image_of_the_same_code():
    generator = world()
    bank = true_bank(generator)

    def embed(images):
        return images.flatten(1)[:, ::7]

    found = measure_curves(
        generator,
        generator.classifier(),
        bank,
        amounts=(2.0,),
        count=6,
        embed=embed,
        rendering=Rendering(batch_size=4),
    )
    codes = generator.sample(6, seed=HELD_OUT_SEED)
    start = embed(generator.synthesize(codes)).double()
    for k, direction in enumerate(bank.directions):
        moved = embed(generator.synthesize(direction.shift(codes, 2.0))).double()
        for i in range(6):
            cosine = moved[i] @ start[i] / moved[i].norm() / start[i].norm()
            assert float(found.identity[k, 1, i]) == pytest.approx(float(cosine), abs=1e-5)
    assert (found.identity[:, 0] == 1).all()
    pairs = [
        float(start[i] @ start[j] / start[i].norm() / start[j].norm())
        for i in range(6)
        for j in range(6)
        if i != j
    ]
    assert float(found.identity_baseline.mean()) == pytest.approx(sum(pairs) / len(pairs), abs=1e-5)
    assert float(found.identity_baseline[0]) == pytest.approx(sum(pairs[:5]) / 5, abs=1e-5)


def test_without_embeddings_there_is_no_identity():
    generator = world()
    found = measure_curves(generator, generator.classifier(), true_bank(generator), count=4)
    assert found.identity is None
    assert found.identity_baseline is None


def test_attributes_are_those_asked_for_in_that_order():
    generator = world()
    found = measure_curves(
        generator,
        generator.classifier(),
        true_bank(generator),
        attributes=["factor_2", "factor_0"],
        count=5,
    )
    assert found.names == ("factor_2", "factor_0")
    assert found.targets == {"factor_0": "factor_0", "factor_2": "factor_2"}
    codes = generator.sample(5, seed=HELD_OUT_SEED)
    torch.testing.assert_close(
        found.baseline, generator.factors(codes)[:, [2, 0]], atol=1e-4, rtol=1e-4
    )


def test_log_odds_of_probabilities_are_linear_again():
    generator = world()
    probability = generator.classifier(kind="probability", steepness=2.0)
    bank = true_bank(generator)
    found = measure_curves(generator, probability, bank, amounts=(1.0,), count=6)
    plain = measure_curves(generator, generator.classifier(), bank, amounts=(1.0,), count=6)
    torch.testing.assert_close(found.logit.scores, 2 * plain.scores, atol=1e-3, rtol=1e-3)
    assert found.logit.logit is found.logit
    assert (found.scores <= 1).all()


def test_truncation_is_that_of_the_codes():
    generator = world()
    found = measure_curves(
        generator,
        generator.classifier(),
        true_bank(generator),
        count=5,
        rendering=Rendering(truncation=0.5),
    )
    codes = generator.sample(5, seed=HELD_OUT_SEED, truncation=0.5)
    torch.testing.assert_close(found.baseline, generator.factors(codes), atol=1e-4, rtol=1e-4)


def _nan(scores):
    return torch.where(torch.arange(scores.shape[1]) == 1, torch.nan, scores)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"count": 1}, "count 1 must be at least 2"),
        ({"amounts": (0.0,)}, r"amounts \[0.0\] move nothing"),
        ({"amounts": (math.inf,)}, r"amounts\[0\] is a finite number, not inf"),
        ({"attributes": ["glasses"]}, "has no attribute 'glasses'"),
        ({"seed": 4}, "the bank was found with codes of seed 4: measured on the same codes"),
    ],
)
def test_refusals(settings, text):
    generator = world()
    bank = true_bank(generator)
    bank = DirectionBank(bank.directions, bank.generator, bank.fingerprint, {"seed": 4})
    with pytest.raises(LatdirError, match=text):
        measure_curves(generator, generator.classifier(), bank, **settings)


def test_other_targets_are_named_afterwards():
    generator = world()
    measured = measure_effects(generator, generator.classifier(), true_bank(generator), count=3)
    aimed = measured.aimed({"factor_1": "factor_0"})
    assert list(aimed.targets.items())[:2] == [("factor_0", "factor_0"), ("factor_1", "factor_0")]
    assert torch.equal(aimed.mean, measured.mean)
    with pytest.raises(LatdirError, match="no attribute 'glasses' was measured: there are factor"):
        measured.aimed({"factor_0": "glasses"})
    with pytest.raises(LatdirError, match="no direction 'smile' was measured: there are factor_0"):
        measured.aimed({"smile": "factor_0"})


def test_refuses_an_empty_bank_another_generator_and_nan():
    generator = world()
    bank = true_bank(generator)
    with pytest.raises(LatdirError, match="the bank is empty: there is nothing to measure"):
        measure_curves(generator, generator.classifier(), bank.replaced([]))
    other = planted(seed=9)
    with pytest.raises(LatdirError, match="on another model its directions are meaningless"):
        measure_curves(other, other.classifier(), bank)
    with pytest.raises(LatdirError, match="scores of 'factor_1' are NaN or infinite"):
        measure_curves(generator, Altered(generator.classifier(), _nan), bank, count=3)


def test_an_amount_that_was_not_measured_is_refused():
    found = curves(torch.zeros(1, 3, 2, 1), (-1, 0, 0.3), attributes=["a"])
    assert found.at(0.3) == 2
    with pytest.raises(LatdirError, match=r"amount 2 was not measured: there are -1, 0, 0\.3"):
        found.at(2.0)


def test_a_constant_attribute_has_no_spread_whatever_the_rounding():
    found = curves(torch.full((1, 2, 50, 1), 0.1), (0, 1), attributes=["a"])
    assert found.std.tolist() == [0.0]


def test_targets_come_from_names_calibrations_and_what_is_said():
    generator = world()
    calibrated = Calibration("factor_3", "latent", 1.0, -1.0, 1.0)
    bank = bank_of(
        generator, factor_0=generator.truth[0], other=generator.truth[1], pc1=generator.truth[2]
    )
    renamed = bank["factor_0"].evolve(name="factor_2 | factor_0, factor_1")
    bank = bank.replaced(
        [*bank.directions, renamed, bank["pc1"].evolve(name="third", calibration=calibrated)]
    )
    assert match_targets(bank, generator.names, {"other": "factor_1"}) == {
        "factor_0": "factor_0",
        "other": "factor_1",
        "factor_2 | factor_0, factor_1": "factor_2",
        "third": "factor_3",
    }


def test_amounts_reaching_follows_a_curve_that_dips():
    amounts = torch.tensor([-1.0, 0, 1, 2, 3])
    change = torch.tensor([-9.0, 0, 2, 1, 4])
    found = amounts_reaching(change, amounts, torch.tensor([1.0, 2.0, 2.5, 4.0, 4.1]))
    torch.testing.assert_close(found[:4], torch.tensor([0.5, 1.0, 2.5, 3.0]))
    assert found[4].isnan()
    assert amounts_reaching(torch.zeros(5), amounts, torch.tensor([1.0])).isnan().all()


def test_between_interpolates_as_numpy_does():
    amounts = torch.tensor([-2.0, 0, 1, 4])
    values = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    at = torch.tensor([-2.0, -0.5, 0, 0.25, 4])
    expected = np.stack([np.interp(at, amounts, values[:, j]) for j in range(3)], 1)
    torch.testing.assert_close(between(values, amounts, at), torch.tensor(expected).float())
    assert between(values, amounts, torch.tensor([torch.nan])).isnan().all()
