"""Pull-back metric, geodesics and participation against closed forms."""

import math

import pytest
import torch

from analysis.spaces.geodesic import find_geodesic, geodesic_between
from analysis.spaces.participation import participation
from analysis.spaces.pullback import effective_dimension, metric_of, pullback_metric
from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError
from directions.numerics.linearized import linearize
from directions.planted.world import planted
from directions.scoring.features import pixel_features
from directions.space import Prior


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_metric_of_a_linear_map_is_its_singular_values():
    a = normal(30, 12)
    model = linearize(lambda x: x @ a.T, torch.zeros(12).double())
    found = metric_of(model)
    _, singular, vectors = torch.linalg.svd(a)
    torch.testing.assert_close(found.values, singular.square())
    assert (found.vectors * vectors).sum(1).abs().min() > 1 - 1e-9
    assert found.trace == pytest.approx(float(a.square().sum()))
    assert found.log_volume == pytest.approx(float(singular.log().sum()))


def test_leading_pairs_are_those_of_the_whole():
    a = normal(80, 60) * torch.logspace(1, -2, 60).double()
    model = linearize(lambda x: torch.tanh(x @ a.T), normal(60, seed=1) * 0.01)
    whole, leading = metric_of(model), metric_of(model, count=4)
    torch.testing.assert_close(leading.values, whole.values[:4], rtol=1e-5, atol=0)
    assert (leading.vectors * whole.vectors[:4]).sum(1).min() > 1 - 1e-4
    with pytest.raises(LatdirError, match="only 4 of 60 eigenvalues are known"):
        _ = leading.effective_dimension
    with pytest.raises(LatdirError, match=r"1 … 60 eigenpairs, not 61"):
        metric_of(model, count=61)


def test_metric_of_a_generator_has_as_many_dimensions_as_factors():
    world = planted(factors=3, dim=12, nuisances=2)
    code = world.sample(1, seed=0)[0]
    pixels = pullback_metric(world, code)
    given = pullback_metric(world, code, features=pixel_features)
    torch.testing.assert_close(pixels.values, given.values, rtol=1e-4, atol=1e-8)
    assert (pixels.values > 1e-6 * pixels.values[0]).sum() == 5
    step = 1e-2 * pixels.vectors[0]
    images = world.synthesize(torch.stack([code, code + step]))
    moved = float((images[1] - images[0]).square().mean())
    assert moved == pytest.approx(1e-4 * float(pixels.values[0]), rel=0.02)


def test_effective_dimension():
    spectra = torch.tensor([[1.0, 1.0, 0.0], [5.0, 0.0, 0.0]])
    assert effective_dimension(spectra) == pytest.approx(1.5)
    with pytest.raises(LatdirError, match="one above"):
        effective_dimension(torch.zeros(3))


def sphere(p):
    x, y = p.unbind(1)
    return torch.stack([x.cos() * y.cos(), x.sin() * y.cos(), y.sin()], 1)


def test_geodesic_on_the_sphere_is_the_great_circle():
    ends = torch.tensor([[0.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
    found = find_geodesic(sphere, *ends, segments=64, tolerance=1e-7)
    a, b = sphere(ends)
    angle = math.acos(float(a @ b))
    assert found.length == pytest.approx(angle, rel=1e-3)
    # The straight line of the chart is the parallel, longer by known numbers.
    assert found.straight_length == pytest.approx(2 * math.cos(1.0), rel=1e-3)
    assert found.detour == pytest.approx(2 * math.cos(1.0) / angle, rel=1e-3)
    # All points lie in the plane of the great circle, evenly spaced.
    plane = torch.linalg.cross(a, b)
    assert (sphere(found.codes) @ plane).abs().max() < 2e-3
    assert float(found.steps.std() / found.steps.mean()) < 0.01
    assert found.converged
    assert found.energies[-1] >= found.length**2 * (1 - 1e-9)
    assert found.energies[0] == max(found.energies)


def test_flat_maps_have_straight_geodesics():
    a = normal(9, 4)
    found = find_geodesic(lambda x: x @ a.T, normal(4, seed=1), normal(4, seed=2))
    assert found.detour == pytest.approx(1, abs=1e-9)
    line = torch.lerp(found.codes[0], found.codes[-1], torch.tensor(0.25).double())
    torch.testing.assert_close(found.codes[4], line, rtol=1e-4, atol=1e-4)


def test_geodesic_of_a_generator_is_never_longer():
    world = planted(factors=2, dim=6, bend=1.5, nuisances=1)
    codes = world.sample(2, seed=4)
    found = geodesic_between(world, *codes, segments=8)
    assert found.length < found.straight_length
    assert found.codes.shape == (9, 6)
    with pytest.raises(LatdirError, match="the same image"):
        find_geodesic(lambda x: 0 * x, *codes)
    with pytest.raises(LatdirError, match="codes of space 'z'"):
        geodesic_between(world, codes[0, :3], codes[1, :3])


def test_participation_of_directions():
    rotation = torch.linalg.qr(normal(5, 5))[0]
    variances = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]).double()
    prior = Prior(torch.zeros(5), ((rotation * variances) @ rotation.T).float())
    vectors = {"widest": rotation[:, 0], "two": rotation[:, 1] + rotation[:, 4]}
    bank = DirectionBank(
        tuple(Direction.from_vector(n, v.float(), space="z") for n, v in vectors.items()),
        generator="toy",
        fingerprint="0" * 64,
    )
    found = participation(bank, prior)
    torch.testing.assert_close(found.variance, torch.tensor([5.0, 2.5]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.relative, found.variance / 3)
    torch.testing.assert_close(found.axes, torch.tensor([1.0, 2.0]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.within(2), torch.tensor([1.0, 0.5]), rtol=1e-3, atol=1e-3)
    with pytest.raises(LatdirError, match="the prior has 4 dimensions and the directions 5"):
        participation(bank, Prior.standard(4))
