import json
import math

import pytest
import torch

from analysis.edits.consistency import edit_consistency, level_edits, shift_edits
from directions import LatdirError
from tests.analysis.measured import Altered, true_bank
from tests.worlds import world


def push(vector, size=1.0):
    return lambda codes: codes + size * vector


def test_straight_moves_commute_and_in_a_linear_world_add_up():
    generator = world("entangled", dim=24)
    bank = true_bank(generator)
    edits = shift_edits(bank, {"factor_0": 1.0, "factor_1": -1.0, "factor_2": 0.5})
    found = edit_consistency(generator, generator.classifier(), edits, space="z", count=32)
    assert found.orders[0] == ("factor_0", "factor_1", "factor_2")
    assert len(found.orders) == 6
    assert found.disagreement.max() < 1e-4
    assert found.interaction.max() < 5e-3
    assert found.apart < 1e-5
    # Cosine 0.5 between any two: each edit moves the others' factors by half as much.
    std = generator.factors(generator.sample(32, seed=920_419_823)).std(0)
    torch.testing.assert_close(
        found.single[0] * std, torch.tensor([1, 0.5, 0.5, 0.5]), atol=5e-3, rtol=0
    )
    torch.testing.assert_close(found.joint, found.single.sum(0), atol=1e-2, rtol=0)


def test_levels_of_oblique_directions_depend_on_the_order_by_the_cosine():
    """Setting a to α and then b to β leaves a off by cos · (what b moved)."""
    generator = world("entangled", dim=24)
    bank = true_bank(generator)
    edits = level_edits(bank, {"factor_0": 1.0, "factor_1": 1.0})
    found = edit_consistency(generator, generator.classifier(), edits, space="z", count=64)
    codes = generator.sample(64, seed=920_419_823)
    a, b = bank["factor_0"], bank["factor_1"]
    ends = []
    for first, second in ((a, b), (b, a)):
        at = codes + (1 - first.level(codes))[:, None] * first.vector
        ends.append(at + (1 - second.level(at))[:, None] * second.vector)
    scores = [generator.factors(end) for end in ends]
    std = generator.factors(codes).std(0)
    expected = (scores[0] - scores[1]).abs().mean(0) / std
    torch.testing.assert_close(found.disagreement, expected, atol=5e-3, rtol=1e-2)
    assert found.disagreement[0] > 0.2
    assert (found.low < found.disagreement).all()
    assert (found.disagreement < found.high).all()
    ways = torch.stack(ends)
    share = (ways[0] - ways[1]).norm(dim=1).mean() / (ways - codes).norm(dim=2).mean()
    assert found.apart == pytest.approx(float(share), rel=1e-3)


def test_three_edits_average_over_all_pairs_of_orders():
    generator = world(dim=24)
    turn = torch.eye(24)
    turn[:2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    axes = generator.truth
    edits = {"a": push(axes[0], 2.0), "b": lambda codes: codes @ turn.T, "c": push(axes[1])}
    found = edit_consistency(generator, generator.classifier(), edits, space="z", count=20)
    codes = generator.sample(20, seed=920_419_823)
    ends = []
    for order in found.orders:
        at = codes
        for name in order:
            at = edits[name](at)
        ends.append(generator.factors(at))
    std = generator.factors(codes).std(0)
    total = torch.zeros(4)
    for i in range(6):
        for j in range(i):
            total += (ends[i] - ends[j]).abs().mean(0)
    torch.testing.assert_close(found.disagreement, total / 15 / std, atol=5e-3, rtol=1e-2)


def test_what_does_not_add_up_is_seen_though_the_order_does_not_matter():
    generator = world(dim=24)
    squared = Altered(generator.classifier(), lambda s: s**2)
    edits = {"a": push(generator.truth[0], 1.0), "b": push(generator.truth[0], 2.0)}
    found = edit_consistency(generator, squared, edits, space="z", count=64)
    # (f + 3)² - f² - (2 f + 1) - (4 f + 4) = 4, whatever f.
    std = generator.factors(generator.sample(64, seed=920_419_823))[:, 0].square().std()
    assert float(found.interaction[0]) == pytest.approx(4 / float(std), rel=2e-2)
    assert found.interaction[1] < 1e-3
    assert found.disagreement.max() < 1e-3


def test_orders_of_many_edits_are_drawn_without_repeats_and_repeatably():
    generator = world(dim=24)
    edits = {name: push(v) for name, v in zip("wxyz", generator.truth, strict=True)}
    runs = [
        edit_consistency(generator, generator.classifier(), edits, space="z", orders=7, count=4)
        for _ in range(2)
    ]
    assert runs[0].orders == runs[1].orders
    assert len(set(runs[0].orders)) == 7
    assert runs[0].orders[:2] == (tuple("wxyz"), tuple("zyxw"))
    assert all(sorted(o) == list("wxyz") for o in runs[0].orders)
    plain = json.loads(json.dumps(runs[0].as_dict()))
    assert plain["orders"][1] == list("zyxw")
    assert all(math.isfinite(v) for v in plain["disagreement"])


def test_constant_attributes_are_left_out_and_refusals():
    generator = world(dim=24)
    flat = Altered(generator.classifier(), lambda s: s * torch.tensor([1.0, 0, 1, 1]))
    edits = {"a": push(generator.truth[0]), "b": push(generator.truth[1])}
    assert "factor_1" not in edit_consistency(generator, flat, edits, space="z", count=8).names
    dead = Altered(generator.classifier(), lambda s: s * 0)
    with pytest.raises(LatdirError, match="no attribute of altered varies"):
        edit_consistency(generator, dead, edits, space="z", count=8)
    with pytest.raises(LatdirError, match="1 edits in 6 orders have no consistency"):
        edit_consistency(generator, flat, {"a": edits["a"]}, space="z")
    edits["b"] = lambda codes: codes[:, 1:]
    with pytest.raises(LatdirError, match=r"edit 'b' made codes of shape \[8, 23\]"):
        edit_consistency(generator, flat, edits, space="z", count=8)
    with pytest.raises(LatdirError, match="no direction 'smile'"):
        shift_edits(true_bank(generator), {"smile": 1.0})
    broken = Altered(generator.classifier(), lambda s: s / 0)
    with pytest.raises(LatdirError, match="scores of 'factor_0' are NaN or infinite"):
        edit_consistency(generator, broken, edits, space="z", count=8)
