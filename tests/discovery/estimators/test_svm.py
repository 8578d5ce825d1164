"""The hinge SVM against scikit-learn's SVC, and the properties its optimum must have."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

from directions.errors import LatdirError
from discovery.estimators import svm
from discovery.estimators.svm import HingeFit, box, hinge_svm
from discovery.estimators.svm_interior_point import interior_point


def noisy(
    n: int, d: int, k: int = 1, *, flip: float = 0.15, shift: float = 0.1, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Standard normal codes with a nonzero mean, and labels of planted planes, some flipped."""
    g = torch.Generator().manual_seed(seed)
    codes = torch.randn(n, d, generator=g) + 0.3
    labels = torch.sign(torch.randn(k, d, generator=g) @ codes.T + shift)
    return codes, torch.where(torch.rand(k, n, generator=g) < flip, -labels, labels)


def objective(codes, labels, bounds, w, b) -> float:
    margin = labels.double() * (codes.double() @ w.double() + b)
    return float(w.double() @ w.double() / 2 + (bounds.double() * (1 - margin).clamp_min(0)).sum())


def reference(codes, labels, *, C, weights=None, class_weight=None):
    model = SVC(kernel="linear", C=C, tol=1e-5, class_weight=class_weight)
    model.fit(codes.double().numpy(), labels.numpy(), sample_weight=weights)
    return torch.tensor(model.coef_[0]), float(model.intercept_[0])


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=-1).min())


@pytest.mark.parametrize(
    ("n", "d", "C"),
    [
        (1500, 12, 1.0),  # splitting, then the interior point on the rows near the margin
        (1500, 12, 0.003),  # most rows inside the margin
        (300, 6, 30.0),  # nearly a linear program
        (200, 60, 1.0),  # interior point on all rows
        (40, 90, 1.0),  # fewer rows than coordinates: separable
    ],
)
def test_the_optimum_is_svcs(n, d, C):
    codes, labels = noisy(n, d)
    fit = hinge_svm(codes, labels, C=C, tolerance=1e-7)
    w, b = reference(codes, labels[0], C=C)
    best = objective(codes, labels[0], C * torch.ones(n), w, b)
    ours = objective(codes, labels[0], C * torch.ones(n), fit.weights[0], fit.intercepts[0])
    # SVC stops a little short, so it may be beaten, by no more than its own tolerance explains.
    assert best * (1 - 5e-4) < ours < best * (1 + 2e-7)
    assert float(fit.objective[0]) == pytest.approx(ours, rel=1e-6)
    assert cosine(fit.weights[0], w) > 1 - 1e-6
    assert float(fit.intercepts[0]) == pytest.approx(b, abs=2e-3)


@pytest.mark.parametrize("n", [400, 40])
def test_class_and_row_weights_are_svcs(n):
    codes, labels = noisy(n, 10, shift=1.5, flip=0.05)  # unequal classes
    weights = torch.rand(1, n, generator=torch.Generator().manual_seed(1)) + 0.1
    fit = hinge_svm(codes, labels, C=2.0, balanced=True, tolerance=1e-7)
    w, _ = reference(codes, labels[0], C=2.0, class_weight="balanced")
    assert cosine(fit.weights[0], w) > 1 - 1e-6
    fit = hinge_svm(codes, labels, C=2.0, weights=weights, tolerance=1e-7)
    w, _ = reference(codes, labels[0], C=2.0, weights=weights[0].numpy())
    assert cosine(fit.weights[0], w) > 1 - 1e-6


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_row_labeled_zero_does_not_exist(share):
    codes, labels = noisy(1500, 10, 3)
    out = torch.rand(3, 1500, generator=torch.Generator().manual_seed(2)) < share
    fit = hinge_svm(codes, labels * ~out, tolerance=1e-7)
    for k in range(3):
        rows = ~out[k]
        alone = hinge_svm(codes[rows], labels[k : k + 1, rows], tolerance=1e-7)
        assert cosine(fit.weights[k], alone.weights[0]) > 1 - 1e-6
        assert float(fit.objective[k]) == pytest.approx(float(alone.objective[0]), rel=1e-6)


def test_many_targets_are_each_as_if_alone_whatever_their_order():
    codes, labels = noisy(1200, 8, 5)
    labels[3] = torch.where(torch.arange(1200) < 300, labels[3], 0)
    together = hinge_svm(codes, labels, tolerance=1e-6)
    for k in range(5):
        alone = hinge_svm(codes, labels[k : k + 1], tolerance=1e-6)
        assert cosine(together.weights[k], alone.weights[0]) > 1 - 1e-5
        assert float(together.intercepts[k]) == pytest.approx(float(alone.intercepts[0]), abs=2e-3)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-3, 1e-5])
