"""The parts that measures add to a report."""

import dataclasses

import pytest
import torch

from analysis import effects_of, measure_curves, write_report
from analysis.edits.accuracy import Accuracy
from analysis.edits.consistency import Consistency
from analysis.edits.leakage import attribute_dependency
from analysis.edits.realism import Realism
from analysis.measures.base import Scored
from analysis.measures.tables import number
from analysis.registry import find_measure
from directions.classifiers import Attribute
from directions.planted.world import planted
from tests.analysis.measured import true_bank

ATTRIBUTES = (Attribute("smiling"), Attribute("age"))


def consistency(*, between=0.02, off=0.03):
    pair = torch.tensor([between, between / 2])
    gap = torch.tensor([off / 2, off])
    return Consistency(
        ("smiling", "age"), (("smiling", "age"), ("age", "smiling")), ATTRIBUTES,
        pair, pair - 0.01, pair + 0.01, gap, gap - 0.01, gap + 0.01,
        torch.tensor([1.2, -0.7]), torch.tensor([[1.0, 0.2], [0.2, -0.9]]), 0.1,
    )  # fmt: skip


def test_combinations_are_told_in_words_and_figures():
    good = find_measure("consistency").part(consistency(), {"smiling": "direction-0"})
    assert "In 2 orders the edits agree within 0.02 SD." in good.text
    assert "Together they add up: " in good.text
    [table] = good.tables
    assert table.columns == ("smiling", "age")
    assert [row.name for row in table.rows][:3] == ["smiling alone", "age alone", "all together"]
    assert [row.anchor for row in table.rows][:2] == ["direction-0", ""]
    assert [cell.value for cell in table.rows[1].cells] == ["+0.20", "−0.90"]
    assert table.rows[4].cells[0].under == "0.01 … 0.03"
    bad = find_measure("consistency").part(consistency(between=0.5, off=0.4), {})
    assert "the edits disagree: smiling differs by 0.50 SD between two orders" in bad.text
    assert "do not quite add up: the joint change of age is off" in bad.text
    assert "by 0.40 SD on an image" in bad.text


def test_accuracy_and_realism_are_told_in_words():
    asked = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]])
    reached = asked[..., None] + torch.tensor([[[0.5, -0.5]], [[1.0, 1.0]]])
    accuracy = Accuracy("change", ("a", "b"), ATTRIBUTES, asked, reached, torch.tensor([2.0, 4.0]))
    label = find_measure("accuracy").part(accuracy, {}).label
    assert label.endswith("misses the requested change: a by 0.25 SD, b by 0.25 SD.")
    amounts = torch.tensor([-2.0, 0.0, 2.0])
    figures = torch.tensor([[3.0, 1.0, 2.0], [1.5, 1.0, 5.0]])
    realism = Realism(("a", "b"), amounts, *[figures] * 5, 10, 20)
    said = find_measure("realism").part(realism, {}).text
    assert said == ("Fréchet distance at −2 sigma above that of unedited images (1): a +2, b +0.5.")


@pytest.fixture(scope="module")
def measured():
    generator = planted(factors=2, dim=12, names=["smiling", "age"])
    bank, classifier = true_bank(generator), generator.classifier(kind="probability")
    return generator, bank, measure_curves(generator, classifier, bank, count=16)


def test_ends_of_linear_ranges_are_given_with_their_uncertainty(measured):
    _, bank, curves = measured
    response = find_measure("response")
    found = response.from_scores(Scored(bank, effects_of(curves)))
    first = dataclasses.replace(
        found.ranges["smiling"], high_interval=(3.0, 3.0), measured=(-3.0, 3.0)
    )
    made = dataclasses.replace(found, ranges={"smiling": first})
    low, high = (number(end, sign=True) for end in first.low_interval)
    drawn = [response.drawing(made, name) for name in bank]
    assert f"the lower end is between {low} and {high}" in drawn[0].caption
    assert "the upper end was not met" in drawn[0].caption
    assert "lower end" not in drawn[1].caption


def test_the_dependency_figure_speaks_its_figures(measured):
    leakage = attribute_dependency(measured[2], changes=[0.5, 1.0])
    label = find_measure("leakage").part(leakage, {}).label
    mean, largest = float(leakage.mean_ad[0, 1]), float(leakage.max_ad[0, 1])
    assert f"At 1 SD: smiling {number(mean)} and {number(largest)}" in label


def test_sections_appear_only_where_something_was_measured(measured, tmp_path):
    _, bank, curves = measured
    effects = effects_of(curves)
    bare = write_report(tmp_path / "bare.html", bank=bank, effects=effects).read_text("utf-8")
    assert 'id="edits"' not in bare
    assert 'href="#edits"' not in bare
    whole = write_report(
        tmp_path / "whole.html", bank=bank, effects=effects, results={"consistency": consistency()}
    ).read_text("utf-8")
    assert 'id="edits"' in whole
    assert 'href="#edits"' in whole
    assert "Combination of edits" in whole
    assert "Realism of edited images" not in whole
    assert "https://" not in whole
