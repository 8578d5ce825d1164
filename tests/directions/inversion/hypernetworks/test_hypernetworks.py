"""Hypernetworks: changes as defined, planted changes found, runs that resume to the last bit."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import directions.inversion.hypernetworks.learner as learner
import directions.training.loop as loop
from directions.errors import CheckpointError, LatdirError
from directions.generators.base import Generator
from directions.inversion import psnr
from directions.inversion.encoders import CompactConfig, CompactEncoder, Encoder, TrainingSchedule
from directions.inversion.hypernetworks import (
    GradientNetwork,
    Hypernetwork,
    HypernetworkRecipe,
    WeightNetwork,
    WeightNetworkConfig,
    load_hypernetwork,
    save_hypernetwork,
    train_hypernetwork,
)
from directions.inversion.hypernetworks.base import added, images_of, looked, paired
from directions.inversion.hypernetworks.learner import HypernetworkLearner, Images
from directions.progress import progress_bars
from tests.directions.inversion.tuning.test_pivotal import dcgan, style_generator
from tests.directions.inversion.worlds import linear

PLAIN = HypernetworkRecipe(passes=1, rank=2)
SHORT = TrainingSchedule(steps=4, batch_size=2, width=4)


@pytest.fixture(autouse=True)
def few_images_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "HELD_OUT", 2)
    monkeypatch.setattr("directions.training.averaged.REPORTS", 2)


def encoder_of(generator: Generator) -> Encoder:
    """One that says the same code of every image."""
    space = generator.default_space("w")
    config = CompactConfig.of(generator, space, width=4)
    [d] = config.code
    code = generator.sample(1, seed=1, space=space)[0]
    network = CompactEncoder(config, torch.eye(d))
    return Encoder(network, generator, space=space, mean=code, size=config.side, name="same")


def random_network(generator: Generator, form: str = "channel") -> WeightNetwork | GradientNetwork:
    config = WeightNetworkConfig.of(generator, form, 2, width=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if form == "gradient":
            step = GradientNetwork(config)
            for number in step.parameters():
                number.data.add_(0.3 * torch.randn(number.shape))
            return step
        network = WeightNetwork(config)
        for block in network.blocks:
            nn.init.normal_(block.change.weight)
    return network


def images_by(generator: Generator, count: int = 3) -> Tensor:
    space = generator.default_space("w")
    return generator.synthesize(generator.sample(count, seed=5, space=space), space).clamp(-1, 1)


@pytest.mark.parametrize("form", ["channel", "low_rank", "gradient"])
@pytest.mark.parametrize("make", [style_generator, dcgan])
def test_each_image_is_made_by_its_own_deltas(make: object, form: str) -> None:
    generator = make()
    hyper = Hypernetwork(random_network(generator, form), encoder_of(generator), name="h")
    images = images_by(generator)
    found = hyper.predict(images)
    assert all("rgb" not in key for key in found.deltas[0].changes)
    for i in range(3):
        alone = found.generator(i).synthesize(found.codes[i : i + 1], found.space)
        assert torch.allclose(alone[0], found.images[i], atol=1e-5)
        single = hyper.predict(images[i : i + 1]).images[0]
        assert torch.allclose(single, found.images[i], atol=2e-3)
    assert not torch.allclose(found.images[0], found.images[1], atol=1e-5)
    if form == "gradient":
        return
    # Before training nothing changes.
    config = hyper.network.config
    plain = Hypernetwork(WeightNetwork(config), hyper.encoder, name="h").predict(images)
    assert torch.allclose(plain.images, generator.synthesize(found.codes, found.space), atol=1e-5)


@pytest.mark.parametrize("form", ["channel", "low_rank"])
def test_a_change_is_a_product_whose_right_factor_is_shared(form: str) -> None:
    layers = (("a", (5, 3, 3, 3)), ("b", (4, 3, 3, 3)), ("c", (2, 6, 1, 1)))
    network = WeightNetwork(WeightNetworkConfig(8, (4,), layers, form, rank=2))
    assert len(network.right) == 2
    for block in network.blocks:
        nn.init.normal_(block.change.weight)
    pairs = torch.rand(2, 6, 8, 8, generator=torch.Generator().manual_seed(0))
    network.requires_grad_(False)
    made, last = network(pairs), network.maps(pairs)[-1]
    for (key, shape), block in zip(layers, network.blocks, strict=True):
        right = network.right[str(3 if form == "channel" else 27) if key != "c" else "6"]
        left = 0.1 * block(last).reshape(2, shape[0], 2)
        if form == "low_rank":
            assert torch.equal(made[key]["left"], left)
            assert torch.equal(made[key]["right"], right.expand(2, -1, -1))
            continue
        for n, o, i in torch.cartesian_prod(*map(torch.arange, (2, *shape[:2]))).tolist():
            expected = sum(float(left[n, o, r]) * float(right[r, i]) for r in range(2))
            assert float(made[key]["scale"][n, o, i, 0, 0]) == pytest.approx(expected, abs=1e-5)


def test_a_pass_looks_at_what_the_last_change_makes() -> None:
    generator = dcgan()
    encoder, network = encoder_of(generator), random_network(dcgan())
    hyper, images = Hypernetwork(network, encoder, name="h"), images_by(generator)
    codes = encoder.encode(images)
    first = network(paired(images, generator.synthesize(codes), 8))
    between = images_of(generator, codes, "z", first)
    second = network(paired(images, between, 8))
    total = hyper.changes(images, codes, 2)
    for key, change in total.items():
        assert torch.allclose(change["scale"], first[key]["scale"] + second[key]["scale"])
    half = {"left": torch.ones(1, 2, 2), "right": torch.ones(1, 2, 3)}
    [both] = added({"a": half}, {"a": half}).values()
    assert torch.equal(both["left"] @ both["right"], 2 * half["left"] @ half["right"])


def test_a_step_along_the_gradient_is_what_it_says() -> None:
    generator, images = dcgan(), images_by(dcgan())
    encoder, network = (
        encoder_of(generator),
        random_network(generator, "gradient").requires_grad_(False),
    )
    codes, (key, shape) = encoder.encode(images), network.config.layers[-1]
    before = {key: {"scale": torch.full((3, *shape[:2], 1, 1), 0.1)}}
    whole = {
        k: before.get(k, {"scale": torch.zeros(3, *s[:2], 1, 1)}) for k, s in network.config.layers
    }
    made = looked(network, encoder, images, codes, whole)
    assert list(made) == [k for k, _ in network.config.layers]
    # One image and one scale, by differences.
    o, i, step = 1, 2, 1e-2
    costs = []
    for sign in (1, -1):
        moved = {k: {"scale": c["scale"].clone()} for k, c in whole.items()}
        moved[key]["scale"][1, o, i] += sign * step
        costs.append(0.5 * (images_of(generator, codes, "z", moved)[1] - images[1]).square().sum())
    slope = float(costs[0] - costs[1]) / (2 * step)
    at = images_of(generator, codes, "z", whole)
    scale = torch.zeros(3, *shape[:2], 1, 1, requires_grad=True)
    total = whole | {key: {"scale": whole[key]["scale"] + scale}}
    [g] = torch.autograd.grad(
        0.5 * (images_of(generator, codes, "z", total) - images).square().sum(), scale
    )
    assert float(g[1, o, i]) == pytest.approx(slope, rel=2e-2, abs=1e-6)
    g = float(g[1, o, i] / g[1].square().mean().sqrt())
    size = torch.exp(network.rate[-1] + network.outputs[-1][o] + network.inputs[-1][i])
    difference = (at - images)[1].square().mean().sqrt()
    expected = -size * difference * g / (g**2 + torch.exp(2 * network.soft[-1])).sqrt()
    assert float(made[key]["scale"][1, o, i]) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("make", [style_generator, dcgan])
def test_steps_along_the_gradient_learn_their_rates(make: object) -> None:
    encoder = encoder_of(make())
    schedule = TrainingSchedule(steps=8, batch_size=2, rate=0.1)
    recipe = HypernetworkRecipe(form="gradient", passes=2)
    with progress_bars(False):
        made = train_hypernetwork(encoder, recipe=recipe, schedule=schedule)
    first, last = made.progress[0], made.progress[-1]
    assert last.psnr > first.psnr + 0.02
    assert last.psnr > last.encoder + 0.3
    found = made.hypernetwork.predict(images_by(make()), passes=1)
    assert set(found.deltas[0].changes) == {k for k, _ in made.hypernetwork.network.config.layers}


def test_it_finds_planted_changes_of_weights() -> None:
    generator = dcgan()
    draw, key = torch.Generator().manual_seed(2), list(generator.tunable)[-1]
    amounts = 2 * torch.rand(48, 1, 1, 1, 1, generator=draw) - 1
    scale = 3 * amounts * torch.randn(8, 3, 1, 1, generator=draw)
    encoder = encoder_of(generator)
    codes = encoder.mean.expand(48, -1)
    images = images_of(generator, codes, "z", {key: {"scale": scale}}).clamp(-1, 1)
    recipe = HypernetworkRecipe(passes=1, rank=2, own=0.0)
    schedule = TrainingSchedule(steps=45, batch_size=8, width=8, rate=2e-2)
    with progress_bars(False):
        made = train_hypernetwork(encoder, recipe=recipe, schedule=schedule, images=images[:40])
    found = made.hypernetwork.predict(images[40:])
    before = psnr(generator.synthesize(found.codes), images[40:])
    after = psnr(found.images, images[40:])
    assert float((after - before).median()) > 8


def test_images_are_samples_mixed_by_layer_and_real_ones() -> None:
    generator = style_generator()
    layers = generator.space("w+").shape[0]
    images = Images(encoder_of(generator), mixed=1.0, own=0.5, real=torch.full((3, 3, 8, 8), 0.5))
    drawn = generator.sample(8, seed=9, start=8, space="w")
    made = images.generated(4, seed=9, step=1)
    for i, image in enumerate(made):
        a, b = (generator.map(drawn[j : j + 1], "w", "w+") for j in (i, i + 4))
        mixes = [torch.cat([a[:, :cut], b[:, cut:]], 1) for cut in range(1, layers)]
        shown = torch.cat([generator.synthesize(m, "w+") for m in mixes]).clamp(-1, 1)
        assert float((shown - image).abs().flatten(1).amax(1).min()) < 1e-5
    batch = images.batch(4, seed=9, step=0)
    assert (batch == 0.5).flatten(1).all(1).tolist() == [False, False, True, True]
    unmixed = Images(images.encoder, mixed=0.0, own=1.0, real=None).generated(4, seed=9, step=1)
    assert torch.allclose(unmixed, generator.synthesize(drawn[:4], "w").clamp(-1, 1), atol=1e-5)


def test_the_passes_are_trained_in_turn() -> None:
    recipe = HypernetworkRecipe(passes=2, rank=2, features=0.0)
    made = HypernetworkLearner(encoder_of(dcgan()), recipe, SHORT, None, None, 0)
    made.kept.load_state_dict(random_network(dcgan()).state_dict())
    images = made.held["images"].batch(2, seed=made.stream, step=3)
    codes = made.held["encoder"].encode(images)
    for step, looks in ((2, 0), (3, 1)):
        images = made.held["images"].batch(2, seed=made.stream, step=step)
        before = made.hypernetwork("").changes(images, codes, looks) if looks else None
        shown = images_of(dcgan(), codes, "z", before or {})
        # The network itself is untrained: it adds nothing.
        made.begin = lambda step: None
        assert torch.allclose(made.loss(step), (shown - images).square().mean())


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    encoder, recipe = encoder_of(dcgan()), HypernetworkRecipe(passes=2, rank=2, image_critic=0.1)
    whole = train_hypernetwork(encoder, recipe=recipe, schedule=SHORT, seed=3)
    file, loss = tmp_path / "run", HypernetworkLearner.loss

    def killed(self: HypernetworkLearner, step: int) -> Tensor:
        if step == 2:
            raise KeyboardInterrupt
        return loss(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(HypernetworkLearner, "loss", killed)
        with pytest.raises(KeyboardInterrupt):
            train_hypernetwork(encoder, recipe=recipe, schedule=SHORT, seed=3, checkpoint=file)
    resumed = train_hypernetwork(encoder, recipe=recipe, schedule=SHORT, seed=3, checkpoint=file)
    assert resumed.hypernetwork.fingerprint == whole.hypernetwork.fingerprint
    assert resumed.progress == whole.progress
    assert "4 steps" in repr(resumed)
    with pytest.raises(LatdirError, match="keeps a training with seed 3, and this one has 4"):
        train_hypernetwork(encoder, recipe=recipe, schedule=SHORT, seed=4, checkpoint=file)


def test_training_goes_on_from_another_and_compares_features() -> None:
    encoder, once = encoder_of(dcgan()), TrainingSchedule(steps=1, batch_size=2, width=4, rate=1e-9)
    initial = Hypernetwork(random_network(dcgan()), encoder, name="first")
    recipe, seen = HypernetworkRecipe(passes=1, rank=2), []

    def features(images: Tensor) -> Tensor:
        seen.append(images.shape)
        return images.mean((2, 3))

    made = train_hypernetwork(
        encoder, recipe=recipe, schedule=once, initial=initial, features=features
    ).hypernetwork
    images = images_by(dcgan())
    assert torch.allclose(made.predict(images).images, initial.predict(images).images, atol=1e-4)
    # A check, the run's record, then images and those made.
    assert seen == [(2, 3, 8, 8), (1, 3, 8, 8), (2, 3, 8, 8), (2, 3, 8, 8)]
    wider = HypernetworkRecipe(passes=1, rank=3)
    with pytest.raises(LatdirError, match="first is of another recipe, width or generator"):
        train_hypernetwork(encoder, recipe=wider, schedule=once, initial=initial)


def test_files_keep_a_hypernetwork(tmp_path: Path) -> None:
    encoder, path = encoder_of(dcgan()), tmp_path / "h.safetensors"
    images = images_by(dcgan())
    for form in ("gradient", "low_rank"):
        made = Hypernetwork(random_network(dcgan(), form), encoder, name="mine", passes=3)
        save_hypernetwork(made, path)
        again = load_hypernetwork(path, encoder=encoder)
        assert (again.name, again.passes) == ("mine", 3)
        assert torch.allclose(again.predict(images).images, made.predict(images).images, atol=1e-2)
    with pytest.raises(CheckpointError, match="of tiny, which has no built-in encoder: give enc"):
        load_hypernetwork(path)
    with pytest.raises(
        CheckpointError, match=r"of tiny \(.*and small .* is another.*`latdir train hyper"
    ):
        load_hypernetwork(path, encoder=encoder_of(style_generator()))
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="is not a readable hypernetwork file"):
        load_hypernetwork(tmp_path / "cut", encoder=encoder)
    made.predict(images[:1]).deltas[0].save(tmp_path / "deltas")
    with pytest.raises(CheckpointError, match=r"not 'latdir\.hyper"):
        load_hypernetwork(tmp_path / "deltas", encoder=encoder)


def test_the_built_in_one_gains_three_decibels_in_one_pass() -> None:
    hyper = load_hypernetwork("styleface64")
    images = Images(hyper.encoder, 0.5, 1.0, None).generated(4, seed=4242, step=0)
    found = hyper.predict(images, passes=1)
    plain = psnr(hyper.generator.synthesize(found.codes, found.space), images)
    assert float((psnr(found.images, images) - plain).mean()) > 3.5
    assert hyper.name == "styleface64/gradient"


def test_wrong_settings_are_refused() -> None:
    encoder, pixels = encoder_of(dcgan()), HypernetworkRecipe(features=0.0)
    with pytest.raises(LatdirError, match="has no weights that can be tuned"):
        train_hypernetwork(encoder_of(linear(side=8)))
    with pytest.raises(LatdirError, match="no hypernetwork recipe 'hyperstile': did you mean"):
        train_hypernetwork(encoder, recipe="hyperstile")
    with pytest.raises(LatdirError, match="learns from pixels or features: give one a weight"):
        HypernetworkRecipe(pixels=0.0, features=0.0)
    with pytest.raises(LatdirError, match=r"mixed 2\.0 is a share, 1 at most"):
        HypernetworkRecipe(mixed=2.0)
    with pytest.raises(LatdirError, match="this recipe compares features alone: give features="):
        train_hypernetwork(encoder, recipe=HypernetworkRecipe(pixels=0.0))
    with pytest.raises(LatdirError, match="these features have no weight"):
        train_hypernetwork(encoder, recipe=pixels, features=torch.flatten)
    with pytest.raises(LatdirError, match=r"features= returned \[2\] of 2 images: it takes"):
        train_hypernetwork(encoder, features=lambda images: images.mean((1, 2, 3)))
    with pytest.raises(LatdirError, match=r"h changes layers\.0\.weight .* small does not have"):
        Hypernetwork(random_network(dcgan()), encoder_of(style_generator()), name="h")
    spoiled = torch.zeros(3, 3, 8, 8)
    spoiled[1, 0, 0, 0] = torch.nan
    with pytest.raises(LatdirError, match=r"1 of 3 images have NaN .*, such as number 1: leave"):
        train_hypernetwork(encoder, images=spoiled)
    with pytest.raises(LatdirError, match="passes"):
        Hypernetwork(random_network(dcgan()), encoder, name="h").predict(
            images_by(dcgan()), passes=0
        )
    with pytest.raises(LatdirError, match=r"images for tiny are \[n, 3, 8, 8\]"):
        Hypernetwork(random_network(dcgan()), encoder, name="h").predict(torch.zeros(1, 3, 9, 9))