def test_the_gap_bounds_the_true_error(tolerance):
    codes, labels = noisy(2000, 15, 2)
    best = hinge_svm(codes.double(), labels.double(), tolerance=1e-10).objective
    fit = hinge_svm(codes, labels, tolerance=tolerance)
    error = (fit.objective - best) / fit.objective
    assert (fit.gap <= tolerance).all()
    assert (error <= fit.gap + 1e-7).all()
    assert (error >= -1e-7).all()


def test_a_bad_pair_has_a_large_gap():
    codes, labels = noisy(500, 5)
    features = torch.cat([(codes - codes.mean(0)).T, torch.ones(1, 500)])
    problem = svm._Problem(features, labels, torch.ones(1, 500))
    w = torch.zeros(1, 6)
    value, gap = problem.certificate(w, w @ features, torch.zeros(1, 500))
    assert float(value) == 500
    assert float(gap) == 1  # α = 0 proves only that the objective is not negative


def test_rows_misplaced_by_the_first_stage_are_taken_in(monkeypatch):
    codes, labels = noisy(3000, 30, flip=0.25)
    best = hinge_svm(codes, labels, tolerance=1e-6)
    monkeypatch.setattr(svm, "HANDOVER", 0.5)
    monkeypatch.setattr(svm, "NEAR_ROWS", 1)
    assert float(hinge_svm(codes, labels, tolerance=1e-6).objective) == pytest.approx(
        float(best.objective), rel=1e-6
    )


def test_no_convergence_is_said(monkeypatch):
    codes, labels = noisy(3000, 10)
    monkeypatch.setattr(svm, "SPLIT_LIMIT", 10)
    monkeypatch.setattr(svm, "ROUNDS", 0)
    with pytest.raises(LatdirError, match=r"target 0 did not converge: relative duality gap \d"):
        hinge_svm(codes, labels, tolerance=1e-5)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.sampled_from([30, 90, 700]), d=st.sampled_from([3, 12]))
def test_rotation_permutation_sign_and_scale(seed, n, d):
    codes, labels = noisy(n, d, seed=seed, flip=0.2)
    labels[0, 0], labels[0, 1] = 1, -1
    g = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(d, d, generator=g))
    order = torch.randperm(n, generator=g)
    base = hinge_svm(codes, labels, tolerance=1e-6)

    def same(other: HingeFit, weights: torch.Tensor, intercepts: torch.Tensor) -> None:
        torch.testing.assert_close(other.weights, weights, rtol=0, atol=5e-3)
        torch.testing.assert_close(other.intercepts, intercepts, rtol=0, atol=5e-3)

    def solve(x, y, **rest):
        return hinge_svm(x, y, tolerance=1e-6, **rest)

    same(solve(codes @ turn, labels), base.weights @ turn, base.intercepts)
    same(solve(codes[order], labels[:, order]), base.weights, base.intercepts)
    same(solve(codes, -labels), -base.weights, -base.intercepts)
    # Codes scaled by s with C / s² is the same problem in other units.
    same(solve(4 * codes, labels, C=1 / 16), base.weights / 4, base.intercepts)


def test_interior_point_meets_its_optimality_conditions():
    g = torch.Generator().manual_seed(3)
    X = torch.randn(6, 80, generator=g).double()
    X[-1] = torch.where(torch.rand(80, generator=g) < 0.5, 1.0, -1.0)
    c = torch.rand(80, generator=g).double() + 0.5
    q = 0.1 * torch.randn(6, generator=g).double()
    q[-1] = 0
    u, alpha, steps = interior_point(X, c, q, tolerance=1e-12)
    penalty = torch.tensor([1, 1, 1, 1, 1, 0]).double()
    assert steps < 30
    torch.testing.assert_close(penalty * u, q + X @ alpha, rtol=0, atol=1e-7)
    margin = X.T @ u
    assert (alpha[margin > 1 + 1e-4] < 1e-4).all()
    assert ((c - alpha)[margin < 1 - 1e-4] < 1e-4).all()
    assert ((alpha > 0) & (alpha < c)).all()


def test_box_is_scikit_learns_class_weight():
    labels = torch.tensor([[1.0] * 3 + [-1.0] * 9])
    bounds = box(labels, None, C=2.0, balanced=True)
    assert np.allclose(bounds[0, :3], 2 * 12 / (2 * 3))
    assert np.allclose(bounds[0, 3:], 2 * 12 / (2 * 9))


def test_device_and_dtype_follow_the_codes():
    codes, labels = noisy(60, 4)
    fit = hinge_svm(codes.double(), labels)
    assert fit.weights.dtype == torch.float64
    assert hinge_svm(codes, labels).weights.dtype == torch.float32


def test_refusals():
    codes, labels = noisy(50, 4)
    with pytest.raises(LatdirError, match="target 0 has no negative rows: a boundary needs both"):
        hinge_svm(codes, labels.abs())
    with pytest.raises(LatdirError, match=r"labels must be \+1, -1, or 0"):
        hinge_svm(codes, labels * 2)
    with pytest.raises(LatdirError, match="C and tolerance must be positive, not 0"):
        hinge_svm(codes, labels, C=0.0)
