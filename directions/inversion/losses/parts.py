"""Losses as features whose squared distance they are, and their weighted sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.errors import LatdirError, real_number
from directions.generators.base import Generator, check_generator
from directions.scoring.features import Features
from directions.seeds import INVERSION_SEED

__all__ = ["identity_features", "network_features", "weighted"]

SAMPLES, BATCH = 256, 32


@checked
def weighted(*parts: tuple[float, Features]) -> Features:
    """Features whose squared distance is a weighted sum of those of others.

    Args:
        parts: Weight and features of each, such as `(1.0, pixel_features)`.

    Raises:
        LatdirError: No parts, or a weight that is not above 0.

    Example:
        >>> from directions.scoring.features import pixel_features
        >>> both = weighted((1.0, pixel_features), (3.0, lambda images: images.mean((2, 3))))
        >>> black, gray = both(torch.tensor([-1.0, -0.5]).reshape(2, 1, 1, 1).expand(2, 3, 4, 4))
        >>> (black - gray).square().sum()  # 0.25 + 3 · 3 · 0.25
        tensor(2.5000)
    """
    if not parts:
        raise LatdirError("weighted takes parts, such as weighted((1.0, pixel_features))")
    for weight, _ in parts:
        if real_number(weight, "weight") <= 0:
            raise LatdirError(f"weight {weight} of a loss must be above 0: leave the part out")

    def features(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        return torch.cat([math.sqrt(weight) * part(images).flatten(1) for weight, part in parts], 1)

    return features


@checked
def network_features(
    network: Callable[[Tensor], Tensor | Sequence[Tensor]],
    *,
    distance: Literal["squared", "absolute"] = "squared",
) -> Features:
    """Features of any network: the squared distance is the mean squared difference of its output.

    Args:
        network: Images `[n, 3, h, w]` to activations `[n, …]`, or to several such, whose mean
            squared differences are added, as the perceptual losses of Image2StyleGAN are.
        distance: `absolute`, for `Progressive`: the sum of absolute differences of the features
            is the mean absolute difference of the output.

    Example:
        >>> pooled = network_features(lambda images: torch.nn.functional.avg_pool2d(images, 2))
        >>> pooled(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 48])
    """

    def features(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        made = network(images)
        layers = [made] if isinstance(made, Tensor) else list(made)
        root = math.sqrt if distance == "squared" else float
        return torch.cat([x.flatten(1) / root(x[0].numel()) for x in layers], 1)

    return features


@checked
def identity_features(
    generator: Generator, *, embed: Callable[[Tensor], Tensor] | None = None
) -> Features:
    """Identity of faces: the squared distance is 2 − 2 · cosine of centered embeddings.

    Faces of one generator are all alike to a recognition network (mean cosine 0.92 for
    `digiface64`), so that their mean is subtracted first.

    Args:
        generator: Whose mean embedding is subtracted, over 256 samples.
        embed: Images to embeddings `[n, d]`, differentiable; by default the built-in network's.

    Example:
        >>> from directions.planted.world import planted
        >>> identity = identity_features(planted(), embed=lambda images: images.mean((2, 3)))
        >>> identity(torch.rand(2, 3, 16, 16)).norm(dim=1).round(decimals=4)
        tensor([1., 1.])
    """
    check_generator(generator)
    read = FaceEmbedding() if embed is None else embed
    codes = generator.sample(SAMPLES, seed=INVERSION_SEED)
    space = generator.default_space()
    with torch.no_grad():
        parts = [read(generator.synthesize(c, space).float()) for c in torch.split(codes, BATCH)]
    mean = torch.cat(parts).mean(0)

    def features(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        return torch.nn.functional.normalize(read(images) - mean.to(images.device), dim=1)

    return features
