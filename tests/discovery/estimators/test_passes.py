"""Margin classifiers in passes, and cones without a further fit, against fits of rows in memory."""

from __future__ import annotations

import pytest
import torch

from directions.errors import ConvergenceError
from discovery.estimators import one_step, passes
from discovery.estimators.chunks import InMemory
from discovery.estimators.cones import angles
from discovery.estimators.one_step import one_step_cone
from discovery.estimators.passes import margin_passes
from discovery.estimators.smooth_margin import loss_and_slopes, smooth_margin
from discovery.estimators.sums import block_sums, influences
from discovery.estimators.svm import box, hinge_svm
from tests.discovery.supervised.test_boundary import K, planted

LOSSES = ["logistic", "squared_hinge", "hinge"]


def fitted(loss, codes, labels, C=1.0):
    if loss == "hinge":
        found = hinge_svm(codes, labels, C=C)
        return found.weights, found.intercepts
    return smooth_margin(codes, labels, box(labels, None, C=C, balanced=False), loss=loss)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("C", [1.0, 1e-3])
def test_passes_find_the_optimum_of_rows_in_memory(loss, C) -> None:
    codes, _, labels = planted(4000, 20, 2)
    codes = codes * torch.linspace(0.05, 3, 20) + 2
    labels[0, :1000] = 0
    bounds = box(labels, None, C=C, balanced=False)
    found = margin_passes(InMemory(codes), labels, bounds, loss=loss)
    weights, intercepts = fitted(loss, codes, labels, C)
    # The rounded kink of the hinge is a tenth of the error of so few rows, which is 6°.
    assert angles(found.weights[None], weights).max() < (0.6 if loss == "hinge" else 0.01)
    torch.testing.assert_close(found.intercepts, intercepts, atol=0.02, rtol=0.02)


def test_passes_that_do_not_suffice_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "PASSES", 2)
    codes, _, labels = planted(500, 5, 1)
    with pytest.raises(ConvergenceError, match="of target 0 did not converge in 2 passes"):
        margin_passes(InMemory(codes), labels, labels.abs(), loss="logistic")


@pytest.mark.parametrize("loss", LOSSES)
def test_one_step_cones_hold_the_truth_as_often_as_they_say(loss) -> None:
    # Of 60 angles at 95 %, 51 lie inside with probability .998; at 100 % all would.
    inside = total = 0
    for seed in range(10):
        codes, truth, labels = planted(1500, 20, K, seed=seed)
        bounds = box(labels, None, C=1.0, balanced=False)
        plane = passes.Hyperplanes(*fitted(loss, codes, labels))
        cone = one_step_cone(InMemory(codes), labels, bounds, plane, loss=loss, seed=seed)
        inside += int((angles(plane.weights[None], truth)[0] <= cone).sum())
        total += K
    assert 51 <= inside < total


def noisy(n: int, d: int, noise: float, seed: int) -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(seed)
    codes, truth = torch.randn(n, d, generator=rng), torch.randn(1, d, generator=rng)
    scores = codes @ truth[0] / truth.norm() + noise * torch.randn(n, generator=rng)
    return codes, truth, scores.sign()[None]


@pytest.mark.parametrize("noise", [0.2, 1.0])
@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_one_step_cones_hold_the_truth_of_few_rows_a_coordinate(loss, noise) -> None:
    # Rows are nearly separable with little noise: those at the margin have leverages near 1.
    found, true = [], []
    for seed in range(5):
        codes, truth, labels = noisy(400, 100, noise, seed)
        bounds = box(labels, None, C=1.0, balanced=False)
        plane = smooth_margin(codes, labels, bounds, loss=loss)
        found.append(one_step_cone(InMemory(codes), labels, bounds, plane, loss=loss, seed=seed))
        true.append(angles(plane.weights[None], truth)[0])
    assert (torch.cat(true) <= torch.cat(found)).all()
    if noise == 1 and loss == "logistic":
        assert torch.cat(found).mean() < 1.5 * torch.cat(true).mean()


def test_cones_by_conjugate_gradients_are_those_of_the_factored_curvature(monkeypatch) -> None:
    codes, _, labels = noisy(600, 60, 0.3, 0)
    plane = smooth_margin(codes, labels, labels.abs(), loss="logistic")

    def cone() -> torch.Tensor:
        return one_step_cone(InMemory(codes), labels, labels.abs(), plane, loss="logistic")

    factored = cone()
    monkeypatch.setattr(one_step, "FACTORED", 0)
    torch.testing.assert_close(cone(), factored, rtol=0.02, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "d", "noise"), [(200, 50, 1.0), (200, 50, 0.3), (1000, 100, 1.0), (2000, 461, 1.0)]
)
def test_coverage_of_one_step_cones(n, d, noise) -> None:
    # Of 200 angles at 90 %, 170 lie inside with probability .99.
    inside = 0
    for seed in range(200):
        codes, truth, labels = noisy(n, d, noise, seed)
        plane = smooth_margin(codes, labels, labels.abs(), loss="logistic")
        cone = one_step_cone(InMemory(codes), labels, labels.abs(), plane, loss="logistic")
        inside += int((angles(plane.weights[None], truth)[0] <= cone).sum())
    assert inside >= 170


@pytest.mark.parametrize("loss", LOSSES)
def test_slopes_are_derivatives(loss) -> None:
    margin = torch.linspace(-3, 3, 301, dtype=torch.float64) + 1e-3
    value, slope, curvature = loss_and_slopes(loss, margin, width=0.3)
    step = 1e-6
    ahead, further, _ = loss_and_slopes(loss, margin + step, width=0.3)
    torch.testing.assert_close((ahead - value) / step, slope, atol=1e-4, rtol=0)
    smooth = ((margin - 0.7).abs() > 1e-2) & ((margin - 1.3).abs() > 1e-2)
    smooth &= (margin - 1).abs() > 1e-2
    torch.testing.assert_close(
        ((further - slope) / step)[smooth], curvature[smooth], atol=1e-3, rtol=0
    )


def test_sums_over_blocks_are_sums_over_rows() -> None:
    g = torch.Generator().manual_seed(0)
    codes, columns = torch.randn(1300, 4, generator=g), torch.rand(2, 1300, generator=g)
    part = columns[:1] > 0.3
    found = block_sums(InMemory(codes), columns, part)
    exact, weights = codes.double(), columns.double()
    torch.testing.assert_close(found.codes.sum(1), weights @ exact)
    torch.testing.assert_close(found.weights.sum(1), weights.sum(1))
    torch.testing.assert_close(found.squares, exact[part[0]].square().sum()[None])
    torch.testing.assert_close(found.codes[:, 1], weights[:, 3:6] @ exact[3:6])
    plane = torch.randn(2, 4, generator=g), torch.randn(2, generator=g)
    mean = exact.mean(0)
    pulled = influences(InMemory(codes), columns, part[0], plane=plane, mean=mean)
    rest = (weights - plane[0].double() @ exact.T - plane[1].double()[:, None]) * part
    torch.testing.assert_close(pulled.sum(1), rest @ (exact - mean))
