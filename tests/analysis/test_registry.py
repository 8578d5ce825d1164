"""The registered measures: what their entries say is what they do."""

import importlib
import subprocess
import sys

import pytest

from analysis import Evaluation, evaluate
from analysis.measures.base import Measure
from analysis.registry import CHAPTERS, MEASURES, draw, find_measure
from directions import LatdirError
from directions.planted.world import planted
from tests.analysis.measured import true_bank


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Everything that can be measured of a bank."""
    generator = planted(factors=3, dim=12, cosine=0.4, names=("age", "smile", "yaw"))
    classifier = generator.classifier()
    classifier.embed = classifier.__call__
    flags = {name: 16 for name, entry in MEASURES.items() if entry.flag}
    return evaluate(
        true_bank(generator), generator, classifier, count=16, null=3, measures=flags,
        judge=generator.classifier(kind="probability"),
    )  # fmt: skip


def test_all_measures_are_computed_in_the_order_of_the_registry(evaluation):
    assert list(evaluation.results) == list(MEASURES)


@pytest.mark.parametrize("name", MEASURES)
def test_an_entry_says_what_its_measure_does(evaluation, name):
    entry, measure = MEASURES[name], find_measure(name)
    result = evaluation.results[name]
    assert isinstance(measure, Measure)
    assert list(measure.columns(result)) == list(entry.columns)
    anchors = {direction: direction for direction in evaluation.bank}
    part = measure.part(result, anchors)
    assert (part is not None) == bool(entry.chapter)
    assert entry.chapter in {"", *CHAPTERS}
    assert bool(entry.figure) == bool(entry.caption) == (draw(name, result) is not None)
    if entry.figure:
        assert entry.title
        assert part.label or part.text
        module, _, function = entry.figure.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_columns_of_two_measures_have_different_names():
    columns = [column for entry in MEASURES.values() for column in entry.columns]
    assert len(set(columns)) == len(columns)


def test_reading_the_entries_imports_no_measure():
    """So that the command lists their flags at once."""
    read = (
        "import analysis.registry, sys; analysis.registry.MEASURES; "
        "print([m for m in ('torch', 'matplotlib', 'analysis.measures') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_an_unknown_measure_is_refused():
    with pytest.raises(LatdirError, match="no measure 'charm': there are effects, leakage"):
        find_measure("charm")
