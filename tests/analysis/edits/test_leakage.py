import math

import pytest
import torch

from analysis import attribute_dependency, measure_curves
from directions import LatdirError
from directions.classifiers.base import Attribute
from tests.analysis.measured import curves, true_bank
from tests.worlds import world

AMOUNTS = (-1, 0, 1, 2)


def noisy(seed=0, n=40):
    """Two directions over three attributes; the first moves `a`, the second `b`, with noise."""
    rng = torch.Generator().manual_seed(seed)
    start = torch.randn(1, 1, n, 3, generator=rng) * torch.tensor([1.0, 2.0, 0.5])
    slopes = torch.tensor([[0.9, -0.3, 0.05], [0.4, 1.8, 0.2]])
    steps = torch.tensor([float(a) for a in AMOUNTS])[None, :, None, None]
    each = 1 + 0.2 * torch.randn(2, 1, n, 3, generator=rng)
    return curves(
        start + steps * slopes[:, None, None] * each,
        AMOUNTS,
        attributes=["a", "b", "c"],
        directions=("a", "b"),
        targets={"a": "a", "b": "b"},
    )


def test_in_an_entangled_world_dependency_is_the_cosine():
    generator = world("entangled")
    found = measure_curves(generator, generator.classifier(), true_bank(generator), count=40)
    leakage = attribute_dependency(found, changes=(0.5, 1.0))
    for k in range(4):
        for x, change in enumerate((0.5, 1.0)):
            amount = change * float(found.std[k])
            assert float(leakage.amounts[k, x]) == pytest.approx(amount, rel=1e-3)
            for i in set(range(4)) - {k}:
                expected = 0.5 * amount / float(found.std[i])
                assert float(leakage.drift[k, x, i]) == pytest.approx(expected, rel=2e-3)
                assert float(leakage.dependency[k, x, i]) == pytest.approx(expected, rel=2e-3)
            assert leakage.dependency[k, x, k].isnan()


def test_figures_are_those_of_a_plain_loop():
    found = noisy()
    leakage = attribute_dependency(found, changes=(0.6, 1.3))
    for k in range(2):
        curve = [float(found.changes[k, t, :, k].mean() / found.std[k]) for t in range(4)]
        for x, level in enumerate((0.6, 1.3)):
            t = 1 if curve[2] >= level else 2
            share = (level - curve[t]) / (curve[t + 1] - curve[t])
            assert float(leakage.amounts[k, x]) == pytest.approx(AMOUNTS[t] + share, abs=1e-4)
            averages, largest = [], []
            for i in range(40):
                moved = [
                    abs(
                        float(
                            (1 - share) * found.changes[k, t, i, a]
                            + share * found.changes[k, t + 1, i, a]
                        )
                    )
                    / float(found.std[a])
                    for a in range(3)
                    if a != k
                ]
                averages.append(sum(moved) / 2)
                largest.append(max(moved))
            assert float(leakage.mean_ad[k, x]) == pytest.approx(sum(averages) / 40, rel=1e-3)
            assert float(leakage.max_ad[k, x]) == pytest.approx(sum(largest) / 40, rel=1e-3)
            assert leakage.mean_low[k, x] < leakage.mean_ad[k, x] < leakage.mean_high[k, x]


def test_a_disentangled_world_leaks_nothing_and_the_ratio_says_so():
    generator = world()
    found = measure_curves(generator, generator.classifier(), true_bank(generator), count=40)
    leakage = attribute_dependency(found)
    assert leakage.mean_ad.nan_to_num().max() < 1e-3
    assert leakage.ratio.nan_to_num(1e6).min() > 100


def test_ratios_are_effect_over_leakage():
    leakage = attribute_dependency(noisy(), changes=(0.8,))
    torch.testing.assert_close(leakage.ratio, 0.8 / leakage.mean_ad)
    others = leakage.drift.abs()[0, 0, 1:].mean()
    torch.testing.assert_close(leakage.drift_ratio[0, 0], 0.8 / others)


def test_what_is_out_of_reach_has_no_figure():
    leakage = attribute_dependency(noisy(), changes=(0.5, 50.0))
    assert not leakage.mean_ad[:, 0].isnan().any()
    for figure in (leakage.amounts, leakage.mean_ad, leakage.max_ad, leakage.mean_low):
        assert figure[:, 1].isnan().all()


def test_a_direction_that_moves_its_target_down_reaches_nothing():
    found = noisy()
    turned = curves(
        found.baseline - found.changes,
        AMOUNTS,
        attributes=["a", "b", "c"],
        directions=("a", "b"),
        targets={"a": "a"},
    )
    leakage = attribute_dependency(turned)
    assert leakage.directions == ("a",)
    assert leakage.amounts.isnan().all()


def test_constant_attributes_are_left_out_rather_than_dividing_by_nothing():
    found = noisy()
    scores = torch.cat([found.scores, torch.full((2, 4, 40, 1), 0.3)], 3)
    with_flat = curves(
        scores,
        AMOUNTS,
        attributes=["a", "b", "c", "flat"],
        directions=("a", "b"),
        targets=found.targets,
    )
    leakage = attribute_dependency(with_flat)
    assert [a.name for a in leakage.attributes] == ["a", "b", "c"]
    torch.testing.assert_close(leakage.mean_ad, attribute_dependency(found).mean_ad, equal_nan=True)


