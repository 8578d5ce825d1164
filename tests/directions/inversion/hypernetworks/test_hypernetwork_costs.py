"""What a step of training a hypernetwork costs."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import directions.inversion.hypernetworks.learner as learner
from directions.inversion.encoders import TrainingSchedule
from directions.inversion.hypernetworks import HypernetworkRecipe, find_hypernetwork_recipe
from directions.inversion.hypernetworks.learner import HypernetworkLearner
from tests.directions.inversion.hypernetworks.test_hypernetworks import encoder_of
from tests.directions.inversion.tuning.test_pivotal import dcgan


@pytest.fixture(autouse=True)
def few_images_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "HELD_OUT", 2)


def made(
    recipe: HypernetworkRecipe, features: object = None, **given: object
) -> HypernetworkLearner:
    schedule = TrainingSchedule(steps=4, batch_size=2, width=4, **given)  # type: ignore
    return HypernetworkLearner(encoder_of(dcgan()), recipe, schedule, None, features, 0)  # type: ignore


def test_the_cost_is_of_pixels_features_and_a_critic() -> None:
    def features(images: Tensor) -> Tensor:
        return images.mean((2, 3))

    recipe = HypernetworkRecipe(pixels=2.0, features=0.5, image_critic=0.25, passes=1, rank=2)
    of = made(recipe, features)
    draw = torch.Generator().manual_seed(0)
    images, shown = (torch.rand(2, 3, 8, 8, generator=draw) for _ in range(2))
    soft, critic = functional.softplus, of.critic
    assert critic is not None
    expected = 2 * (shown - images).square().mean()
    expected = expected + 0.5 * (features(shown) - features(images)).square().sum(1).mean()
    expected = expected + 0.25 * soft(-critic(shown)).mean()
    expected = expected + soft(critic(shown)).mean() + soft(-critic(images)).mean()
    torch.testing.assert_close(of._cost(images, shown, 1), expected)
    assert of.groups(1.0)[1]["lr"] == 0.2


def test_bfloat16_is_of_the_networks_products() -> None:
    of, seen = made(HypernetworkRecipe(features=0.0, rank=2), precision="bfloat16"), []
    of.network.stem.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    of.loss(0).backward()
    assert seen[-1] == torch.bfloat16
    assert {p.grad.dtype for p in of.network.parameters() if p.grad is not None} == {torch.float32}


def test_recipes_have_the_papers_weights() -> None:
    style, inverter = (find_hypernetwork_recipe(name) for name in ("hyperstyle", "hyperinverter"))
    assert (style.form, style.passes, style.pixels, style.features) == ("channel", 5, 1.0, 0.8)
    assert style.image_critic == 0.0
    assert (inverter.form, inverter.passes, inverter.image_critic) == ("low_rank", 1, 0.005)
