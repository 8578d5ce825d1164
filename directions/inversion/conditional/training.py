"""Training of conditional encoders over an encoder, on its generator's own samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from os import PathLike

import torch
from torch import Tensor

from directions.arguments import checked
from directions.classifiers.base import Classifier
from directions.generators.checks import check_seed
from directions.inversion.checks import check_differentiable
from directions.inversion.conditional.base import ConditionalEncoder, trunk
from directions.inversion.conditional.judges import judges_of
from directions.inversion.conditional.learner import (
    ConditionalLearner,
    ConditionalProgress,
)
from directions.inversion.conditional.recipes import ConditionalRecipe, find_conditional_recipe
from directions.inversion.encoders import Encoder, TrainingSchedule

__all__ = ["ConditionalTraining", "train_conditional_encoder"]


@dataclass(frozen=True, eq=False)
class ConditionalTraining:
    """A trained conditional encoder.

    Attributes:
        encoder: It, with averaged weights.
        progress: What was measured on held-out images on the way.
    """

    encoder: ConditionalEncoder
    progress: tuple[ConditionalProgress, ...]

    def __repr__(self) -> str:
        last = self.progress[-1]
        return f"<{self.encoder!r}: {last.error:.3g} off, identity {last.identity:.2f}>"


@checked
def train_conditional_encoder(
    encoder: Encoder,
    *,
    recipe: str | ConditionalRecipe = "sam",
    schedule: TrainingSchedule = TrainingSchedule(),
    classifier: Classifier | None = None,
    attribute: str = "age",
    embed: Callable[[Tensor], Tensor] | None = None,
    points: Callable[[Tensor], Tensor] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    name: str = "conditional",
    seed: int = 0,
) -> ConditionalTraining:
    """An encoder of images at a target value, or with the identity of others.

    Args:
        encoder: One that `train_encoder` made, of one pass, or a built-in one. It stays as it is.
        recipe: `sam`, `nitzan`, or a set of parts of one's own.
        schedule: How long, and in what steps; layers have eight units for each channel of its
            width.
        classifier: Differentiable; by default `faces()`.
        attribute: Of its attributes, the one that targets are values of; of a probability, its
            log-odds.
        embed: Images to embeddings of identity `[n, k]`, differentiable; by default the
            classifier's `embed`.
        points: Images to landmarks `[n, p, 2]` in pixels, differentiable; by default the
            classifier's `landmarks`.
        checkpoint: File that keeps the run; a run that was killed goes on from it and ends
            with the same bits.
        name: Of the encoder.
        seed: Of weights, images and targets.

    Returns:
        The encoder, and its progress on held-out samples.

    Raises:
        LatdirError: An encoder of another architecture, a generator or classifier without
            gradients, an attribute that there is not, or a checkpoint of another run.

    Example:
        >>> from directions import train_encoder
        >>> from directions.planted.world import planted
        >>> world, short = planted(dim=8), TrainingSchedule(steps=1, batch_size=3, width=4)
        >>> made = train_conditional_encoder(
        ...     train_encoder(world, schedule=short).encoder, schedule=short,
        ...     recipe=ConditionalRecipe(targets=(-2, 2), unit=1), attribute="factor_0",
        ...     classifier=world.classifier(), embed=lambda images: images.mean(2).flatten(1),
        ... )
        >>> made.encoder.encode(world.synthesize(world.sample(2, seed=0)), 1.5).shape
        torch.Size([2, 8])
    """
    parts, generator = find_conditional_recipe(recipe), encoder.generator
    check_seed(seed, 0, 0)
    trunk(encoder)
    check_differentiable(generator, encoder.space)
    judges = judges_of(parts, classifier, attribute, embed, points)
    judges.check(torch.zeros(2, *generator.image_shape, device=generator.device))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        learner = ConditionalLearner(encoder, parts, schedule, judges, seed)
    record = {"recipe": asdict(parts), "seed": seed, "encoder": encoder.fingerprint}
    record |= {"attribute": attribute, "classifier": getattr(classifier, "fingerprint", None)}
    record |= judges.record(generator.image_shape, generator.device)
    learner.run(record, checkpoint, title=f"conditional encoder of {generator.name}")
    return ConditionalTraining(learner.conditional(name), learner.progress)
