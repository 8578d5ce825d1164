"""Conditional encoders: costs as defined, planted values and identities found, runs that resume."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import directions.inversion.conditional.learner as learner
import directions.training.loop as loop
from directions import load_encoder
from directions.errors import CheckpointError, LatdirError
from directions.inversion.conditional import (
    ConditionalConfig,
    ConditionalEncoder,
    ConditionalNetwork,
    ConditionalRecipe,
    find_conditional_recipe,
    load_conditional_encoder,
    save_conditional_encoder,
    train_conditional_encoder,
)
from directions.inversion.conditional.judges import Judges
from directions.inversion.conditional.learner import ConditionalLearner
from directions.inversion.encoders import CompactConfig, CompactEncoder, Encoder, TrainingSchedule
from directions.planted.world import PlantedGenerator, planted
from directions.progress import progress_bars
from directions.seeds import ENCODER_SEED

SHORT = TrainingSchedule(steps=4, batch_size=3)
SAM = ConditionalRecipe(targets=(-2.0, 2.0), unit=4.0)
NITZAN = replace(find_conditional_recipe("nitzan"), kept=(), keep=0.0)


@pytest.fixture(autouse=True)
def few_images_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "HELD_OUT", 6)
    monkeypatch.setattr(learner, "SAMPLES", 32)
    monkeypatch.setattr("directions.training.averaged.REPORTS", 2)


@pytest.fixture(scope="module")
def world() -> PlantedGenerator:
    return planted(factors=4, dim=6, nuisances=0, size=8)


def untrained(world: PlantedGenerator) -> Encoder:
    """It says the mean of every image; its maps are random."""
    config = CompactConfig.of(world, "z", width=16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CompactEncoder(config, torch.eye(6), contrast=0.3)
    return Encoder(network, world, space="z", mean=torch.zeros(6), size=8, name="mean")


def judges(world: PlantedGenerator, *, by: str = "factor_0", scale: float = 1.0) -> Judges:
    """Identity is factors 1 and 2, landmarks factors 0 and 3."""
    classifier = world.classifier()

    def read(images: Tensor) -> Tensor:
        return scale * classifier(images)

    return Judges(
        by,
        lambda images: read(images)[:, 0],
        lambda images: read(images)[:, 1:3],
        lambda images: 8 * read(images)[:, [0, 3]][:, None],
        lambda images: read(images)[:, [3]],
    )


def test_targets_beyond_those_of_the_training_are_warned_of(
    world: PlantedGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    config = ConditionalConfig("value", width=16, numbers=1, axes=6, hidden=4)
    network = ConditionalNetwork(
        config, torch.eye(6), center=torch.tensor([40.0]), scale=torch.tensor([30.0])
    )
    older = ConditionalEncoder(network, untrained(world), name="older", attribute="age")
    images = world.synthesize(world.sample(2, seed=0))
    older.encode(images, torch.tensor([10.0, 70.0]))
    assert not caplog.records
    older.encode(images, torch.tensor([20.0, 71.0]))
    [record] = caplog.records
    assert record.getMessage() == (
        "older was trained on a target age of 10 to 70: at 71 it extrapolates"
    )


def trained(world: PlantedGenerator, recipe: ConditionalRecipe, **settings: object) -> object:
    of = judges(world)
    settings = {
        "classifier": world.classifier(), "attribute": "factor_0", "embed": of.embed,
        "points": of.points,
    } | settings  # fmt: skip
    with progress_bars(False):
        return train_conditional_encoder(untrained(world), recipe=recipe, **settings)


def test_planted_values_are_moved_and_the_rest_kept(world: PlantedGenerator) -> None:
    schedule = TrainingSchedule(steps=60, batch_size=12, rate=1e-2)
    recipe = ConditionalRecipe(targets=(-2.0, 2.0), unit=4.0, pixels=4.0, norm=0.0, identity=0.5)
    made = trained(world, recipe, schedule=schedule)
    codes = world.sample(64, seed=5)
    target = torch.linspace(-2, 2, 64)
    found = world.factors(made.encoder.encode(world.synthesize(codes), target))
    slope = float(torch.corrcoef(torch.stack([found[:, 0], target]))[0, 1])
    assert slope > 0.9
    assert float((found[:, 0] - target).abs().mean()) < 0.5
    own = world.factors(codes)
    kept = functional.cosine_similarity(found[:, 1:3], own[:, 1:3])
    assert float(kept.median()) > 0.6
    assert made.progress[-1].error < 0.5 * made.progress[0].error
    # One value for all.
    assert made.encoder.encode(world.synthesize(codes[:3]), 1.0).shape == (3, 6)


def test_planted_identities_are_swapped_and_the_rest_kept(world: PlantedGenerator) -> None:
    schedule = TrainingSchedule(steps=80, batch_size=16, rate=1e-2)
    # Planted landmarks are as far apart as identities, and codes too few for a critic.
    made = trained(world, replace(NITZAN, points=1.0, code_critic=0.0), schedule=schedule)
    codes, others = world.sample(32, seed=5), world.sample(32, seed=6)
    found = world.factors(made.encoder.encode(world.synthesize(codes), world.synthesize(others)))
    own, wanted = world.factors(codes), world.factors(others)
    for factor, truth in ((0, own), (1, wanted), (2, wanted), (3, own)):
        pair = torch.stack([found[:, factor], truth[:, factor]])
        assert float(torch.corrcoef(pair)[0, 1]) > 0.85, factor
    one = made.encoder.encode(world.synthesize(codes[:2]), world.synthesize(others[:1]))
    assert one.shape == (2, 6)


def test_the_cost_of_values_is_what_it_says(world: PlantedGenerator) -> None:
    of = judges(world)
    made = ConditionalLearner(untrained(world), SAM, SHORT, of, 0)
    images, codes = world.synthesize(world.sample(3, seed=1)), torch.zeros(3, 6)
    shown = world.synthesize(codes)
    target, way = torch.tensor([1.0, -1.0, 2.0]), torch.tensor([0.0, 4.0, 2.0])
    cost, made_of = made._value_cost(images, images, target, way)
    assert torch.allclose(made_of, shown, atol=1e-6)
    expected = 5 * ((of.value(shown) - target) / 4).square().mean()
    a, b = of.embed(shown) - made.mean, of.embed(images) - made.mean
    for i, weight in enumerate((1.0, 0.5, 0.75)):
        cosine = float(a[i] @ b[i] / a[i].norm() / b[i].norm())
        assert weight == pytest.approx(0.25 * math.cos(math.pi * float(way[i]) / 4) + 0.75)
        expected = expected + 0.1 * weight * (1 - cosine) / 3
    expected = expected + 0.25 * (shown - images).square().mean()
    assert torch.allclose(cost, expected, atol=1e-5)


def test_a_step_goes_to_the_target_and_back(
    world: PlantedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ConditionalLearner(untrained(world), SAM, SHORT, judges(world), 0)
    asked: list[tuple[Tensor, ...]] = []

    def cost(images: Tensor, seen: Tensor, target: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
        asked.append((images, seen, target, way))
        return torch.tensor(1.0), seen + 1

    monkeypatch.setattr(made, "_value_cost", cost)
    assert float(made.loss(0)) == 2.0
    (images, seen, target, way), (wanted, back, home, none) = asked
    own = judges(world).value(images)
    assert torch.equal(seen, images)
    # A third keeps its own value.
    assert torch.equal(target[:1], own[:1])
    assert bool(((target[1:] - own[1:]).abs() > 1e-3).all())
    assert torch.equal(way, (target - own).abs())
    assert torch.equal(wanted, images)
    assert torch.equal(back, images + 1)
    assert torch.equal(home, own)
    assert not none.any()


def test_the_cost_of_identities_is_what_it_says(world: PlantedGenerator) -> None:
    of = judges(world)
    recipe = ConditionalRecipe(
        condition="identity", identity=2.0, points=3.0, pixels=4.0, norm=0.0, code_critic=0.5,
        light=0.5, keep=0.7, kept=("factor_3",),
    )  # fmt: skip
    made = ConditionalLearner(untrained(world), recipe, SHORT, of, 0)
    codes = world.sample(3, seed=1)
    images, shown = world.synthesize(codes), world.synthesize(torch.zeros(3, 6))
    same = torch.tensor([True, False, False])
    own = of.embed(images)
    wanted = own[[0, 0, 1]]
    expected = 2 * ((of.embed(shown) - wanted) / made.spread).abs().mean()
    expected = expected + 4 * (shown - images)[0].square().mean()
    off = of.points(shown) - of.points(images)
    expected = expected + 3 * (off / 8).square().mean()
    # Images of 8 × 8 are their own light.
    expected = expected + 0.5 * (shown - images).square().mean()
    known = world.sample(learner.HELD_OUT + learner.STARTED, seed=ENCODER_SEED)[learner.HELD_OUT :]
    spread = of.kept(world.synthesize(known)).std(0)
    change = (of.kept(shown) - of.kept(images)) / spread
    expected = expected + 0.7 * change.square().mean()
    none, real = torch.zeros(3, 6), made.near.standardized(codes)
    expected = expected + 0.5 * made.critic.of_made(none) + made.critic.own(real, none, 1)
    assert torch.allclose(made._swapped(codes, images, same, 1), expected, atol=1e-5)


def test_a_batch_asks_for_the_identity_of_the_image_before(
    world: PlantedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = judges(world)
    made = ConditionalLearner(untrained(world), NITZAN, SHORT, of, 0)
    images, seen = world.synthesize(world.sample(3, seed=1)), []
    honest = made._made

    def record(given: Tensor, wanted: Tensor, whose: Tensor) -> tuple[Tensor, Tensor]:
        seen.extend((given, wanted, whose))
        return honest(given, wanted, whose)

    monkeypatch.setattr(made, "_made", record)
    made._swapped(world.sample(3, seed=1), images, torch.tensor([True, False, False]), 1)
    given, wanted, whose = seen
    assert torch.equal(given, images)
    assert torch.equal(whose, images[[0, 0, 1]])
    torch.testing.assert_close(wanted, of.embed(whose))


def test_a_look_is_a_share_of_the_linear_answer(world: PlantedGenerator) -> None:
    of = judges(world)
    none, half, whole = (
        ConditionalLearner(untrained(world), replace(NITZAN, look=look), SHORT, of, 0)
        for look in (0.0, 0.5, 1.0)
    )
    assert (none.network.config.measured, whole.network.config.measured) == (0, 5)
    assert none.conditional("c").held is None
    torch.testing.assert_close(2 * half.network.answer, whole.network.answer)
    # Factor 1, the first of an embedding, is 0.1 too much.
    moved = whole.network.answered(torch.tensor([[0.1, 0, 0, 0, 0]]))
    codes = world.sample(8, seed=1)
    change = (world.factors(codes + moved) - world.factors(codes)).mean(0)
    assert -0.11 < float(change[1]) < -0.03
    assert float(change[[0, 2, 3]].abs().max()) < 0.01


def test_a_killed_training_goes_on_to_the_same_bits(
    world: PlantedGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    whole = trained(world, NITZAN, schedule=SHORT, seed=3)
    file, loss = tmp_path / "run", ConditionalLearner.loss

    def killed(self: ConditionalLearner, step: int) -> Tensor:
        if step == 2:
            raise KeyboardInterrupt
        return loss(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(ConditionalLearner, "loss", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(world, NITZAN, schedule=SHORT, seed=3, checkpoint=file)
    resumed = trained(world, NITZAN, schedule=SHORT, seed=3, checkpoint=file)
    assert resumed.encoder.fingerprint == whole.encoder.fingerprint
    assert resumed.progress == whole.progress
    assert "4 steps" not in repr(resumed)
    with pytest.raises(LatdirError, match="keeps a training with seed 3, and this one has 4"):
        trained(world, NITZAN, schedule=SHORT, seed=4, checkpoint=file)
    # Of the same name, and other values.
    other = judges(world, scale=1.1)
    for judge in ("embed", "points"):
        with pytest.raises(LatdirError, match=f"keeps a training with {judge} 'judges.<locals>"):
            trained(
                world, NITZAN, schedule=SHORT, seed=3, checkpoint=file,
                **{judge: getattr(other, judge)},
            )  # fmt: skip


def test_files_keep_a_conditional_encoder(world: PlantedGenerator, tmp_path: Path) -> None:
    path, of = tmp_path / "c.safetensors", judges(world)
    images = world.synthesize(world.sample(3, seed=1))
    for recipe, target in ((SAM, 1.5), (NITZAN, images.flip(0))):
        made = trained(world, recipe, schedule=SHORT, name="mine").encoder
        save_conditional_encoder(made, path)
        again = load_conditional_encoder(
            path, encoder=untrained(world), embed=of.embed, held=made.held
        )
        assert (again.name, again.attribute) == ("mine", made.attribute)
        assert torch.allclose(again.encode(images, target), made.encode(images, target), atol=1e-2)
    with pytest.raises(
        CheckpointError, match="2 numbers of an image from held=, which returns 137"
    ):
        load_conditional_encoder(path, encoder=untrained(world), embed=of.embed)
    with pytest.raises(CheckpointError, match="2 numbers of an image from embed=, which returns 3"):
        load_conditional_encoder(
            path, encoder=untrained(world), embed=lambda images: images.mean((2, 3))
        )
    with pytest.raises(CheckpointError, match=r"over the encoder mean \(.* is another: load"):
        load_conditional_encoder(path, encoder=load_encoder("digiface64"))
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="is not a readable conditional encoder file"):
        load_conditional_encoder(tmp_path / "cut", encoder=untrained(world))


def test_wrong_settings_are_refused(world: PlantedGenerator) -> None:
    encoder, images = untrained(world), world.synthesize(world.sample(3, seed=1))
    with pytest.raises(LatdirError, match="no conditional recipe 'sam2': did you mean 'sam'"):
        train_conditional_encoder(encoder, recipe="sam2")
    with pytest.raises(LatdirError, match="planted has no embeddings of identity: give embed="):
        train_conditional_encoder(encoder, recipe=SAM, classifier=world.classifier())
    with pytest.raises(LatdirError, match="has no attribute 'age'"):
        trained(world, SAM, attribute="age")
    with pytest.raises(LatdirError, match="planted has no landmarks: give points="):
        train_conditional_encoder(
            encoder, recipe=NITZAN, classifier=world.classifier(), embed=judges(world).embed
        )
    read = world.classifier()
    with pytest.raises(LatdirError, match=r"points= returned \[2, 4\] of 2 images: it takes"):
        trained(world, NITZAN, points=read)
    with pytest.raises(LatdirError, match=r"points= returned \[2, 4, 1\] of 2 images"):
        trained(world, NITZAN, points=lambda images: read(images)[..., None])
    with pytest.raises(LatdirError, match=r"targets \(3.*lowest and the highest"):
        ConditionalRecipe(targets=(3.0, 1.0))
    with pytest.raises(LatdirError, match="a recipe by identity has a weight of it above 0"):
        ConditionalRecipe(condition="identity", identity=0.0)
    made = trained(world, SAM, schedule=SHORT).encoder
    with pytest.raises(LatdirError, match=r"for all of 3 images or one for each, not \[2\]"):
        made.encode(images, torch.zeros(2))
    with pytest.raises(LatdirError, match="there are no images: give at least one"):
        made.encode(images[:0], 1.0)
    with pytest.raises(LatdirError, match="the images have NaN or infinite pixels"):
        made.encode(images * torch.nan, 1.0)
    swapped = trained(world, NITZAN, schedule=SHORT).encoder
    with pytest.raises(LatdirError, match=r"takes images .* of whom to show as target="):
        swapped.encode(images, 1.0)
    several = Encoder(
        CompactEncoder(CompactConfig(8, (6,), (4,), pairs=True), torch.eye(6)), world,
        space="z", mean=torch.zeros(6), size=8, name="several", passes=2,
    )  # fmt: skip
    with pytest.raises(LatdirError, match="several has no maps of one pass to read"):
        ConditionalEncoder(made.network, several, name="c", attribute="factor_0")
