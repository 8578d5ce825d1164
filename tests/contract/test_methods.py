"""What every registered method must do: find what was planted, sorted, and the same again."""

from dataclasses import dataclass, field, replace
from functools import cache

import pytest
import torch

from directions.errors import LatdirError
from directions.generators import load_generator
from directions.planted.weights import PlantedWeights
from directions.planted.world import PlantedGenerator
from discovery.registry import METHODS, find_method
from discovery.teaching.answers import Answers
from discovery.weights.weight_contrast import WeightContrast
from tests.worlds import labeled

FACTORS, DIM = 3, 12


@cache
def generator():
    """Orthogonal factors and nuisances of falling strength, spread falling with them."""
    rng = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(DIM, DIM, generator=rng))[0].T.contiguous()
    spread = torch.tensor([2.0, 1.7, 1.4, 1.1, 0.8, *[0.3] * (DIM - 5)])
    return PlantedGenerator(
        axes[:FACTORS],
        bends=axes[:FACTORS],
        nuisances=axes[FACTORS:5],
        covariance=(axes.T * spread.square()) @ axes,
        gains=(5.0, 4.0, 3.0, 2.0, 1.0),
        size=8,
    )


@cache
def inputs():
    classifier = generator().classifier()
    samples = labeled(generator(), classifier, 2000)
    labels = replace(samples, scores=(samples.scores > 0).float())
    answers = Answers.from_samples(labels, "factor_1")
    models = {"generator": generator(), "classifier": classifier}
    return {"samples": samples, "answers": answers, **models}


@dataclass(frozen=True)
class Case:
    """Settings under which a method finds every factor of `generator`.

    Attributes:
        settings: Of the method.
        cosine: How near each factor some direction must come; None where there is no truth.
        ordered: Evidence that falls from one direction to the next; none where names order them.
    """

    settings: dict = field(default_factory=dict)
    cosine: float | None = 0.99
    ordered: str | None = "eigenvalue"


CASES = {
    "boundary": Case({"bootstrap": 0}, ordered=None),
    "conditional_mean": Case(ordered=None),
    "conditional_flow": Case({"steps": 60, "hidden": 16}, ordered=None),
    "grad_ctrl": Case({"steps": 60}, ordered=None),
    "plugen": Case({"steps": 60, "hidden": 16}, ordered=None),
    "gradient": Case({"n_codes": 64}, ordered=None),
    "latent2im": Case({"n_codes": 64, "steps": 60, "rate": 1.0}, ordered=None),
    "active_subspace": Case({"n_codes": 64, "n_directions": 1}, ordered=None),
    # Of one attribute: its own tests hold it to an angle.
    "teach": Case({"features": "pixels", "n_codes": 256}, cosine=None, ordered=None),
    "pca": Case({"n_directions": 5, "n_codes": 20_000}),
    "sefa": Case({"n_directions": 5, "normalize": False}),
    # Its own tests hold it to planted directions.
    "feature_regression": Case({"n_directions": 5, "n_codes": 256}, cosine=None, ordered="share"),
    # It needs a layer of pictures, which no planted generator has: its own tests plant one.
    "transforms": Case({"n_codes": 256, "transforms": "zoom"}, cosine=None, ordered=None),
    "walks": Case(
        {"transforms": "red,green,blue", "steps": 60, "reach": 0.15}, cosine=0.95, ordered=None
    ),
    "global_basis": Case({"n_directions": 5, "n_codes": 8}),
    "local_basis": Case({"n_directions": 5}, ordered="singular_value"),
    "region": Case({"region": "0,0,8,8", "n_directions": 5, "n_codes": 8, "solver": "alone"}),
    # Their channels are coordinates, which no rotated factor is: their own tests plant some.
    "stylespace": Case({"n_codes": 200, "verify": 4}, cosine=None, ordered=None),
    "local_channels": Case(
        {"region": "0,0,8,4", "n_directions": 5, "n_codes": 4, "active": 1.0},
        cosine=None,
        ordered="inside",
    ),
    "orojar": Case({"n_directions": 5, "n_codes": 8}),
    "hessian_penalty": Case({"n_directions": 5, "n_codes": 8, "steps": 20}, cosine=0.95),
    # What can be told apart is a subspace, which their own tests hold them to.
    "voynov_babenko": Case(
        {"n_directions": 5, "n_codes": 64, "steps": 4}, cosine=None, ordered="accuracy"
    ),
    "warped_gan_space": Case(
        {"n_directions": 5, "n_codes": 64, "steps": 4, "pairs": 4}, cosine=None, ordered="accuracy"
    ),
    "potential_flow": Case(
        {"n_directions": 5, "n_codes": 64, "steps": 4, "hidden": 4},
        cosine=None,
        ordered="accuracy",
    ),
    "decurved": Case(
        {"n_directions": 5, "n_codes": 64, "steps": 4, "hidden": 8},
        cosine=None,
        ordered="accuracy",
    ),
    "disco": Case(
        {"n_directions": 5, "n_codes": 64, "steps": 4, "batch_size": 8},
        cosine=None,
        ordered="accuracy",
    ),
    "latent_clr": Case({"n_directions": 5, "steps": 4}, cosine=None, ordered="accuracy"),
    # Of weights, whose truth their own tests plant.
    "weight_svd": Case({"n_directions": 5}, cosine=None, ordered="singular_value"),
    "weight_hessian": Case({"n_directions": 5, "n_codes": 4}, cosine=None),
    "weight_contrast": Case(
        {"n_directions": 5, "n_changes": 5, "n_codes": 16, "steps": 2, "basis": "svd"},
        cosine=None,
        ordered="accuracy",
    ),
    "random_directions": Case({"n_directions": 5}, cosine=None, ordered=None),
}


