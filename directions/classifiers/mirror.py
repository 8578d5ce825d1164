"""Less noisy scores: an image and its mirror image, averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Classifier
from directions.generators.base import Precision, fingerprint

__all__ = ["Mirrored"]


class Mirrored(Classifier):
    """A classifier asked twice, about each image and about its mirror image.

    What a classifier says of an image and of its mirror image differs by its own noise; the mean
    has less of it, at twice the cost. Probabilities are averaged as log-odds, values as they are;
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
        self.odd = tuple(odd)
        sign = torch.ones(len(self.attributes))
        sign[classifier.columns(self.odd)] = -1
        self._sign = sign

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the classifier underneath and the odd attributes."""
        return fingerprint({}, {"mirrored": self.classifier.fingerprint, "odd": sorted(self.odd)})

    @property
    def _probability(self) -> Tensor:
        return torch.tensor([a.kind == "probability" for a in self.attributes])

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Mean log-odds of both; mean values."""
        sign = self._sign.to(images.device)
        return (self.classifier.logits(images) + sign * self.classifier.logits(images.flip(3))) / 2

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Scores, `[n, k]`."""
        mean = self.logits(images)
        return torch.where(self._probability.to(mean.device), mean.sigmoid(), mean)

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
        score = self.classifier.inference(precision=precision, names=wanted, compile=compile)
        sign, probability = self._sign[columns], self._probability[columns]

        def run(images: Tensor) -> Tensor:
            chosen = probability.to(images.device)
            both = [score(images), score(images.flip(3))]
            odds = [torch.where(chosen, s.logit(eps=1e-6), s) for s in both]
            mean = (odds[0] + sign.to(images.device) * odds[1]) / 2
            return torch.where(chosen, mean.sigmoid(), mean)

        return run
