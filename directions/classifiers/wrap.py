"""Adapter of any callable or module to the classifier contract, checked at every call."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from directions.classifiers.base import Attribute, Classifier, check_finite
from directions.classifiers.crop import checked
from directions.errors import LatdirError, SamplesError
from directions.fingerprints import CachedFingerprint, callable_parts

__all__ = ["WrappedClassifier", "wrap_classifier"]


class WrappedClassifier(Classifier):
    """A user's own classifier; make one with `wrap_classifier`."""

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        *,
        name: str,
        attributes: tuple[Attribute, ...],
        differentiable: bool,
        version: str | None,
    ) -> None:
        self.function = function
        self.name = name
        self.attributes = attributes
        self.differentiable = differentiable
        self._version = version
        self._fingerprint = CachedFingerprint()

    @property
    def fingerprint(self) -> str:
        """sha256 over the attributes and over weights, version, or all the function depends on."""
        columns = [[a.name, a.kind, a.unit] for a in self.attributes]
        config: dict[str, Any] = {"name": self.name, "attributes": columns}
        if self._version is None:
            parts = callable_parts(self.function)
            return self._fingerprint(parts.tensors, {**config, "parts": parts.config})
        state: dict[str, Any] = {}
        if isinstance(self.function, nn.Module):
            state = {k: v for k, v in self.function.state_dict().items() if isinstance(v, Tensor)}
        return self._fingerprint(state, {**config, "version": self._version})

    def __call__(self, images: Tensor) -> Float[Tensor, "n k"]:
        """Scores, `[n, k]`, float32.

        Raises:
            LatdirError: Not a batch of RGB images, or the wrapped classifier's scores have
                another shape, are not finite, or leave [0, 1] where a probability is declared.
        """
        scores = self.function(checked(images))
        if not isinstance(scores, Tensor):
            raise LatdirError(
                f"classifier {self.name} returned {type(scores).__name__}, not a tensor of scores "
                f"[n, {len(self.attributes)}]: wrap a function that returns one"
            )
        if scores.ndim == 1 and len(self.attributes) == 1:
            scores = scores[:, None]
        expected = (len(images), len(self.attributes))
        if tuple(scores.shape) != expected:
            raise SamplesError(
                f"classifier {self.name} returned scores of shape {list(scores.shape)} for "
                f"{len(images)} images and {len(self.attributes)} attributes: "
                f"it must return {list(expected)}, one column for each attribute"
            )
        scores = scores.float()
        self._check_values(scores.detach())
        return scores

    def _check_values(self, scores: Tensor) -> None:
        check_finite(scores, names=self.names, classifier=self.name)
        for column, attribute in enumerate(self.attributes):
            if attribute.kind != "probability" or not len(scores):
                continue
            low, high = (float(v) for v in scores[:, column].aminmax())
            if low < 0 or high > 1:
                raise SamplesError(
                    f"classifier {self.name} scored {attribute.name!r} {low:g} … {high:g}, which "
                    "are no probabilities: apply a sigmoid, or declare it "
                    f"Attribute({attribute.name!r}, 'value')"
                )


def wrap_classifier(
    function: Callable[[Tensor], Tensor],
    *,
    attributes: Sequence[str | Attribute],
    name: str = "wrapped",
    differentiable: bool | None = None,
    version: str | None = None,
) -> WrappedClassifier:
    """Make a classifier of a function or module from images to scores.

    Args:
        function: Takes images `[n, 3, h, w]` in [-1, 1], returns scores `[n, k]`, or `[n]` for a
            single attribute. A module is used unchanged: put it in eval mode and on a device
            first.
        attributes: One name for each column, or an `Attribute` to declare a probability
            or has a unit; a plain name is a value.
        name: Shown and stored; letters, digits, `_` and `-`.
        differentiable: Whether gradients flow from scores to images; by default yes for modules.
        version: Text that identifies a function, in place of all that it depends on: its code,
            defaults, closure, and the modules, arrays and functions it reaches. Needed where it
            reaches something that cannot be hashed, such as an open file.

    Raises:
        LatdirError: It is a module in training mode, a function that cannot be hashed, or the
            attributes are missing or not unique.

    Example:
        >>> import torch
        >>> def redness(images):
        ...     return images[:, 0].mean((1, 2))
        >>> classifier = wrap_classifier(redness, attributes=["red"])
        >>> classifier(torch.ones(2, 3, 8, 8))
        tensor([[1.],
                [1.]])
    """
    if isinstance(function, nn.Module) and function.training:
        raise LatdirError(
            f"the module of classifier {name!r} is in training mode, where scores depend on the "
            "batch: call module.eval() first"
        )
    if not re.fullmatch(r"[\w-]+", name):
        raise LatdirError(f"a classifier's name has letters, digits, _ and - only, not {name!r}")
    made = tuple(a if isinstance(a, Attribute) else Attribute(a) for a in attributes)
    names = [a.name for a in made]
    twice = sorted({n for n in names if names.count(n) > 1})
    if not made or twice or "" in names:
        what = f"{twice[0]!r} occurs twice" if twice else f"they are {names}"
        raise LatdirError(f"attributes need one name a column, all different, but {what}")
    module = isinstance(function, nn.Module)
    if version is None:
        callable_parts(function)  # refuses what cannot be hashed
    return WrappedClassifier(
        function,
        name=name,
        attributes=made,
        differentiable=module if differentiable is None else differentiable,
        version=version,
    )
