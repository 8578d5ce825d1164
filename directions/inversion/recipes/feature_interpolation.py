"""Deep feature interpolation: an attribute's mean difference in feature space, inverted.

Upchurch, Gardner, Pleiss, Pless, Snavely, Bala, Weinberger 2017: Deep Feature Interpolation for
Image Content Changes, arXiv:1611.05507. φ(x) + α (mean φ with the attribute − mean φ without), over
the images nearest to x in feature space; there pixels are found with these features by L-BFGS with
total variation, here a code, which needs no such prior.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked, checked_values, returned
from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator
from directions.inversion.base import Inversion, Inverter
from directions.inversion.degradations import Degraded
from directions.inversion.invert import invert
from directions.inversion.starts import Start
from directions.scoring.features import Features

__all__ = ["interpolate_features", "interpolated_features"]

BATCH = 32


@checked_values
def interpolated_features(
    features: Features,
    images: Float[Tensor, "n 3 h w"],
    without: Float[Tensor, "a 3 h w"],
    having: Float[Tensor, "b 3 h w"],
    *,
    amount: float = 1.0,
    neighbors: int = 100,
) -> Float[Tensor, "n f"]:
    """φ(x) + α w, with w the difference of the means of the nearest images with and without.

    Args:
        features: φ.
        images: x.
        without: Images that lack the attribute.
        having: Images that have it.
        amount: α.
        neighbors: Images of each kind, the nearest by squared distance of features.

    Raises:
        LatdirError: No images of a kind, pixels that are not finite, or features that are no
            tensor with a row an image.

    Example:
        >>> from directions.scoring.features import pixel_features
        >>> black, gray = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5)
        >>> target = interpolated_features(pixel_features, black, black, gray, amount=2.0)
        >>> (target - pixel_features(black + 1)).abs().max()
        tensor(0.)
    """
    whole_number(neighbors, "neighbors", least=1)
    if not min(len(images), len(without), len(having)):
        raise LatdirError(
            "interpolation takes images to change, and images with and without the attribute: give "
            "at least one of each"
        )
    with torch.no_grad():
        described, low, high = (
            torch.cat([_described(features, part) for part in torch.split(group, BATCH)])
            for group in (images, without, having)
        )

    def mean(group: Tensor) -> Tensor:
        near = torch.cdist(described, group).topk(min(neighbors, len(group)), largest=False)
        return group[near.indices].mean(1)

    return described + amount * (mean(high) - mean(low))


def _described(features: Features, images: Tensor) -> Float[Tensor, "n f"]:
    rows: Tensor = returned(features(images.float()), "features", "n f")
    return rows


@checked
def interpolate_features(
    generator: Generator,
    images: Float[Tensor, "n 3 h w"],
    without: Float[Tensor, "a 3 h w"],
    having: Float[Tensor, "b 3 h w"],
    *,
    features: Features,
    amount: float = 1.0,
    neighbors: int = 100,
    space: str | None = None,
    solver: str | Inverter = "auto",
    start: str | Start | Tensor | None = None,
) -> Inversion:
    """Codes whose images have the interpolated features.

    PSNRs are those of the features: 10 log₁₀(4 / squared distance).

    Args:
        generator: As for `invert`.
        images: What is changed.
        without: As for `interpolated_features`.
        having: As for `interpolated_features`.
        features: As for `interpolated_features`.
        amount: As for `interpolated_features`.
        neighbors: As for `interpolated_features`.
        space: As for `invert`.
        solver: As for `invert`.
        start: As for `invert`; by default the regression, which is fitted to these features.
    """
    target = interpolated_features(
        features, images, without, having, amount=amount, neighbors=neighbors
    )
    # The mean square over f numbers is then the squared distance.
    scale = math.sqrt(target.shape[1])

    def described(made: Tensor) -> Tensor:
        return scale * features(made)

    return invert(
        generator, scale * target, space=space, solver=solver, start=start,
        degradation=Degraded(described),
    )  # fmt: skip
