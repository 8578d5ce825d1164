"""Adapter of any callable or module to the classifier contract, checked at every call."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.classifiers.base import Attribute, Classifier, attributes_of, check_finite
from directions.classifiers.crop import rgb_images
from directions.errors import LatdirError, SamplesError
from directions.fingerprints import CachedFingerprint, callable_parts, evaluating, module_of

__all__ = ["WrappedClassifier", "wrap_classifier"]

# How far from 1 the sums of probabilities may be.
SUM = 1e-3

log = logging.getLogger(__name__)


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
        hint: str = "",
    ) -> None:
        self.function = function
        self.name = name
        self.attributes = attributes
        self.differentiable = differentiable
        self._version = version
        self._hint = hint
        self._module = module_of(function)
        if self._module is not None or version is not None:
            self._called = [] if self._module is None else [self._module]
        else:
            self._called = callable_parts(function).modules  # refuses what cannot be hashed
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
        if self._module is not None:
            if self._module is not self.function:
                config["part"] = getattr(self.function, "__name__", "")
            state = {k: v for k, v in self._module.state_dict().items() if isinstance(v, Tensor)}
        return self._fingerprint(state, {**config, "version": self._version})

    def __call__(self, images: Tensor) -> Float[Tensor, "n k"]:
        """Scores, `[n, k]`, float32.

        Raises:
            LatdirError: Not a batch of RGB images, or the wrapped classifier's scores have
                another shape, are not finite, or leave [0, 1] where a probability is declared.
        """
        with evaluating(self._called):
            scores = self.function(rgb_images(images))
        if isinstance(scores, np.ndarray) and scores.dtype.kind in "fiub":
            scores = torch.from_numpy(np.ascontiguousarray(scores)).to(images.device)
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
        values = [a for a in self.attributes if a.kind == "value" and not a.unit]
        if self._hint and len(scores):
            sums = (scores.sum(1) - 1).abs().max() < SUM and scores.min() >= 0
            if sums and len(values) == len(self.attributes):
                log.warning(
                    "the scores of %s sum to 1: if they are probabilities, declare %s",
                    self.name,
                    self._hint,
                )
            self._hint = ""  # said once
        for column, attribute in enumerate(self.attributes):
            if attribute.kind != "probability" or not len(scores):
                continue
            low, high = (float(v) for v in scores[:, column].aminmax())
            if low < 0 or high > 1:
                raise SamplesError(
                    f"classifier {self.name} scored {attribute.name!r} {low:g} … {high:g}, which "
                    "are not probabilities: apply a sigmoid, or declare it "
                    f"Attribute({attribute.name!r}, 'value')"
                )


def wrap_classifier(
    function: Callable[[Tensor], Tensor],
    *,
    attributes: str | Attribute | Sequence[str | Attribute],
    name: str = "wrapped",
    differentiable: bool | None = None,
    version: str | None = None,
) -> WrappedClassifier:
    """Make a classifier of a function or module from images to scores.

    The module stays yours: it is in evaluation mode only while it is called, as are modules that
    a function calls.

    Args:
        function: Takes images `[n, 3, h, w]` in [-1, 1], returns scores `[n, k]`, or `[n]` for a
            single attribute, as a tensor or NumPy array. A module is used where it is: put it on
            a device first.
        attributes: One name for each column, or an `Attribute` to declare that a column is a
            probability or has a unit; a plain name is a value.
        name: Shown and stored; letters, digits, `_` and `-`.
        differentiable: Whether gradients flow from scores to images; by default yes for modules.
        version: Text that identifies a function, in place of all that it depends on: its code,
            defaults, closure, and the modules, arrays and functions it reaches. Needed where it
            reaches something that cannot be hashed, such as an open file.

    Raises:
        LatdirError: Not a function or module, one that cannot be hashed, or attributes that are
            missing or not unique.

    Example:
        >>> import torch
        >>> def redness(images):
        ...     return images[:, 0].mean((1, 2))
        >>> classifier = wrap_classifier(redness, attributes=["red"])
        >>> classifier(torch.ones(2, 3, 8, 8))
        tensor([[1.],
                [1.]])
    """
    if isinstance(function, type) or not callable(function) or isinstance(function, Classifier):
        what = "a class" if isinstance(function, type) else f"a {type(function).__name__}"
        raise LatdirError(
            f"wrap_classifier takes a module or a function of images, not {what}: classifiers are "
            "loaded by name with directions.load_classifier; of a class, make an instance first"
        )
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        raise LatdirError(f"a classifier's name has letters, digits, _ and - only, not {name!r}")
    made = attributes_of(attributes)
    names = [a.name for a in made]
    twice = sorted({n for n in names if names.count(n) > 1})
    if not made or twice or "" in names:
        what = f"{twice[0]!r} occurs twice" if twice else f"they are {names}"
        raise LatdirError(f"attributes need one name a column, all different, but {what}")
    module = module_of(function)
    hint = f"attributes=[Attribute({names[0]!r}, 'probability'), …]" if len(made) > 1 else ""
    if len(made) > 2 and module is not None and _last(module) == len(made):
        plain = [a for a in made if a == Attribute(a.name)]
        if len(plain) == len(made):
            log.warning(
                "the last layer of %s gives %d numbers on a scale of their own: if they are "
                "logits of classes, wrap lambda images: module(images).softmax(1) and declare %s",
                name,
                len(made),
                hint,
            )
    return WrappedClassifier(
        function,
        name=name,
        attributes=made,
        differentiable=module is not None if differentiable is None else differentiable,
        version=version,
        hint=hint,
    )


def _last(module: nn.Module) -> int | None:
    """Outputs of the last layer, where that is linear."""
    last = list(module.modules())[-1]
    return last.out_features if isinstance(last, nn.Linear) else None
