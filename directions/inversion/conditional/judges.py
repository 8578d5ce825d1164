"""What judges the images of conditional encoders in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from directions.classifiers.base import Classifier
from directions.classifiers.faces import faces
from directions.errors import LatdirError, described
from directions.fingerprints import Precision
from directions.inversion.checks import check_features, identified
from directions.inversion.conditional.recipes import ConditionalRecipe

__all__ = ["Judge", "Judges", "judges_of"]

Judge = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Judges:
    """What images are judged by, each differentiable.

    Attributes:
        attribute: Name of the value.
        value: Images to `[n]`.
        embed: Images to `[n, k]`, identity.
        points: Images to `[n, p, 2]`, landmarks in pixels.
        kept: Images to `[n, m]`, attributes that are to stay.
    """

    attribute: str
    value: Judge
    embed: Judge
    points: Judge | None
    kept: Judge | None = None

    def at(self, precision: Precision) -> Judges:
        """The same with the products of networks in a precision."""

        def run(judge: Judge) -> Judge:
            def judged(images: Tensor) -> Tensor:
                with torch.autocast(images.device.type, torch.bfloat16):
                    return judge(images).float()

            return judged

        if precision == "float32":
            return self
        return replace(
            self,
            value=run(self.value),
            embed=run(self.embed),
            points=None if self.points is None else run(self.points),
            kept=None if self.kept is None else run(self.kept),
        )

    def check(self, images: Tensor) -> None:
        """Refuse what makes no embeddings or landmarks of images.

        Raises:
            LatdirError: It returns something else.
        """
        check_features(self.embed, images)
        made: object = None if self.points is None else self.points(images)
        count = len(images)
        if made is not None and not (
            isinstance(made, Tensor) and made.ndim == 3 and made[:, 0].shape == (count, 2)
        ):
            got = list(made.shape) if isinstance(made, Tensor) else described(made)
            raise LatdirError(
                f"points= returned {got} of {count} images: it takes images [n, 3, h, w] to "
                "landmarks [n, p, 2] in pixels"
            )

    def held(self, images: Tensor) -> Tensor:
        """What is to stay of images, `[n, m]`: landmarks, attributes."""
        parts = [] if self.points is None else [self.points(images).flatten(1)]
        parts += [] if self.kept is None else [self.kept(images)]
        return torch.cat([images.new_zeros(len(images), 0), *parts], 1)

    def record(self, shape: tuple[int, ...], device: torch.device) -> dict[str, str | None]:
        """What identifies those of identity and landmarks in a run's record.

        Args:
            shape: Of an image.
            device: Of the images they see.
        """
        return {
            "embed": identified(self.embed, shape, device),
            "points": None if self.points is None else identified(self.points, shape, device),
        }


def judges_of(
    recipe: ConditionalRecipe,
    classifier: Classifier | None = None,
    attribute: str = "age",
    embed: Judge | None = None,
    points: Judge | None = None,
) -> Judges:
    """What images are judged by, or what is missing."""
    judge = faces() if classifier is None else classifier
    embed = embed or getattr(judge, "embed", None)
    points = (points or getattr(judge, "landmarks", None)) if recipe.points else None
    if embed is None:
        raise LatdirError(
            f"{judge.name} has no embeddings of identity: give embed=, images to vectors [n, k]"
        )
    if recipe.points and points is None:
        raise LatdirError(f"{judge.name} has no landmarks: give points=, or a recipe with points=0")
    wanted = recipe.kept if recipe.condition == "identity" else (attribute, *recipe.kept)
    judge.columns(wanted)
    if wanted and not judge.differentiable:
        raise LatdirError(f"no gradient flows through {judge.name}: give another classifier=")

    def value(images: Tensor) -> Tensor:
        return judge.logits_of(images, [attribute])[:, 0]

    def kept(images: Tensor) -> Tensor:
        return judge.logits_of(images, recipe.kept)

    name = "identity" if recipe.condition == "identity" else attribute
    return Judges(name, value, embed, points, kept if recipe.kept else None)
