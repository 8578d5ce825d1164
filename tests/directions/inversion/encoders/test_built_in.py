"""The built-in encoder: better than ridge as a start, for its own generator only."""

import pytest
import torch

from directions import load_encoder, load_generator, zoo
from directions.errors import CheckpointError, LatdirError
from directions.inversion import find_solver, invert, psnr
from directions.inversion.encoders import built_in_encoder
from directions.inversion.fitted import fitted
from tests.directions.inversion.tuning.test_pivotal import style_generator
from tests.directions.inversion.worlds import linear, pair


def test_it_makes_codes_in_one_pass() -> None:
    encoder = load_encoder("digiface64")
    generator = encoder.generator
    images = generator.synthesize(generator.sample(32, seed=4242))
    made = generator.synthesize(encoder.encode(images))
    assert 21.0 < float(psnr(made, images).mean()) < 23.0  # 21.7 on 256 images, ridge 19.1
    assert zoo.file("digiface64/encoder").stat().st_size < 8e6


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


def test_others_have_none() -> None:
    world = linear()
    assert built_in_encoder(style_generator()) is None
    with pytest.raises(LatdirError, match="no encoder of linear is built in"):
        invert(world, pair(world, 1)[1], start="encoder")
    with pytest.raises(CheckpointError, match=r"is an encoder of digiface64 .*, not of linear"):
        load_encoder("digiface64", generator=world)


@pytest.mark.slow
def test_it_is_better_than_ridge() -> None:
    generator = load_generator("digiface64")
    images = generator.synthesize(generator.sample(128, seed=4242))
    ridge = fitted(generator, space="z").predicted(images)
    codes = load_encoder("digiface64").encode(images)
    with torch.no_grad():
        gain = psnr(generator.synthesize(codes), images) - psnr(generator.synthesize(ridge), images)
    assert float(gain.mean()) > 1.7
