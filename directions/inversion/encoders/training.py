"""Training of encoders: any generator's own samples, fresh at each step, and real images if any.

A step draws codes that no other step sees, makes their images, predicts codes from them, and
compares codes and images as the recipe says (`learner`). Weights are averaged over training (EMA),
and the average is what is measured and kept. Of a batch, a share is rendered again and compared
by pixels, since going through the generator costs more than all else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from os import PathLike

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.generators.checks import check_seed
from directions.inversion.checks import check_differentiable
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.learner import Learner, Progress
from directions.inversion.encoders.recipes import (
    EncoderRecipe,
    TrainingSchedule,
    find_encoder_recipe,
)
from directions.inversion.encoders.running import checked_inputs
from directions.scoring.features import Features

__all__ = ["EncoderTraining", "train_encoder"]


@dataclass(frozen=True, eq=False)
class EncoderTraining:
    """A trained encoder.

    Attributes:
        encoder: It, with averaged weights.
        progress: What was measured on held-out codes on the way.
    """

    encoder: Encoder
    progress: tuple[Progress, ...]

    def __repr__(self) -> str:
        last = self.progress[-1]
        return f"<{self.encoder!r}: {last.psnr:.1f} dB on held-out images, {last.step} steps>"


@checked
def train_encoder(
    generator: Generator,
    *,
    recipe: str | EncoderRecipe = "compact",
    schedule: TrainingSchedule = TrainingSchedule(),
    space: str | None = None,
    images: Float[Tensor, "n 3 h w"] | None = None,
    features: Features | None = None,
    checkpoint: str | PathLike[str] | None = None,
    name: str = "encoder",
    seed: int = 0,
) -> EncoderTraining:
    """An encoder of a generator's images, trained on its own samples.

    Args:
        generator: Differentiable, unless the recipe compares codes alone.
        recipe: A name of `ENCODER_RECIPES` or a set of parts of one's own.
        schedule: How long, and in what steps.
        space: Of the codes; by default the recipe's, or w+ for those with offsets, else w, where
            the generator has it, else its first.
        images: `[n, 3, H, W]` in [-1, 1], real images of the generator's size, which make up half
            of each batch; codes are compared on generated ones only.
        features: Whose squared distance the recipe weighs, such as `lpips_features()`.
        checkpoint: File that keeps the run; a run that was killed goes on from it and ends
            with the same bits.
        name: Of the encoder.
        seed: Of weights and codes.

    Returns:
        The encoder, and its progress on held-out codes.

    Raises:
        LatdirError: Offsets without layers, features without a weight or the reverse, images of
            another size, a generator without gradients, or a checkpoint of another run.

    Example:
        >>> from directions.planted.world import planted
        >>> schedule = TrainingSchedule(steps=20, batch_size=8, width=4)
        >>> made = train_encoder(planted(dim=8), schedule=schedule)
        >>> made.progress[-1].psnr > made.progress[0].psnr
        True
    """
    parts = find_encoder_recipe(recipe)
    check_seed(seed, 0, 0)
    preferred = parts.spaces or (("w+", "w") if parts.offsets else ("w", "z"))
    where = generator.space(space or generator.default_space(*preferred)).name
    if parts.offsets and len(generator.space(where).shape) != 2:
        raise LatdirError(
            f"{where} codes of {generator.name} have no layers to offset: give space='w+', or a "
            "recipe without offsets, such as 'psp'"
        )
    if features is not None and not parts.features:
        raise LatdirError("these features have no weight: give a recipe with features above 0")
    if features is None:
        parts = replace(parts, features=0.0)
    if parts.renders:
        check_differentiable(generator, where)
    real, inputs = checked_inputs(generator, images, features)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        learner = Learner(generator, where, parts, schedule, real, features, seed)
    record = {"recipe": asdict(parts), "space": where, "seed": seed, **inputs}
    learner.run(record, checkpoint, title=f"encoder of {generator.name}")
    return EncoderTraining(learner.encoder(name), learner.progress)
