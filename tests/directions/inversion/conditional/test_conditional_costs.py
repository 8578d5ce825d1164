"""What targets are of, and what codes far from the prior cost."""

import pytest
import torch
from torch import nn

from directions import Attribute, wrap_classifier
from directions.inversion.conditional import (
    ConditionalConfig,
    ConditionalNetwork,
    ConditionalRecipe,
)
from directions.inversion.conditional.judges import judges_of
from directions.inversion.conditional.learner import ConditionalLearner
from tests.directions.inversion.conditional import test_conditional as beside
from tests.directions.inversion.conditional.test_conditional import SHORT, judges, untrained

few_images_held_out = beside.few_images_held_out
world = beside.world


def test_codes_far_from_the_prior_cost(world) -> None:
    cheap, dear = (
        ConditionalLearner(
            untrained(world),
            ConditionalRecipe(targets=(-2.0, 2.0), norm=norm),
            SHORT,
            judges(world),
            0,
        )
        for norm in (0.0, 0.5)
    )
    images = world.synthesize(world.sample(3, seed=1))
    target, way = torch.zeros(3), torch.zeros(3)
    costs = []
    for made in (cheap, dear):
        last = made.network.mix[-1]
        assert isinstance(last, nn.Linear)
        last.bias.data.fill_(0.7)
        costs.append(made._value_cost(images, images, target, way)[0])
    # Of a planted generator, whose axes are of length 1.
    torch.testing.assert_close(costs[1] - costs[0], torch.tensor(0.5 * 0.7**2))


def test_targets_of_a_probability_are_log_odds() -> None:
    judge = wrap_classifier(
        lambda images: images.mean((1, 2, 3)).sigmoid()[:, None],
        attributes=[Attribute("bright", "probability")], name="bright",
        differentiable=True,
    )  # fmt: skip
    made = judges_of(ConditionalRecipe(), judge, "bright", lambda x: x.flatten(1), None)
    images = torch.linspace(-1, 1, 4).reshape(4, 1, 1, 1).expand(4, 3, 8, 8)
    torch.testing.assert_close(made.value(images), images[:, 0, 0, 0], atol=1e-3, rtol=1e-3)
    assert made.attribute == "bright"
    with pytest.raises(Exception, match="no attribute 'age'"):
        judges_of(ConditionalRecipe(), judge, "age", lambda x: x.flatten(1), None)


def test_conditions_are_standardized() -> None:
    config = ConditionalConfig("value", width=4, numbers=2, axes=3, hidden=8)
    center, scale = torch.tensor([40.0, 1.0]), torch.tensor([30.0, 0.5])
    told = ConditionalNetwork(config, torch.eye(3), center, scale)
    plain = ConditionalNetwork(config, torch.eye(3), torch.zeros(2), torch.ones(2))
    nn.init.normal_(told.mix[-1].weight)
    plain.load_state_dict(told.state_dict() | {"center": torch.zeros(2), "scale": torch.ones(2)})
    maps, given = torch.rand(5, 4, 4, 4), torch.randn(5, 2)
    made = told(maps, center + scale * given)
    torch.testing.assert_close(made, plain(maps, given), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(made, plain(maps, center + scale * given), atol=0.1)
