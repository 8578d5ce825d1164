"""Training of encoders: inverses found, heads as defined, runs that resume to the last bit."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import directions.inversion.encoders.learner as learners
import directions.training.loop as loop
from directions.errors import CheckpointError, LatdirError, SpaceError
from directions.generators.base import Generator
from directions.generators.checkpoints.stylegan2 import stylegan2_generator
from directions.inversion import invert, psnr
from directions.inversion.encoders import (
    CompactConfig,
    CompactEncoder,
    Encoder,
    EncoderRecipe,
    TrainingSchedule,
    find_encoder_recipe,
    load_encoder,
    save_encoder,
    train_encoder,
)
from directions.inversion.encoders.critics import Critic
from directions.inversion.encoders.learner import Learner
from directions.progress import progress_bars
from tests.directions.generators.checkpoints import written
from tests.directions.inversion.worlds import linear, pair

SHORT = TrainingSchedule(steps=4, batch_size=4, width=4)


@pytest.fixture(autouse=True)
def few_images_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learners, "HELD_OUT", 8)


@pytest.fixture(scope="module")
def styled() -> Generator:
    generator = stylegan2_generator(written.stylegan2_state(channels=(8, 8)), name="small")
    weights = {k: 0.1 * w for k, w in generator.tunable.items() if k.startswith("rgbs")}
    return generator.with_weights(weights)


def learner(generator: Generator, recipe: EncoderRecipe, **changes: object) -> Learner:
    settings = {"space": generator.default_space("w"), "real": None, "features": None, "seed": 0}
    settings |= changes
    return Learner(generator, recipe=recipe, schedule=SHORT, **settings)  # type: ignore


def test_it_finds_the_inverse_of_a_linear_generator() -> None:
    world = linear(side=8)
    schedule = TrainingSchedule(steps=60, batch_size=16, width=8, rate=1e-2)
    with progress_bars(False):
        made = train_encoder(world, schedule=schedule)
    codes, images = pair(world, 64, seed=77)
    found = made.encoder.encode(images)
    assert float((found - codes).square().mean()) < 0.01  # of 1
    assert float(psnr(world.synthesize(found).detach(), images).median()) > 30
    assert made.progress[-1].psnr > made.progress[0].psnr + 15
    assert [p.step for p in made.progress] == list(range(0, 61, 3))


def test_the_recipes_train_what_they_name(styled: Generator) -> None:
    world, once = linear(side=8), TrainingSchedule(steps=1, batch_size=4, width=4)
    for recipe, looks in (("psp", 1), ("restyle", 5), ("wei", 3), ("idinvert", 1), ("e4e", 1)):
        generator = styled if recipe == "e4e" else world
        real = generator.synthesize(generator.sample(3, seed=8)).detach().clamp(-1, 1)
        with progress_bars(False):
            made = train_encoder(generator, recipe=recipe, schedule=once, images=real)
        space = "w+" if recipe == "e4e" else "z"
        assert made.encoder.encode(real).shape == (3, *generator.space(space).shape)
        assert made.encoder.passes == looks


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    world, recipe = linear(side=8), EncoderRecipe(image_critic=0.1, shown=1.0)
    whole = train_encoder(world, recipe=recipe, schedule=SHORT, seed=3)
    file, drawn = tmp_path / "run", Learner.drawn

    def killed(self: Learner, step: int) -> tuple[Tensor, Tensor]:
        if step == 2:
            raise KeyboardInterrupt
        return drawn(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "drawn", killed)
        with pytest.raises(KeyboardInterrupt):
            train_encoder(world, recipe=recipe, schedule=SHORT, seed=3, checkpoint=file)
    resumed = train_encoder(world, recipe=recipe, schedule=SHORT, seed=3, checkpoint=file)
    assert resumed.encoder.fingerprint == whole.encoder.fingerprint
    assert resumed.progress == whole.progress
    with pytest.raises(LatdirError, match="keeps a training with seed 3, and this one has 4"):
        train_encoder(world, recipe=recipe, schedule=SHORT, seed=4, checkpoint=file)


def test_codes_are_fresh_at_each_step_and_nobody_elses() -> None:
    world = linear(side=8)
    made = learner(world, EncoderRecipe())
    codes = torch.cat([made.drawn(step)[0] for step in range(3)])
    assert len(codes.unique(dim=0)) == 12
    assert not torch.isin(codes, world.sample(64, seed=0)).any()
    images = made.drawn(1)[1]
    assert torch.allclose(images, world.synthesize(codes[4:8]), atol=1e-6)


def test_real_images_are_half_of_a_batch_and_their_codes_are_not_compared() -> None:
    world = linear(side=8)
    real = torch.full((5, 3, 8, 8), 0.5)
    made = learner(world, EncoderRecipe(pixels=0.0, codes=1.0), real=real)
    codes, images = made.drawn(0)
    assert len(codes) == 2
    assert len(images) == 4
    assert bool((images[2:] == 0.5).all())
    found = torch.zeros(4, 6)
    cost = made._cost(codes, images, found, None, 1)
    assert torch.allclose(cost, codes.square().mean())


def test_parts_of_the_cost_are_what_they_say() -> None:
    world = linear(side=8)
    codes, images = pair(world, 4)
    found = codes + 0.1 * torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    shown = world.synthesize(found)

    def cost(**weights: float) -> Tensor:
        made = learner(world, EncoderRecipe(**{"pixels": 0.0, **weights}))
        return made._cost(codes, images, found, shown, 1)

    errors = (shown - images).square().mean()
    assert torch.allclose(cost(pixels=2.0), 2 * errors)
    # Of a linear generator, JᵀJ tells exactly what differs.
    assert torch.allclose(cost(shown=1.0), errors, rtol=1e-4)
    assert torch.allclose(cost(codes=1.0), (found - codes).square().mean())
    near = cost(codes=1.0, norm=0.5) - cost(codes=1.0)
    assert torch.allclose(near, 0.5 * found.square().mean(), rtol=1e-4)


def test_offsets_join_one_by_one(styled: Generator) -> None:
    made = learner(styled, EncoderRecipe(offsets=0.5, joining=(0.25, 0.75)), space="w+")
    network = made.network
    assert isinstance(network, CompactEncoder)
    for head in network.heads:
        nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(1))
    layers, x = styled.space("w+").shape[0], torch.rand(1, 3, 16, 16)
    size = made.config.side
    for share, joined in ((0.2, 0), (0.25, 1), (0.8, layers - 1)):
        made._join(share)
        [styles] = network(functional.interpolate(x, size)).detach()
        apart = [not torch.allclose(s, styles[0], atol=1e-4) for s in styles[1:]]
        assert apart == [i < joined for i in range(layers - 1)]
    found = made.center.expand(2, *made.center.shape).clone()
    found[:, 1] += 3.0
    expected = 0.5 * (3 * torch.ones(found.shape[2])).norm()
    images = torch.zeros(2, *styled.image_shape)
    assert torch.allclose(made._cost(found, images, found, None, 1), expected)


def test_passes_look_at_what_the_last_code_makes(styled: Generator) -> None:
    made = learner(styled, EncoderRecipe(passes=3))
    for head in made.kept.heads:
        nn.init.normal_(head.linear.weight, 0, 0.01, generator=torch.Generator().manual_seed(1))
    encoder = made.encoder("mine")
    x = styled.synthesize(styled.sample(2, seed=5)).detach().clamp(-1, 1)
    codes = made.center.expand(2, -1)
    for _ in range(3):
        y = made._small(styled.synthesize(codes, "w").detach())
        codes = codes + made.kept(torch.cat([made._small(x), y], 1))
    assert torch.allclose(encoder.encode(x), codes, atol=1e-5)


def test_stages_are_trained_one_after_another() -> None:
    world = linear(side=8)
    made = learner(world, EncoderRecipe(stages=2))
    for step, trained in ((0, 0), (3, 1)):
        made.zero_grad()
        made.loss(step).backward()
        for i, network in enumerate(made.network.networks):
            moved = any(p.grad is not None and bool(p.grad.any()) for p in network.parameters())
            assert moved == (i == trained)


def test_what_is_kept_is_the_average() -> None:
    made = learner(linear(side=8), EncoderRecipe())
    before = made.kept.stem.weight.clone()
    made.network.stem.weight.data += 1.0
    made.average(100)
    assert torch.allclose(made.kept.stem.weight, before + 1 - 101 / 110, atol=1e-6)


def test_a_critic_and_its_maker_pay_apart() -> None:
    critic = Critic((3,), every=1, r1=4.0)
    made, real = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3)
    critic.of_made(made).backward()
    assert made.grad is not None
    assert all(p.grad is None for p in critic.parameters())
    made.grad = None
    critic.own(real, made, 0).backward()
    assert made.grad is None
    assert all(p.grad is not None for p in critic.parameters())
    # R1 of a linear critic is its weight's squared length.
    critic.net = nn.Sequential(nn.Linear(3, 1))
    weight = critic.net[0].weight.detach()
    plain = functional.softplus(critic(made)).mean() + functional.softplus(-critic(real)).mean()
    expected = plain + 4 / 2 * weight.square().sum()
    assert torch.allclose(critic.own(real, made, 0), expected)
    assert torch.allclose(Critic((3, 8, 8))(torch.zeros(2, 3, 8, 8)), torch.tensor(0.0), atol=1.0)


def test_files_keep_an_encoder(tmp_path: Path) -> None:
    world = linear(side=8)
    made = train_encoder(world, recipe="wei", schedule=SHORT, name="mine").encoder
    save_encoder(made, tmp_path / "e.safetensors")
    again = load_encoder(tmp_path / "e.safetensors", generator=world)
    images = pair(world, 2)[1]
    assert torch.allclose(again.encode(images), made.encode(images), atol=1e-2)
    assert (again.name, again.passes, again.space) == ("mine", 3, "z")
    found = invert(world, images, start=again)
    assert found.statuses == ("converged",) * 2
    assert found.record["encoder"] == "mine"
    with pytest.raises(CheckpointError, match="is an encoder of linear, which is not built in"):
        load_encoder(tmp_path / "e.safetensors")
    with pytest.raises(CheckpointError, match=r"is an encoder of linear .*, not of linear"):
        load_encoder(tmp_path / "e.safetensors", generator=linear(d=5, side=8))
    data = (tmp_path / "e.safetensors").read_bytes()
    # A file of another suffix is told by how it begins.
    (tmp_path / "e.encoder").write_bytes(data)
    assert load_encoder(tmp_path / "e.encoder", generator=world).fingerprint == again.fingerprint
    (tmp_path / "cut.safetensors").write_bytes(data[:-9])
    with pytest.raises(CheckpointError, match="is not a readable encoder file"):
        load_encoder(tmp_path / "cut.safetensors", generator=world)


def test_wrong_settings_are_refused(styled: Generator) -> None:
    world = linear(side=8)
    with pytest.raises(LatdirError, match="z codes of linear have no layers to offset"):
        train_encoder(world, recipe="e4e")
    with pytest.raises(LatdirError, match="no encoder recipe 'psq': did you mean 'psp'"):
        train_encoder(world, recipe="psq")
    with pytest.raises(LatdirError, match="these features have no weight"):
        train_encoder(world, features=lambda images: images.flatten(1))
    with pytest.raises(LatdirError, match="learns from one of pixels, features, shown, codes"):
        EncoderRecipe(pixels=0.0)
    with pytest.raises(LatdirError, match="set one of them"):
        EncoderRecipe(passes=2, stages=2)
    with pytest.raises(LatdirError, match="has a width for each of 8, … 4, not 1 widths"):
        CompactConfig(16, (5,), (4,))
    network = CompactEncoder(CompactConfig(8, (5,), (4,)), torch.eye(5))
    with pytest.raises(SpaceError, match=r"shape \[5\], but those of linear's z have \[6\]"):
        Encoder(network, world, space="z", mean=torch.zeros(5), size=8, name="other")


def test_ghfeat_and_icgan_cost_what_their_papers_say(styled: Generator) -> None:
    """GH-Feat: pixels, 5e-5 of features, 0.1 of a critic, on styles; IcGAN: z alone."""

    def features(x: Tensor) -> Tensor:
        return 100 * functional.avg_pool2d(x, 4).flatten(1)

    made = learner(styled, find_encoder_recipe("ghfeat"), space="s", features=features)
    codes, images = made.drawn(0)
    found = styled.sample(4, seed=8, space="s").requires_grad_()
    shown = styled.synthesize(found, "s")
    critic = made.image_critic
    small = functional.interpolate(shown, 8) if shown.shape[-1] != 8 else shown
    soft, off = functional.softplus, (features(shown) - features(images)).square().sum(1).mean()
    own = soft(critic(small)).mean() + soft(-critic(images)).mean()
    expected = (shown - images).square().mean() + 5e-5 * off + 0.1 * soft(-critic(small)).mean()
    # Not a step of R1, whose turn is every sixteenth.
    got = made._cost(codes, images, found, shown, 1)
    torch.testing.assert_close(got, expected + own)
    made = learner(styled, find_encoder_recipe("icgan"), space="z")
    codes, images = made.drawn(0)
    found = codes + torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        made._cost(codes, images, found, None, 1), (found - codes).square().mean()
    )


def test_styles_are_read_layer_by_layer_and_serve_as_features(
    styled: Generator, tmp_path: Path
) -> None:
    with progress_bars(False):
        made = train_encoder(styled, recipe="ghfeat", schedule=SHORT)
    encoder = made.encoder
    assert encoder.space == "s"
    assert isinstance(encoder.network, CompactEncoder)
    assert encoder.network.config.parts == styled.network.style_sizes  # type: ignore[attr-defined]
    images = styled.synthesize(styled.sample(3, seed=5)).detach().clamp(-1, 1)
    codes = encoder.encode(images)
    assert codes.shape == (3, *styled.space("s").shape)
    # Each part of the code is of a head of its own, in units of the coordinates' deviations.
    whole = encoder.network(images)
    with torch.no_grad():
        encoder.network.heads[2].linear.bias.add_(1.0)  # type: ignore[union-attr,operator]
    moved = encoder.network(images) - whole
    start, stop = styled.space("s").layers[2]
    torch.testing.assert_close(
        moved[:, start:stop], styled.prior("s").deviations[start:stop].expand(3, -1)
    )
    assert not moved[:, :start].any()
    assert not moved[:, stop:].any()
    save_encoder(encoder, tmp_path / "styles.safetensors")
    again = load_encoder(tmp_path / "styles.safetensors", generator=styled)
    torch.testing.assert_close(again.encode(images), encoder.encode(images), rtol=0, atol=1e-2)
