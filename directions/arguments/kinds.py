"""Kinds of arguments: what fits an annotation, what can be converted to it, what is refused."""

from __future__ import annotations

import collections.abc
import os
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from directions.arguments.containers import (
    Arguments,
    Kind,
    Model,
    dict_kind,
    list_kind,
    one_of,
    tuple_kind,
)
from directions.errors import (
    LatdirError,
    SpaceError,
    UnknownNameError,
    described,
    did_you_mean,
    real_number,
    whole_number,
)

__all__ = ["NAMED", "Kind", "kind_of"]

LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)

ORIGINS = {
    "Answers": "discovery.Lesson(…).answers or Answers.from_samples(…)",
    "CalibrationCurve": "analysis.calibration_curves(…)",
    "Comparison": "analysis.compare_methods(…)",
    "Curves": "analysis.measure_curves(…)",
    "Effects": "analysis.measure_effects(…)",
    "Encoder": "load_encoder(…) or train_encoder(…)",
    "HasAmounts": "directions.solve(…)",
    "Inversion": "directions.invert(…) or load_inversion(…)",
    "LocalMetric": "analysis.pullback_metric(…)",
    "MeasuredEffects": "analysis.measure_effects(…)",
    "Prior": "generator.prior(space)",
    "RandomNull": "analysis.random_null(…)",
    "Rendering": "directions.Rendering(batch_size=64)",
    "Samples": "discovery.sample(…) or Samples.from_arrays(…)",
    "Space": "generator.space(name)",
}
"""Where values of a class come from, for messages."""


def kind_of(hint: Any, *, finite: bool = True) -> Kind | None:
    """The kind that an annotation stands for; None where it allows anything.

    Args:
        hint: An annotation, resolved.
        finite: Whether numbers must be finite.

    Example:
        >>> import numpy as np
        >>> from collections.abc import Sequence
        >>> kind_of(int).convert(np.int64(3), "count", {})
        3
        >>> kind_of(Sequence[str]).convert("yaw", "attributes", {})
        ('yaw',)
        >>> kind_of(Literal["trees", "lasso"]).convert("treas", "model", {})
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: no model 'treas': did you mean 'trees'? use one of
        trees, lasso
    """
    origin, parts = get_origin(hint), get_args(hint)
    if hint in (None, type(None)):
        return _as_it_is("None", lambda v: v is None)
    if origin in (Union, types.UnionType):
        kinds = [kind_of(part, finite=finite) for part in parts]
        found = [kind for kind in kinds if kind is not None]
        return one_of(found) if len(found) == len(kinds) else None
    if origin is Literal:
        return _word(parts)
    if hint in (bool, int, float, str):
        return _plain(hint, finite)
    if _is_tensor(hint):
        return _tensor(getattr(hint, "dtypes", None))
    if origin is tuple and parts[-1:] != (...,):
        return tuple_kind(tuple(kind_of(part, finite=finite) for part in parts))
    if origin is tuple or origin in LISTS:
        # A mapping is an iterable of its keys.
        refused = (str, bytes) if origin is collections.abc.Iterable else (str, bytes, Mapping)
        kept = (tuple,) if origin is tuple else (list, tuple)
        return list_kind(kind_of(parts[0], finite=finite), refused, kept)
    if origin in (dict, collections.abc.Mapping):
        return dict_kind(*(kind_of(part, finite=finite) for part in parts))
    if origin is os.PathLike:
        return _as_it_is("a path", lambda v: isinstance(v, os.PathLike))
    if origin is collections.abc.Callable:
        return _as_it_is("a function", callable)
    if isinstance(hint, type) and hint not in (object, Any):
        return _class(hint)
    return None


def _as_it_is(wanted: str, fits: Callable[[Any], bool]) -> Kind:
    """Values that are never converted."""

    def convert(value: Any, name: str, arguments: Arguments) -> Any:
        if fits(value):
            return value
        raise LatdirError(f"{name} is {wanted}, not {described(value)}")

    return Kind(wanted, fits, convert)


