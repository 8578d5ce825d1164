"""GAN ensembling: inversion, and scores averaged over changes that keep the image's content.

Chai, Zhu, Shechtman, Isola, Zhang 2021: Ensembling with Deep Generative Views, arXiv:2104.14551.
The encoder, whose codes of image and reconstruction are compared, is the regression here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_values
from directions.classifiers.base import Classifier, check_finite
from directions.errors import LatdirError, real_number, whole_number
from directions.generators.base import Generator
from directions.inversion.base import Inversion
from directions.inversion.fitted import fitted
from directions.inversion.objective import Objective
from directions.inversion.solvers.line_search import LineSearch

__all__ = ["Ensembling", "ensemble_scores", "generative_views"]

Layers = Literal["coarse", "fine", "all"]
# Of 18 layers, the first 4 are coarse and those from the 10th on fine.
COARSE, FINE = 4 / 18, 10 / 18
BATCH = 32


@dataclass(frozen=True)
class Ensembling(LineSearch):
    """L-BFGS on absolute differences of pixels, features, and the regression's codes.

    The loss is (1 − λ) · mean |y − x| + λ · (cost with `features=`, by default of pixels)
    + μ · mean (E(y) − E(x))².

    Attributes:
        perceptual: λ.
        encoded: μ.
    """

    spaces: ClassVar[tuple[str, ...]] = ("w+",)
    options: ClassVar[Mapping[str, Any]] = {"ftol": 0.0, "gtol": 0.0, "maxcor": 10, "maxls": 10}

    steps: int = 500
    target: float = 100.0
    perceptual: float = 0.5
    encoded: float = 0.25

    def loss(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n"]:
        """What is minimized, differentiable."""
        seen = objective.observed_at(codes)
        encoder = fitted(
            objective.generator, space=objective.space, degradation=objective.degradation
        )
        apart = (encoder.predicted(seen) - encoder.predicted(objective.observed)).flatten(1)
        absolute = (seen - objective.observed).flatten(1).abs().mean(1)
        weight = self.perceptual
        squares = weight * objective.costs(codes) + self.encoded * apart.square().mean(1)
        return (1 - weight) * absolute + squares


@checked_values
def generative_views(
    generator: Generator,
    codes: Float[Tensor, "n ..."],
    *,
    space: str,
    count: int = 31,
    layers: Layers = "fine",
    deviation: float = 0.3,
    mixed: bool = False,
    seed: int = 0,
) -> Float[Tensor, "n k ..."]:
    """Codes around each code that change coarse or fine layers.

    Args:
        generator: Of the codes.
        codes: `[n, *space.shape]`.
        space: Their space; layers of w are those of w+, and other spaces change as a whole.
        count: Views of a code.
        layers: Which layers change.
        deviation: Of normal noise, in standard deviations of the space; isotropic, as there.
        mixed: Whether the layers are those of other samples instead (style mixing).
        seed: Of noise and samples.

    Returns:
        `[n, count, …]`, of w codes in w+.

    Raises:
        LatdirError: Codes that are not finite or not of the space, or layers that it has not.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(dim=8)
        >>> generative_views(world, world.sample(2, seed=0), space="z", layers="all").shape
        torch.Size([2, 31, 8])
    """
    whole_number(count, "count", least=1)
    real_number(deviation, "deviation", least=0.0)
    generator.check(codes, space)
    if space == "w" and "w+" in generator.spaces:
        codes, space = generator.map(codes, "w", "w+"), "w+"
    shape = generator.space(space).shape
    if len(shape) < 2 and layers != "all":
        raise LatdirError(
            f"codes of space {space!r} have no {layers} layers: say layers='all', or give w+ codes"
        )
    if mixed:
        other = generator.sample(count, seed=seed, space=space)[None].to(codes)
    else:
        rng = torch.Generator().manual_seed(seed)
        spread = float(generator.prior(space).deviations.square().mean().sqrt())
        noise = torch.randn(count, *shape, generator=rng).to(codes)
        other = codes[:, None] + deviation * spread * noise
    views = codes[:, None].expand(-1, count, *shape).clone()
    first = round(FINE * shape[0]) if layers == "fine" else 0
    last = round(COARSE * shape[0]) if layers == "coarse" else shape[0]
    views[:, :, first:last] = other.expand_as(views)[:, :, first:last]
    return views


@checked_values
def ensemble_scores(
    found: Inversion,
    classifier: Classifier,
    images: Float[Tensor, "n 3 h w"],
    *,
    weight: float = 0.5,
    count: int = 31,
    layers: Layers = "fine",
    deviation: float = 0.3,
    mixed: bool = False,
    seed: int = 0,
) -> Float[Tensor, "n k"]:
    """Scores of images averaged with those of views of their inversion.

    Args:
        found: The inversion of the images.
        classifier: What scores them.
        images: As they are.
        weight: Of the reconstruction and its views; the image itself has the rest.
        count: As for `generative_views`.
        layers: As for `generative_views`.
        deviation: As for `generative_views`.
        mixed: As for `generative_views`.
        seed: As for `generative_views`.

    Raises:
        LatdirError: Another number of images, or images, codes or scores that are not finite.

    Example:
        >>> from directions import invert, wrap_classifier
        >>> from directions.planted.world import planted
        >>> world = planted(dim=8)
        >>> images = world.synthesize(world.sample(2, seed=1))
        >>> found = invert(world, images, start="mean")
        >>> red = wrap_classifier(lambda x: x[:, 0].mean((1, 2)), attributes=["red"], name="red")
        >>> ensemble_scores(found, red, images, count=3, layers="all").shape
        torch.Size([2, 1])
    """
    if not 0 <= real_number(weight, "weight") <= 1:
        raise LatdirError(f"weight {weight} is a fraction, within 0 … 1")
    if len(images) != len(found):
        raise LatdirError(f"{len(found)} inversions of {len(images)} images: give one image each")
    views = generative_views(
        found.generator, found.codes, space=found.space, count=count, layers=layers,
        deviation=deviation, mixed=mixed, seed=seed,
    )  # fmt: skip
    space = "w+" if views.ndim > found.codes.ndim + 1 else found.space
    with torch.no_grad():
        parts = torch.split(views.flatten(0, 1), BATCH)
        scored = [classifier(found.generator.synthesize(part, space)) for part in parts]
        own, made = classifier(images), classifier(found.reconstruct())
    total = torch.cat(scored).reshape(len(found), count, -1).sum(1) + made
    mean = (1 - weight) * own + weight * total / (count + 1)
    check_finite(mean, names=classifier.names, classifier=classifier.name)
    return mean
