import dataclasses

import pytest
import torch
from matplotlib.figure import Figure

from analysis import attribute_dependency, identity_preservation, measure_curves, measure_effects
from analysis.comparison import Cost, EqualEffect, compare_methods
from analysis.comparison.compare import AMOUNTS
from analysis.plots import plot_comparison
from directions import LatdirError, condition
from directions.classifiers import Attribute, Renamed
from directions.direction import Calibration
from directions.planted.world import planted
from tests.analysis.measured import Altered, bank_of, true_bank
from tests.worlds import world


def embed(images):
    return images.flatten(1)[:, ::5]


def rough_bank(generator, size, *, seed=0):
    noise = torch.randn(generator.truth.shape, generator=torch.Generator().manual_seed(seed))
    vectors = generator.truth + size * noise / noise.shape[1] ** 0.5
    return bank_of(generator, **dict(zip(generator.names, vectors, strict=True)))


def compared(generator, banks, **settings):
    settings = {"attributes": generator.names, "count": 64} | settings
    return compare_methods(generator, generator.classifier(), banks, **settings)


def test_a_method_s_figures_are_those_of_the_single_measures():
    generator = world("everything", dim=48)
    bank = rough_bank(generator, 0.5)
    found = compared(generator, {"one": bank, "two": true_bank(generator)}, embed=embed)
    curves = measure_curves(
        generator, generator.classifier(), bank, amounts=AMOUNTS, count=64, embed=embed
    )
    leakage = attribute_dependency(curves, changes=[1.0])
    identity = identity_preservation(curves, changes=[1.0])
    effects = measure_effects(
        generator, generator.classifier(), bank, step=1.0, count=64
    ).standardized
    for k, name in enumerate(generator.names):
        row = found.row("one", name)
        assert row.direction == name
        assert row.amount == pytest.approx(float(leakage.amounts[k, 0]), rel=1e-4)
        assert row.leakage.mean == pytest.approx(float(leakage.mean_ad[k, 0]), rel=1e-4)
        assert row.identity.low == pytest.approx(float(identity.low[k, 0]), rel=1e-4)
        assert row.leakage.low == pytest.approx(float(leakage.mean_low[k, 0]), rel=1e-4)
        assert row.worst.mean == pytest.approx(float(leakage.max_ad[k, 0]), rel=1e-4)
        assert row.identity.mean == pytest.approx(float(identity.kept[k, 0]), rel=1e-4)
        assert row.effect.mean == pytest.approx(float(effects[k, k]), rel=1e-4)
        assert row.success.mean == 1.0


def test_the_truth_beats_a_rough_guess_and_the_difference_is_paired():
    generator = world("curved", dim=48)
    banks = {"truth": true_bank(generator), "rough": rough_bank(generator, 0.8)}
    found = compared(generator, banks, embed=embed, count=96)
    for name in generator.names:
        truth, rough = found.row("truth", name), found.row("rough", name)
        assert truth.leakage.mean < 0.5 * rough.leakage.mean
        assert truth.amount < rough.amount
        difference = found.difference("rough", "truth", attribute=name, metric="leakage")
        assert difference.significant
        assert difference.mean == pytest.approx(rough.leakage.mean - truth.leakage.mean, abs=1e-4)
        back = found.difference("truth", "rough", attribute=name, metric="leakage")
        assert back.mean == pytest.approx(-difference.mean, abs=1e-6)
        same = found.difference("truth", "truth", attribute=name, metric="identity")
        assert (same.mean, same.low, same.high, same.significant) == (0, 0, 0, False)
    # Identity varies from face to face far more than between methods on one face.
    difference = found.difference("rough", "truth", attribute="factor_0", metric="identity")
    row = found.row("truth", "factor_0")
    assert difference.high - difference.low < 0.7 * (row.identity.high - row.identity.low)