def test_probabilities_are_taken_as_log_odds():
    found = noisy()
    squashed = curves(
        torch.sigmoid(found.scores.double()),
        AMOUNTS,
        attributes=[Attribute(n, "probability") for n in "abc"],
        directions=("a", "b"),
        targets=found.targets,
    )
    torch.testing.assert_close(
        attribute_dependency(squashed).mean_ad,
        attribute_dependency(found).mean_ad,
        equal_nan=True,
        atol=1e-3,
        rtol=1e-3,
    )


def test_scale_of_attributes_does_not_matter():
    found = noisy()
    scaled = curves(
        found.scores * torch.tensor([3.0, 0.01, 50.0]),
        AMOUNTS,
        attributes=["a", "b", "c"],
        directions=("a", "b"),
        targets=found.targets,
    )
    torch.testing.assert_close(
        attribute_dependency(scaled).max_ad,
        attribute_dependency(found).max_ad,
        equal_nan=True,
        atol=1e-4,
        rtol=1e-3,
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"targets": {}}, "no direction has a target that varies: name directions after"),
        ({"attributes": ["a"]}, "only 'a' was measured and varies: measure more of them"),
        ({"changes": (0.0, 1.0)}, r"changes \[0.0, 1.0\] must be positive"),
        ({"changes": ()}, r"changes \[\] must be positive"),
    ],
)
def test_refusals(change, text):
    found = noisy()
    attributes = change.get("attributes", ["a", "b", "c"])
    part = curves(
        found.scores[..., : len(attributes)],
        AMOUNTS,
        attributes=attributes,
        directions=("a", "b"),
        targets=change.get("targets", {"a": "a"}),
    )
    with pytest.raises(LatdirError, match=text):
        attribute_dependency(part, changes=change.get("changes", (1.0,)))


def test_matched_by_image_every_code_changes_by_the_same():
    found = noisy()
    leakage = attribute_dependency(found, changes=(0.5, 1.3), match="image")
    ahead = found.amounts >= 0
    at = found.amounts[ahead].tolist()
    for k in range(2):
        for x, level in enumerate((0.5, 1.3)):
            averages, largest, used = [], [], []
            for i in range(40):
                curve = (found.changes[k, ahead, i] / found.std).tolist()
                over = [t for t, row in enumerate(curve) if row[k] >= level]
                if not over:
                    continue
                t = over[0]
                share = (level - curve[t - 1][k]) / (curve[t][k] - curve[t - 1][k])
                used.append(at[t - 1] + share * (at[t] - at[t - 1]))
                moved = [
                    abs((1 - share) * curve[t - 1][a] + share * curve[t][a])
                    for a in range(3)
                    if a != k
                ]
                averages.append(sum(moved) / 2)
                largest.append(max(moved))
            assert float(leakage.reached[k, x]) == pytest.approx(len(used) / 40)
            assert float(leakage.amounts[k, x]) == pytest.approx(sum(used) / len(used), rel=1e-4)
            mean = sum(averages) / len(averages)
            assert float(leakage.mean_ad[k, x]) == pytest.approx(mean, rel=1e-3)
            assert float(leakage.max_ad[k, x]) == pytest.approx(
                sum(largest) / len(largest), rel=1e-3
            )
            assert leakage.max_low[k, x] < leakage.max_ad[k, x] < leakage.max_high[k, x]
    assert 0 < leakage.reached.min() < 1


def test_a_change_that_too_few_images_reach_has_no_figures():
    leakage = attribute_dependency(noisy(), changes=(0.5, 50.0), match="image")
    assert leakage.reached[:, 1].tolist() == [0.0, 0.0]
    for figures in (leakage.mean_ad, leakage.max_ad, leakage.max_high, leakage.amounts):
        assert figures[:, 1].isnan().all()
        assert not figures[:, 0].isnan().any()


def test_leakage_of_noisy_labels_does_not_depend_on_where_the_amounts_lie():
    """Between two amounts interpolated changes are less noisy; interpolated leakage is not."""
    random = torch.Generator().manual_seed(0)
    n = 4000
    start = torch.randn(n, generator=random)
    found = []
    for amounts in ((0.0, 0.5, 1.0, 1.5), (0.0, 0.75, 1.25)):
        target = start + torch.tensor(amounts)[:, None]
        noise = torch.randn(len(amounts), n, generator=random)
        scores = torch.stack([target, noise], 2)[None]
        noisy = curves(scores, amounts, attributes=["a", "b"], targets={"d0": "a"})
        leakage = attribute_dependency(noisy, changes=[1.0])
        found.append(float(leakage.mean_ad))
        assert float(leakage.mean_low) < 2 / math.pi**0.5 < float(leakage.mean_high)
    # Both are the mean absolute difference of two standard normal numbers.
    assert found == [pytest.approx(2 / math.pi**0.5, rel=0.05)] * 2
