"""Path lengths against closed forms, finite differences and the originals' arithmetic."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from analysis.spaces.path_length import (
    edit_path_length,
    lerp,
    lipschitz,
    perceptual_path_length,
    slerp,
)
from directions.direction import Direction
from directions.errors import LatdirError
from directions.generators import load_generator
from directions.generators.base import Generator
from directions.numerics.tangents import directional
from directions.planted.world import planted
from directions.scoring.features import face_crop, face_features, lpips_features, pixel_features
from directions.scoring.rendering import Rendering
from directions.space import Space


class Linear(Generator):
    """Images that are a linear map of z, or of w = 2 z."""

    name = "linear"
    image_shape = (3, 4, 4)
    fingerprint = "2" * 64

    def __init__(self, d=6):
        self.spaces = {"z": Space("z", (d,)), "w": Space("w", (d,))}
        self.matrix = torch.randn(48, d, generator=torch.Generator().manual_seed(0))

    def synthesize(self, codes, space="z"):
        return (codes @ self.matrix.T).reshape(-1, 3, 4, 4)

    def _map(self, codes, source, target):
        return 2 * codes


def direction(generator, seed=0):
    vector = torch.randn(generator.spaces["z"].size, generator=torch.Generator().manual_seed(seed))
    return Direction.from_vector("v", vector, space="z", sigma=0.7)


def test_straight_lines_through_a_linear_generator_in_closed_form():
    world = Linear()
    found = perceptual_path_length(
        world, space="w", features=pixel_features, count=50, seed=3, trim=0.0
    )
    pairs = world.sample(100, seed=3, space="w").reshape(50, 2, 6)
    expected = ((pairs[:, 1] - pairs[:, 0]) @ world.matrix.T).square().mean(1)
    torch.testing.assert_close(found.values, expected.double(), rtol=1e-5, atol=1e-6)
    assert found.mean == pytest.approx(float(expected.mean()), rel=1e-5)
    assert found.standard_error == pytest.approx(float(expected.std()) / math.sqrt(50), rel=1e-4)
    assert found.distance == "pixel_features"


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_exact_limit_agrees_with_finite_differences(sampling):
    world = planted(factors=3, dim=10, bend=0.5)
    options = {"sampling": sampling, "features": pixel_features, "count": 40}
    exact = perceptual_path_length(world, **options)
    finite = perceptual_path_length(world, epsilon=1e-3, **options)
    torch.testing.assert_close(exact.values, finite.values, rtol=0.01, atol=1e-5)
    assert exact.mean == pytest.approx(finite.mean, rel=0.003)
    other = "end" if sampling == "full" else "full"
    moved = perceptual_path_length(world, **{**options, "sampling": other})
    assert not torch.allclose(exact.values, moved.values, rtol=0.01)


def test_great_circles_lie_on_the_sphere_of_the_prior():
    a, b = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0)).double()
    t = torch.linspace(0, 1, 5).double()
    points = slerp(a, b, t)
    torch.testing.assert_close(points.norm(dim=1), torch.full((5,), 3.0).double())
    torch.testing.assert_close(points[0], 3 * a[0] / a[0].norm())
    torch.testing.assert_close(points[-1], 3 * b[-1] / b[-1].norm())
    half = slerp(a, b, torch.full((5,), 0.5).double())
    torch.testing.assert_close((half * a).sum(1) / a.norm(dim=1), (half * b).sum(1) / b.norm(dim=1))
    with pytest.raises(LatdirError, match="no one great circle"):
        slerp(a, -2 * a, t)
    assert lerp(a, b, t)[0].equal(a[0])


def test_extremes_are_trimmed_as_numpy_percentiles():
    found = perceptual_path_length(Linear(), features=pixel_features, count=150, trim=0.05)
    values = found.values.numpy()
    low, high = np.percentile(values, 5, method="lower"), np.percentile(values, 95, method="higher")
    kept = values[(values >= low) & (values <= high)]
    assert found.kept == len(kept) < 150
    assert found.mean == pytest.approx(kept.mean())


@pytest.mark.parametrize(("reference", "factor"), [("tensorflow", 2), ("pytorch", 4)])
def test_crop_and_shrink_of_the_originals(reference, factor):
    image = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    seen = face_crop(image, reference=reference)
    cut = image[:, :, 384:896, 256:768]
    boxes = cut.reshape(1, 3, 512 // factor, factor, 512 // factor, factor).mean((3, 5))
    torch.testing.assert_close(seen, boxes)
    assert face_crop(image[:, :, :256, :256], crop=False).shape == (1, 3, 256, 256)
    with pytest.raises(LatdirError, match="not square"):
        face_crop(image[:, :, :100])


def test_directional_derivatives_of_a_network():
    matrix = torch.tensor([[1.0, 2.0], [-0.5, 3.0]]).double()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1)
            self.conv = nn.Conv2d(4, 5, 3, stride=2)
            self.out = nn.Linear(5, 2)

        def forward(self, x):
            y = nn.functional.max_pool2d(torch.relu(self.up(x)), 2)
            y = nn.functional.leaky_relu(self.conv(y), 0.2).mean((2, 3))
            # A weight that moves with the input, as in StyleGAN2's modulation.
            y = nn.functional.linear(self.out(y), y[:2, :2] ** 2, bias=y[0, :2])
            # Products and quotients with one operand that stays, and with none.
            turned = (matrix @ y @ matrix / 3) @ y
            return turned / 2 + 1 / y + y / y.flip(1) + y @ turned / matrix

    torch.manual_seed(0)
    net = Net().double()
    x, t = torch.randn(2, 2, 3, 8, 8).double()
    found = directional(net, x, t)
    with torch.no_grad():
        torch.testing.assert_close(found.value, net(x))
        finite = (net(x + 1e-6 * t) - net(x - 1e-6 * t)) / 2e-6
    torch.testing.assert_close(found.derivative, finite, rtol=1e-5, atol=1e-7)
    with pytest.raises(LatdirError, match="loses the derivative"):
        directional(lambda x: x.detach() * 2, x, t)


def test_lpips_as_features():
    class Fake(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(3, 6, 5)])
            self.lins = nn.ModuleList()
            for width in (4, 6):
                lin = nn.Module()
                lin.model = nn.Sequential(nn.Dropout(), nn.Conv2d(width, 1, 1, bias=False))
                lin.model[-1].weight.data.abs_()
                self.lins.append(lin)

        def scaling_layer(self, x):
            return x * 2 + 0.1

        def net(self, x):
            return [conv(x) for conv in self.convs]

    torch.manual_seed(0)
    fake = Fake().eval()
    a, b = torch.rand(2, 3, 3, 12, 12)
    expected = 0
    with torch.no_grad():
        for x, y, lin in zip(*(fake.net(fake.scaling_layer(i)) for i in (a, b)), fake.lins):  # noqa: B905
            x, y = (v / v.square().sum(1, keepdim=True).sqrt() for v in (x, y))
            expected = expected + lin.model(torch.square(x - y)).mean((1, 2, 3))
        features = lpips_features(fake)
        found = (features(a) - features(b)).square().sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_face_features_average_unit_positions():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = face_features()(images)
    # Four layers whose positions have unit length, averaged.
    torch.testing.assert_close(found.square().sum(1), torch.ones(2), rtol=1e-3, atol=1e-3)
    assert float((found[0] - found[1]).square().sum()) > 0.01


def test_edits_of_a_linear_generator_are_straight_and_even():
    world = Linear()
    v = direction(world)
    found = edit_path_length(world, v, features=pixel_features, count=7, batch_size=20)
    pace = float((v.vector @ world.matrix.T).norm()) * v.sigma / math.sqrt(48)
    assert found.steps.shape == (7, 12)
    assert float(found.length.mean) == pytest.approx(6 * pace, rel=1e-4)
    torch.testing.assert_close(found.straightness, torch.ones(7), rtol=1e-4, atol=1e-4)
    assert float(found.unevenness.max()) < 1e-3
    speeds = lipschitz(world, v, features=pixel_features, count=7)
    torch.testing.assert_close(speeds, torch.full((7,), pace), rtol=1e-4, atol=1e-5)


def test_curved_edits_wander():
    world = planted(factors=2, dim=8, bend=2.0)
    v = Direction.from_vector("v", world._bends[0], space="z")
    found = edit_path_length(world, v, features=pixel_features, count=16)
    assert float(found.straightness.max()) < 0.98
    assert float(found.unevenness.min()) > 0.05


def test_refusals():
    world = Linear()
    with pytest.raises(LatdirError, match="count 1 must be at least 2"):
        perceptual_path_length(world, count=1)
    with pytest.raises(LatdirError, match="no space 's'"):
        perceptual_path_length(world, space="s")
    with pytest.raises(LatdirError, match=r"cannot be taken in bfloat16.*epsilon=None"):
        perceptual_path_length(world, epsilon=1e-4, rendering=Rendering(precision="bfloat16"))
    with pytest.raises(LatdirError, match=r"features are vectors \[n, f\]"):
        perceptual_path_length(world, features=lambda x: x, count=4)
    with pytest.raises(LatdirError, match="amounts ascend"):
        edit_path_length(world, direction(world), amounts=torch.tensor([1.0, 0.0]))
    with pytest.raises(LatdirError, match="leaves some images unchanged"):
        edit_path_length(world, direction(world), features=lambda x: 0 * x.flatten(1), count=4)


def test_tangents_in_bfloat16_and_values_in_float32():
    generator = load_generator("digiface64")
    exact = perceptual_path_length(generator, count=12, trim=0.0)
    low = perceptual_path_length(
        generator, count=12, trim=0.0, rendering=Rendering(precision="bfloat16")
    )
    assert low.mean == pytest.approx(exact.mean, rel=0.01)
    torch.testing.assert_close(low.values, exact.values, rtol=0.02, atol=0.0)
    # Rounded indeed, or the precision would not have reached the convolutions.
    assert float((low.values / exact.values - 1).abs().max()) > 1e-4
    assert low.precision == "bfloat16"
    net = nn.Conv2d(3, 2, 3).double()
    x, t = torch.randn(2, 1, 3, 5, 5, generator=torch.Generator().manual_seed(0)).double()
    found = directional(net, x, t, precision="bfloat16")
    assert found.derivative.dtype == torch.float64
    torch.testing.assert_close(found.value, net(x).detach())


@pytest.mark.slow
def test_exact_limit_on_digiface64_within_a_percent():
    generator = load_generator("digiface64")
    exact = perceptual_path_length(generator, count=96)
    finite = perceptual_path_length(generator, count=96, epsilon=1e-4)
    assert exact.mean == pytest.approx(finite.mean, rel=0.01)
