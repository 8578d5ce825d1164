"""`analysis.evaluate`: a bank measured, calibrated and tried in one call."""

import pytest
from tqdm.auto import tqdm

from analysis import evaluate, measure_effects
from analysis.edits import held_out, nulls
from analysis.edits.accuracy import Accuracy
from analysis.naming import by_text
from directions import LatdirError, Rendering
from directions.classifiers.clip.prompts import prompts_of
from directions.disentangling import measured
from directions.planted.clip import PlantedClip
from directions.planted.world import planted
from directions.seeds import HELD_OUT_SEED, TRIAL_SEED
from tests.analysis.measured import bank_of, true_bank


@pytest.fixture(scope="module")
def world():
    return planted(factors=3, dim=12, cosine=0.4, names=("age", "smile", "yaw"))


def test_a_true_bank_is_calibrated_and_reaches_what_is_requested(world):
    found = evaluate(true_bank(world), world, world.classifier(), count=16, null=3)
    assert found.bank["yaw"].calibration.per_sigma == pytest.approx(1, abs=0.02)
    assert found.effects.source.seed == HELD_OUT_SEED
    assert isinstance(found.results["accuracy"], Accuracy)
    by_name = {row["direction"]: row for row in found.rows()}
    assert by_name["smile"]["misses_by_sd"] < 0.02
    assert found.columns()["direction"] == list(found.bank)
    # Without an embedding there is neither identity nor realism, and no column of them.
    assert "identity" not in found.results
    assert "identity_kept_at_one_sd" not in by_name["smile"]
    assert len(found.effect_columns()["per_sigma"]) == 9


def test_results_are_short_in_a_notebook_and_convert_to_tables(world):
    found = evaluate(true_bank(world), world, world.classifier(), count=8, null=3)
    assert repr(found).startswith("Evaluation(DirectionBank(planted: age, smile, yaw), effects, ")
    assert len(repr(found)) < 300
    assert "<td" in found._repr_html_()
    assert len(found.to_frame()) == 3
    effects = found.effects
    assert repr(effects) == (
        "Effects(planted: 3 directions on 3 attributes, 8 codes, step 2, labels of planted)"
    )
    assert len(repr(found.null)) < 200
    assert len(repr(effects.curves)) < 1500
    assert f"{float(effects.standardized[2, 1]):+.2f}</td>" in effects._repr_html_()
    columns = effects.columns()
    cell = effects.at("yaw", "smile")
    row = {name: values[7] for name, values in columns.items()}
    assert (row["direction"], row["attribute"], row["target"]) == ("yaw", "smile", False)
    figures = (row["per_sigma"], row["low"], row["high"], row["in_sd"], row["rises"])
    assert figures == pytest.approx((cell.mean, cell.low, cell.high, cell.standardized, cell.rises))
    assert len(effects.to_frame()) == 9
    assert list(found.effect_columns())[:-3] == list(columns)


def test_bars_can_be_turned_off(world, monkeypatch):
    bars = []

    def noted(*parts, disable=False, **rest):
        bars.append(disable)
        return tqdm(*parts, disable=True, **rest)

    for module in (held_out, measured, by_text, nulls):
        monkeypatch.setattr(module, "tqdm", noted)
    bank, classifier = true_bank(world), world.classifier()
    scores, words = world.factors(world.sample(40, seed=0)), prompts_of(["a smile"], neutral="no")
    for shown in (True, False):
        bars.clear()
        on = {"rendering": Rendering(progress=shown)}
        measure_effects(world, classifier, bank, count=4, **on)
        measured.step_effects(world, classifier, bank, codes=world.sample(4, seed=0), **on)
        by_text.nearest_phrases(world, PlantedClip(world), bank, words, count=4, **on)
        nulls.permuted_labels(
            world.sample(40, seed=0), scores[:, 0], lambda x, y: x.T @ y, permutations=2,
            progress=shown,
        )  # fmt: skip
        assert bars == [not shown] * 4


def test_measures_are_tried_on_codes_that_calibration_did_not_see(world, monkeypatch):
    seeds = []
    sample = type(world).sample

    def noted(self, count, *, seed, **rest):
        seeds.append(seed)
        return sample(self, count, seed=seed, **rest)

    monkeypatch.setattr(type(world), "sample", noted)
    found = evaluate(true_bank(world), world, world.classifier(), count=8, null=3)
    assert {"accuracy", "consistency"} <= set(found.results)
    assert {HELD_OUT_SEED, TRIAL_SEED} <= set(seeds)


def test_measures_are_chosen_by_name(world):
    bank = true_bank(world)
    left_out = {"accuracy": 0, "consistency": 0, "effects": 0}
    found = evaluate(bank, world, world.classifier(), count=8, null=3, measures=left_out)
    assert set(found.results) == {"leakage", "response", "cosines"}
    assert "per_sigma" not in found.columns()
    with pytest.raises(LatdirError, match="no measure 'charm': there are effects, leakage"):
        evaluate(bank, world, world.classifier(), measures={"charm": 1})


def test_a_direction_without_a_target_has_empty_cells(world, tmp_path):
    bank = bank_of(world, pc=world.truth[0] + world.truth[1])
    found = evaluate(bank, world, world.classifier(), count=8, null=3)
    [row] = found.rows()
    assert (row["direction"], row["attribute"], row["per_sigma"]) == ("pc", None, None)
    assert any(r.direction == "pc" for r in found.remarks)
    page = found.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Editing accuracy" not in page
