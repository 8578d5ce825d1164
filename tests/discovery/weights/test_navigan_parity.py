"""Changes of a convolution against numbers of the official code (navigan)."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import conv2d

from directions.generators.base import Generator
from directions.planted.world import planted
from directions.weight_space import WeightBasis
from discovery.weights.weight_hessian import leading_changes
from discovery.weights.weight_svd import singular_basis
from tests.parity import fixture


@pytest.fixture(scope="module")
def official():
    return load_file(fixture("learned_navigan") / "reference.safetensors")


def near(got, expected):
    bound = 1e-5 * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(got, expected, rtol=0, atol=bound)


def stepped(basis, coefficients, tensors):
    """The change of each sample: a combination of changes, scaled to a length."""
    made = basis.combined(coefficients[tensors["directions"]])
    lengths = made.flatten(1).norm(dim=1)
    return made * (tensors["shifts"] / lengths).reshape(-1, 1, 1, 1, 1)


def convolved(delta, tensors):
    """The modulated convolution of each sample with its own weight."""
    weight = (tensors["weight"][0] + delta) / math.sqrt(tensors["weight"][0, 0].numel())
    style = tensors["style"] @ tensors["modulation.w"].T + tensors["modulation.b"]
    scaled = weight * style[:, None, :, None, None]
    scaled = scaled * (scaled.square().sum((2, 3, 4), True) + 1e-8).rsqrt()
    pairs = zip(tensors["x"], scaled, strict=True)
    return torch.cat([conv2d(x[None], w, padding=1) for x, w in pairs])


def test_combinations_of_given_changes(official):
    shape = tuple(official["weight"].shape[1:])
    basis = WeightBasis("conv", shape, 4, {"added": official["basis"][:, 0]})
    delta = stepped(basis, official["fixed.direction_to_basis_coefs"], official)
    near(delta, official["fixed.weight_delta"])
    near(convolved(delta, official), official["fixed.out"])


class Convolution(Generator):
    """A weight and nothing else, or images that are a root of a quadratic form in it."""

    name, image_shape, fingerprint = "convolution", (1, 1, 12), "0" * 64

    def __init__(self, weight, root=None):
        self.spaces, self.weight, self.root = (
            planted(dim=4, factors=1, nuisances=0).spaces,
            weight,
            root,
        )

    def synthesize(self, codes, space="z"):
        return (self.weight.flatten() @ self.root).expand(len(codes), 1, 1, 12)

    @property
    def tunable(self):
        return {"conv": self.weight}

    def with_weights(self, weights, *, name=None):
        return Convolution(weights["conv"], self.root)


def test_combinations_of_singular_directions(official):
    basis, _ = singular_basis(Convolution(official["weight"][0]), "conv", 8)
    coefficients = official["svd.direction_to_eigenvalues_delta"]
    delta = stepped(basis, coefficients, official)
    near(delta, official["svd.weight_delta"])
    near(convolved(delta, official), official["svd.out"])


def test_leading_eigenvectors_of_a_hessian(official):
    values, axes = torch.linalg.eigh(official["power.hessian"].double())
    root = (axes * values.clamp_min(0).sqrt()).float()
    generator = Convolution(torch.zeros(3, 4, 1, 1), root)
    codes = torch.zeros(2, 4)
    found = leading_changes(generator, "conv", codes, lambda x: x.flatten(1), 3, batch=1, seed=0)
    for name in ("power.true", "power.found_unit"):
        cosines = (found.vectors.float() * official[name]).sum(1).abs()
        torch.testing.assert_close(cosines, torch.ones(3), rtol=0, atol=1e-2)
