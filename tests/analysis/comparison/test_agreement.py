"""Two labelers on the same images: a direction fitted to one is found out by the other."""

import json

import pytest
import torch

from analysis import (
    compare_methods,
    effects_of,
    evaluate,
    judge_agreement,
    measure_curves,
    measure_effects,
)
from analysis.plots import plot_agreement
from directions import DirectionBank, LatdirError, condition, load_classifier
from directions.classifiers import Attribute, Combined, Renamed
from directions.classifiers.panel import Panel
from directions.planted.world import planted
from tests.analysis.measured import Altered, bank_of, true_bank
from tests.unchecked import unchecked

NAMES = ("smiling", "age", "yaw")


@pytest.fixture(scope="module")
def world():
    return planted(factors=3, dim=16, names=NAMES)


class Faulty(Altered):
    """Takes a pattern that is no factor for a part of the first attribute, and adds noise."""

    def __init__(self, world, *, blind=0.0, noise=0.0, seed=0):
        super().__init__(world.classifier(), None)
        self.name, self.world, self.blind, self.noise = "faulty", world, blind, noise
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, images):
        scores = self.base(images)
        pattern = self.world._patterns[3]  # the first nuisance
        level = images.flatten(1) @ pattern / pattern.square().sum() / self.world._amplitudes[3]
        mistaken = 4 * torch.atanh(level.clamp(-0.999, 0.999))
        scores[:, 0] = (1 - self.blind) * scores[:, 0] + self.blind * mistaken
        return scores + self.noise * torch.randn(scores.shape, generator=self.random)


def nuisance_bank(world):
    """The truth, but for smiling the pattern that the faulty labeler is pleased by."""
    vectors = dict(zip(NAMES, world.truth, strict=True))
    return bank_of(world, **vectors | {"smiling": world._nuisances[0]})


def test_a_true_direction_pleases_both_and_figures_are_those_of_each_alone(world):
    bank, judge = true_bank(world), Faulty(world, noise=1.0)
    measured = measure_effects(world, world.classifier(), bank, count=256, judge=judge)
    alone = measure_effects(world, world.classifier(), bank, count=256)
    assert torch.equal(measured.mean, alone.mean)
    found = judge_agreement(measured)
    assert (found.labeler, found.judge, found.shared) == ("planted", "faulty", NAMES)
    for k, name in enumerate(NAMES):
        row = found.row(name)
        assert row.effect.mean == pytest.approx(float(measured.standardized[k, k]), rel=1e-5)
        assert row.judged.mean == pytest.approx(float(measured.judged.standardized[k, k]), rel=1e-5)
        assert row.judged_rises == measured.judged.at(name, name).rises
        # Half of the judge's variance is noise: sqrt(1/2) of the effect, as of the correlation.
        assert row.ratio.low < 0.5**0.5 < row.ratio.high
        assert row.correlation == pytest.approx(0.5**0.5, abs=0.1)
        assert row.leakage.mean == pytest.approx(0, abs=0.01)
        assert not row.labeler_only


def test_a_direction_that_pleases_its_labeler_only_is_warned_of(world):
    labeler = Faulty(world, blind=0.7)
    found = evaluate(
        nuisance_bank(world), world, labeler, count=128, null=3, judge=world.classifier()
    )
    row = found.results["judge"].row("smiling")
    assert row.effect.mean > 0.8
    assert abs(row.judged.mean) < 0.05
    assert row.labeler_only
    said = [r for r in found.remarks if "pleases its labeler only" in r.text]
    assert [r.direction for r in said] == ["smiling"]
    assert said[0].kind == "warning"
    assert found.columns()["judge_rises"][1:] == [1.0, 1.0]


def test_intervals_of_the_ratio_and_of_leakage_cover(world):
    bank = bank_of(world, smiling=world.truth[0] + 0.3 * world.truth[1])
    true_ratio, true_leakage = (1 / (1 + 0.5**2)) ** 0.5, 0.15
    covered, repeats = torch.zeros(2), 60
    for seed in range(repeats):
        curves = measure_curves(
            world, world.classifier(), bank, amounts=[2.0], count=64, seed=seed + 1,
            judge=Faulty(world, noise=0.5, seed=seed),
        )  # fmt: skip
        row = judge_agreement(effects_of(curves)).row("smiling")
        covered[0] += row.ratio.low < true_ratio < row.ratio.high
        covered[1] += row.leakage.low < true_leakage < row.leakage.high
    assert (covered / repeats > 0.87).all(), covered


def test_one_image_serves_both(world, monkeypatch):
    made = []
    original = type(world).synthesize
    monkeypatch.setattr(
        type(world),
        "synthesize",
        lambda self, z, s="z": made.append(len(z)) or original(self, z, s),
    )
    measure_effects(world, world.classifier(), true_bank(world), count=16)
    alone = sum(made)
    made.clear()
    measure_effects(world, world.classifier(), true_bank(world), count=16, judge=Faulty(world))
    assert sum(made) == alone


