"""Samples of labels of a user's own: of arrays, tables, and images that were made before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.classifiers.base import Classifier
from directions.errors import SamplesError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.images.photographs import open_images
from directions.scoring.rendering import Rendering
from discovery.sampling.arrays import numbers
from discovery.sampling.labeled_codes import LabeledCodes
from discovery.sampling.own_labels import OwnLabels, of_arrays, of_frame

__all__ = ["OwnSamples", "check_made", "scored_images"]

Same = TypeVar("Same", bound="OwnSamples")

BATCH = 64
TRIED = 16


class OwnSamples(LabeledCodes):
    """Ways to samples of labels of one's own; `Samples` has them."""

    @classmethod
    @checked
    def from_arrays(
        cls: type[Same],
        codes: Any,
        scores: Any,
        names: Any,
        *,
        generator: Generator,
        space: str | None = None,
        seed: int | None = None,
        index: Any = None,
        truncation: float = 1.0,
    ) -> Same:
        """Samples of your own labels, of codes or of places in a seed's sequence.

        Args:
            codes: `[n, *shape]`, NumPy, torch or nested lists; None with a `seed`.
            scores: `[n]` or `[n, k]`: 0 and 1, ranks, or values; higher is more.
            names: Name of the attribute, or one for each column; `Attribute(…)` with a unit.
            generator: Made the images that were labeled.
            space: Space of the codes; by default the generator's first.
            seed: Draws the codes, where none are given.
            index: `[n]`, their places in the seed's sequence; by default 0 … n - 1.
            truncation: ψ that the codes were drawn with.

        Raises:
            LatdirError: Codes of another space, both codes and seed or neither, or scores that
                are not numbers or do not fit.

        Example:
            >>> from directions.planted.world import planted
            >>> from discovery import Samples
            >>> world = planted(factors=2, dim=8)
            >>> labels = (world.factors(world.sample(60, seed=0))[:, 0] > 0).tolist()
            >>> samples = Samples.from_arrays(None, labels, "smile", generator=world, seed=0)
            >>> samples.codes.shape, samples.attributes[0].kind
            (torch.Size([60, 8]), 'probability')
        """
        found = of_arrays(
            codes,
            scores,
            names,
            generator=generator,
            space=space,
            seeds=seed,
            index=index,
            truncation=truncation,
        )
        return cls._of_own(found, generator, truncation)

    @classmethod
    @checked
    def from_frame(
        cls: type[Same],
        frame: Any,
        *,
        generator: Generator,
        names: Sequence[str] | None = None,
        space: str | None = None,
        seed: int | None = None,
        truncation: float = 1.0,
    ) -> Same:
        """Samples of a table of labels.

        Its columns `seed` and `index` say which codes, or `code` (arrays) or `code_0`, `code_1`,
        … are the codes themselves; the others are labels, without a leading `score.` of theirs.

        Args:
            frame: A pandas, polars or Arrow table, a mapping of names to columns, or the path of a
                CSV or Parquet file.
            generator: Made the images that were labeled.
            names: Columns of labels wanted; by default all others.
            space: Space of the codes; by default the generator's first.
            seed: Seed of the codes, where there is no column of it.
            truncation: ψ that the codes were drawn with.

        Raises:
            LatdirError: No codes and no seed, no labels, or a column that holds no numbers.

        Example:
            >>> from directions.planted.world import planted
            >>> from discovery import Samples
            >>> frame = {"seed": [0, 0, 0], "index": [4, 8, 1], "glasses": [1, 0, 0]}
            >>> Samples.from_frame(frame, generator=planted()).places
            tensor([4, 8, 1])
        """
        found = of_frame(
            frame, generator=generator, names=names, space=space, seed=seed, truncation=truncation
        )
        return cls._of_own(found, generator, truncation)

    @classmethod
    @checked
    def from_images(
        cls: type[Same],
        images: Any,
        classifier: Classifier,
        *,
        generator: Generator,
        codes: Any = None,
        space: str | None = None,
        seed: int | None = None,
        index: Any = None,
        truncation: float = 1.0,
    ) -> Same:
        """Samples of images that were made before, with their seed or codes.

        Args:
            images: Tensor or array `[n, 3, H, W]` in [-1, 1], or files, a folder or pictures as
                `directions.open_images` takes them.
            classifier: Scores them.
            generator: Made them.
            codes: As of `from_arrays`, as are the rest.
            space: Space of the codes.
            seed: Of the codes, where none are given.
            index: `[n]`, places in the seed's sequence.
            truncation: ψ that the codes were drawn with.

        Raises:
            LatdirError: As of `from_arrays`; or the images are not those of the codes.

        Example:
            >>> from directions.planted.world import planted
            >>> from discovery import Samples
            >>> world = planted(factors=2, dim=8)
            >>> images = world.synthesize(world.sample(30, seed=0))
            >>> Samples.from_images(images, world.classifier(), generator=world, seed=0)
            Samples(planted: 30 codes of 'z', factor_0, factor_1)
        """
        shown, scores = scored_images(images, classifier, generator)
        found = of_arrays(
            codes,
            scores,
            classifier.attributes,
            generator=generator,
            space=space,
            seeds=seed,
            index=index,
            truncation=truncation,
        )
        check_made(shown, found, generator)
        own = cls._of_own(found, generator, truncation)
        return replace(
            own, classifier=classifier.name, classifier_fingerprint=classifier.fingerprint
        )

    @classmethod
    def _of_own(cls: type[Same], found: OwnLabels, generator: Generator, truncation: float) -> Same:
        names = [a.name for a in found.attributes]
        return cls(
            *found[:4],
            generator.name,
            generator.fingerprint,
            "own labels",
            fingerprint({"labels": found.labels}, {"names": names}),
            seed=found.seed,
            index=found.places,
            rendering=Rendering(truncation=truncation),
            prior=generator.truncated_prior(found.space, truncation),
        )


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
