"""Checks of the settings that a checkpoint stores beside its tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from directions.errors import CheckpointError

__all__ = ["bound", "mapping", "number", "only_leaky", "tensorflow_rate"]

# Beyond any real setting, arithmetic with it would overflow.
LARGEST = 1e9


def number(value: Any, name: str, *, positive: bool = True) -> float:
    """A number of a sensible size.

    Raises:
        CheckpointError: It is none, beyond any real setting, or not positive where it should be.

    Example:
        >>> number(3, "lr_multiplier")
        3.0
    """
    least = 1 / LARGEST if positive else -LARGEST
    if type(value) not in (int, float) or not least <= value <= LARGEST:
        what = "a positive number" if positive else "a number"
        raise CheckpointError(f"its {name} is {str(value)[:80]}, not {what}")
    return float(value)


def bound(value: Any) -> float | None:
    """A bound on activations; None and infinity are no bound.

    Raises:
        CheckpointError: Not a positive number.
    """
    return None if value is None or value == math.inf else number(value, "conv_clamp")


def mapping(value: Any) -> Mapping[str, Any]:
    """Nested arguments, or none."""
    return value if isinstance(value, dict) else {}


def only_leaky(activation: Any) -> None:
    """Refuse any activation but the leaky ReLU.

    Raises:
        CheckpointError: Another one.
    """
    if activation != "lrelu":
        raise CheckpointError(f"its activation is {str(activation)[:80]}; only lrelu is supported")


def tensorflow_rate(arguments: Mapping[str, Any]) -> float:
    """The mapping's learning-rate multiplier of a TensorFlow network, whose arguments are checked.

    Raises:
        CheckpointError: An argument that is not supported.
    """
    for key in ("nonlinearity", "mapping_nonlinearity"):
        only_leaky(arguments.get(key, "lrelu"))
    for key in ("normalize_latents", "use_leakyrelu"):
        if arguments.get(key) is False:
            raise CheckpointError(f"it was built with {key}=False, which is not supported")
    return number(arguments.get("mapping_lrmul", 0.01), "mapping_lrmul")