@pytest.fixture(autouse=True)
def few_judged(monkeypatch):
    """Each of its moves has weights of its own."""
    monkeypatch.setattr(WeightContrast, "held_out", (8, 2))


def case_of(name):
    """A method without a case is run as it is; what it finds is then its own test's business."""
    return CASES.get(name, Case(cosine=None, ordered=None))


def discovered(name):
    if "text" in find_method(name).needs:
        pytest.skip("methods of texts are held to the same in test_clip_text.py")
    method = find_method(name)(**case_of(name).settings)
    given = {need: inputs()[need] for need in method.needs}
    if name == "transforms":
        given["generator"] = load_generator("digiface64")
    if name.startswith("weight_"):
        given["generator"] = PlantedWeights.of(generator())
    return method, method.discover(**given)


@pytest.mark.parametrize("name", METHODS)
def test_what_was_planted_is_found_in_order(name):
    method, bank = discovered(name)
    case = case_of(name)
    for direction in bank.directions:
        assert direction.method == method.method
        seed = {"seed": 0} if {"samples", "answers"} & set(method.needs) else {}
        assert dict(direction.config) == {**method.config, **seed}
    if name.startswith("weight_"):
        assert {d.sigma for d in bank.directions} == {1.0}
    elif name != "transforms":
        bank.check(generator())
        spread = [generator().prior().sigma(d.vector) for d in bank.directions]
        assert [d.sigma for d in bank.directions] == pytest.approx(spread, rel=0.05)
    if case.cosine is not None:
        nearest = (bank.matrix() @ generator().truth.T).abs().amax(0)
        assert nearest.min() > case.cosine, nearest
    if case.ordered is not None:
        values = [d.evidence[case.ordered] for d in bank.directions]
        assert values == sorted(values, reverse=True)
        assert len(values) == 5


@pytest.mark.parametrize("name", METHODS)
def test_two_runs_are_bit_identical(name):
    (_, first), (_, second) = discovered(name), discovered(name)
    assert list(first) == list(second)
    assert torch.equal(first.matrix(), second.matrix())
    for one, other in zip(first.directions, second.directions, strict=True):
        assert (one.sigma, one.offset) == (other.sigma, other.offset)
        assert dict(one.evidence) == dict(other.evidence)


@pytest.mark.parametrize("name", METHODS)
def test_other_kinds_of_argument_are_named(name):
    method = find_method(name)()
    wrong = inputs()["samples"] if method.needs[0] == "generator" else generator()
    kind = type(method).__name__
    for given in (wrong, "digiface64"):
        with pytest.raises(
            LatdirError, match=rf"^{kind}\(\).discover takes (a generator|labeled|answers)"
        ):
            method.discover(given)
    if "classifier" in method.needs:
        with pytest.raises(LatdirError, match=r"takes a classifier: .*; not 'faces'"):
            method.discover(generator(), classifier="faces")


@pytest.mark.parametrize(
    "name",
    [
        "boundary",
        "conditional_flow",
        "conditional_mean",
        "grad_ctrl",
        "plugen",
        "gradient",
        "latent2im",
        "active_subspace",
        "stylespace",
    ],
)
def test_attributes_are_one_name_or_several(name):
    method = find_method(name)(**CASES[name].settings)
    given = {need: inputs()[need] for need in method.needs}
    bank = method.discover(**given, attributes="factor_1")
    assert {direction.split(".")[0].split(":")[0] for direction in bank} == {"factor_1"}
    with pytest.raises(LatdirError, match="attributes has 'factor_1' twice: leave one out"):
        method.discover(**given, attributes=["factor_1", "factor_1"])
    with pytest.raises(LatdirError, match="no attribute 'wings'"):
        method.discover(**given, attributes="wings")
    with pytest.raises(LatdirError, match="attributes are names such as 'smiling', not 3"):
        method.discover(**given, attributes=[3])
