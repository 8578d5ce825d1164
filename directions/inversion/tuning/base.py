"""The contract of the ways to tune, and the parts they share: changes of weights, costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator
from directions.generators.deltas import Change, changed
from directions.inversion.objective import Degradation
from directions.scoring.features import Features

__all__ = ["Changes", "Form", "Solution", "Task", "Tuner", "Weights"]

Form = Literal["low_rank", "channel", "full", "all"]


@dataclass(frozen=True, eq=False)
class Task:
    """What a generator is tuned to.

    Attributes:
        generator: The base.
        space: Of the codes.
        observed: `[n, …]`, the images, or what was observed of them.
        codes: `[n, *space.shape]`, one for each image, to tune around or to begin at.
        degradation: What the images have gone through, or None.
        features: Compared beside pixels, or None.
        seed: Of all that is drawn.
        bar: Of progress.
    """

    generator: Generator
    space: str
    observed: Tensor
    codes: Tensor | None
    degradation: Degradation | None
    features: Features | None
    seed: int
    bar: Any

    @cached_property
    def base(self) -> Callable[[Tensor], Tensor]:
        """Images of codes by the base, without gradients."""
        return self.generator.inference(space=self.space)

    def degraded(self, images: Tensor) -> Tensor:
        """A(y)."""
        return images if self.degradation is None else self.degradation(images)

    def described(self, observed: Tensor) -> Tensor | None:
        """Features, where there are any; gray images are repeated over three channels."""
        if self.features is None:
            return None
        gray = observed.ndim == 4 and observed.shape[1] == 1
        return self.features(observed.expand(-1, 3, -1, -1) if gray else observed)


@dataclass(frozen=True, eq=False)
class Solution:
    """What a way to tune found.

    Attributes:
        changes: Of the weights, in float16.
        codes: `[n, *space.shape]`, that make the images by the changed weights.
        steps: That were taken.
    """

    changes: Mapping[str, Change]
    codes: Tensor
    steps: int


@dataclass(frozen=True)
class Tuner(ABC):
    """A way to tune.

    Attributes:
        rank: Of the products, where changes are of low rank.
    """

    rank: int = 16

    def __post_init__(self) -> None:
        whole_number(self.rank, "rank", least=1)

    @property
    @abstractmethod
    def longest(self) -> int:
        """Steps at most."""

    def first(self, task: Task) -> Float[Tensor, "n ..."]:
        """Codes where none are given.

        Raises:
            LatdirError: It needs them.
        """
        raise LatdirError(
            f"{type(self).__name__} tunes around codes: give those of an inversion, "
            "codes=invert(generator, images).codes"
        )

    @abstractmethod
    def solve(self, task: Task) -> Solution:
        """Weights, and codes, that make the task's images."""


class Changes(ABC):
    """Changes of a generator's weights while they are learned; at first of nothing."""

    @abstractmethod
    def free(self) -> list[Tensor]:
        """What is learned."""

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """It, with the rate of each part, as Adam takes it."""
        return [{"params": self.free(), "lr": rate}]

    @abstractmethod
    def tuned(self) -> Generator:
        """The generator with the changes, through which gradients flow."""

    @abstractmethod
    def kept(self) -> dict[str, Change]:
        """A copy in float16."""


class Weights(Changes):
    """Changes in the weights' own coordinates.

    Args:
        generator: The base.
        form: `low_rank`: a product of two matrices is added to each convolution; `channel`: each
            pair of channels is scaled; `full`: every number of the convolutions; `all`: of
            styles, biases and constants too.
        rank: Of the products.
        seed: Of the first values, whose gradients so are not zero.

    Raises:
        LatdirError: A generator without weights that may be tuned.
    """

    def __init__(self, generator: Generator, form: Form, rank: int, seed: int) -> None:
        self.generator = generator
        self.own = generator.weights if form == "all" else generator.tunable
        if not self.own:
            generator.with_weights({})
        draw = torch.Generator().manual_seed(seed)
        self.changes = {k: _nothing(w, form, rank, draw) for k, w in self.own.items()}
        for part in self.free():
            part.requires_grad_()

    def free(self, keys: Collection[str] | None = None) -> list[Tensor]:
        """What is learned, of some of the weights or of all."""
        chosen = self.changes if keys is None else keys
        return [part for key in chosen for part in self.changes[key].values()]

    def tuned(self) -> Generator:
        """The generator with the changes, through which gradients flow."""
        made = {key: changed(self.own[key], change) for key, change in self.changes.items()}
        return self.generator.with_weights(made)

    def kept(self) -> dict[str, Change]:
        """A copy in float16."""
        return {
            key: {part: tensor.detach().half() for part, tensor in change.items()}
            for key, change in self.changes.items()
        }


def _nothing(weight: Tensor, form: Form, rank: int, draw: torch.Generator) -> dict[str, Tensor]:
    if form in ("full", "all"):
        return {"added": torch.zeros_like(weight)}
    if form == "channel":
        return {"scale": weight.new_zeros(*weight.shape[:2], *[1] * (weight.ndim - 2))}
    rows, columns = weight.shape[0], weight[0].numel()
    rank = min(rank, rows, columns)
    # As large as the weight, so that a rate changes all layers alike.
    right = torch.randn(rank, columns, generator=draw) * float(weight.std())
    return {"left": weight.new_zeros(rows, rank), "right": right.to(weight)}
