"""Arguments of public functions, converted or refused in one place.

`@checked` reads a function's annotations. What can stand for the kind that is wanted is
converted: arrays and lists become tensors, NumPy's numbers Python's, one name a tuple of names, a
list of directions a bank. Anything else is refused with one line that says what the argument is,
what was given, and where the right thing comes from. The function sees values of the annotated
kinds only. Classes of the toolkit may say themselves what can stand for them, by a class method
`from_argument`, and how arguments beside them are to be taken, by a method `beside`.

Kinds and shapes are compared at every call, at a cost of some microseconds; values of tensors are
read by `checked_values` only, so that elsewhere no device is waited for.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from directions.arguments.kinds import NAMED, Kind, kind_of
from directions.arguments.shapes import check_finite_values, check_shapes, dims_of
from directions.errors import LatdirError, did_you_mean
from directions.lazy import typing_imports

__all__ = ["checked", "checked_fields", "checked_kinds", "checked_values"]

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose arguments are converted to the kinds of its annotations, or refused.

    Raises:
        LatdirError: At a call, an argument that is missing, unknown, or of another kind, or tensors
            of other shapes.

    Example:
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> @checked
        ... def norms(codes: Float[Tensor, "n d"], power: float = 2.0) -> Tensor:
        ...     return codes.norm(power, dim=1)
        >>> norms([[3.0, 4.0]])
        tensor([5.])
        >>> norms([3.0, 4.0])
        Traceback (most recent call last):
        ...
        directions.errors.SpaceError: codes has shape [2], not [n, d]
        >>> norms([[3.0, 4.0]], power="two")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: power is a number, not 'two'
    """
    return _checked(function, function)


def checked_values(function: Callable[P, R]) -> Callable[P, R]:
    """`checked` for a function of measured numbers, which NaN or infinite ones would spoil.

    Example:
        >>> import torch
        >>> from torch import Tensor
        >>> @checked_values
        ... def largest(scores: Tensor) -> float:
        ...     return float(scores.max())
        >>> largest([1.0, torch.inf])
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: scores: 1 of 2 values are NaN or infinite: leave them out
    """
    return _checked(function, function, values=True)


def checked_kinds(function: Callable[P, R]) -> Callable[P, R]:
    """`checked` for a function that knows more to say of shapes and of NaN."""
    return _checked(function, function, finite=False, shapes=False)


def checked_fields(cls: type[C]) -> type[C]:
    """A dataclass whose fields are converted to the kinds of their annotations, or refused.

    Example:
        >>> import dataclasses, numpy as np
        >>> @checked_fields
        ... @dataclasses.dataclass(frozen=True)
        ... class Step:
        ...     size: float
        ...     names: tuple[str, ...] = ()
        >>> Step(np.float32(2.0), "yaw")
        Step(size=2.0, names=('yaw',))
        >>> Step("2")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: size is a number, not '2'
    """
    # Results may hold NaN where nothing could be measured.
    made = _checked(cls.__init__, cls, finite=False)
    type.__setattr__(cls, "__init__", made)
    return cls


def hints_of(annotated: Callable[..., Any]) -> Mapping[str, Any]:
    """The annotations, also those of types that the module imports for type checkers only.

    Example:
        >>> from directions import load_generator
        >>> hints_of(load_generator)["return"].__name__
        'Generator'
    """
    try:
        return typing.get_type_hints(annotated)
    except NameError:
        homes = typing_imports(annotated.__module__)
        found = {name: _imported(home, name) for name, home in homes.items()}
        return typing.get_type_hints(annotated, localns=found)


def _imported(home: str, name: str) -> Any:
    """What `from home import name` gives: a name of the module, or a submodule not imported yet."""
    module = importlib.import_module(home)
    return getattr(module, name, None) or importlib.import_module(f"{home}.{name}")


def _checked(
    function: Callable[P, R],
    annotated: Callable[..., Any],
    *,
    finite: bool = True,
    shapes: bool = True,
    values: bool = False,
) -> Callable[P, R]:
    signature = inspect.signature(function)
    kinds: dict[str, Kind] = {}
    dims: dict[str, tuple[str, ...]] = {}
    known = False

    def learn() -> None:
        # At the first call, when everything that the annotations name is defined.
        nonlocal known
        found = hints_of(annotated)
        for name, parameter in signature.parameters.items():
            several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if name in found and not several:
                kind = kind_of(found[name], finite=finite)
                if annotated is function and found[name] in (int, float):
                    kind = NAMED.get((name, found[name]), kind)
                if kind is not None:
                    kinds[name] = kind
                if shapes and (shape := dims_of(found[name])) is not None:
                    dims[name] = shape
        known = True

    @wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> R:
        if not known:
            learn()
        try:
            bound = signature.bind(*args, **given)
        except TypeError as error:
            raise _miscalled(annotated, signature, given, error) from None
        arguments = bound.arguments
        for name, value in tuple(arguments.items()):
            if name != "self" and hasattr(type(value), "beside"):
                value.beside(arguments)
        for name, value in arguments.items():
            kind = kinds.get(name)
            if kind is not None and value is not signature.parameters[name].default:
                arguments[name] = kind.convert(value, name, arguments)
        if values:
            check_finite_values(arguments, kinds)
        if dims:
            check_shapes(arguments, dims)
        return function(*bound.args, **bound.kwargs)

    return call


def _miscalled(
    annotated: Callable[..., Any],
    signature: inspect.Signature,
    given: Mapping[str, Any],
    error: TypeError,
) -> LatdirError:
    """The error for arguments that are missing, too many or unknown; it shows the right call."""
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    shown = [p.name if p.default is p.empty else f"{p.name}=…" for p in parameters]
    named = [p.kind is p.KEYWORD_ONLY for p in parameters]
    if any(named):
        shown.insert(named.index(True), "*")
    what = f"{error}; "
    if unknown := [name for name in given if name not in signature.parameters]:
        what = f"no argument {unknown[0]!r}: {did_you_mean(unknown[0], signature.parameters)}"
    called = annotated.__qualname__.rpartition("<locals>.")[2]
    return LatdirError(f"{called}: {what}write {called}({', '.join(shown)})")
