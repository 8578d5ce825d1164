"""The local basis at a code, and paths that follow it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from directions.errors import LatdirError
from directions.planted.world import PlantedGenerator, planted
from discovery.jacobian.local_basis import LocalBasis
from tests.worlds import Mapped

GAINS = [8.0, 6.0, 4.5, 3.4]


def curved() -> PlantedGenerator:
    return planted(factors=4, nuisances=0, bend=0.8, dim=16, gains=GAINS)


def slow_jacobian(function, point: Tensor) -> Tensor:
    point = point.clone().requires_grad_()
    out = function(point[None]).flatten()
    return torch.stack([torch.autograd.grad(o, point, retain_graph=True)[0] for o in out])


def test_spans_the_gradients_of_the_factors() -> None:
    generator = curved()
    for number in range(3):
        code = generator.sample(1, seed=0, start=number)
        bank = LocalBasis(n_directions=4, number=number).discover(generator)
        gradients = torch.nn.functional.normalize(generator.jacobian(code)[0], dim=1)
        cosines = (bank.matrix() @ gradients.T).abs()
        assert torch.allclose(cosines.amax(0), torch.ones(4), atol=1e-3)
        assert (bank.matrix() @ generator.truth.T).abs().amax(0).min() < 0.98


def test_is_the_svd_of_the_slow_jacobian() -> None:
    generator = curved()
    code = generator.sample(1, seed=5)[0]
    bank = LocalBasis(n_directions=4).discover(generator, code=code)
    _, values, right = torch.linalg.svd(slow_jacobian(generator.synthesize, code))
    found = [d.evidence["singular_value"] for d in bank.directions]
    assert torch.allclose(torch.tensor(found), values[:4], rtol=1e-4)
    assert ((bank.matrix() * right[:4]).sum(1).abs() > 1 - 1e-4).all()


def test_through_the_mapping_are_the_left_singular_vectors() -> None:
    mapped = Mapped(curved())
    bank = LocalBasis(n_directions=5, space="w", through="mapping").discover(mapped)
    left, values, _ = torch.linalg.svd(mapped._matrix)
    assert {d.space for d in bank.directions} == {"w"}
    found = [d.evidence["singular_value"] for d in bank.directions]
    assert torch.allclose(torch.tensor(found), values[:5], rtol=1e-4)
    assert ((bank.matrix() * left.T[:5]).sum(1).abs() > 1 - 1e-3).all()


def test_features_choose_what_counts() -> None:
    generator = curved()
    reader = generator.classifier()
    bank = LocalBasis(n_directions=1).discover(generator, features=lambda x: reader(x)[:, 2:3])
    gradient = generator.jacobian(generator.sample(1, seed=0))[0, 2]
    cosine = bank.matrix()[0] @ gradient / gradient.norm()
    assert float(cosine.abs()) > 0.999


class TestPath:
    def test_follows_the_gradient_flow(self) -> None:
        """Along ∇f/|∇f| the path is an ordinary differential equation, solved here in closed form
        of the gradient with tiny steps."""
        generator = curved()
        codes = generator.sample(2, seed=1)
        method = LocalBasis(n_directions=4, step=0.04)
        path = method.path(generator, toward=generator.truth[0])
        moved = path.shift(codes, 1.5)
        position = codes.double()
        for _ in range(1000):
            gradient = generator.jacobian(position.float())[:, 0].double()
            position = position + 1.5 / 1000 * gradient / gradient.norm(dim=1, keepdim=True)
        assert float((moved.double() - position).norm(dim=1).max()) < 0.04
        straight = codes + 1.5 * generator.truth[0]
        assert float((straight - position).norm(dim=1).min()) > 0.1

    def test_beats_the_straight_line(self) -> None:
        generator = curved()
        codes = generator.sample(4, seed=2)
        start = generator.jacobian(codes)[:, 1]
        straight = codes + 2 * start / start.norm(dim=1, keepdim=True)
        path = LocalBasis(n_directions=4).path(generator, toward=generator.truth[1])
        bent = path.shift(codes, 2.0)
        before = generator.factors(codes)[:, 1]
        gain, plain = (generator.factors(c)[:, 1] - before for c in (bent, straight))
        assert float(gain.mean()) > float(plain.mean()) + 0.05
        others = generator.factors(bent) - generator.factors(codes)
        assert float(others[:, [0, 2, 3]].abs().max()) < 0.05

    def test_nothing_moves_by_zero_and_back_is_back(self) -> None:
        generator = curved()
        codes = generator.sample(2, seed=3)
        path = LocalBasis(n_directions=4, step=0.05).path(generator, toward=generator.truth[0])
        assert torch.equal(path.shift(codes, 0.0), codes)
        there = path.shift(codes, 1.0)
        assert float((path.shift(there, -1.0) - codes).norm(dim=1).max()) < 0.1

    def test_amounts_for_each_code_and_units(self) -> None:
        generator = planted(factors=2, nuisances=1, dim=8, condition=3.0)
        codes = generator.sample(2, seed=0)
        path = LocalBasis(n_directions=3).path(generator, component=1)
        both = path.shift(codes, torch.tensor([1.0, -0.5]))
        alone = path.shift(codes[1:], -0.5)
        assert torch.equal(both[1:], alone)
        latent = path.shift(codes, path.sigma, unit="latent")
        assert torch.allclose(latent[:1], path.shift(codes[:1], 1.0))
        covariance = generator.prior().covariance
        assert path.sigma == pytest.approx(float(covariance.trace() / 8) ** 0.5)

    def test_through_the_mapping_moves_z(self) -> None:
        mapped = Mapped(curved())
        path = LocalBasis(n_directions=3, space="w", through="mapping").path(mapped)
        z = mapped.sample(1, seed=0)
        moved = path.shift(z, 1.0) - z
        right = torch.linalg.svd(mapped._matrix)[2]
        assert path.space == "z"
        assert float((moved[0] @ right[0]).abs()) == pytest.approx(1, abs=1e-3)

    def test_errors(self) -> None:
        generator = curved()
        path = LocalBasis(n_directions=3).path(generator)
        codes = generator.sample(2, seed=0)
        with pytest.raises(LatdirError, match="a path has no unit 'degrees'"):
            path.shift(codes, 1.0, unit="degrees")
        with pytest.raises(LatdirError, match=r"amount has shape \[3\]: give one number"):
            path.shift(codes, torch.ones(3))
        with pytest.raises(LatdirError, match=r"codes of space 'z' have shape \[n, 16\]"):
            path.shift(torch.zeros(1, 4), 1.0)
        with pytest.raises(LatdirError, match=r"component 3 must be in 0 … 2"):
            LocalBasis(n_directions=3).path(generator, component=3)
        with pytest.raises(LatdirError, match=r"toward has shape \[4\]"):
            LocalBasis(n_directions=3).path(generator, toward=torch.ones(4))


def test_runs_are_bit_identical() -> None:
    generator = curved()
    first, second = (LocalBasis().discover(generator, seed=3) for _ in range(2))
    assert torch.equal(first.matrix(), second.matrix())
    assert len(first) == 16


def test_errors() -> None:
    generator = curved()
    with pytest.raises(LatdirError, match="step 0 must be above 0"):
        LocalBasis(step=0.0)
    with pytest.raises(LatdirError, match="no mapping from 'z' to 'z': use through='image'"):
        LocalBasis(through="mapping").discover(generator)
    with pytest.raises(LatdirError, match=r"codes of space 'z' have shape \[n, 16\], not \[1, 3\]"):
        LocalBasis().discover(generator, code=torch.zeros(3))
