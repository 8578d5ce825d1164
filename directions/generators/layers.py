"""What enters and leaves a layer of a generator."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from directions.errors import UnknownNameError, did_you_mean

__all__ = ["Activations", "check_key"]


class Activations(NamedTuple):
    """Features at a layer.

    Attributes:
        inputs: `[n, i, h, w]`, as its weight multiplies them.
        outputs: `[n, o, H, W]`.
        axis: Of the weight, the one that runs over the channels of the inputs.
    """

    inputs: Float[Tensor, "n i h w"]
    outputs: Float[Tensor, "n o H W"]
    axis: int


def check_key(name: str, keys: Collection[str], key: str) -> None:
    """Refuse a layer that a generator of some name does not have.

    Raises:
        LatdirError: Another layer than those of the keys.

    Example:
        >>> check_key("mine", ["layers.0.weight"], "layers.O.weight")
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: mine has no layer 'layers.O.weight': did you mean
        'layers.0.weight'? there are layers.0.weight
    """
    if key not in keys:
        hint = did_you_mean(key, keys)
        raise UnknownNameError(f"{name} has no layer {key!r}: {hint}there are {', '.join(keys)}")
