"""Files of curved paths: what is loaded moves codes as what was saved, and nothing else loads."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from directions import Calibration, LatdirError
from directions.paths.base import KINDS, load_path
from directions.paths.code_gradient import CodeGradientPath, Readout
from directions.paths.flows.coordinate import CoordinatePath
from directions.paths.flows.couplings import Couplings
from directions.paths.flows.flow import FlowPath
from directions.paths.instance import InstancePath
from directions.paths.mapper import MapperPath, perceptron
from directions.paths.neural_walk import NeuralWalk
from directions.paths.potential import Potential, PotentialPath
from directions.paths.unit_step import UnitStepPath
from directions.paths.warp import WarpPath
from directions.planted.world import planted
from discovery.steerability.walks import Walks
from discovery.supervised.gradient import Gradient
from tests.unchecked import unchecked
from tests.worlds import world


@pytest.fixture(scope="module")
def walk():
    generator = planted(factors=3, dim=12, nuisances=3, size=8)
    return generator, Walks(transforms="red", steps=20).bend(generator)["red"]


@pytest.fixture(scope="module")
def instance():
    generator = world("everything")
    classifier = generator.classifier()
    bank = Gradient(n_codes=64).discover(generator, classifier=classifier)
    own = InstancePath(generator, classifier, bank, "factor_0", ("factor_1",), 0.4, 0.5)
    return generator, classifier, own


def test_a_neural_walk_moves_codes_as_before(walk, tmp_path):
    generator, red = walk
    file = red.save(tmp_path / "red.path.safetensors")
    again = load_path(file, generator=generator)
    codes = generator.sample(5, seed=3)
    assert torch.equal(again.shift(codes, 1.5), red.shift(codes, 1.5))
    assert torch.equal(again.shift(codes, 0.1, unit=red.unit), red.shift(codes, 0.1, unit=red.unit))
    assert (again.name, again.space, again.explained) == ("red", "z", red.explained)
    assert again.save(tmp_path / "twice").read_bytes() == file.read_bytes()


def test_an_instance_path_takes_its_networks_and_moves_codes_as_before(instance, tmp_path):
    generator, classifier, own = instance
    file = own.save(tmp_path / "path.safetensors")
    again = load_path(file, generator=generator, classifier=classifier)
    codes = generator.sample(3, seed=3)
    assert torch.equal(again.shift(codes, -1.2), own.shift(codes, -1.2))
    assert not torch.equal(again.shift(codes, 1.0), own.direction.shift(codes, 1.0))
    with pytest.raises(LatdirError, match="give load_path both, generator=… and classifier=…"):
        load_path(file, generator=generator)
    with pytest.raises(LatdirError, match=r"was made with planted .* not planted"):
        load_path(file, generator=generator, classifier=world("everything", seed=1).classifier())


def test_an_instance_path_has_its_directions_units(instance):
    generator, _, own = instance
    codes = generator.sample(3, seed=3)
    sigma = own.direction.sigma
    by_length = own.shift(codes, 1.5 * sigma, unit="latent")
    torch.testing.assert_close(own.shift(codes, 1.5), by_length)
    scale = Calibration("factor_0", "metres", per_sigma=3.0, low=-3.0, high=3.0)
    calibrated = own.bank.replaced(
        d.evolve(calibration=scale) if d.name == "factor_0" else d for d in own.bank.directions
    )
    metric = InstancePath(
        generator, own.classifier, calibrated, "factor_0", ("factor_1",), 0.4, 0.5
    )
    torch.testing.assert_close(own.shift(codes, 1.5), metric.shift(codes, 4.5, unit="metres"))
    with pytest.raises(LatdirError, match="has no unit 'metres'"):
        own.shift(codes, 1.0, unit="metres")


def test_every_kind_is_where_the_table_says():
    import importlib

    for kind, location in KINDS.items():
        module, _, name = location.partition(":")
        assert getattr(importlib.import_module(module), name).kind == kind


def rewritten(file, target, *, tensors=None, without=None, **changes):
    with safe_open(file, framework="pt") as opened:
        held = {k: opened.get_tensor(k) for k in opened.keys() if k != without}  # noqa: SIM118
        header = json.loads(opened.metadata()["manifest"])
    header |= changes
    save_file({**held, **(tensors or {})}, target, metadata={"manifest": json.dumps(header)})
    return target


def test_refusals(walk, tmp_path):
    generator, red = walk
    file, target = red.save(tmp_path / "red"), tmp_path / "broken"
    with pytest.raises(LatdirError, match="there is no path file"):
        load_path(tmp_path / "nowhere")
    with pytest.raises(LatdirError, match=r"was made for planted .* not for planted"):
        load_path(file, generator=planted(factors=3, dim=12, seed=1))
    bank = Gradient(n_codes=8).discover(generator, classifier=generator.classifier())
    with pytest.raises(LatdirError, match=r"not 'latdir\.path'; DirectionBank\.load reads it"):
        load_path(bank.save(target))
    with pytest.raises(
        LatdirError,
        match=r"is a path of format version 2; .*pip install --upgrade",
    ):
        load_path(rewritten(file, target, version=2))
    with pytest.raises(LatdirError, match="holds a path of kind 'os:system', and there are"):
        load_path(rewritten(file, target, kind="os:system"))
    with pytest.raises(LatdirError, match=r"w is not finite float32"):
        load_path(rewritten(file, target, tensors={"w": torch.full((12,), torch.nan)}))
    fit = r"they must be \[d\], \[h, d\], \[h\] and \[d, h\]"
    with unchecked(), pytest.raises(LatdirError, match=fit):
        load_path(rewritten(file, target, tensors={"w": torch.ones(3)}))
    target.write_bytes(file.read_bytes()[:100])
    with pytest.raises(LatdirError, match="is not a readable path file"):
        load_path(target)


NONE = torch.zeros(2)
OWNER = ("toy", "0" * 64)
FLOW = Couplings.started(2, 0, hidden=3, layers=2, seed=0)
READOUT = Readout(torch.eye(2), torch.zeros(3, 2), torch.zeros(3), torch.ones(2, 3))
LAYERS = (torch.eye(2), torch.ones(2, 2)), (NONE, NONE + 1)
EXAMPLES = {
    "clip_mapper": MapperPath(
        "a", "z", (2,), ((0, 1),), (perceptron([2, 3, 2]).requires_grad_(False),), 1.0, 1.0, *OWNER
    ),
    "code_gradient": CodeGradientPath(
        "a", "z", ("a", "b"), True, 1.0, 1.0, 1.0, "m", NONE, READOUT, *OWNER
    ),
    "coordinate": CoordinatePath(
        "a", "z", 1, 1.0, 2.0, NONE, torch.eye(2), torch.eye(2), FLOW, *OWNER, {"m": 2.0}
    ),
    "flow": FlowPath(
        "a", "z", ("a",), "m", 1.0, 2.0, torch.zeros(3), torch.eye(3), torch.eye(3),
        Couplings.started(2, 1, hidden=3, layers=2, seed=0), *OWNER,
    ),
    "neural_walk": NeuralWalk(
        "a", "m", "z", NONE + 1, torch.ones(3, 2), torch.zeros(3), torch.ones(2, 3), 1.0, 2.0, 0.5,
        *OWNER,
    ),
    "potential": PotentialPath(
        "a", "z", 2.0, 1.0, 3.0, 2.0, NONE,
        Potential(torch.ones(3, 2), torch.zeros(3), torch.ones(3, 4), torch.ones(3)), *OWNER,
    ),
    "unit_step": UnitStepPath("a", "z", 2.0, *LAYERS, *OWNER),
    "warp": WarpPath(
        "a", "z", 2.0, 1.0, 0.5, NONE, torch.ones(3, 2), torch.ones(3), *OWNER
    ),
}  # fmt: skip


def test_every_kind_has_an_example():
    assert {"instance", "geodesic", *EXAMPLES} == {*KINDS}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_path_is_the_same_after_its_file(kind, tmp_path):
    path = EXAMPLES[kind]
    again = load_path(path.save(tmp_path / "path"))
    codes = torch.linspace(-1, 1, 6).reshape(2, -1) if kind == "flow" else torch.eye(2)
    assert type(again) is type(path)
    assert torch.equal(again.shift(codes, 1.5), path.shift(codes, 1.5))
    assert again.save(tmp_path / "twice").read_bytes() == (tmp_path / "path").read_bytes()
    with pytest.raises(LatdirError, match="'a' moves codes of"):
        path.shift(torch.zeros(2, 7), 1.0)
    with pytest.raises(LatdirError, match="'a' has no unit 'parsec': use sigma, latent"):
        path.shift(codes, 1.0, unit="parsec")


@pytest.mark.parametrize("kind", EXAMPLES)
def test_any_damage_to_a_file_is_one_error(kind, tmp_path):
    path, target = EXAMPLES[kind], tmp_path / "broken"
    file, held = path.save(tmp_path / "path"), path.stored()
    config = json.loads(json.dumps(dict(held.config)))
    says = r"broken is broken: setting {}\S*: .+; take a fresh copy"
    for name in config:
        for wrong in ({}, {name: None}, {name: [[]]}, {name: {"a": "b"}}):
            changed = {**{n: v for n, v in config.items() if n != name}, **wrong}
            with pytest.raises(LatdirError, match=says.format(name)):
                load_path(rewritten(file, target, config=changed))
    with pytest.raises(LatdirError, match=says.format("more")):
        load_path(rewritten(file, target, config={**config, "more": 1}))
    says = "broken is broken: tensor {}: {}; take a fresh copy"
    with pytest.raises(LatdirError, match=says.format("more", "there is only .*")):
        load_path(rewritten(file, target, tensors={"more": torch.ones(1)}))
    for name, tensor in held.tensors.items():
        with pytest.raises(LatdirError, match=says.format(name, "it has shape .* axes")):
            load_path(rewritten(file, target, tensors={name: tensor[None].contiguous()}))
        with pytest.raises(
            LatdirError, match=says.format("[a-z0-9.]+", "(it is missing|there is .*)")
        ):
            load_path(rewritten(file, target, without=name))
        wide = torch.ones([n + 1 for n in tensor.shape])
        with unchecked(), pytest.raises(LatdirError, match=r"shapes|follow on each other"):
            load_path(rewritten(file, target, tensors={name: wide}))


def test_damage_to_the_file_of_an_instance_path_is_one_error(instance, tmp_path):
    generator, classifier, own = instance
    file, target, config = own.save(tmp_path / "path"), tmp_path / "broken", own.stored().config
    for changes, says in (
        (
            {"config": {**config, "weight": "some"}},
            "setting weight: Input should be a valid number",
        ),
        ({"config": {**config, "sigmas": [1.0]}}, "setting sigmas: there are 1 for 2 names"),
        ({"tensors": {"vector.1": torch.ones(2, 2)}}, r"tensor vector.1: it has shape \[2, 2\]"),
        ({"without": "vector.1"}, "tensor vector.1: it is missing"),
    ):
        changed = rewritten(file, target, **changes)
        with pytest.raises(LatdirError, match=f"broken is broken: {says}"):
            load_path(changed, generator=generator, classifier=classifier)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_defect_of_ours_is_not_reported_as_a_damaged_file(kind, tmp_path, monkeypatch):
    file = EXAMPLES[kind].save(tmp_path / "path")
    for planted_bug in (AttributeError, KeyError, TypeError, ValueError):

        def fails(path, bug=planted_bug):
            raise bug("planted")

        monkeypatch.setattr(type(EXAMPLES[kind]), "__post_init__", fails)
        with pytest.raises(planted_bug, match="planted"):
            load_path(file)
