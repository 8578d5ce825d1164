"""What a step of an encoder's training is made of, part by part."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import directions.inversion.encoders.learner as learners
import directions.inversion.encoders.running as running
from directions.errors import LatdirError
from directions.inversion import Encoded, Gray, Objective, Typicality
from directions.inversion.encoders import (
    CompactConfig,
    CompactEncoder,
    EncoderRecipe,
    TrainingSchedule,
    train_encoder,
)
from directions.inversion.encoders.compact import principal_axes
from directions.inversion.encoders.critics import Critic
from directions.inversion.encoders.learner import Learner
from tests.directions.inversion.worlds import linear
from tests.styles import small_stylegan2

SHORT = TrainingSchedule(steps=4, batch_size=4, width=4)
WORLD = linear(side=8)


@pytest.fixture(autouse=True)
def little_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learners, "HELD_OUT", 8)
    monkeypatch.setattr(learners, "METRIC_SIZE", 8)


def learner(schedule: TrainingSchedule = SHORT, **weights: float) -> Learner:
    return Learner(WORLD, "z", EncoderRecipe(**weights), schedule, None, None, 0)  # type: ignore


def test_axes_are_those_of_the_prior() -> None:
    generator = small_stylegan2()
    axes = principal_axes(generator, "w+")
    covariance = generator.prior("w").covariance
    torch.testing.assert_close(axes.T @ axes, covariance, atol=1e-5, rtol=1e-3)
    lengths = axes.norm(dim=1)
    assert torch.equal(lengths, lengths.sort(descending=True).values)
    torch.testing.assert_close(
        principal_axes(generator, "s"), generator.prior("s").deviations[None]
    )


def test_first_styles_read_the_coarsest_maps() -> None:
    network = CompactEncoder(CompactConfig(32, (9, 5), (4, 6, 8)), torch.eye(5))
    for i, head in enumerate(network.heads):
        nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(i))
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        fine, middle, coarse = network.maps(images)
        read = [coarse] * 3 + [middle] * 4 + [fine] * 2
        expected = [head(maps) for head, maps in zip(network.heads, read, strict=True)]
        torch.testing.assert_close(network(images), torch.stack(expected, 1))


def test_pixels_are_standardized_and_the_metric_goes_along() -> None:
    config, images = CompactConfig(8, (6,), (4,)), torch.rand(2, 3, 8, 8)
    network = CompactEncoder(config, torch.eye(6), level=0.2, contrast=0.5)
    plain = CompactEncoder(config, torch.eye(6))
    plain.load_state_dict(
        network.state_dict() | {"level": torch.tensor(0.0), "contrast": torch.tensor(1.0)}
    )
    torch.testing.assert_close(network.maps(images), plain.maps((images - 0.2) / 0.5))
    made = learner(shown=1.0)
    encoder = made.encoder("mine")
    assert encoder.metric is not None
    assert torch.equal(encoder.metric, made.metric)
    objective = Objective(
        WORLD, "z", torch.zeros(1, 3, 8, 8), Typicality.of(WORLD, "z"), None, None
    )
    start = Encoded(encoder)
    assert start.metric(objective) is encoder.metric
    assert start.metric(replace(objective, degradation=Gray())) is None
    assert start.metric(replace(objective, space="w")) is None


def test_r1_is_taken_now_and_then_and_the_larger() -> None:
    critic = Critic((3,), every=4, r1=2.0)
    critic.net = nn.Sequential(nn.Linear(3, 1))
    made, real = torch.randn(5, 3), torch.randn(5, 3)
    plain = functional.softplus(critic(made)).mean() + functional.softplus(-critic(real)).mean()
    penalty = critic.net[0].weight.square().sum()
    for step in range(6):
        expected = plain if step % 4 else plain + 2 / 2 * 4 * penalty
        torch.testing.assert_close(critic.own(real, made, step), expected)


def test_the_critic_of_codes_sees_each_layer() -> None:
    made = learner(pixels=0.0, codes=1.0, code_critic=0.5)
    codes, images = made.drawn(0)
    found = codes + 0.3
    soft, critic = functional.softplus, made.code_critic
    assert critic is not None
    own = soft(critic(found)).mean() + soft(-critic(codes)).mean()
    expected = torch.tensor(0.09) + 0.5 * soft(-critic(found)).mean() + own
    torch.testing.assert_close(made._cost(codes, images, found, None, 1), expected)
    generator = small_stylegan2()
    recipe = EncoderRecipe(pixels=0.0, codes=1.0, code_critic=0.5)
    layered = Learner(generator, "w+", recipe, SHORT, None, None, 0)
    codes, images = layered.drawn(0)
    seen: list[Tensor] = []
    layered.code_critic.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    layered._cost(codes, images, codes + 1, None, 1)
    layers, d = generator.space("w+").shape
    assert [tuple(part.shape) for part in seen] == [(4 * layers, d)] * 3
    torch.testing.assert_close(seen[0].reshape_as(codes), codes + 1)


def test_critics_are_trained_at_a_fifth_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    made = learner(code_critic=0.1, image_critic=0.1)
    own, critics = made.groups(0.5)
    assert (own["lr"], critics["lr"]) == (0.5, 0.1)
    count = [len(list(part.parameters())) for part in (made.code_critic, made.image_critic)]
    assert len(critics["params"]) == sum(count) > 0
    assert len(own["params"]) == len(list(made.network.parameters()))
    given: dict[str, object] = {}
    monkeypatch.setattr(
        running, "fit", lambda *_, **settings: given.update(settings) or SimpleNamespace(kept=0)
    )
    made.run({}, None, title="t")
    assert given["longest"] == 1.0
    assert given["schedule"](0.025) == pytest.approx(0.52, abs=0.01)  # type: ignore[operator]
    assert given["schedule"](1.0) == pytest.approx(0.0)  # type: ignore[operator]


def test_bfloat16_is_of_products_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = learner(TrainingSchedule(steps=4, batch_size=4, width=4, precision="bfloat16"))
    seen: list[torch.dtype] = []
    made.network.stem.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    synthesize = type(WORLD).synthesize

    def watched(self: object, codes: Tensor, space: str = "z") -> Tensor:
        seen.append(codes.dtype)
        return synthesize(self, codes, space)

    monkeypatch.setattr(type(WORLD), "synthesize", watched)
    cost = made.loss(1)
    assert seen[-2:] == [torch.bfloat16] * 2
    cost.backward()
    assert cost.dtype == torch.float32
    assert {p.grad.dtype for p in made.network.parameters() if p.grad is not None} == {
        torch.float32
    }


def test_consistency_leaves_the_farthest_and_the_nearest_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = learner()
    codes = WORLD.sample(8, seed=learners.ENCODER_SEED)
    apart = torch.tensor([100.0, 1, 2, 3, 4, 5, 6, 0])
    direction = functional.normalize(torch.ones(6), dim=0)
    found = codes + apart[:, None] * direction
    monkeypatch.setattr(made, "encoder", lambda name: SimpleNamespace(encode=lambda images: found))
    _, consistency = made.measured()
    assert consistency == pytest.approx(3.5, rel=1e-4)


def test_a_share_of_a_batch_is_rendered_again() -> None:
    codes = WORLD.sample(4, seed=1)
    for share, rows in ((0.5, [0, 2]), (1.0, [0, 1, 2, 3]), (0.1, [0])):
        made = learner(TrainingSchedule(steps=4, batch_size=4, width=4, rendered=share))
        images = made._rendered(codes, True)
        torch.testing.assert_close(images, WORLD.synthesize(codes[rows]))


def means(images: Tensor) -> Tensor:
    return images.mean((2, 3))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    once = TrainingSchedule(steps=1, batch_size=2, width=4)
    own = {
        "images": torch.zeros(2, 3, 8, 8), "features": means,
        "recipe": EncoderRecipe(codes=1.0, features=0.1),
    }  # fmt: skip
    others = {
        "images": torch.ones(2, 3, 8, 8), "features": lambda images: images.flatten(1),
        "recipe": EncoderRecipe(codes=2.0, features=0.1),
    }  # fmt: skip
    settings: dict[str, Any] = {"schedule": once, "checkpoint": tmp_path / "run"}
    train_encoder(WORLD, **own, **settings)
    for name, other in others.items():
        with pytest.raises(LatdirError, match=f"keeps a training with {name} "):
            train_encoder(WORLD, **{**own, name: other}, **settings)

    def twice(images: Tensor) -> Tensor:
        return 2 * means(images)

    twice.__qualname__ = means.__qualname__
    with pytest.raises(LatdirError, match="keeps a training with features 'means "):
        train_encoder(WORLD, **{**own, "features": twice}, **settings)
    layered, alone = small_stylegan2(), EncoderRecipe(pixels=0.0, codes=1.0)
    settings = {"schedule": once, "checkpoint": tmp_path / "of codes", "recipe": alone}
    train_encoder(layered, space="w", **settings)
    with pytest.raises(LatdirError, match="keeps a training with space 'w', and this one has 'z'"):
        train_encoder(layered, space="z", **settings)
    settings = {"schedule": once, "checkpoint": tmp_path / "run"}
    with pytest.raises(LatdirError, match="keeps a training with generator "):
        train_encoder(linear(d=5, side=8), **own, **settings)
