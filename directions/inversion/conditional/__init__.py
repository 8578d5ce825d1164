"""Conditional encoders: codes of images with something asked of them, without optimization.

Read `base` first: `ConditionalEncoder.encode` takes images and, for each, a target value of an
attribute (SAM: the same face at another age) or a second image, whose identity is wanted (Nitzan et
al.: the face of one with the pose, expression and lighting of the other). `network` is what is
trained over an encoder that stays as it is, `recipes` what the published ones are trained on,
`training` makes one by a `learner` that `judges` of images teach, by identity from a linear `start`
on, `files` keeps it. Import the names from here.
"""

from directions.inversion.conditional.base import ConditionalEncoder
from directions.inversion.conditional.files import (
    load_conditional_encoder,
    save_conditional_encoder,
)
from directions.inversion.conditional.learner import ConditionalProgress
from directions.inversion.conditional.network import ConditionalConfig, ConditionalNetwork
from directions.inversion.conditional.recipes import (
    CONDITIONAL_RECIPES,
    ConditionalRecipe,
    find_conditional_recipe,
)
from directions.inversion.conditional.training import (
    ConditionalTraining,
    train_conditional_encoder,
)

__all__ = [
    "CONDITIONAL_RECIPES",
    "ConditionalConfig",
    "ConditionalEncoder",
    "ConditionalNetwork",
    "ConditionalProgress",
    "ConditionalRecipe",
    "ConditionalTraining",
    "find_conditional_recipe",
    "load_conditional_encoder",
    "save_conditional_encoder",
    "train_conditional_encoder",
]
