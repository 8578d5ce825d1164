"""Hypernetworks: images to changes of a generator's weights in a few passes, without optimization.

Read `base` first: a `Hypernetwork` goes over an encoder, and what it predicts are `Deltas`, one for
each image. `network` says which weights change and how, `gradient` how far along their gradient,
`recipes` what the published ones are, `training` makes one by a `learner`, `files` keeps it. Import
`train_hypernetwork` and `load_hypernetwork` from `directions`.
"""

from directions.inversion.hypernetworks.base import Hypernetwork, Predicted
from directions.inversion.hypernetworks.files import load_hypernetwork, save_hypernetwork
from directions.inversion.hypernetworks.gradient import GradientNetwork
from directions.inversion.hypernetworks.learner import HypernetworkProgress
from directions.inversion.hypernetworks.network import WeightNetwork, WeightNetworkConfig
from directions.inversion.hypernetworks.recipes import (
    HYPERNETWORK_RECIPES,
    HypernetworkRecipe,
    find_hypernetwork_recipe,
)
from directions.inversion.hypernetworks.training import HypernetworkTraining, train_hypernetwork

__all__ = [
    "HYPERNETWORK_RECIPES",
    "GradientNetwork",
    "Hypernetwork",
    "HypernetworkProgress",
    "HypernetworkRecipe",
    "HypernetworkTraining",
    "Predicted",
    "WeightNetwork",
    "WeightNetworkConfig",
    "find_hypernetwork_recipe",
    "load_hypernetwork",
    "save_hypernetwork",
    "train_hypernetwork",
]
