import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from analysis.plots import plot_subspace_comparisons, plot_subspace_distances
from analysis.spaces.subspaces import (
    compare_banks,
    compare_subspaces,
    distance,
    pairwise_distances,
    principal_angles,
    random_subspaces,
    span,
)
from directions import Direction, DirectionBank, LatdirError


def rows(k, d, *, seed=0):
    return torch.randn(k, d, generator=torch.Generator().manual_seed(seed))


def bank(vectors, *, fingerprint="0" * 64, space="z"):
    made = (Direction.from_vector(f"v{i}", v, space=space) for i, v in enumerate(vectors))
    return DirectionBank(tuple(made), "toy", fingerprint)


@pytest.mark.parametrize(("p", "q"), [(3, 3), (2, 5), (5, 2), (1, 1), (9, 9)])
def test_angles_are_scipy_s(p, q):
    a, b = rows(p, 12, seed=1), rows(q, 12, seed=2)
    found = principal_angles(span(a), span(b))
    exact = linalg.subspace_angles(a.T.double().numpy(), b.T.double().numpy())[::-1]
    torch.testing.assert_close(found, torch.from_numpy(exact.copy()), atol=1e-9, rtol=0)


@pytest.mark.parametrize("angle", [1e-9, 1e-6, 0.5, math.pi / 4, math.pi / 2 - 1e-7])
def test_angles_are_exact_near_both_ends(angle):
    a = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.float64)
    turned = torch.tensor([0, math.cos(angle), math.sin(angle), 0], dtype=torch.float64)
    b = torch.stack([a[0], turned])
    found = principal_angles(span(a), span(b))
    torch.testing.assert_close(
        found, torch.tensor([0, angle], dtype=torch.float64), atol=1e-15, rtol=1e-7
    )


def test_batches_are_pairs():
    a, b = random_subspaces(4, d=10, k=3, seed=0), random_subspaces(4, d=10, k=2, seed=1)
    together = principal_angles(a, b)
    alone = torch.stack([principal_angles(x, y) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(together, alone)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), p=st.integers(1, 5), q=st.integers(1, 5))
def test_angles_know_no_basis_no_rotation_and_no_order(seed, p, q):
    a, b = rows(p, 8, seed=seed).double(), rows(q, 8, seed=seed + 1).double()
    angles = principal_angles(span(a), span(b))
    mix = rows(p, p, seed=seed + 2).double() + 3 * torch.eye(p)
    turn = linalg.expm((m := rows(8, 8, seed=seed + 3).double().numpy()) - m.T)
    turn = torch.from_numpy(turn)
    torch.testing.assert_close(principal_angles(span(b), span(a)), angles)
    torch.testing.assert_close(principal_angles(span(mix @ a), span(b)), angles, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        principal_angles(span(a @ turn), span(b @ turn)), angles, atol=1e-7, rtol=0
    )


def test_distances_are_those_of_geometry():
    a, b, c = (random_subspaces(1, d=9, k=3, seed=s)[0] for s in range(3))
    projectors = [x @ x.T for x in (a, b)]
    chordal = (projectors[0] - projectors[1]).norm() / math.sqrt(2)
    angles = principal_angles(a, b)
    torch.testing.assert_close(distance(angles, kind="projection"), chordal)
    torch.testing.assert_close(distance(angles), angles.square().sum().sqrt())
    table = pairwise_distances(torch.stack([a, b, c]))
    torch.testing.assert_close(table, table.T)
    assert table.diagonal().max() < 1e-6
    assert table[0, 1] <= table[0, 2] + table[2, 1]


def test_the_null_is_what_theory_gives():
    found = compare_subspaces(rows(4, 40, seed=1), rows(6, 40, seed=2), draws=800)
    # E tr(P Q) = p q / d, shared by min(p, q) angles.
    assert float(found.null.cos().square().mean()) == pytest.approx(6 / 40, rel=0.03)
    # A random line and a fixed one: |cos| has mean Γ(d/2) / (√π Γ((d+1)/2)).
    lines = compare_subspaces(rows(1, 9, seed=1), rows(1, 9, seed=2), draws=2000)
    mean = math.gamma(4.5) / (math.sqrt(math.pi) * math.gamma(5))
    assert float(lines.null.cos().mean()) == pytest.approx(mean, rel=0.05)


