"""Losses against their formulas, and as the cost of an inversion."""

from __future__ import annotations

import pytest
import torch

from directions import LatdirError, invert
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.generators.dcgan import digiface64
from directions.inversion import Objective, Typicality
from directions.inversion.losses import identity_features, network_features, weighted
from directions.scoring.features import pixel_features
from tests.directions.inversion.worlds import bent, pair


def means(images: torch.Tensor) -> torch.Tensor:
    return images.mean((2, 3))


def test_a_weighted_sum_is_the_sum_of_weighted_losses():
    a, b = torch.randn(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    both = weighted((0.5, pixel_features), (2.0, means))
    expected = 0.5 * (a - b).square().mean((1, 2, 3)) + 2 * (means(a) - means(b)).square().sum(1)
    torch.testing.assert_close((both(a) - both(b)).square().sum(1), expected)


def test_layers_of_a_network_are_added_as_means():
    a, b = torch.randn(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    loss = network_features(lambda x: (x**2, x[:, :1]))
    expected = (a**2 - b**2).square().mean((1, 2, 3)) + (a - b)[:, 0].square().mean((1, 2))
    torch.testing.assert_close((loss(a) - loss(b)).square().sum(1), expected)


def test_identity_is_the_cosine_of_centered_embeddings():
    generator = digiface64()
    images = generator.synthesize(generator.sample(12, seed=2))
    found = identity_features(generator)(images)
    raw = torch.nn.functional.normalize(FaceEmbedding()(images), dim=1)
    # Different faces of one generator are told apart only once their mean is gone.
    apart = ~torch.eye(12, dtype=torch.bool)
    assert (raw @ raw.T)[apart].mean() > 0.85
    assert (found @ found.T)[apart].mean().abs() < 0.25
    distances = torch.cdist(found, found).square()
    torch.testing.assert_close(distances, 2 - 2 * found @ found.T, atol=1e-5, rtol=0)


def test_parts_make_the_cost_of_an_inversion_and_its_first_order_model():
    world = bent()
    codes, images = pair(world, 2)
    loss = weighted((1.0, pixel_features), (0.5, network_features(lambda x: (x**2, x.tanh()))))
    target = Objective(world, "z", images, Typicality.of(world, "z"), features=loss)
    start = world.sample(2, seed=9)
    model = target.linearize(start)
    torch.testing.assert_close(model.value.square().sum(1), target.costs(start))
    _, slope = target.gradient(start)
    torch.testing.assert_close(2 * model.pull(model.value), slope, rtol=1e-3, atol=1e-5)
    near = codes + 0.1 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(2))
    found = invert(world, images, features=loss, start=near, solver="levenberg_marquardt")
    torch.testing.assert_close(found.codes, codes, atol=1e-2, rtol=0)


def test_refusals():
    with pytest.raises(LatdirError, match="weighted takes parts"):
        weighted()
    with pytest.raises(LatdirError, match="must be above 0: leave the part out"):
        weighted((0.0, pixel_features))
