"""Every method in every latent space of a style-based generator."""

from functools import cache

import pytest
import torch
from torch import Tensor

from directions.classifiers.base import Attribute, Classifier
from directions.generators.stylegan.generator import StyleGenerator
from discovery.registry import METHODS, find_method
from discovery.sampling.samples import Samples
from tests.styles import small_stylegan2

SPACES = ("z", "w", "w+", "s", "p", "pn", "pn+")

SETTINGS = {
    "gradient": {"n_codes": 16},
    "latent2im": {"n_codes": 8, "steps": 2, "batch_size": 4},
    "active_subspace": {"n_codes": 16, "n_directions": 2},
    "pca": {"n_directions": 4, "n_codes": 4096},
    "feature_regression": {"n_directions": 3, "n_codes": 96},
    "global_basis": {"n_directions": 3, "n_codes": 2},
    "local_basis": {"n_directions": 3},
    "region": {"region": "0,0,8,16", "n_directions": 3, "n_codes": 2},
    "orojar": {"n_directions": 3, "n_codes": 2, "steps": 2},
    "hessian_penalty": {"n_directions": 3, "n_codes": 2, "steps": 2},
    "voynov_babenko": {"n_directions": 3, "n_codes": 8, "steps": 2, "batch_size": 2},
    "warped_gan_space": {"n_directions": 3, "n_codes": 8, "steps": 2, "batch_size": 2, "pairs": 2},
    "potential_flow": {"n_directions": 3, "n_codes": 8, "steps": 2, "batch_size": 2, "hidden": 2},
    "decurved": {"n_directions": 3, "n_codes": 8, "steps": 2, "batch_size": 2, "hidden": 4},
    "disco": {"n_directions": 2, "n_codes": 8, "steps": 2, "batch_size": 8},
    "latent_clr": {"n_directions": 3, "steps": 2, "batch_size": 2},
    "random_directions": {"n_directions": 3},
    "walks": {"transforms": "red", "steps": 3},
    "stylespace": {"positives": 8, "n_codes": 64, "verify": 2, "n_directions": 2, "candidates": 4},
    "local_channels": {"region": "0,0,8,16", "n_directions": 3, "n_codes": 2},
}


class Halves(Classifier):
    """Brightness of the upper half, and redness."""

    name = "halves"
    fingerprint = "3" * 64
    attributes = (Attribute("top"), Attribute("red"))
    differentiable = True

    def __call__(self, images: Tensor) -> Tensor:
        return torch.stack([images[:, :, :8].mean((1, 2, 3)), images[:, 0].mean((1, 2))], 1)


@cache
def generator() -> StyleGenerator:
    return small_stylegan2()


@cache
def samples(space: str) -> Samples:
    codes = generator().sample(400, seed=0, space=space)
    with torch.no_grad():
        scores = Halves()(generator().synthesize(codes, space))
    return Samples(
        codes,
        scores,
        Halves.attributes,
        space,
        generator().name,
        generator().fingerprint,
        "halves",
        Halves.fingerprint,
        seed=0,
    )


# Every method that takes a space but those of texts and of weights, which refuse one; without an
# entry in SETTINGS, as it is.
SPACED = [
    name
    for name in METHODS
    if "space" in find_method(name).__dataclass_fields__
    and "text" not in find_method(name).needs
    and not name.startswith("weight_")
]


def test_settings_are_for_methods_with_a_space() -> None:
    assert set(SETTINGS) <= set(SPACED)


@pytest.mark.parametrize("name", SPACED)
def test_directions_of_every_space_move_its_codes(name: str) -> None:
    for space in SPACES:
        method = find_method(name)(space=space, **SETTINGS.get(name, {}))
        given = {"generator": generator()}
        if "classifier" in method.needs:
            given["classifier"] = Halves()
        bank = method.discover(**given)
        bank.check(generator())
        codes = generator().sample(2, seed=1, space=space)
        assert len(bank) > 0
        for direction in bank.directions:
            assert direction.space == space
            assert direction.vector.shape == generator().space(space).shape
            assert direction.sigma == pytest.approx(
                generator().prior(space).sigma(direction.vector), rel=0.15
            )
            moved = direction.shift(codes, 1.0)
            with torch.no_grad():
                change = generator().synthesize(moved, space) - generator().synthesize(codes, space)
            assert float(change.abs().max()) > 0


@pytest.mark.parametrize("space", SPACES)
def test_boundaries_of_every_space_tell_fresh_codes_apart(space: str) -> None:
    bank = find_method("boundary")(bootstrap=0).discover(samples(space))
    codes = generator().sample(256, seed=9, space=space)
    with torch.no_grad():
        scores = Halves()(generator().synthesize(codes, space))
    for k, direction in enumerate(bank.directions):
        pair = torch.stack([direction.level(codes), scores[:, k]])
        assert float(torch.corrcoef(pair)[0, 1]) > 0.7


def test_sefa_acts_on_the_layers_it_was_asked_for() -> None:
    sefa = find_method("sefa")(layers="2,4", n_directions=2)
    direction = sefa.discover(generator()).directions[0]
    ws = generator().sample(1, seed=0, space="w+")
    changed = (direction.shift(ws, 1.0) - ws).abs().sum((0, 2)).nonzero().flatten()
    assert changed.tolist() == [2, 4]