def _plain(hint: type, finite: bool) -> Kind:
    """Numbers, words and switches."""

    def number(value: Any, name: str, arguments: Arguments) -> Any:
        if not finite and isinstance(value, float):
            return value
        return real_number(value, name)

    def switch(value: Any, name: str, arguments: Arguments) -> Any:
        if type(value).__name__ not in ("bool", "bool_"):
            raise LatdirError(f"{name} is True or False, not {described(value)}")
        return bool(value)

    def text(value: Any, name: str, arguments: Arguments) -> Any:
        if not isinstance(value, str):
            raise LatdirError(f"{name} is text, not {described(value)}")
        return value

    if hint is bool:
        return Kind("True or False", lambda v: isinstance(v, bool), switch)
    if hint is int:
        return Kind(
            "a whole number",
            lambda v: type(v) is int,
            lambda value, name, _: whole_number(value, name),
        )
    if hint is float:
        return Kind("a number", lambda v: type(v) in (int, float), number)
    return Kind("text", lambda v: isinstance(v, str), text)


def _word(words: tuple[Any, ...]) -> Kind:
    def convert(value: Any, name: str, arguments: Arguments) -> Any:
        for word in words:
            if isinstance(value, type(word)) and word == value and not isinstance(value, bool):
                return word
        else:
            close = did_you_mean(value, [w for w in words if isinstance(w, str)])
            listed = ", ".join(map(str, words))
            raise UnknownNameError(f"no {name} {described(value)}: {close}use one of {listed}")

    def fits(value: Any) -> bool:
        return isinstance(value, str) and value in words

    return Kind("one of " + ", ".join(map(repr, words)), fits, convert)


def _is_tensor(hint: Any) -> bool:
    torch = sys.modules.get("torch")
    numpy = sys.modules.get("numpy")
    if hasattr(hint, "dim_str"):
        hint = hint.array_type
    return (torch is not None and hint is torch.Tensor) or (
        numpy is not None and numpy.ndarray in (hint, get_origin(hint))
    )


def _tensor(dtypes: tuple[str, ...] | None) -> Kind:
    """Tensors, and the arrays and lists that can stand for them."""
    import numpy as np
    import torch

    floating = dtypes is not None and "float32" in dtypes and "int64" not in dtypes
    wanted = "a tensor or array"

    def convert(value: Any, name: str, arguments: Arguments) -> Any:
        if isinstance(value, torch.Tensor):
            if value.is_complex() or (floating and not value.is_floating_point()):
                raise SpaceError(
                    f"{name} are floating point, not {value.dtype}: use {name}.float()"
                )
            return value
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError):
            array = np.asarray(None)
        if isinstance(value, str | bytes | bool) or array.dtype.kind not in "biuf":
            raise SpaceError(f"{name} is {wanted}, not {described(value)}")
        listed = not isinstance(value, np.ndarray | np.generic)
        if floating and (array.dtype.kind in "biu" or listed):
            array = array.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(array)).reshape(array.shape)

    return Kind(wanted, lambda v: isinstance(v, torch.Tensor), convert)


def _class(kind: type) -> Kind:
    protocol = getattr(kind, "_is_protocol", False)
    if protocol and not getattr(kind, "_is_runtime_protocol", False):
        return Kind(kind.__name__, lambda v: True, lambda value, name, arguments: value)
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    origin = ORIGINS.get(kind.__name__)
    wanted = f"what {origin} returns" if protocol and origin else f"{article} {kind.__name__}"
    remedy = f": give {origin}" if origin and not protocol else ""

    def convert(value: Any, name: str, arguments: Arguments) -> Any:
        if isinstance(value, kind) and not (protocol and isinstance(value, type)):
            return value
        if hasattr(kind, "from_argument"):
            return kind.from_argument(value, name, arguments)
        raise LatdirError(f"{name} is {wanted}, not {described(value)}{remedy}")

    made = Model if hasattr(kind, "from_argument") else Kind
    return made(wanted, lambda v: isinstance(v, kind) and not isinstance(v, type), convert)


def _bounded(kind: type, wanted: str, allowed: Callable[[Any], bool], remedy: str) -> Kind:
    def convert(value: Any, name: str, arguments: Arguments) -> Any:
        number = whole_number(value, name) if kind is int else real_number(value, name)
        if not allowed(number):
            raise LatdirError(f"{name} {number} must be {remedy}")
        return number

    return Kind(wanted, lambda v: False, convert)


NAMED = {
    ("seed", int): _bounded(int, "a seed", lambda seed: 0 <= seed < 2**64, "in 0 … 2**64 - 1"),
    ("batch_size", int): _bounded(int, "a batch size", lambda n: n >= 1, "at least 1"),
    ("level", float): _bounded(
        float, "a confidence level", lambda p: 0 < p < 1, "between 0 and 1, such as 0.95"
    ),
}
"""Arguments that mean the same in every function, by name and type."""
