"""Transport and geodesics on maps whose metric is known: the sphere and a linear map."""

import math
from pathlib import Path

import pytest
import torch

from directions import Direction, DirectionBank
from directions.errors import BankError, LatdirError, SpaceError
from directions.generators.base import Generator
from directions.paths import GeodesicPath, load_path, parallel_transport
from directions.planted.world import planted
from directions.space import Space


class Sphere(Generator):
    """Images of one pixel, a point of the sphere; codes are its longitude and latitude."""

    name, image_shape, fingerprint = "sphere", (3, 1, 1), "5" * 64

    def __init__(self):
        self.spaces = {"z": Space("z", (2,))}

    def synthesize(self, codes, space="z"):
        x, y = codes.unbind(1)
        return torch.stack([x.cos() * y.cos(), x.sin() * y.cos(), y.sin()], 1)[:, :, None, None]


class Linear(Generator):
    """Images that are a matrix times the code."""

    name, image_shape = "linear", (3, 2, 2)

    def __init__(self, matrix):
        self.spaces, self.matrix = {"z": Space("z", (matrix.shape[1],))}, matrix

    @property
    def fingerprint(self):
        return "6" * 64

    def synthesize(self, codes, space="z"):
        return (codes @ self.matrix.T).reshape(-1, *self.image_shape)


def linear() -> Linear:
    rng = torch.Generator().manual_seed(0)
    return Linear(torch.randn(12, 4, generator=rng) * torch.tensor([3.0, 1.0, 0.5, 0.2]))


def direction(*vector: float, **more) -> Direction:
    return Direction.from_vector("way", torch.tensor(vector), space="z", **more)


def test_geodesics_of_the_sphere_are_great_circles():
    sphere, way = Sphere(), direction(1.0, 1.0, sigma=0.5)
    starts = torch.tensor([[0.3, 0.0], [0.3, 0.4]])
    amounts = torch.tensor([2.0, -1.0])
    moved = GeodesicPath(sphere, way, step=0.2).shift(starts, amounts)
    point = sphere.synthesize(starts)[:, :, 0, 0]
    speed = sphere.linearize_batch(starts).push(way.vector.expand(2, -1))[:, :, 0, 0]
    angle = (0.5 * amounts * speed.norm(dim=1))[:, None]
    great = angle.cos() * point + angle.sin() * speed / speed.norm(dim=1, keepdim=True)
    torch.testing.assert_close(sphere.synthesize(moved)[:, :, 0, 0], great, rtol=0, atol=4e-3)
    # Longer steps are worse by the square of their length.
    coarse = GeodesicPath(sphere, way, step=0.8).shift(starts, amounts)
    error = (sphere.synthesize(coarse)[:, :, 0, 0] - great).norm(dim=1)
    fine = (sphere.synthesize(moved)[:, :, 0, 0] - great).norm(dim=1)
    assert (error / fine > 6).all()


def test_transport_along_a_parallel_of_the_sphere_turns_by_its_latitude():
    latitude, turn = 0.6, 1.0
    longitude = torch.linspace(0, turn, 25)
    path = torch.stack([longitude, torch.full_like(longitude, latitude)], 1)[:, None]
    north = parallel_transport(Sphere(), path, torch.tensor([[0.0, 1.0]]), iterations=2)[0]
    angle = turn * math.sin(latitude)
    east = float(north[0]) * math.cos(latitude)
    assert float(north[1]) == pytest.approx(math.cos(angle), abs=5e-3)
    assert east == pytest.approx(math.sin(angle), abs=5e-3)


def test_in_a_flat_space_directions_stay_and_paths_are_straight():
    generator, way = linear(), direction(1.0, -2.0, 0.5, 1.0, sigma=0.7)
    codes = generator.sample(3, seed=0)
    path = torch.stack([codes, codes + 1, 2 * codes])
    vectors = generator.sample(3, seed=1)
    moved = parallel_transport(generator, path, vectors)
    torch.testing.assert_close(moved, vectors, rtol=1e-4, atol=1e-4)
    for origin in (None, torch.ones(4)):
        found = GeodesicPath(generator, way, origin=origin).shift(codes, 1.5)
        torch.testing.assert_close(found, way.shift(codes, 1.5), rtol=1e-4, atol=1e-4)


