"""Scores of images that were made before, and whether they are those of their codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Classifier
from directions.errors import SamplesError
from directions.generators.base import Generator
from directions.images.photographs import open_images
from discovery.sampling.arrays import numbers
from discovery.sampling.own_labels import OwnLabels

__all__ = ["check_made", "scored_images"]

BATCH = 64
TRIED = 16


def scored_images(
    images: Any, classifier: Classifier, generator: Generator
) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n k"]]:
    """Images of the size that a generator makes, and their scores.

    Args:
        images: Tensor, array or nested lists `[n, 3, H, W]`, or what `open_images` takes.
        classifier: Scores them.
        generator: Made them.

    Raises:
        LatdirError: No images, or of another size.
    """
    if (isinstance(images, Tensor | np.ndarray) and images.ndim == 4) or _nested(images):
        images = numbers(images, "images")
    elif not isinstance(images, Tensor):
        images = open_images(images, size=(generator.image_shape[1], generator.image_shape[2]))
    if not images.numel() or tuple(images.shape[1:]) != tuple(generator.image_shape):
        raise SamplesError(
            f"images have shape {list(images.shape)}, and {generator.name} makes "
            f"[n, {', '.join(map(str, generator.image_shape))}]"
        )
    with torch.no_grad():
        parts = [classifier(part).cpu().float() for part in images.split(BATCH)]
    return images, torch.cat(parts)


def check_made(images: Float[Tensor, "n 3 h w"], found: OwnLabels, generator: Generator) -> None:
    """Refuse images that their codes do not make.

    The first images are compared with those of their own codes and of each other's: they may have
    been compressed or resized, but must be nearer to their own.

    Raises:
        SamplesError: They are not.
    """
    count = min(TRIED, len(images))
    codes = found.codes[:count].to(generator.device)
    with torch.no_grad():
        made = generator.synthesize(codes, found.space).flatten(1).cpu().float()
    shown = images[:count].flatten(1).cpu().float()
    apart = torch.cdist(made, shown, compute_mode="donot_use_mm_for_euclid_dist")
    other = (apart.diagonal() > apart.min(0).values).nonzero()
    if len(other):
        raise SamplesError(
            f"image {int(other[0])} looks less like that of its own code than like another's: give "
            "the seed and index, or the codes, in the order of the images, and the truncation "
            "that they were made with"
        )


def _nested(images: Any) -> bool:
    """Whether images are lists of numbers in lists, not a list of pictures."""
    return isinstance(images, list) and bool(images) and isinstance(images[0], list)
