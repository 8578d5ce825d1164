"""Training of hypernetworks over an encoder: a generator's own samples, mixed, and real images.

A step makes images of codes that no other step sees, half of them of two codes mixed by layer,
which no code of the encoder makes, encodes them, and changes the weights of each. Own samples are
nearly in the range of the encoder: what a hypernetwork is for are images that are not, so give
some (`images=`) to edit such.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from os import PathLike

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError
from directions.generators.checks import check_seed
from directions.inversion.checks import check_differentiable
from directions.inversion.encoders import Encoder, TrainingSchedule
from directions.inversion.encoders.running import checked_inputs
from directions.inversion.hypernetworks.base import Hypernetwork
from directions.inversion.hypernetworks.learner import HypernetworkLearner, HypernetworkProgress
from directions.inversion.hypernetworks.recipes import (
    HypernetworkRecipe,
    find_hypernetwork_recipe,
)
from directions.scoring.features import Features

__all__ = ["HypernetworkTraining", "train_hypernetwork"]


@dataclass(frozen=True, eq=False)
class HypernetworkTraining:
    """A trained hypernetwork.

    Attributes:
        hypernetwork: It, with averaged weights.
        progress: What was measured on held-out images on the way.
    """

    hypernetwork: Hypernetwork
    progress: tuple[HypernetworkProgress, ...]

    def __repr__(self) -> str:
        last = self.progress[-1]
        return (
            f"<{self.hypernetwork!r}: {last.encoder:.1f} -> {last.psnr:.1f} dB on held-out "
            f"images, {last.step} steps>"
        )


@checked
def train_hypernetwork(
    encoder: Encoder,
    *,
    recipe: str | HypernetworkRecipe = "hyperstyle",
    schedule: TrainingSchedule = TrainingSchedule(),
    images: Float[Tensor, "n 3 h w"] | None = None,
    features: Features | None = None,
    initial: Hypernetwork | None = None,
    checkpoint: str | PathLike[str] | None = None,
    name: str = "hypernetwork",
    seed: int = 0,
) -> HypernetworkTraining:
    """A hypernetwork: images to changes of the generator's weights, over an encoder's codes.

    Args:
        encoder: Of a generator whose weights can be changed (StyleGAN, StyleGAN2, DCGAN).
        recipe: A name of `HYPERNETWORK_RECIPES` or a set of parts of one's own.
        schedule: How long, and in what steps; all images of a batch are rendered.
        images: `[n, 3, H, W]` in [-1, 1], real images of the generator's size, such as faces that
            it does not quite make: half of each batch.
        features: Whose squared distance the recipe weighs, such as `lpips_features()`.
        initial: A hypernetwork of the same recipe to go on from, over any encoder of the
            generator.
        checkpoint: File that keeps the run; a run that was killed goes on from it and ends
            with the same bits.
        name: Of the hypernetwork.
        seed: Of weights and codes.

    Returns:
        The hypernetwork, and its progress on held-out samples, mixed as those trained on.

    Raises:
        LatdirError: A generator without weights to change or without gradients, images of another
            size, another recipe's `initial`, or a checkpoint of another run.

    Example:
        >>> from directions import train_encoder
        >>> from directions.planted.weights import PlantedWeights
        >>> from directions.planted.world import planted
        >>> world, short = PlantedWeights.of(planted(dim=8)), TrainingSchedule(steps=1, width=4)
        >>> encoder = train_encoder(world, schedule=short).encoder
        >>> train_hypernetwork(encoder, schedule=short).hypernetwork.passes
        5
    """
    parts, generator = find_hypernetwork_recipe(recipe), encoder.generator
    check_seed(seed, 0, 0)
    if not generator.tunable:
        generator.with_weights({})
    check_differentiable(generator, encoder.space)
    if features is None:
        if not parts.pixels:
            raise LatdirError("this recipe compares features alone: give features=")
        parts = replace(parts, features=0.0)
    elif not parts.features:
        raise LatdirError("these features have no weight: give a recipe with features above 0")
    real, inputs = checked_inputs(generator, images, features)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        learner = HypernetworkLearner(encoder, parts, schedule, real, features, seed)
    if initial is not None:
        if initial.network.config != learner.config:
            raise LatdirError(
                f"{initial.name} is of another recipe, width or generator: leave initial= out"
            )
        learner.network.load_state_dict(initial.network.state_dict())
        learner.kept.load_state_dict(initial.network.state_dict())
    record = {"recipe": asdict(parts), "seed": seed, "encoder": encoder.fingerprint, **inputs}
    record["initial"] = None if initial is None else initial.fingerprint
    learner.run(record, checkpoint, title=f"hypernetwork of {generator.name}")
    return HypernetworkTraining(learner.hypernetwork(name), learner.progress)