def test_a_direction_known_at_an_origin_is_carried_to_the_codes():
    sphere, origin = Sphere(), torch.tensor([0.0, 0.6])
    path = GeodesicPath(sphere, direction(0.0, 1.0), origin=origin, step=0.02)
    codes = torch.tensor([[1.0, 0.6], [0.0, 0.6]])
    found = path.starts(codes)
    angle = math.sin(0.6)
    assert float(found[0, 1]) == pytest.approx(math.cos(angle), abs=5e-3)
    assert float(found[0, 0]) * math.cos(0.6) == pytest.approx(math.sin(angle), abs=5e-3)
    torch.testing.assert_close(found[1], torch.tensor([0.0, 1.0]))


def test_changes_of_the_image_keep_their_length():
    world = planted(factors=2, dim=8, bend=0.8)
    codes, vectors = world.sample(4, seed=0), world.sample(4, seed=1)
    steps = torch.linspace(0, 1, 5).reshape(-1, 1, 1)
    path = codes + steps * (world.sample(4, seed=2) - codes)
    for features in (None, lambda images: images.flatten(1)[:, :50]):
        moved = parallel_transport(world, path, vectors, features=features)

        def length(at, along, features=features):
            model = world.linearize_batch(at)
            model = model if features is None else model.then(features)
            return model.push(along).flatten(1).norm(dim=1)

        torch.testing.assert_close(length(path[-1], moved), length(codes, vectors))


def test_a_path_does_not_depend_on_its_batch_and_is_kept_in_a_file(tmp_path: Path):
    sphere = Sphere()
    bank = DirectionBank.of(sphere, [direction(1.0, 0.5)])
    path = GeodesicPath(sphere, bank["way"], origin=torch.zeros(2), batch=2, step=1.0)
    codes = torch.tensor([[0.1, 0.2], [0.5, -0.3], [1.0, 0.4]])
    whole = path.shift(codes, 1.0)
    one = torch.cat([path.shift(code[None], 1.0) for code in codes])
    torch.testing.assert_close(whole, one, rtol=0, atol=2e-3)
    file = path.save(tmp_path / "way.path")
    again = load_path(file, generator=sphere)
    assert isinstance(again, GeodesicPath)
    torch.testing.assert_close(again.shift(codes, 1.0), whole)
    assert torch.equal(path.shift(codes, 0.0), codes)
    with pytest.raises(BankError, match="follows the images of sphere: give load_path"):
        load_path(file)
    with pytest.raises(BankError, match="was made for sphere"):
        load_path(file, generator=linear())


def test_what_is_no_geodesic_is_refused():
    sphere = Sphere()
    with pytest.raises(SpaceError, match=r"origin has shape \[3\]"):
        GeodesicPath(sphere, direction(1.0, 0.0), origin=torch.zeros(3))
    with pytest.raises(SpaceError, match="give it without layers"):
        GeodesicPath(sphere, direction(1.0, 0.0).evolve(layers=(0,)))
    with pytest.raises(LatdirError, match="must be positive"):
        GeodesicPath(sphere, direction(1.0, 0.0), step=0.0)
    path = GeodesicPath(sphere, direction(1.0, 0.0))
    with pytest.raises(LatdirError, match="no unit 'years'"):
        path.shift(torch.zeros(1, 2), 1.0, unit="years")
    with pytest.raises(LatdirError, match="amounts must be finite"):
        path.shift(torch.zeros(1, 2), torch.tensor([torch.inf]))
    with pytest.raises(SpaceError, match=r"a path of shape \[1, 1, 2\]"):
        parallel_transport(sphere, torch.zeros(1, 1, 2), torch.zeros(1, 2))
