"""Files of curved paths: what is loaded moves codes as what was saved, and nothing else loads."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from directions import Calibration, LatdirError
from directions.paths.base import KINDS, load_path
from directions.paths.instance import InstancePath
from directions.planted.world import planted
from discovery.steerability.walks import Walks
from discovery.supervised.gradient import Gradient
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


def rewritten(file, target, *, tensors=None, **changes):
    with safe_open(file, framework="pt") as opened:
        held = {k: opened.get_tensor(k) for k in opened.keys()}  # noqa: SIM118
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
    # Where shapes are enforced, as in tests, the annotations are first to say so.
    fit = r"they must be \[d\], \[h, d\], \[h\] and \[d, h\]|make no neural_walk path"
    with pytest.raises(LatdirError, match=fit):
        load_path(rewritten(file, target, tensors={"w": torch.ones(3)}))
    with pytest.raises(LatdirError, match="its contents make no neural_walk path"):
        load_path(rewritten(file, target, config={"name": "red"}))
    config = {**red.stored().config, "speed": "fast"}
    with pytest.raises(LatdirError, match="could not convert string to float: 'fast'"):
        load_path(rewritten(file, target, config=config))
    target.write_bytes(file.read_bytes()[:100])
    with pytest.raises(LatdirError, match="is not a readable path file"):
        load_path(target)
