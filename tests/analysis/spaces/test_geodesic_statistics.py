"""Fréchet means and principal geodesics of the sphere and of flat spaces."""

import pytest
import torch

from analysis import frechet_mean, principal_geodesics
from analysis.spaces.geodesic_statistics import mean_of
from directions.errors import LatdirError
from tests.directions.paths.test_geodesic import Linear, Sphere, linear


def on_sphere(codes):
    return Sphere().synthesize(codes)[:, :, 0, 0]


def test_the_mean_of_points_around_a_pole_of_a_turned_sphere_is_the_pole():
    centre = torch.tensor([0.5, 0.9], dtype=torch.float64)
    # Points at one distance, evenly around: their Fréchet mean is the centre.
    p = on_sphere(centre[None])[0]
    axes = torch.linalg.svd(p[None])[2][1:]
    angles = torch.arange(3, dtype=torch.float64) * 2 * torch.pi / 3
    around = 0.5 * torch.stack([angles.cos(), angles.sin()], 1) @ axes
    length = around.norm(dim=1, keepdim=True)
    points = length.cos() * p + length.sin() * around / length
    codes = torch.stack([torch.atan2(points[:, 1], points[:, 0]), points[:, 2].asin()], 1)
    found = mean_of(on_sphere, codes, segments=16)
    assert found.converged
    torch.testing.assert_close(found.code, centre, rtol=0, atol=2e-3)
    torch.testing.assert_close(found.distances, length[:, 0], rtol=1e-3, atol=0)
    assert float((codes.mean(0) - centre).norm()) > 0.1
    # Logarithms sum to zero at the mean.
    assert float(found.velocities.mean(0).norm()) < 2e-2


def test_in_a_flat_space_they_are_the_mean_and_the_principal_components():
    generator = linear()
    codes = generator.sample(20, seed=0) + 3
    mean = frechet_mean(generator, codes, segments=2)
    torch.testing.assert_close(mean.code, codes.mean(0), rtol=1e-4, atol=1e-3)
    assert mean.energies[-1] == pytest.approx(mean.energies[0], rel=1e-4)
    found = principal_geodesics(generator, codes, n_directions=3, segments=2)
    images = generator.synthesize(codes).flatten(1).double() / 12**0.5
    _, values, rows = torch.linalg.svd(images - images.mean(0), full_matrices=False)
    torch.testing.assert_close(
        found.variances.double(), values[:3].square() / 20, rtol=1e-3, atol=0
    )
    changes = generator.matrix @ found.bank.matrix().T
    cosines = (changes / changes.norm(dim=0) * rows[:3].T.float()).sum(0).abs()
    torch.testing.assert_close(cosines, torch.ones(3), rtol=0, atol=1e-3)
    for direction, variance in zip(found.bank.directions, found.variances, strict=True):
        step = generator.matrix @ direction.vector * direction.sigma / 12**0.5
        assert float(step.square().sum()) == pytest.approx(float(variance), rel=1e-3)


def test_orthonormal_images_give_the_principal_components_of_codes():
    matrix = torch.linalg.qr(torch.randn(12, 4, generator=torch.Generator().manual_seed(1)))[0]
    generator = Linear(matrix)
    codes = generator.sample(30, seed=0) * torch.tensor([3.0, 2.0, 1.0, 0.5])
    found = principal_geodesics(generator, codes, n_directions=2, segments=2)
    components = torch.linalg.svd(codes - codes.mean(0))[2][:2]
    cosines = (found.bank.matrix() * components).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(2), rtol=0, atol=1e-3)


def test_principal_geodesics_of_a_great_circle_follow_it():
    codes = torch.stack([torch.linspace(-0.6, 0.6, 7), torch.zeros(7)], 1)
    found = principal_geodesics(Sphere(), codes, n_directions=1, segments=4)
    torch.testing.assert_close(found.mean.code, torch.zeros(2), rtol=0, atol=1e-3)
    assert abs(float(found.bank.directions[0].vector[0])) == pytest.approx(1.0, abs=1e-3)
    # Squared distances along the circle, the mean over three channels.
    assert float(found.variances[0]) == pytest.approx(
        float(codes[:, 0].square().mean()) / 3, rel=1e-2
    )


def test_bad_input_is_refused():
    sphere, codes = Sphere(), torch.zeros(3, 2)
    with pytest.raises(LatdirError, match="the points give the same images"):
        frechet_mean(sphere, codes)
    with pytest.raises(LatdirError, match="1 points, 8 segments"):
        frechet_mean(sphere, codes[:1])
    with pytest.raises(LatdirError, match="n_directions is 3: 3 codes have 1 … 2"):
        principal_geodesics(sphere, codes, n_directions=3)
    circle = torch.stack([torch.linspace(-0.6, 0.6, 7), torch.zeros(7)], 1)
    with pytest.raises(LatdirError, match="vary along 1 principal geodesics only"):
        principal_geodesics(sphere, circle, n_directions=2, segments=2)
