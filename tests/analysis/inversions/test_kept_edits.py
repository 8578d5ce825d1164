"""The same edits on inverted and native codes: perfect, useless and degenerate inversions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.stats import t as student

from analysis.inversions import (
    LatentConsistency,
    kept_edits,
    latent_consistency,
    measure_inversion,
)
from directions import Direction, DirectionBank, invert, wrap_classifier
from directions.errors import LatdirError, SpaceError
from directions.inversion import LevenbergMarquardt, Typicality, save_inversion
from directions.planted.weights import PlantedWeights
from directions.planted.world import planted
from tests.analysis.measured import bank_of, true_bank
from tests.styles import small_stylegan2

WORLD = planted(factors=3, dim=8)
NATIVE = WORLD.sample(24, seed=1)
IMAGES = WORLD.synthesize(NATIVE)
# Embeddings that tell the images apart: their pixels.
EMBED = torch.nn.Flatten()


@pytest.fixture(scope="module")
def found():
    return invert(WORLD, IMAGES, start="mean")


def edits_of(inversion, **more):
    return kept_edits(
        inversion, true_bank(WORLD), WORLD.classifier(), native=NATIVE, embed=EMBED, **more
    )


def test_exact_codes_keep_everything(found):
    edits = edits_of(replace(found, codes=NATIVE))
    assert edits.directions == edits.targets == ("factor_0", "factor_1", "factor_2")
    ones = torch.ones(3)
    for kept in (edits.kept, edits.low, edits.high, edits.identity):
        torch.testing.assert_close(kept, ones, rtol=0, atol=1e-5)
    assert edits.error.max() < 1e-5
    torch.testing.assert_close(edits.leakage, edits.native_leakage)
    assert edits.unedited_identity == pytest.approx(1, abs=1e-6)
    assert [row["direction"] for row in edits.table()] == list(edits.directions)


def test_each_image_is_measured_by_its_own_tuned_generator():
    world = PlantedWeights.of(WORLD)
    images, shift = world.synthesize(NATIVE), torch.linspace(-1, 1, len(NATIVE))
    # Codes that miss factor 0, and weights that add what they miss.
    missed = NATIVE - shift[:, None] * WORLD.truth[0]
    base = invert(world, images, start="mean", solver=LevenbergMarquardt(steps=1))
    plain = replace(base, codes=missed, distances=torch.ones(len(NATIVE)))
    tuned = replace(
        plain,
        tuned=tuple(
            world.with_weights({"mixing": world.tunable["mixing"] + a * world.change(0)})
            for a in shift.tolist()
        ),
    )
    torch.testing.assert_close(tuned.reconstruct(), images, rtol=0, atol=1e-5)
    bank = true_bank(WORLD)
    bank = DirectionBank(bank.directions, world.name, world.fingerprint)
    given = {"bank": bank, "classifier": world.classifier(), "native": NATIVE, "embed": EMBED}
    own, without = (measure_inversion(one, images, **given) for one in (tuned, plain))
    assert own.psnr > 80 > 50 > without.psnr
    assert own.identity == pytest.approx(1, abs=1e-5)
    assert own.edited_identity == pytest.approx(1, abs=1e-4)
    assert without.edited_identity < 0.99
    with pytest.raises(LatdirError, match="2 tuned generators for 24 images: give one each"):
        replace(plain, tuned=tuned.tuned[:2])
    with pytest.raises(LatdirError, match=r"whose weights this file does not keep: save the del"):
        save_inversion(tuned, "nowhere.safetensors")


def test_the_effect_is_that_of_a_slow_loop(found):
    worse = replace(found, codes=0.5 * NATIVE)
    judge = WORLD.classifier()
    edits = edits_of(worse, amount=1.5)
    spread = judge(IMAGES).std(0)
    for k, direction in enumerate(true_bank(WORLD).directions):
        changes = []
        for codes in (NATIVE, worse.codes):
            before = judge(WORLD.synthesize(codes))
            after = judge(WORLD.synthesize(direction.shift(codes, 1.5)))
            changes.append((after - before) / spread)
        own, other = (c[:, k] for c in changes)
        torch.testing.assert_close(edits.effect[k], own.mean(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(edits.kept[k], other.mean() / own.mean(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(edits.error[k], (own - other).abs().mean(), rtol=1e-3, atol=1e-4)
        rest = [i for i in range(3) if i != k]
        for mine, leaked in zip(changes, (edits.native_leakage, edits.leakage), strict=True):
            ratio = mine[:, rest].abs().mean() / mine[:, k].mean().abs()
            torch.testing.assert_close(leaked[k], ratio, rtol=1e-3, atol=1e-4)
        assert edits.low[k] <= edits.kept[k] <= edits.high[k]


def test_intervals_are_those_of_a_ratio_of_means(found):
    judge = WORLD.classifier()
    cubed = wrap_classifier(
        lambda images: judge(images)[:, :1] ** 3, attributes=["factor_0"], version="1"
    )
    worse = replace(found, codes=NATIVE + 0.3 * WORLD.sample(24, seed=7))
    edits = kept_edits(worse, true_bank(WORLD), cubed, native=NATIVE)
    [direction] = true_bank(WORLD).select(["factor_0"]).directions
    own, other = (
        (cubed(WORLD.synthesize(direction.shift(c, 2.0))) - cubed(WORLD.synthesize(c)))[:, 0]
        for c in (NATIVE, worse.codes)
    )
    ratio = other.mean() / own.mean()
    error = (other - ratio * own).std() / own.mean().abs() / 24**0.5
    torch.testing.assert_close(edits.kept[0], ratio, rtol=1e-3, atol=0)
    half = float(student.ppf(0.975, 23) * error)
    assert float(edits.high[0] - edits.low[0]) == pytest.approx(2 * half, rel=0.05)


def test_codes_of_another_space_are_edited_where_the_directions_are():
    generator = small_stylegan2()
    native = generator.sample(3, seed=1, space="w")
    with torch.no_grad():
        images = generator.synthesize(native, "w")
    solver = LevenbergMarquardt(steps=1)
    in_z = invert(generator, images, space="z", solver=solver, start="mean", restarts=0)
    in_w = replace(in_z, codes=generator.map(in_z.codes, "z", "w"), space="w")
    up = Direction.from_vector("red", torch.randn(12, generator=torch.Generator().manual_seed(0)),
                               space="w")  # fmt: skip
    red = wrap_classifier(lambda x: x[:, :1].mean((2, 3)), attributes=["red"], version="1")
    first, second = (
        kept_edits(one, DirectionBank.of(generator, [up]), red, native=native)
        for one in (in_z, in_w)
    )
    torch.testing.assert_close(first.kept, second.kept)
    torch.testing.assert_close(first.error, second.error)


def test_codes_of_other_images_share_no_identity(found):
    other = replace(found, codes=NATIVE.roll(1, 0))
    edits = edits_of(other)
    assert edits.identity.abs().max() < 0.35
    assert abs(edits.unedited_identity) < 0.35
    measured = measure_inversion(other, IMAGES, embed=EMBED)
    assert measured.identity == pytest.approx(edits.unedited_identity, abs=1e-5)
    assert measured.psnr < 35


def test_a_row_of_an_inversion(found):
    measured = measure_inversion(
        found, IMAGES, bank=true_bank(WORLD), classifier=WORLD.classifier(), native=NATIVE,
        embed=EMBED,
    )  # fmt: skip
    assert measured.psnr > 60
    assert measured.kept == pytest.approx(1, abs=0.01)
    assert measured.leakage == pytest.approx(measured.native_leakage, abs=1e-3)
    assert measured.identity == pytest.approx(1, abs=0.01)
    assert measured.distance == pytest.approx(float(found.distances.median()))
    assert measured.as_dict()["space"] == "z"
    with pytest.raises(LatdirError, match="give all three, or none"):
        measure_inversion(found, IMAGES, bank=true_bank(WORLD))


def test_images_are_compared_as_they_are_shown(found):
    qualities = []
    for value in (1.2, 1.0):
        bright = IMAGES.clone()
        bright[:, 0, 0, 0] = value
        qualities.append(measure_inversion(found, bright).psnr)
    assert qualities[0] == qualities[1]
    with pytest.raises(LatdirError, match=r"write images / 127\.5 - 1"):
        measure_inversion(found, 100 * IMAGES)


def test_latent_consistency_is_zero_for_an_exact_inverter_and_sqrt_2_for_a_blind_one(found):
    bank = true_bank(WORLD)
    exact = latent_consistency(found, bank, lambda x: invert(WORLD, x, start="mean"))
    assert exact.trimmed.max() < 0.01

    def blind(images):
        return replace(found, codes=WORLD.sample(len(images), seed=9))

    far = latent_consistency(found, bank, blind, amount=0.0)
    assert far.trimmed == pytest.approx([2**0.5] * 3, rel=0.15)
    near = Typicality.of(WORLD, "z")
    gap = near.standardized(WORLD.sample(24, seed=9)) - near.standardized(found.codes)
    torch.testing.assert_close(far.distances[0], gap.square().mean(1).sqrt())
    with pytest.raises(SpaceError, match="invert returned 1 codes of z for 24 images"):
        latent_consistency(found, bank, lambda x: invert(WORLD, x[:1], start="mean"))
    with pytest.raises(LatdirError, match="invert returned 3, not an Inversion: give a function"):
        latent_consistency(found, bank, lambda x: 3)
    with pytest.raises(LatdirError, match=r"no image edited by 1e\+20 sigma of 'factor_0' could"):
        latent_consistency(found, bank, lambda x: found, amount=1e20)


def test_a_hundredth_at_each_end_is_left_out_of_a_mean():
    # 200 images: 2 are left out at each end.
    row = torch.cat([torch.tensor([-90.0, 70.0, 50.0, -80.0]), torch.linspace(0, 1, 196)])
    rows = torch.stack([row, row.flip(0) + 1])
    found = LatentConsistency(("a", "b"), rows)
    torch.testing.assert_close(found.trimmed, torch.tensor([0.5, 1.5]))


def test_what_is_refused(found):
    bank, judge = true_bank(WORLD), WORLD.classifier()
    with pytest.raises(LatdirError, match="3 native codes for 24 inverted"):
        kept_edits(found, bank, judge, native=NATIVE[:3])
    with pytest.raises(LatdirError, match="no direction of the bank has a target"):
        kept_edits(found, bank_of(WORLD, pc=WORLD.truth[0]), judge, native=NATIVE)
    with pytest.raises(LatdirError, match="images whose inversion failed"):
        edits_of(replace(found, statuses=("failed",) * 24))
    with pytest.raises(LatdirError, match="an amount of 0 edits nothing: give a length in sigma"):
        edits_of(found, amount=0.0)
    with pytest.raises(LatdirError, match="of 'factor_0', the effect of 'factor_0' on the native"):
        kept_edits(found, bank, judge, native=NATIVE[:1].expand_as(NATIVE))
    with pytest.raises(LatdirError, match="have one embedding: give a smaller amount"):
        kept_edits(found, bank, judge, native=NATIVE, embed=lambda x: torch.ones(len(x), 2))
    with pytest.raises(LatdirError, match="was made for"):
        kept_edits(found, true_bank(planted(factors=3, dim=9)), judge, native=NATIVE)