def test_random_subspaces_give_even_p_values_and_equal_ones_the_smallest():
    values = [
        compare_subspaces(rows(2, 10, seed=s), rows(3, 10, seed=500 + s), draws=99, seed=s).p
        for s in range(60)
    ]
    assert 0.35 < sum(values) / 60 < 0.65
    assert min(values) < 0.2
    assert max(values) > 0.8
    same = compare_subspaces(rows(3, 10), rows(3, 10) * 2, draws=99)
    assert same.p == pytest.approx(0.01)
    assert same.distance < 1e-6
    assert same.overlap == pytest.approx(1)
    everything = compare_subspaces(torch.eye(4), rows(4, 4), draws=9)
    assert everything.distance < 1e-6
    assert everything.as_dict()["overlap_null"] == pytest.approx(1)


def test_two_runs_are_bit_identical_and_long_nulls_do_not_repeat():
    a, b = (compare_subspaces(rows(2, 8), rows(2, 8, seed=1), draws=200) for _ in range(2))
    assert torch.equal(a.null, b.null)
    assert len(a.null.unique(dim=0)) == 200
    assert a.as_dict() == b.as_dict()


def test_banks_are_compared_by_their_first_directions():
    eye = torch.eye(12)
    found = compare_banks(bank(eye[:4]), bank(eye[[1, 0, 6, 7]]), count=2)
    assert found.angles.max() < 1e-7
    full = compare_banks(bank(eye[:4]), bank(eye[[1, 0, 6, 7]]))
    torch.testing.assert_close(full.angles.rad2deg().round(), torch.tensor([0, 0, 90, 90]).double())
    assert full.overlap == pytest.approx(0.5)


def test_figures_show_every_curve_over_the_null():
    pairs = {n: compare_subspaces(rows(3, 9), rows(3, 9, seed=s), draws=50)
             for n, s in (("a", 0), ("b", 1))}  # fmt: skip
    [axes] = plot_subspace_comparisons(pairs).axes
    labels = [t.get_text() for t in axes.get_legend().get_texts()]
    assert labels[0] == "random subspaces"
    assert labels[1].startswith("a (p = 0.0196)")
    assert len(axes.lines) == 2
    pairs["c"] = compare_subspaces(rows(2, 9), rows(2, 9, seed=1), draws=5)
    with pytest.raises(LatdirError, match="subspaces of the same sizes in one space"):
        plot_subspace_comparisons(pairs)

    table = pairwise_distances(random_subspaces(3, d=9, k=2, seed=0))
    axes = plot_subspace_distances(table, ["a", "b", "c"], null_mean=1.0).axes[0]
    assert [t.get_text() for t in axes.texts][:2] == ["0.00", f"{float(table[0, 1]):.2f}"]
    with pytest.raises(LatdirError, match="3 subspaces needs 3 names, not 1"):
        plot_subspace_distances(table, ["a"])


def test_refusals():
    with pytest.raises(LatdirError, match="5 vectors of 3 coordinates: give between 1 and 3"):
        span(rows(5, 3))
    with pytest.raises(LatdirError, match="span only 2 dimensions"):
        span(torch.stack([*rows(2, 5), rows(2, 5).sum(0)]))
    with pytest.raises(LatdirError, match="NaN or infinite"):
        span(rows(2, 5) / 0)
    with pytest.raises(LatdirError, match="subspaces of 5 and of 6 dimensions have no angles"):
        compare_subspaces(rows(2, 5), rows(2, 6))
    with pytest.raises(LatdirError, match="at least 1 draw, not 0"):
        compare_subspaces(rows(2, 5), rows(2, 5), draws=0)
    with pytest.raises(LatdirError, match="3 subspaces of 7 in 5 dimensions"):
        random_subspaces(3, d=5, k=7, seed=0)
    with pytest.raises(LatdirError, match="belong to different generators"):
        compare_banks(bank(rows(2, 5)), bank(rows(2, 5), fingerprint="1" * 64))
    with pytest.raises(LatdirError, match="directions of the spaces w, z have no angles"):
        compare_banks(bank(rows(2, 5)), bank(rows(2, 5), space="w"))