def test_equal_effect_does_not_care_for_the_length_of_a_step():
    generator = world("linear", dim=48)
    bank = rough_bank(generator, 0.4)
    half = bank.replaced(d.evolve(sigma=d.sigma / 2) for d in bank.directions)
    found = compared(generator, {"whole": bank, "half": half}, embed=embed)
    for name in generator.names:
        whole, short = found.row("whole", name), found.row("half", name)
        assert short.amount == pytest.approx(2 * whole.amount, rel=1e-2)
        assert short.effect.mean == pytest.approx(whole.effect.mean / 2, rel=1e-2)
        assert short.leakage.mean == pytest.approx(whole.leakage.mean, rel=2e-2)
        assert short.identity.mean == pytest.approx(whole.identity.mean, abs=5e-3)


def test_what_a_method_lacks_or_does_not_reach_is_empty_and_not_zero():
    generator = world(dim=48)
    bank = true_bank(generator)
    weak = bank.replaced(d.evolve(sigma=0.05) for d in bank.directions)
    found = compared(generator, {"full": bank, "part": bank.select(["factor_1"]), "weak": weak})
    missing, weak_row = found.row("part", "factor_0"), found.row("weak", "factor_0")
    assert missing.direction is None
    assert missing.effect is None
    assert weak_row.effect.mean == pytest.approx(0.05, rel=0.2)
    assert weak_row.amount is None
    assert weak_row.leakage is None
    assert found.row("part", "factor_1").identity is None
    with pytest.raises(LatdirError, match="weak has no leakage for 'factor_0'"):
        found.difference("full", "weak", attribute="factor_0")
    with pytest.raises(LatdirError, match="full has no identity"):
        found.difference("full", "part", attribute="factor_1", metric="identity")


def test_directions_are_found_by_calibration_as_well_as_by_name():
    generator = world(dim=48)
    bank = true_bank(generator)
    scale = Calibration("factor_2", "latent", 1.0, -3.0, 3.0)
    odd = bank.replaced([bank["factor_2"].evolve(name="pc7", calibration=scale)])
    found = compared(generator, {"odd": odd})
    assert found.row("odd", "factor_2").direction == "pc7"
    assert found.row("odd", "factor_0").direction is None


def test_one_direction_that_moves_backwards_does_not_reach_the_change():
    generator = world(dim=48)
    bank = true_bank(generator)
    found = compared(generator, {"backwards": bank.replaced(-d for d in bank.directions)})
    row = found.row("backwards", "factor_0")
    assert row.amount is None
    assert row.effect.mean < -0.8


def test_the_table_is_plain_json_and_two_runs_agree_to_the_bit():
    import json

    generator = world(dim=32)
    banks = {"a": true_bank(generator), "b": rough_bank(generator, 0.5)}
    costs = {"a": Cost(seconds=2.0, images=100, labels=100)}
    one, two = (compared(generator, banks, count=16).with_costs(costs) for _ in range(2))
    assert json.dumps(one.as_dict()) == json.dumps(two.as_dict())
    assert one.as_dict()["costs"]["a"] == {"seconds": 2.0, "images": 100, "labels": 100}
    assert one.costs["b"] == Cost()
    assert one.methods == ("a", "b")
    assert one.attributes == generator.names
    assert len(one.rows) == 8
    assert repr(one).startswith("Comparison(planted: a, b on factor_0, ")
    assert len(one.to_frame()) == 8
    assert one._repr_html_().count("<tr>") == 9


def test_the_figure_has_a_panel_for_each_metric_and_a_mark_for_each_row():
    generator = world(dim=32)
    banks = {"truth": true_bank(generator), "part": rough_bank(generator, 0.5).select(["factor_1"])}
    costs = {"truth": Cost(seconds=3.0), "part": Cost(seconds=0.1)}
    found = compared(generator, banks, embed=embed, count=16).with_costs(costs)
    figure = plot_comparison(found)
    assert isinstance(figure, Figure)
    assert [a.get_xlabel().split("\n")[0] for a in figure.axes] == [
        "effect of one sigma",
        "leakage",
        "signed leakage",
        "identity kept",
        "cost",
    ]
    leakage = figure.axes[1]
    marks = [c[0].get_xdata().tolist() for c in leakage.containers]
    assert [len(m) for m in marks] == [4, 1]
    assert marks[1] == [pytest.approx(found.row("part", "factor_1").leakage.mean)]
    figure.draw_without_rendering()
    bare = plot_comparison(dataclasses.replace(found, costs={"truth": Cost(), "part": Cost()}))
    assert len(bare.axes) == 4