def test_tables_json_page_and_figure_say_by_whose_labels(world, tmp_path):
    judge = Renamed(Faulty(world, noise=0.1), {"yaw": "turned"})
    found = evaluate(true_bank(world), world, world.classifier(), count=16, null=3, judge=judge)
    columns = found.effect_columns()
    assert set(columns["labeler"]) == {"planted"}
    assert set(columns["judge"]) == {"faulty"}
    empty = [
        a for a, v in zip(columns["attribute"], columns["judge_in_sd"], strict=True) if v is None
    ]
    assert set(empty) == {"yaw"}
    assert "labels of planted, judged by faulty" in repr(found.effects)
    data = json.loads(json.dumps(found.as_dict()))
    assert data["labelers"] == "planted, judged by faulty"
    assert [row["direction"] for row in data["judge"]["rows"]] == ["smiling", "age"]
    page = found.report(tmp_path / "page.html", world).read_text(encoding="utf-8")
    for text in ("A second opinion", "By the labels of planted, judged by faulty", "judge=judge"):
        assert text in page
    figure = plot_agreement(found.results["judge"])
    marks = figure.axes[0].containers
    assert [list(m[0].get_xdata()) for m in marks] == [
        [pytest.approx(row.effect.mean) for row in found.results["judge"]],
        [pytest.approx(row.judged.mean) for row in found.results["judge"]],
    ]
    assert len(found.results["judge"].to_frame()) == 2


def test_refusals(world):
    bank, labeler = true_bank(world), world.classifier()
    with pytest.raises(LatdirError, match="which is the labeler or a part of it"):
        measure_effects(world, labeler, bank, count=4, judge=Renamed(labeler, {"age": "years"}))
    text = r"classifier is 'clip', not a classifier: write direc"
    with unchecked(), pytest.raises(LatdirError, match=text):
        measure_effects(world, labeler, bank, count=4, judge="clip")
    with pytest.raises(LatdirError, match="the judge faces holds faces, which is the labeler or"):
        Panel.of(load_classifier("face-ensemble"), load_classifier("faces"), ["age"])
    other = Altered(labeler, lambda s: s, tuple(Attribute(n) for n in ("a", "b", "c")))
    with pytest.raises(LatdirError, match="has none of smiling, age, yaw: it has a, b, c; rename"):
        measure_effects(world, labeler, bank, count=4, judge=other)
    with pytest.raises(LatdirError, match=r"measure them with measure_effects\(…, judge="):
        judge_agreement(measure_effects(world, labeler, bank, count=4))
    unnamed = bank_of(world, pc0=world.truth[0])
    measured = measure_effects(world, labeler, unnamed, count=4, judge=Faulty(world))
    with pytest.raises(LatdirError, match="no direction is meant to move an attribute that varies"):
        judge_agreement(measured)
    one = bank.select(["smiling"])
    seen = judge_agreement(measure_effects(world, labeler, one, count=4, judge=Faulty(world)))
    with pytest.raises(LatdirError, match="'age' was not judged: there are smiling"):
        seen.row("age")


def test_a_student_of_the_labeler_is_no_independent_judge(caplog):
    faces, clip = load_classifier("faces"), load_classifier("clip")
    with caplog.at_level("WARNING"):
        panel = Panel.of(Combined(faces, load_classifier("pixels")), clip, ["age", "roll", "male"])
    assert panel.judged == ("age", "male")
    assert "the judge clip was trained on scores of faces, pixels" in caplog.text
    assert Renamed(clip, {"clip_old": "years"}).common_names == {
        k: v for k, v in clip.common_names.items() if k != "clip_old"
    }


def test_a_judge_that_had_a_part_in_the_bank_is_warned_of(caplog, world):
    labeler, judge = world.classifier(), Altered(world.classifier(), lambda s: s * 2)
    bank = true_bank(world)
    freed = condition(bank, on=list(bank), generator=world, labelers=[judge])
    both = Combined(judge, Renamed(labeler, {name: f"own {name}" for name in labeler.names}))
    freed_by_both = condition(bank, on=list(bank), generator=world, labelers=[both])
    found = DirectionBank(bank.directions, bank.generator, bank.fingerprint,
                          {"classifier": "other+altered"})  # fmt: skip
    for given, warned in ((bank, False), (freed, True), (freed_by_both, True), (found, True)):
        caplog.clear()
        with caplog.at_level("WARNING"):
            measure_effects(world, labeler, given, count=4, judge=judge)
            compare_methods(world, labeler, {"one": given}, attributes=list(bank), count=4,
                            judge=judge)  # fmt: skip
        text = "the judge altered is what this bank was found with or conditioned by (altered)"
        assert caplog.text.count(text) == 2 * warned
