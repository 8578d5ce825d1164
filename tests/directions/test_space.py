"""Spaces and priors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from directions import LatdirError, Prior, Space


def test_codes_are_checked() -> None:
    space = Space("w+", (4, 8), layers=((0, 1), (1, 2), (2, 3), (3, 4)))
    codes = torch.zeros(3, 4, 8)
    assert space.check(codes) is codes
    with pytest.raises(LatdirError, match=r"shape \[n, 4, 8\], not \[4, 8\]: add a batch axis"):
        space.check(codes[0])
    with pytest.raises(LatdirError, match=r"not \[3, 8, 4\]: check which space"):
        space.check(torch.zeros(3, 8, 4))
    with pytest.raises(LatdirError, match=r"not torch.int64: use codes.float\(\)"):
        space.check(torch.zeros(3, 4, 8, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(), (0,), (4, -1)])
def test_shapes_are_positive(shape: tuple[int, ...]) -> None:
    with pytest.raises(LatdirError, match="a shape of positive sizes"):
        Space("z", shape)


@pytest.mark.parametrize("layers", [((0, 5),), ((2, 2),), ((-1, 2),)])
def test_layers_lie_within(layers: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(LatdirError, match="is not within its first axis, 0 … 4"):
        Space("s", (4,), layers)


def test_a_fitted_prior_agrees_with_numpy() -> None:
    codes = torch.randn(500, 2, 3) * torch.arange(1, 7).reshape(2, 3) + 5
    prior = Prior.fit(codes)
    flat = codes.flatten(1).double().numpy()
    np.testing.assert_allclose(prior.mean.numpy(), flat.mean(0), rtol=1e-6)
    np.testing.assert_allclose(prior.covariance.numpy(), np.cov(flat.T), rtol=1e-4, atol=1e-5)
    vector = torch.nn.functional.normalize(torch.randn(2, 3), dim=(0, 1))
    along = flat @ vector.flatten().double().numpy()
    assert prior.sigma(vector) == pytest.approx(along.std(ddof=1), rel=1e-5)


def test_priors_that_cannot_be_are_refused() -> None:
    with pytest.raises(LatdirError, match="1 codes have no covariance"):
        Prior.fit(torch.zeros(1, 3))
    with pytest.raises(LatdirError, match="NaN or infinite"):
        Prior(torch.tensor([float("nan")]), torch.eye(1))
    with pytest.raises(LatdirError, match=r"size 3, not of vectors of shape \[2\]"):
        Prior.standard(3).sigma(torch.zeros(2))
