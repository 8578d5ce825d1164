"""Shapes of tensors against those in jaxtyping's annotations, across all arguments of a call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from directions.errors import LatdirError, SpaceError, described

__all__ = ["check_finite_values", "check_shapes", "dims_of", "returned"]

PLAIN = re.compile(r"\.\.\.|\*?[A-Za-z_]\w*|\d+")


def dims_of(hint: Any) -> tuple[str, ...] | None:
    """The axes that an annotation names, `("n", "*shape")`; None where it says nothing simple."""
    found = [part for part in (hint, *get_args(hint)) if hasattr(part, "dim_str")]
    if len(found) != 1:
        return None
    axes = tuple(found[0].dim_str.split())
    return axes if all(PLAIN.fullmatch(axis) for axis in axes) else None


def check_shapes(arguments: Mapping[str, Any], dims: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse tensors that have other axes than annotated, or sizes that disagree.

    Args:
        arguments: By name; those that are not tensors are passed over.
        dims: The axes of some of them. Axes of one name are of one size.

    Raises:
        SpaceError: The first that does not fit.

    Example:
        >>> import torch
        >>> given = {"codes": torch.zeros(4, 2), "scores": torch.zeros(3)}
        >>> check_shapes(given, {"codes": ("n", "d"), "scores": ("n",)})
        Traceback (most recent call last):
        ...
        directions.errors.SpaceError: scores has shape [3], not [n] with n = 4 as in codes
    """
    sizes: dict[str, tuple[Any, str]] = {}
    for name, axes in dims.items():
        shape = getattr(arguments.get(name), "shape", None)
        if shape is None:
            continue
        found = _matched(axes, tuple(shape))
        if found is None:
            raise SpaceError(f"{name} has shape {list(shape)}, not [{', '.join(axes)}]")
        for axis, size in found:
            known, where = sizes.setdefault(axis, (size, name))
            if known != size:
                plain = list(known) if isinstance(known, tuple) else known
                raise SpaceError(
                    f"{name} has shape {list(shape)}, not [{', '.join(axes)}] "
                    f"with {axis.lstrip('*')} = {plain} as in {where}"
                )


def check_finite_values(arguments: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse tensors with NaN or infinite values.

    Raises:
        LatdirError: The first that has some; the message counts them.

    Example:
        >>> import torch
        >>> check_finite_values({"codes": torch.tensor([0.0, torch.nan])}, ["codes"])
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: codes: 1 of 2 values are NaN or infinite: leave them out
    """
    for name in names:
        value: Any = arguments.get(name)
        if hasattr(value, "isfinite") and not (finite := value.isfinite()).all():
            bad = int((~finite).sum())
            raise LatdirError(
                f"{name}: {bad} of {finite.numel()} values are NaN or infinite: leave them out"
            )


def returned(value: Any, by: str, axes: str) -> Any:
    """Return what a caller's function gave if it is a tensor with these axes.

    Args:
        value: What it gave.
        by: What the function is, for the message.
        axes: Such as `n f`.

    Raises:
        LatdirError: Something else.

    Example:
        >>> returned(3, "features", "n f")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: features returned 3, not a tensor [n, f]: check that
        function
    """
    wanted = tuple(axes.split())
    if hasattr(value, "isfinite") and _matched(wanted, tuple(value.shape)) is not None:
        return value
    given = f"shape {list(value.shape)}" if hasattr(value, "isfinite") else described(value)
    raise LatdirError(
        f"{by} returned {given}, not a tensor [{', '.join(wanted)}]: check that function"
    )


def _matched(axes: tuple[str, ...], shape: tuple[int, ...]) -> list[tuple[str, Any]] | None:
    """Name and size of each axis, or None where the shape does not fit."""
    named: list[tuple[str, Any]] = []
    open_ended = [i for i, axis in enumerate(axes) if axis[0] in "*."]
    if open_ended:
        at = open_ended[0]
        more = len(shape) - len(axes) + 1
        if more < 0:
            return None
        middle = shape[at : at + more]
        axes, shape, named = (
            axes[:at] + axes[at + 1 :],
            shape[:at] + shape[at + more :],
            [(axes[at], middle)] if axes[at][0] == "*" else [],
        )
    if len(axes) != len(shape):
        return None
    for axis, size in zip(axes, shape, strict=True):
        if axis.isdigit():
            if int(axis) != size:
                return None
        elif not axis.startswith("_"):
            named.append((axis, size))
    return named
