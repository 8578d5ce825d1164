"""The built-in encoders: better than ridge as a start, for their own generators only."""

import pytest
import torch

from directions import load_encoder, load_generator, zoo
from directions.errors import CheckpointError, LatdirError
from directions.generators.deltas import Deltas
from directions.inversion import find_solver, invert, psnr
from directions.inversion.details import load_details
from directions.inversion.encoders import built_in_encoder
from directions.inversion.fitted import fitted
from directions.inversion.hypernetworks import load_hypernetwork
from tests.directions.inversion.tuning.test_pivotal import style_generator
from tests.directions.inversion.worlds import linear, pair

# PSNR in one pass: on 256 images 23.0, ridge 19.8; 26.2, ridge 22.0.
EXPECTED = {"digiface64": (22.0, 24.0), "styleface64": (25.0, 27.5)}


@pytest.mark.parametrize("name", EXPECTED)
def test_it_makes_codes_in_one_pass(name: str) -> None:
    encoder, (low, high) = load_encoder(name), EXPECTED[name]
    generator, space = encoder.generator, encoder.space
    images = generator.synthesize(generator.sample(16, seed=4242, space=space), space)
    made = generator.synthesize(encoder.encode(images), space)
    assert low < float(psnr(made, images).mean()) < high
    assert zoo.file(f"{name}/encoder").stat().st_size < 8e6
    assert encoder.name == f"{name}/encoder"


def test_it_is_a_start_with_a_metric_and_no_fit() -> None:
    generator = load_generator("digiface64")
    images = generator.synthesize(generator.sample(1, seed=4242))
    solver = find_solver("lbfgs", steps=3)
    found = invert(generator, images, start="encoder", solver=solver, restarts=0)
    assert found.record["encoder"] == "digiface64/encoder"
    encoder = built_in_encoder(generator)
    assert encoder is not None
    assert encoder.metric is not None
    assert encoder.metric.shape == (100, 100)


def test_it_is_a_start_for_tuned_copies_too() -> None:
    generator = load_generator("digiface64")
    key, weight = next(iter(generator.tunable.items()))
    scale = {"scale": torch.full((*weight.shape[:2], 1, 1), 0.01).half()}
    tuned = generator.with_deltas(Deltas("me", "digiface64", generator.fingerprint, {key: scale}))
    images = tuned.synthesize(tuned.sample(1, seed=4242))
    solver = find_solver("levenberg_marquardt", steps=1)
    found = invert(tuned, images, solver=solver, restarts=0)
    assert found.record["encoder"] == "digiface64/encoder"
    assert found.record["fingerprint"] == tuned.fingerprint
    with pytest.raises(LatdirError, match="is an encoder of digiface64, not of linear"):
        invert(linear(), pair(linear(), 1)[1], start=load_encoder("digiface64"), restarts=0)


def test_names_are_corrected() -> None:
    with pytest.raises(LatdirError, match="no built-in encoder 'styleface': did you mean 'stylef"):
        load_encoder("styleface")
    with pytest.raises(LatdirError, match=r"no built-in details 'styleface64'.*64/consultation"):
        load_details("styleface64")
    with pytest.raises(LatdirError, match="no built-in hypernetwork 'digiface64'"):
        load_hypernetwork("digiface64")
    with pytest.raises(CheckpointError, match=r"there is no details file mine\.safetensors"):
        load_details("mine.safetensors")


def test_others_have_none() -> None:
    world = linear()
    assert built_in_encoder(style_generator()) is None
    with pytest.raises(LatdirError, match="no encoder of linear is built in"):
        invert(world, pair(world, 1)[1], start="encoder")
    with pytest.raises(CheckpointError, match=r"is an encoder of digiface64 .*, not of linear"):
        load_encoder("digiface64", generator=world)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("digiface64", 2.9), ("styleface64", 3.5)])
def test_it_is_better_than_ridge(name: str, least: float) -> None:
    encoder = load_encoder(name)
    generator, space = encoder.generator, encoder.space
    images = generator.synthesize(generator.sample(128, seed=4242, space=space), space)
    codes = encoder.encode(images), fitted(generator, space=space).predicted(images)
    with torch.no_grad():
        reached, ridge = (psnr(generator.synthesize(c, space), images) for c in codes)
    assert float((reached - ridge).mean()) > least
