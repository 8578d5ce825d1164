"""Ridge and its cone with fewer rows than coordinates, and just as many."""

import math

import pytest
import torch

from directions.errors import LatdirError
from discovery.estimators.cones import angles, cone_angle, posterior_cone
from discovery.estimators.linear import ridge

D = 100


def world(n, seed, *, condition=1.0, noise=1.0, binary=False):
    """Codes of a covariance of that condition number, a unit truth, one noisy target."""
    g = torch.Generator().manual_seed(seed)
    scale = torch.logspace(0, -math.log10(condition) / 2, D, dtype=torch.float64)
    codes = torch.randn(n, D, generator=g, dtype=torch.float64) * scale
    truth = torch.nn.functional.normalize(torch.randn(D, generator=g, dtype=torch.float64), dim=0)
    signal = codes @ truth / (scale * truth).norm()
    target = signal + noise * torch.randn(n, generator=g, dtype=torch.float64)
    return codes, truth[None], (target.sign() if binary else target)[None]


def cross_validated(codes, target):
    """The reference: generalized cross-validation in float64 over the same penalties."""
    x, y = codes.double() - codes.double().mean(0), target.double() - target.double().mean()
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    u, s, vt = u[:, s > 1e-9], s[s > 1e-9], vt[s > 1e-9]
    best = None
    for penalty in torch.logspace(-6, 4, 61, dtype=torch.float64) * s.square().mean():
        kept = s.square() / (s.square() + penalty)
        residual = y[0] - u @ (kept * (u.T @ y[0]))
        score = residual.square().sum() / (1 - (1 + kept.sum()) / len(x)) ** 2
        if best is None or score < best[0]:
            best = score, (kept / s * (u.T @ y[0])) @ vt
    return best[1][None]


def cosine(weights, truth):
    return float(angles(weights[None].double(), truth)[0, 0].deg2rad().cos())


@pytest.mark.parametrize("condition", [1.0, 1e4])
@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_more_rows_are_never_worse_and_never_below_cross_validation(condition, noise):
    found, reference = [], []
    counts = (4, 10, 20, 40, 60, 80, 90, 95, 100, 105, 120, 150, 300)
    for seed in range(20):
        codes, truth, target = world(300, seed, condition=condition, noise=noise)
        rows = [(codes[:n].float(), target[:, :n].float()) for n in counts]
        found.append([cosine(ridge(x, y).weights, truth) for x, y in rows])
        reference.append([cosine(cross_validated(x, y), truth) for x, y in rows])
    mean, theirs = torch.tensor(found).mean(0), torch.tensor(reference).mean(0)
    assert (mean.diff() > -0.01).all(), mean
    assert (mean > theirs - 0.01).all(), mean - theirs
    # Near n = d cross-validation has bad cases; the likelihood has none.
    assert torch.tensor(found)[:, counts.index(100)].min() > 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("n", [20, 95, 100, 101, 400])
def test_every_precision_finds_the_same_direction(dtype, n):
    codes, truth, target = world(n, 3)
    codes, target = codes.to(dtype), target.to(dtype)
    found = ridge(codes, target).weights
    assert found.dtype == torch.float32
    exact = ridge(codes.double(), target.double()).weights
    assert float(angles(found[None].double(), exact)) < 0.01
    assert cosine(found, truth) > 0.2


def test_many_coordinates_and_few_rows():
    g = torch.Generator().manual_seed(0)
    codes = torch.randn(50, 10_000, generator=g)
    plane = ridge(codes, codes[:, :1].T)
    assert plane.weights.isfinite().all()
    assert cosine(plane.weights, torch.eye(1, 10_000).double()) > 0.05


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("condition", [1.0, 1e4])
@pytest.mark.parametrize("n", [20, 95, 100, 150, 600])
def test_the_posterior_cone_covers_the_truth(n, condition, binary):
    inside, runs = 0, 60
    for seed in range(runs):
        codes, truth, target = world(n, seed, condition=condition, binary=binary)
        cone = posterior_cone(codes.float(), target.float(), seed=seed)
        inside += float(angles(ridge(codes, target).weights[None], truth)) <= float(cone)
    # Nominal 95 %: 60 runs at 95 % stay above 52 with probability .99.
    assert inside >= 52


def test_the_posterior_cone_of_noise_says_that_nothing_is_known():
    g = torch.Generator().manual_seed(0)
    cone = posterior_cone(torch.randn(60, D, generator=g), torch.randn(3, 60, generator=g))
    assert (cone > 80).all()


@pytest.mark.parametrize("n", [150, 400, 2000])
def test_the_bootstrap_cone_covers_the_truth_of_noisy_labels(n):
    inside = 0
    for seed in range(40):
        codes, truth, target = world(n, seed, noise=2.0, binary=True)
        found = ridge(codes, target, penalty=0.0).weights
        inside += float(angles(found[None], truth)) <= float(cone_angle(codes, target, seed=seed))
    assert inside >= 34


def test_two_rows_give_no_cone():
    with pytest.raises(LatdirError, match="2 rows give no cone: label at least 3 samples"):
        posterior_cone(torch.randn(2, 5), torch.randn(1, 2))
