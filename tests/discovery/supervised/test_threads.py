"""Directions do not depend on the number of threads but for rounding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from discovery import Boundary, Samples


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Noisy labels, enough that sums of the linear algebra are split among threads."""
    random = torch.Generator().manual_seed(0)
    codes = torch.randn(5000, 512, generator=random)
    score = codes @ torch.randn(512, 2, generator=random)
    score += 60 * torch.randn(score.shape, generator=random)
    return Samples(codes, score, ("a", "b"), "z", "toy", "0" * 64, "hand", "1" * 64, None)


SLOW = [pytest.param(e, marks=pytest.mark.slow) for e in ("ridge", "lda", "logistic", "hinge")]


@pytest.mark.parametrize("estimator", ["interfacegan", *SLOW])
def test_one_and_two_threads_find_the_same_direction(
    estimator: str, samples: Samples, threads: None
) -> None:
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        method = Boundary(estimator=estimator, bootstrap=0, validation=0.0)
        found.append(method.discover(samples).matrix())
    torch.testing.assert_close(*found, atol=1e-6, rtol=0)
