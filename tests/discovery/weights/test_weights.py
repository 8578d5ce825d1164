"""Methods that find directions in weights, on a weight whose directions are known."""

import pytest
import torch

from directions.errors import LatdirError, UnknownNameError
from directions.generators.base import Generator
from directions.numerics.linearized import linearize
from directions.planted.weights import PlantedWeights
from directions.planted.world import planted
from directions.scoring.features import pixel_features
from directions.weight_space import WeightDirection
from discovery import WeightContrast, WeightHessian, WeightSVD
from discovery.weights.changes import chosen_weight
from discovery.weights.weight_hessian import leading_changes
from tests.directions.inversion.tuning.test_pivotal import dcgan, style_generator


def world() -> PlantedWeights:
    return PlantedWeights.of(
        planted(factors=3, dim=8, nuisances=2, gains=(5.0, 4.0, 3.0, 2.0, 1.0))
    )


def changes(bank) -> torch.Tensor:
    """The unit changes of the weight that directions stand for."""
    made = []
    for direction in bank.directions:
        assert isinstance(direction, WeightDirection)
        made.append(direction.basis.combined(direction.amounts[None])[0].flatten())
    return torch.nn.functional.normalize(torch.stack(made), dim=1)


def test_singular_directions_are_the_planted_ones_in_order():
    generator = world()
    found = changes(WeightSVD(n_directions=5).discover(generator))
    truth = torch.stack([generator.change(j).flatten() for j in range(5)])
    torch.testing.assert_close((found * truth).sum(1).abs(), torch.ones(5), rtol=0, atol=1e-3)


def test_the_hessian_finds_the_largest_changes_in_order():
    generator = world()
    bank = WeightHessian(n_directions=5, n_codes=8, batch_size=3).discover(generator)
    h = generator._inputs.sum(0)
    truth = (torch.eye(5)[:, :, None] * h / h.norm()).flatten(1)
    cosines = (changes(bank) * truth).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(5), rtol=0, atol=2e-3)


@pytest.mark.parametrize("make", [dcgan, style_generator])
def test_products_are_those_of_the_jacobian_in_the_weight(make):
    generator: Generator = make()
    weight = chosen_weight(generator, None)
    own, codes = generator.tunable[weight], generator.sample(3, seed=0)

    def seen(change: torch.Tensor) -> torch.Tensor:
        made = generator.with_weights({weight: own + change[0]}).synthesize(codes)
        return pixel_features(made).flatten()[None] / 3**0.5

    model = linearize(seen, torch.zeros_like(own))
    found = leading_changes(generator, weight, codes, pixel_features, 2, batch=2, seed=0)
    vectors = found.vectors.reshape(2, *own.shape).float()
    assert model.push(vectors).flatten(1).square().sum(1).tolist() == pytest.approx(
        found.values.tolist(), rel=0.05
    )
    pulled = model.pull(model.push(vectors)).flatten(1)
    off = (pulled - found.values[:, None].float() * vectors.flatten(1)).norm(dim=1)
    assert (off / found.values < 0.25).all()


def test_trained_directions_are_orthonormal_and_in_order():
    method = WeightContrast(
        n_directions=2, n_changes=5, steps=4, n_codes=32, batch_size=8, basis="svd"
    )
    bank = method.discover(world())
    rows = torch.stack([direction.amounts for direction in bank.directions])
    torch.testing.assert_close(rows @ rows.T, torch.eye(2), rtol=0, atol=1e-4)
    accuracy = [direction.evidence["accuracy"] for direction in bank.directions]
    assert accuracy == sorted(accuracy, reverse=True)


@pytest.mark.slow
def test_trained_directions_are_told_apart():
    method = WeightContrast(n_directions=3, n_changes=5, steps=200, n_codes=256, basis="svd")
    bank = method.discover(world())
    assert min(direction.evidence["accuracy"] for direction in bank.directions) > 0.9


def test_one_sigma_changes_images_as_a_step_of_the_code_does():
    generator = dcgan()
    bank = WeightSVD(n_directions=2).discover(generator)
    codes = generator.sample(64, seed=7)
    drawn = torch.randn(codes.shape, generator=torch.Generator().manual_seed(1))
    steps = torch.nn.functional.normalize(drawn, dim=1)
    before = generator.synthesize(codes)
    moved = (generator.synthesize(codes + steps) - before).square().mean()
    for direction in bank.directions:
        edited = direction.applied(generator, 1.0)
        change = (edited.synthesize(codes) - before).square().mean()
        assert 0.5 < float(change / moved) < 2


def test_what_cannot_be_found_is_refused():
    generator = world()
    with pytest.raises(UnknownNameError, match="no weight 'mixin': did you mean 'mixing'"):
        WeightSVD(weight="mixin").discover(generator)
    with pytest.raises(LatdirError, match="has 5 singular directions: lower 6 to 5"):
        WeightSVD(n_directions=6).discover(generator)
    with pytest.raises(LatdirError, match="has 60 numbers"):
        WeightHessian(n_directions=61).discover(generator)
    with pytest.raises(LatdirError, match="changes no image of planted: lower n_directions to 5"):
        WeightHessian(n_directions=6, n_codes=4).discover(generator)
    with pytest.raises(LatdirError, match="planted has no weights that can be tuned"):
        WeightSVD().discover(planted())
    with pytest.raises(LatdirError, match="moves no codes: give weight="):
        WeightContrast(space="z")
    with pytest.raises(LatdirError, match="raise n_changes to 20"):
        WeightContrast(n_changes=10)