def test_a_judge_has_panels_of_its_own():
    generator = planted(factors=2, dim=12, names=["smiling", "age"])
    found = compare_methods(
        generator, generator.classifier(), {"truth": true_bank(generator)},
        attributes=["smiling"], count=8, judge=generator.classifier(kind="probability"),
    )  # fmt: skip
    figure = plot_comparison(found)
    titles = [axes.get_xlabel().split("\n")[0] for axes in figure.axes]
    assert titles[-3:] == [
        "effect to the judge", "leakage to the judge", "signed leakage to the judge",
    ]  # fmt: skip
    marks = figure.axes[titles.index("effect to the judge")].containers[0][0].get_xdata()
    assert list(marks) == [pytest.approx(found.row("truth", "smiling").judged.mean)]


def test_refusals():
    generator = world(dim=32)
    bank = true_bank(generator)
    with pytest.raises(LatdirError, match="give at least one bank"):
        compared(generator, {})
    with pytest.raises(LatdirError, match="a cost of 'pca' but no such bank: there are truth"):
        compared(generator, {"truth": bank}, count=8).with_costs({"pca": Cost()})
    with pytest.raises(LatdirError, match=r"change 0 and amounts .* must be positive"):
        EqualEffect(change=0.0)
    with pytest.raises(LatdirError, match="no attribute 'age'"):
        compared(generator, {"truth": bank}, attributes=["age"])
    with pytest.raises(LatdirError, match="no bank has a direction named after one of factor_0"):
        compared(generator, {"truth": bank_of(generator, pc=generator.truth[0])})
    with pytest.raises(LatdirError, match="was made for planted"):
        compared(generator, {"truth": true_bank(world(dim=32, seed=1))})
    seen = dataclasses.replace(bank, provenance={"seed": 5})
    with pytest.raises(LatdirError, match="found with codes of seed 5"):
        compared(generator, {"fresh": bank, "seen": seen}, seed=5)
    found = compared(generator, {"truth": bank}, count=8)
    with pytest.raises(LatdirError, match="'pca' and 'factor_0' were not compared"):
        found.row("pca", "factor_0")
    base = generator.classifier()
    constant = Altered(base, lambda s: s * 0 + 1, tuple(Attribute(n) for n in base.names))
    with pytest.raises(LatdirError, match="'factor_0' is constant over the held-out codes"):
        compare_methods(generator, constant, {"truth": bank}, attributes=base.names, count=8)


def test_a_judge_sees_what_a_method_fitted_to_a_faulty_classifier_does_not():
    """The classifier mistakes factor_1 for factor_0; a method fitted to it follows the mistake."""
    generator = world(dim=48)
    base = generator.classifier()

    def mistaken(scores):
        wrong = scores.clone()
        wrong[:, 0] = (scores[:, 0] + scores[:, 1]) / 2**0.5
        return wrong

    classifier = Altered(base, mistaken, tuple(Attribute(n) for n in base.names))
    fooled = bank_of(generator, factor_0=generator.truth[0] + generator.truth[1])
    banks = {"fooled": fooled, "true": true_bank(generator)}
    found = compare_methods(
        generator, classifier, banks, attributes=["factor_0"], count=64, judge=base
    )
    fooled_row, true_row = found.row("fooled", "factor_0"), found.row("true", "factor_0")
    # To the classifier the mistaken direction is the better one, to the judge the worse.
    assert fooled_row.amount < 0.8 * true_row.amount
    assert true_row.judged.mean == pytest.approx(2**0.5, rel=0.2)
    assert fooled_row.judged.mean == pytest.approx(0.5**0.5, rel=0.2)
    assert true_row.judged_leakage.mean < 0.01 < 0.15 < fooled_row.judged_leakage.mean
    assert found.difference("true", "fooled", attribute="factor_0", metric="judged").low > 0.5
    assert found.judge == base.name
    assert found.as_dict()["judge"] == "planted"
    alone = compare_methods(generator, classifier, banks, attributes=["factor_0"], count=64)
    assert alone.row("true", "factor_0").judged is None
    for metric in ("effect", "success", "leakage", "worst"):
        for name in ("fooled", "true"):
            expected = alone.row(name, "factor_0").figure(metric)
            assert found.row(name, "factor_0").figure(metric) == pytest.approx(expected, rel=1e-5)


