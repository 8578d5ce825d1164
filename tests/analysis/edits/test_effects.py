import json
from dataclasses import replace

import pytest
import torch

from analysis import effects_of, measure_curves, measure_effects, pixel_features
from directions import LatdirError, Rendering
from directions.classifiers.base import Attribute
from directions.seeds import HELD_OUT_SEED
from tests.analysis.measured import Altered, bank_of, curves, true_bank
from tests.turned import Turned
from tests.worlds import world


@pytest.mark.parametrize("name", ["linear", "entangled", "anisotropic"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_in_linear_worlds_effects_are_the_known_ones_exactly(name, symmetric):
    generator = world(name)
    bank = true_bank(generator)
    effects = measure_effects(
        generator, generator.classifier(), bank, count=30, symmetric=symmetric
    )
    sigma = torch.tensor([d.sigma for d in bank.directions])
    known = sigma[:, None] * generator.truth @ generator.truth.T
    for found in (effects.mean, effects.low, effects.high):
        torch.testing.assert_close(found, known, atol=3e-4, rtol=1e-3)
    codes = generator.sample(30, seed=HELD_OUT_SEED)
    spread = generator.factors(codes).std(0)
    torch.testing.assert_close(effects.standardized, known / spread, atol=1e-3, rtol=1e-3)


def test_in_curved_worlds_intervals_cover_the_mean_over_all_codes():
    covered = []
    for seed in range(6):
        generator = world("curved", seed=seed)
        slanted = {f"slanted_{k}": generator.truth[k] + generator._bends[k] for k in range(4)}
        bank = bank_of(generator, **slanted)
        effects = measure_effects(generator, generator.classifier(), bank, count=100, step=1.5)
        codes = generator.sample(20_000, seed=123)
        start = generator.factors(codes)
        known = torch.stack(
            [
                (generator.factors(d.shift(codes, 1.5)) - start).mean(0) / 1.5
                for d in bank.directions
            ]
        )
        bent = (effects.high - effects.low) > 1e-3
        covered.append(((effects.low <= known) & (known <= effects.high))[bent])
    covered = torch.cat(covered).float()
    assert len(covered) >= 20
    assert covered.mean() > 0.85


def test_mean_and_rises_are_those_of_a_plain_loop():
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 40, 2, generator=rng)
    scores[:, 1] = scores[0, 1]
    effects = effects_of(curves(scores, (-2, 0, 2), attributes=["a", "b"]), step=2.0)
    both = effects_of(effects.curves, step=2.0, symmetric=True)
    for k in range(2):
        for a in range(2):
            ahead = [float(scores[k, 2, i, a] - scores[0, 1, i, a]) for i in range(40)]
            across = [float(scores[k, 2, i, a] - scores[k, 0, i, a]) for i in range(40)]
            cell = effects.at(f"d{k}", "ab"[a])
            assert cell.mean == pytest.approx(sum(ahead) / 40 / 2, abs=1e-5)
            assert cell.rises == pytest.approx(sum(x > 0 for x in ahead) / 40)
            assert cell.low < cell.mean < cell.high
            assert float(both.mean[k, a]) == pytest.approx(sum(across) / 40 / 4, abs=1e-5)


def test_the_effect_of_a_direction_turned_round_is_the_opposite():
    generator = world("curved")
    bank = true_bank(generator)
    turned = bank.replaced(-d for d in bank.directions)
    ahead, back = (
        measure_effects(generator, generator.classifier(), b, count=20, symmetric=True)
        for b in (bank, turned)
    )
    torch.testing.assert_close(ahead.mean, -back.mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ahead.low, -back.high, atol=1e-4, rtol=1e-3)


def test_the_order_of_the_bank_is_the_order_of_the_rows():
    generator = world("entangled")
    bank = true_bank(generator)
    order = ["factor_3", "factor_0"]
    part = measure_effects(generator, generator.classifier(), bank.select(order), count=20)
    whole = measure_effects(generator, generator.classifier(), bank, count=20)
    assert part.directions == tuple(order)
    torch.testing.assert_close(part.mean, whole.mean[[3, 0]], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(part.low, whole.low[[3, 0]], atol=1e-5, rtol=1e-4)


def test_a_constant_attribute_has_no_effect_and_no_standardized_one():
    generator = world()
    flat = Altered(
        generator.classifier(),
        lambda s: torch.where(torch.arange(4) == 2, 0.1, s),
    )
    effects = measure_effects(generator, flat, true_bank(generator), count=20)
    assert effects.std[2] == 0
    assert (effects.mean[:, 2] == 0).all()
    assert effects.standardized[:, 2].isnan().all()
    assert not effects.standardized[:, [0, 1, 3]].isnan().any()
    assert (effects.rises[:, 2] == 0).all()


def test_a_direction_that_does_nothing_has_no_effect():
    generator = world()
    idle = torch.linalg.svd(torch.cat([generator.truth, generator._nuisances])).Vh[-1]
    effects = measure_effects(
        generator, generator.classifier(), bank_of(generator, idle=idle), count=20
    )
    assert effects.mean.abs().max() < 1e-4


def test_saturated_probabilities_hide_what_log_odds_show():
    generator = world()
    steep = generator.classifier(kind="probability", steepness=3.0)
    effects = measure_effects(generator, steep, true_bank(generator), count=60, step=1.0)
    torch.testing.assert_close(
        effects.logit.mean.diagonal(), torch.full((4,), 3.0), rtol=0.02, atol=0
    )
    assert (effects.mean.diagonal() < 0.4).all()
    assert effects.logit.curves.scale == "logit"
    assert effects.logit.step == 1.0


def test_scores_that_are_values_are_the_same_on_both_scales():
    generator = world()
    effects = measure_effects(generator, generator.classifier(), true_bank(generator), count=10)
    assert torch.equal(effects.mean, effects.logit.mean)


def test_source_says_what_was_measured():
    generator = world()
    classifier = generator.classifier()
    effects = measure_effects(
        generator,
        classifier,
        true_bank(generator),
        count=10,
        seed=77,
        rendering=Rendering(truncation=0.7),
    )
    source = effects.source
    assert (source.fingerprint, source.classifier_fingerprint) == (
        generator.fingerprint,
        classifier.fingerprint,
    )
    assert (source.seed, source.count, source.truncation) == (77, 10, 0.7)


def test_a_bank_is_measured_at_the_truncation_it_was_found_with():
    generator = world()
    bank = replace(true_bank(generator), provenance={"truncation": 0.5})
    for rendering, psi in ((Rendering(), 0.5), (Rendering(truncation=1.0), 1.0)):
        effects = measure_effects(
            generator, generator.classifier(), bank, count=10, rendering=rendering
        )
        assert effects.source.truncation == psi


def test_json_holds_the_matrix_and_null_where_nothing_is_defined():
    scores = torch.zeros(1, 2, 3, 2)
    scores[0, 1, :, 0] = torch.tensor([1.0, 2.0, 3.0])
    scores[0, 0, :, 0] = torch.tensor([0.0, 0.5, 1.0])
    found = curves(
        scores, (0, 1), attributes=[Attribute("a", unit="degrees"), "b"], targets={"d0": "a"}
    )
    read = json.loads(json.dumps(effects_of(found, step=1.0).as_dict(), allow_nan=False))
    assert read["mean"] == [[1.5, 0.0]]
    assert read["standardized"] == [[3.0, None]]
    assert read["rises"] == [[1.0, 0.0]]
    assert read["attributes"][0]["unit"] == "degrees"
    assert read["targets"] == {"d0": "a"}
    assert read["source"]["seed"] == 5


def test_refusals():
    generator = world()
    bank = true_bank(generator)
    with pytest.raises(LatdirError, match="step -1 must be positive: a usual one is 2 sigma"):
        measure_effects(generator, generator.classifier(), bank, step=-1.0)
    effects = measure_effects(generator, generator.classifier(), bank, count=4)
    with pytest.raises(LatdirError, match="no direction 'smile' was measured: there are factor_0"):
        effects.at("smile", "factor_0")
    with pytest.raises(LatdirError, match="no attribute 'smile' was measured: there are factor_0"):
        effects.at("factor_0", "smile")
    with pytest.raises(LatdirError, match="amount 3 was not measured: there are 0, 2"):
        effects_of(effects.curves, step=3.0)


@pytest.mark.parametrize("embed", [None, pixel_features])
def test_effects_are_the_same_wherever_they_are_measured(embed) -> None:
    generator = world("entangled")
    given = (generator, generator.classifier(), true_bank(generator))
    remote = Rendering(executor=Turned())
    here = measure_curves(*given, count=30, embed=embed)
    there = measure_curves(*given, count=30, embed=embed, rendering=remote)
    assert torch.equal(here.scores, there.scores)
    assert here.source == there.source
    if embed is not None:
        torch.testing.assert_close(here.identity, there.identity, atol=0, rtol=0, equal_nan=True)
    effects = measure_effects(*given, count=30, rendering=remote)
    assert torch.equal(effects.mean, measure_effects(*given, count=30).mean)
