"""Scores averaged over an image and its mirror image, with less noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Classifier, from_logit, logit
from directions.fingerprints import Precision, fingerprint

__all__ = ["Mirrored"]


class Mirrored(Classifier):
    """A classifier asked twice, about each image and about its mirror image.

    A classifier's scores of an image and of its mirror image differ by noise; the mean
    has less of it, at twice the cost. Probabilities are averaged as log-odds, values directly;
    an attribute that changes sign in a mirror is turned before.

    Args:
        classifier: The classifier underneath.
        odd: Attributes that change sign in a mirror, such as `yaw` and `roll`.

    Raises:
        LatdirError: An odd attribute that the classifier does not have.

    Example:
        >>> from directions import load_classifier
        >>> from directions.classifiers import Mirrored
        >>> steady = Mirrored(load_classifier("faces"), odd=("yaw", "roll"))
        >>> images = torch.zeros(1, 3, 64, 64)
        >>> float(steady(images)[0, steady.names.index("yaw")].abs()) < 1e-3
        True
    """

    def __init__(self, classifier: Classifier, *, odd: Sequence[str] = ()) -> None:
        self.classifier = classifier
        self.name = f"{classifier.name}-mirrored"
        self.attributes = classifier.attributes
        self.differentiable = classifier.differentiable
        self.concurrent = classifier.concurrent
        self.odd = tuple(odd)
        sign = torch.ones(len(self.attributes))
        sign[classifier.columns(self.odd)] = -1
        self._sign = sign

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the classifier underneath and the odd attributes."""
        return fingerprint({}, {"mirrored": self.classifier.fingerprint, "odd": sorted(self.odd)})

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Mean log-odds of both; mean values."""
        return self.logits_of(images, self.names)

    def logits_of(
        self, images: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> Float[Tensor, "n k"]:
        """The same for some attributes."""
        sign = self._sign[self.columns(names)].to(images.device)
        here, there = (self.classifier.logits_of(i, names) for i in (images, images.flip(3)))
        return (here + sign * there) / 2

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Scores, `[n, k]`."""
        return from_logit(self.logits(images), self.attributes)

    def inference(
        self,
        *,
        precision: Precision = "float32",
        names: Sequence[str] | None = None,
        compile: bool = False,
    ) -> Callable[[Tensor], Tensor]:
        """The classifier's own fast form, run twice."""
        wanted = self.names if names is None else tuple(names)
        columns = self.columns(wanted)
        kept = [self.attributes[c] for c in columns]
        score = self.classifier.inference(precision=precision, names=wanted, compile=compile)
        sign = self._sign[columns]

        def run(images: Tensor) -> Tensor:
            here, there = (logit(score(part), kept) for part in (images, images.flip(3)))
            return from_logit((here + sign.to(images.device) * there) / 2, kept)

        return run
