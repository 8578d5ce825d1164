"""Batched maps to first order against automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from directions.errors import LatdirError
from directions.numerics.linearized import linearize
from directions.numerics.linearized_batch import linearize_batch, linearize_layers_batch
from tests.directions.numerics.test_linearized import small_net


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_layers_agree_with_autograd_at_each_point(seed):
    net, point = small_net(seed)
    rng = torch.Generator().manual_seed(seed)
    points = torch.randn(3, *point.shape, generator=rng, dtype=torch.float64)
    try:
        value = net(points)
    except RuntimeError:
        return  # the random sizes make an output of no pixels
    fast, slow = linearize_layers_batch(net, points), linearize_batch(net, points)
    for lead in ((), (2,)):
        tangents = torch.randn(*lead, *points.shape, generator=rng, dtype=torch.float64)
        cotangents = torch.randn(*lead, *value.shape, generator=rng, dtype=torch.float64)
        pushed, pulled = fast.push(tangents), fast.pull(cotangents)
        assert torch.allclose(pushed, slow.push(tangents), atol=1e-12)
        assert torch.allclose(pulled, slow.pull(cotangents), atol=1e-12)
        assert float((pushed * cotangents).sum()) == pytest.approx(
            float((pulled * tangents).sum()), rel=1e-9, abs=1e-9
        )
    assert torch.allclose(fast.value, value, atol=1e-12)


def test_each_point_is_linearized_by_itself():
    points = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tangents, cotangents = points.flip(0), points.flip(1)

    def function(x):
        return torch.sin(x) * x[:, :1]

    batch = linearize_batch(function, points)
    for i in range(3):
        one = linearize(function, points[i])
        assert torch.allclose(batch.push(tangents)[i], one.push(tangents[i : i + 1])[0])
        assert torch.allclose(batch.pull(cotangents)[i], one.pull(cotangents[i : i + 1])[0])
        single = linearize_batch(function, points[i : i + 1]).single(1)
        assert torch.allclose(single.push(tangents), one.push(tangents))
        assert torch.allclose(single.pull(cotangents), one.pull(cotangents))


def test_then_is_the_chain_rule():
    points = torch.tensor([[1.0, 2.0], [0.5, 3.0]])
    chain = linearize_batch(torch.square, points).then(torch.exp)
    slope = 2 * points * (points**2).exp()
    assert torch.allclose(chain.push(torch.ones(2, 2)), slope)
    assert torch.allclose(chain.pull(torch.ones(2, 2)), slope)


def test_a_map_without_gradients_says_so():
    with pytest.raises(LatdirError, match=r"no gradient flows .* look for \.detach\(\)"):
        linearize_batch(lambda x: x.detach() ** 2, torch.ones(2, 3))
    with pytest.raises(LatdirError, match="Flatten is not a convolution"):
        linearize_layers_batch([nn.Flatten()], torch.zeros(1, 1, 2, 2))
