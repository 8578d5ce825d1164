"""Renamed attributes of a classifier, for two classifiers of one kind side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Classifier
from directions.errors import LatdirError
from directions.fingerprints import Precision, fingerprint

__all__ = ["Renamed", "under_common_names"]


class Renamed(Classifier):
    """The same scores under other names.

    Args:
        classifier: The classifier underneath.
        names: Old name to new name; attributes left out keep theirs.
        name: Name of the whole; by default the classifier's own.

    Raises:
        LatdirError: An attribute it does not have, or two of one name.

    Example:
        >>> from directions import load_classifier
        >>> luma = Renamed(load_classifier("pixels"), {"brightness": "luma"})
        >>> luma.names
        ('luma', 'contrast', 'background_brightness', 'warmth')
    """

    def __init__(
        self, classifier: Classifier, names: Mapping[str, str], *, name: str | None = None
    ) -> None:
        classifier.columns(list(names))
        self.classifier = classifier
        self.name = name or classifier.name
        self.attributes = tuple(
            replace(a, name=names.get(a.name, a.name)) for a in classifier.attributes
        )
        self.differentiable = classifier.differentiable
        self.compiles = classifier.compiles
        self.concurrent = classifier.concurrent
        common = classifier.common_names.items()
        self.common_names = {old: new for old, new in common if old not in names}
        twice = sorted({n for n in self.names if self.names.count(n) > 1})
        if twice:
            raise LatdirError(f"two attributes would be called {twice[0]!r}: rename one")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the classifier underneath and the names."""
        return fingerprint({}, {"of": self.classifier.fingerprint, "names": list(self.names)})

    def _old(self, names: Sequence[str]) -> list[str]:
        return [self.classifier.names[column] for column in self.columns(names)]

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The classifier's scores."""
        return self.classifier(images)

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The classifier's logits."""
        return self.classifier.logits(images)

    def logits_of(
        self, images: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> Float[Tensor, "n k"]:
        """The classifier's logits of some attributes."""
        return self.classifier.logits_of(images, self._old(names))

    def inference(
        self,
        *,
        precision: Precision = "float32",
        names: Sequence[str] | None = None,
        compile: bool = False,
    ) -> Callable[[Tensor], Tensor]:
        """The classifier's own fast form."""
        wanted = None if names is None else self._old(names)
        return self.classifier.inference(precision=precision, names=wanted, compile=compile)

    def inference_logits(
        self, *, precision: Precision = "float32", names: Sequence[str] | None = None
    ) -> Callable[[Tensor], Tensor]:
        """The classifier's own fast form."""
        wanted = None if names is None else self._old(names)
        return self.classifier.inference_logits(precision=precision, names=wanted)


def under_common_names(classifier: Classifier) -> Classifier:
    """A classifier with its attributes under the names that other classifiers have for them.

    Example:
        >>> from directions import load_classifier
        >>> under_common_names(load_classifier("clip")).names[:5]
        ('smiling', 'surprised', 'sad', 'angry', 'male')
    """
    common = {a: n for a, n in classifier.common_names.items() if n not in classifier.names}
    return Renamed(classifier, common) if common else classifier
