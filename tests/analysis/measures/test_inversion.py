"""Edits of inverted codes as a registered measure."""

import pytest

from analysis import evaluate
from analysis.registry import find_measure
from directions.planted.world import planted
from tests.analysis.measured import true_bank
from tests.fuzzed.world import QUIET


def test_edits_of_images_that_are_inverted_exactly_are_kept():
    world = planted(factors=2, dim=8)
    found = evaluate(
        true_bank(world), world, world.classifier(), count=8, null=3, measures={"inversion": 3},
        rendering=QUIET,
    )  # fmt: skip
    for row in found.rows():
        assert row["effect_kept_inverted"] == pytest.approx(1, abs=0.02)
        assert row["edit_error_inverted"] < 0.02
    result = found.results["inversion"]
    measure = find_measure("inversion")
    assert "keep 1.0" in measure.part(result, {}).text or "1 to 1" in measure.part(result, {}).text
    assert len(measure.as_dict(result)["rows"]) == 2
