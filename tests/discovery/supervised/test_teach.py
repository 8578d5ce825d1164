"""Directions from answers: an oracle, few answers, spaces that are not isotropic, refusals."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from directions.classifiers.clip.model import load_clip
from directions.errors import BankError, LatdirError, SamplesError, UnknownNameError
from directions.planted.world import PlantedGenerator, planted
from discovery import Answers, Boundary, Samples, Teach
from discovery.teaching.leading import small_pixels
from tests.unchecked import unchecked

WORLD = planted(factors=3, dim=12, size=8, names=("smile", "age", "hat"))
TEACH = Teach(features="pixels", n_codes=512)


def world_of(truth, covariance):
    return PlantedGenerator(
        truth, bends=truth, nuisances=torch.eye(len(covariance))[4:6], covariance=covariance, size=8
    )


def labels(n, world=WORLD, seed=3, factor=0, level=0.4):
    codes = world.sample(n, seed=seed)
    return codes, world.factors(codes)[:, factor] > level


def of(codes, has, world=WORLD):
    return Answers.from_samples(Samples.from_arrays(codes, has.float(), "it", generator=world))


def taught(n, teach=TEACH, world=WORLD, **given):
    codes, has = labels(n, world, **given)
    answers = of(codes, has, world)
    return teach.discover(answers, generator=world)["it"]


@pytest.mark.parametrize("factor", [0, 1, 2])
def test_a_planted_factor_is_found_from_labels(factor):
    found = taught(400, factor=factor)
    assert float(found.vector @ WORLD.truth[factor]) > 0.97
    assert found.sigma == pytest.approx(WORLD.prior().sigma(found.vector))
    assert found.evidence["angle_degrees"] < found.evidence["cone_degrees"] < 30
    assert found.evidence["images"] == 400


def test_the_clip_prior_is_of_the_embeddings_of_clip(monkeypatch):
    asked = []

    def load(name, *, device):
        asked.append((name, device))
        return SimpleNamespace(encode_images=small_pixels)

    monkeypatch.setattr("discovery.teaching.leading.load_clip", load)
    given = Teach(features="clip", n_codes=64, batch_size=64).model(WORLD, "z")
    torch.testing.assert_close(
        given.factor, Teach(features="pixels", n_codes=64, batch_size=64).model(WORLD, "z").factor
    )
    assert asked == [("tinyclip-faces", WORLD.device)]


@pytest.mark.slow
def test_the_clip_prior_is_that_of_the_built_in_model():
    given = Teach(features="clip", n_codes=32).model(WORLD, "z")
    wanted = Teach(embed=load_clip("tinyclip-faces").encode_images, n_codes=32).model(WORLD, "z")
    torch.testing.assert_close(given.factor, wanted.factor)
    codes, has = labels(60)
    bank = Teach(features="clip", n_codes=32).discover(of(codes, has), generator=WORLD)
    assert bank["it"].evidence["features"] == "clip"


def test_many_answers_give_what_ridge_gives():
    codes, has = labels(5000)
    samples = Samples.from_arrays(codes, has.float(), "it", generator=WORLD)
    ridge = Boundary(bootstrap=0, validation=0.0).discover(samples)["it"]
    assert float(taught(5000).vector @ ridge.vector) > 0.999


def test_features_help_where_answers_are_few():
    def cosine(teach):
        found = [taught(40, teach, wide, seed=s).vector @ wide.truth[0] for s in range(6)]
        return float(torch.stack(found).mean())

    g = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(60, 4, generator=g))[0].T.contiguous()
    wide = world_of(axes, torch.eye(60))
    pixels, none = cosine(TEACH), cosine(Teach(features="none"))
    assert pixels > none + 0.1
    embed = cosine(Teach(n_codes=512, embed=lambda images: images.flatten(1)[:, ::3]))
    assert embed > none + 0.1


def test_the_vector_is_where_codes_with_more_of_it_lie():
    g = torch.Generator().manual_seed(1)
    axes = torch.linalg.qr(torch.randn(8, 8, generator=g))[0].T.contiguous()
    spread = torch.tensor([3.0, 0.2, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    covariance = (axes.T * spread.square()) @ axes
    # The factor is read along a diagonal of a wide and a narrow axis.
    factor = (axes[0] + axes[1]) / 2**0.5
    world = world_of(torch.stack([factor]), covariance)
    codes = world.sample(20_000, seed=9)
    high = world.factors(codes)[:, 0] > world.factors(codes)[:, 0].median()
    difference = codes[high].mean(0) - codes[~high].mean(0)
    answers = of(codes[:2000], high[:2000], world)
    found = TEACH.discover(answers, generator=world)["it"]
    assert float(found.vector @ difference / difference.norm()) > 0.99
    assert abs(float(found.vector @ factor)) < 0.85
    assert found.sigma == pytest.approx(world.prior().sigma(found.vector))


def test_coordinates_that_do_not_vary_are_left_alone():
    flat = torch.eye(8)
    flat[7, 7] = 0
    world = world_of(torch.eye(8)[:2], flat)
    assert float(taught(300, world=world).vector[7].abs()) < 1e-6


def test_a_single_click_points_somewhere_and_says_that_it_knows_little():
    codes, _ = labels(64)
    has = torch.zeros(64)
    has[5] = 1
    answers = of(codes, has)
    found = TEACH.discover(answers, generator=WORLD)["it"]
    assert found.evidence["angle_degrees"] > 45
    assert found.evidence["cone_degrees"] > 60
    one = Answers.of("it", WORLD).with_strip(WORLD.truth[0] * 4, "much more")
    strip = TEACH.discover(one, generator=WORLD)["it"]
    assert float(strip.vector @ WORLD.truth[0]) > 0.2
    assert strip.evidence["strips"] == strip.evidence["clicks"] == 1


def test_strips_and_sheets_together_know_more_than_either():
    codes, has = labels(64)
    sheet = of(codes, has)
    strips = Answers.of("it", WORLD)
    for axis in torch.eye(12):
        change = float(axis @ WORLD.truth[0]) * 4
        size = sum(abs(change) > cut for cut in (0.35, 1.0))
        strips = strips.with_strip(axis * 4, size if change > 0 else -size)
    both = strips.with_sheet(codes, has)
    angle = [
        TEACH.discover(a, generator=WORLD)["it"].evidence["angle_degrees"]
        for a in (sheet, strips, both)
    ]
    assert angle[2] < min(angle[:2])


def test_the_cone_holds_on_lessons_of_a_planted_world():
    inside, off = [], []
    for seed in range(40):
        found = taught(60, seed=seed, factor=seed % 3)
        true = float(torch.rad2deg((found.vector @ WORLD.truth[seed % 3]).clamp(-1, 1).acos()))
        inside.append(true < found.evidence["cone_degrees"])
        off.append(found.evidence["angle_degrees"] - true)
    assert np.mean(inside) > 0.85
    assert abs(np.mean(off)) < 8


def test_answers_that_point_nowhere_are_refused():
    codes, _ = labels(64)
    empty = Answers.of("it", WORLD)
    with pytest.raises(SamplesError, match="there are no answers about 'it' yet"):
        TEACH.discover(empty, generator=WORLD)
    for clicked, said in (([], "0 of 64 images have it"), (range(64), "64 of 64 images")):
        answers = empty.with_sheet(codes, list(clicked))
        with pytest.raises(SamplesError, match=f"point nowhere \\({said}"):
            TEACH.discover(answers, generator=WORLD)
    same = empty.with_strip(WORLD.truth[0], "the same")
    with pytest.raises(SamplesError, match=r"point nowhere \(every strip is the same\)"):
        TEACH.discover(same, generator=WORLD)


def test_other_generators_and_features_are_refused():
    answers = of(*labels(64))
    with pytest.raises(BankError, match="answers about 'it' are of images of planted"):
        TEACH.discover(answers, generator=planted(factors=3, dim=12))
    with pytest.raises(LatdirError, match=r"embed is a function from images .* not .*int"):
        Teach(embed=int)
    with (
        unchecked(),
        pytest.raises(UnknownNameError, match=r"no features 'edges': use one of .*clip"),
    ):
        Teach(features="edges")
    constant = Teach(n_codes=64, embed=lambda images: torch.ones(len(images), 2))
    with pytest.raises(LatdirError, match="features of the images do not depend on the codes"):
        constant.discover(answers, generator=WORLD)
