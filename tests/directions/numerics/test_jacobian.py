"""The Jacobian by columns, its metric and its leading eigenpairs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from directions.errors import LatdirError
from directions.numerics import jacobian
from directions.numerics.eigen import eigh
from directions.numerics.jacobian import columns, gram, leading, metric
from directions.numerics.linearized import Linearized, linearize
from directions.planted.world import planted
from tests.worlds import slow_jacobian


class TestMetric:
    def test_columns_match_the_slow_loop(self) -> None:
        generator = planted(bend=0.8, size=8)
        code = generator.sample(1, seed=1)[0]
        got = columns(generator.linearize(code)).flatten(1).T
        assert torch.allclose(got, slow_jacobian(generator.synthesize, code), atol=1e-6)

    @pytest.mark.parametrize("chunk", [1, 7, 100])
    def test_chunk_does_not_matter(self, chunk: int) -> None:
        generator = planted(bend=0.8)
        model = generator.linearize(generator.sample(1, seed=1)[0])
        assert torch.allclose(columns(model, chunk=chunk), columns(model), atol=1e-7)

    def test_truth_in_closed_form(self) -> None:
        """JᵀJ = Σ gⱼ² ∇fⱼ ∇fⱼᵀ, gⱼ the slope of pattern j times its norm."""
        generator = planted(factors=4, dim=32, bend=0.8, nuisances=0)
        code = generator.sample(1, seed=2)
        gradients = generator.jacobian(code)[0].double()
        slopes = (1 - torch.tanh(generator.factors(code)[0].double() / 4).square()) / 4
        norms = generator._patterns.double().norm(dim=1) * generator._amplitudes
        want = (gradients.T * (slopes * norms).square()) @ gradients
        got = metric(generator.linearize(code[0]))
        assert torch.allclose(got, want, rtol=1e-4, atol=1e-6 * float(want.abs().max()))

    def test_masks_add_up_and_weigh(self) -> None:
        generator = planted(size=8)
        model = generator.linearize(generator.sample(1, seed=0)[0])
        mask = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
        front, back = metric(model, weights=torch.stack([mask, 1 - mask]))
        assert torch.allclose(front + back, metric(model), rtol=1e-5)
        rows = columns(model) * mask.sqrt()
        assert torch.allclose(front, gram(rows), atol=1e-6 * float(front.max()))

    def test_gram_in_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tangents = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
        weights = torch.rand(7, generator=torch.Generator().manual_seed(1))
        whole = gram(tangents, weights)
        monkeypatch.setattr(jacobian, "BLOCK", 12)
        assert torch.allclose(gram(tangents, weights), whole, rtol=1e-12)

    def test_errors(self) -> None:
        generator = planted(size=8)
        model = generator.linearize(generator.sample(1, seed=0)[0])
        with pytest.raises(LatdirError, match=r"mask of shape \[4, 4\] does not fit"):
            metric(model, weights=torch.ones(1, 4, 4))
        with pytest.raises(LatdirError, match="finite and not negative"):
            metric(model, weights=-torch.ones(1, 8, 8))

    def test_memory_bounds_the_chunk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = linearize(lambda x: x, torch.zeros(3))
        pushed = []
        spy = Linearized(
            model.value, (3,), lambda t: pushed.append(len(t)) or t, model.pull, footprint=100
        )
        monkeypatch.setattr(jacobian, "_free_memory", lambda device: 800)
        assert torch.equal(columns(spy), torch.eye(3))
        assert pushed == [2, 1]


class TestLeading:
    @pytest.mark.parametrize("decay", [0.5, 1.0])
    def test_agrees_with_the_exact_spectrum(self, decay: float) -> None:
        rng = torch.Generator().manual_seed(0)
        left = torch.linalg.qr(torch.randn(600, 200, generator=rng))[0]
        right = torch.linalg.qr(torch.randn(200, 200, generator=rng))[0]
        a = (left * torch.arange(1, 201) ** -decay) @ right.T
        model = linearize(lambda x: x @ a.T, torch.zeros(200))
        exact = eigh(a.T.double() @ a.double(), count=10)
        found = leading(model, count=10)
        assert torch.allclose(found.values, exact.values, rtol=1e-3)
        assert ((found.vectors * exact.vectors).sum(1) > 0.999).all()
        assert found.total == pytest.approx(exact.total, rel=0.3)

    def test_costs_less_than_all_columns(self) -> None:
        products = 0

        def function(x: Tensor) -> Tensor:
            return x * scale

        scale = 1 / torch.arange(1.0, 401.0)
        model = linearize(function, torch.zeros(400))

        def push(tangents: Tensor) -> Tensor:
            nonlocal products
            products += len(tangents)
            return model.push(tangents)

        spy = Linearized(model.value, model.shape, push, model.pull, model.footprint)
        found = leading(spy, count=10)
        assert torch.allclose(found.values[:10], scale[:10].double().square(), rtol=1e-3)
        assert products <= 60

    def test_rank_below_the_count(self) -> None:
        a = torch.zeros(30, 20)
        a[0, 3], a[1, 5] = 2.0, 1.0
        found = leading(linearize(lambda x: x @ a.T, torch.zeros(20)), count=6)
        assert torch.allclose(found.values, torch.tensor([4.0, 1, 0, 0, 0, 0]).double(), atol=1e-6)
        assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(6).double(), atol=1e-8)
        assert found.vectors[0, 3] == pytest.approx(1)

    def test_small_space_is_solved_whole(self) -> None:
        a = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
        model = linearize(lambda x: x @ a.T, torch.zeros(4))
        assert torch.allclose(
            leading(model, count=4, block=3).values, eigh(a.T @ a).values, rtol=1e-5
        )

    def test_errors(self) -> None:
        with pytest.raises(LatdirError, match=r"count 5 and block 5 must be in 1 … 4"):
            leading(linearize(lambda x: x, torch.zeros(4)), count=5)