def test_a_judge_may_call_attributes_otherwise_and_must_know_one():
    generator = world(dim=32)
    bank = true_bank(generator)
    other = Altered(
        generator.classifier(), lambda s: s, tuple(Attribute(f"j{i}") for i in range(4))
    )
    renamed = Renamed(other, {"j2": "factor_2"})
    found = compared(generator, {"truth": bank}, count=16, judge=renamed)
    assert found.row("truth", "factor_2").judged.mean == pytest.approx(1, abs=1e-3)
    assert found.row("truth", "factor_0").judged is None
    with pytest.raises(LatdirError, match="the judge altered has none of factor_0"):
        compared(generator, {"truth": bank}, judge=other)


def test_differences_to_a_reference_and_means_over_attributes():
    generator = world("curved", dim=48)
    banks = {
        "truth": true_bank(generator),
        "rough": rough_bank(generator, 0.8),
        "part": rough_bank(generator, 0.8).select(["factor_1", "factor_3"]),
    }
    found = compared(generator, banks)
    differences = found.differences("truth")
    assert set(differences) == {
        *(("rough", n) for n in generator.names),
        ("part", "factor_1"),
        ("part", "factor_3"),
    }
    assert all(d.low > 0 for d in differences.values())
    # Over what all methods have: part and rough are the same directions there.
    overall = found.overall()
    assert overall["part"] == overall["rough"]
    rows = [found.row("rough", n).leakage.mean for n in ("factor_1", "factor_3")]
    assert overall["rough"].mean == pytest.approx(sum(rows) / 2, rel=1e-5)
    assert overall["rough"].low < overall["rough"].mean < overall["rough"].high
    assert found.overall("identity") == {}
    whole = found.difference("rough", "truth")
    gaps = [differences["rough", n].mean for n in generator.names]
    assert whole.mean == pytest.approx(sum(gaps) / 4, rel=1e-4)
    with pytest.raises(LatdirError, match="'pca' and 'factor_0' were not compared"):
        found.differences("pca")
    columns = found.columns()
    assert columns["method"] == ["truth"] * 4 + ["rough"] * 4 + ["part"] * 4
    assert columns["leakage"][:4] == [found.row("truth", n).leakage.mean for n in generator.names]
    assert columns["amount"][8] is None


def test_signed_leakage_falls_with_conditioning_where_that_of_single_images_does_not():
    generator = planted(factors=4, dim=16, cosine=0.3)
    exact, bank = generator.classifier(), true_bank(generator)
    random = torch.Generator().manual_seed(0)
    noisy = Altered(exact, lambda s: s + 2 * torch.randn(s.shape, generator=random))
    banks = {"plain": bank, "conditioned": condition(bank, on=list(bank))}
    found = compare_methods(
        generator, noisy, banks, attributes=generator.names, count=512, judge=exact,
        at=EqualEffect(change=0.7),
    )  # fmt: skip
    for name in generator.names:
        plain, clean = (found.row(method, name) for method in banks)
        # Along t_0 the others change by cos(t_0, t_j) of its own change, in its spread.
        assert plain.judged_drift.mean == pytest.approx(0.3, rel=0.1)
        assert clean.judged_drift.mean == pytest.approx(0, abs=1e-3)
        assert plain.drift.low < 0.3 < plain.drift.high
        assert clean.drift.mean < 0.5 * plain.drift.mean
        assert found.difference("conditioned", "plain", attribute=name, metric="drift").high < 0
        assert clean.leakage.mean > 0.8 * plain.leakage.mean
    assert {"drift", "judged_drift"} <= set(found.metrics)
    assert "judged by planted" in repr(found)
    assert "labels of altered, judged by planted" in plot_comparison(found).get_suptitle()
