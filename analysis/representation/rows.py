"""Inputs of representation metrics: rows of codes and attributes, classes, a held-out half.

A metric of a representation compares *codes* `[n, …]` (latents, style channels, embeddings) with
*attributes* `[n, k]` of the same rows. Attributes of an integer or boolean type are classes;
floating-point ones are values, and where a metric needs classes they are cut into intervals of
equal counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.errors import LatdirError, SpaceError

__all__ = ["CLASSES", "HeldOut", "as_classes", "checked_rows", "split_rows"]

CLASSES = 10

HeldOut = tuple[Tensor, Tensor]
"""Codes and attributes of rows that a metric tests on, in the form of those it learns from."""


@dataclass(frozen=True, eq=False)
class Split:
    """Training and test rows.

    Attributes:
        codes: `[n, d]`.
        classes: `[n, k]`, numbers from 0.
        test_codes: `[m, d]`.
        test_classes: `[m, k]`, numbers from 0 that mean the same classes.
        counts: Number of classes of each attribute, over both.
    """

    codes: Float[Tensor, "n d"]
    classes: Int[Tensor, "n k"]
    test_codes: Float[Tensor, "m d"]
    test_classes: Int[Tensor, "m k"]
    counts: tuple[int, ...]


def checked_rows(codes: Tensor, attributes: Tensor) -> tuple[Float[Tensor, "n d"], Tensor]:
    """Codes flattened to `[n, d]` and attributes as `[n, k]`, checked for compatibility.

    Raises:
        LatdirError: Different numbers of rows, fewer than two, or values that are not finite.

    Example:
        >>> codes, attributes = checked_rows(torch.zeros(5, 2, 3), torch.arange(5))
        >>> codes.shape, attributes.shape
        (torch.Size([5, 6]), torch.Size([5, 1]))
    """
    table = attributes[:, None] if attributes.ndim == 1 else attributes
    if codes.ndim < 2 or table.ndim != 2 or len(codes) != len(table) or 0 in table.shape:
        raise SpaceError(
            f"codes of shape {list(codes.shape)} and attributes of shape "
            f"{list(attributes.shape)} do not fit: give codes [n, …] and attributes [n, k]"
        )
    if len(codes) < 2:
        raise LatdirError(f"{len(codes)} rows say nothing: give some hundreds at least")
    if not codes.is_floating_point():
        raise SpaceError(f"codes are floating point, not {codes.dtype}: use codes.float()")
    for name, values in (("codes", codes), ("attributes", table)):
        if values.is_floating_point() and not values.sum(dtype=torch.float64).isfinite():
            raise LatdirError(f"the {name} have NaN or infinite entries: leave those rows out")
    return codes.detach().flatten(1), table.detach()


def as_classes(attributes: Tensor, *, classes: int = CLASSES) -> Int[Tensor, "n k"]:
    """Attributes as class numbers from 0, without gaps, column by column.

    Args:
        attributes: `[n, k]`. Integer and boolean columns are classes already.
        classes: Number of intervals of equal counts to cut values into; equal values stay in one
            class, so there may be fewer.

    Raises:
        LatdirError: Fewer than two classes requested.

    Example:
        >>> as_classes(torch.tensor([[7], [9], [7]])).T
        tensor([[0, 1, 0]])
        >>> as_classes(torch.tensor([[0.1], [0.2], [5.0], [9.0]]), classes=2).T
        tensor([[0, 0, 1, 1]])
    """
    if classes < 2:
        raise LatdirError(f"classes is {classes}: values are cut into at least 2")
    columns = []
    for column in attributes.T:
        kept = column
        if column.is_floating_point():
            levels = torch.arange(1, classes, device=column.device) / classes
            # Ranks rather than torch.quantile, which refuses more than 16 million values.
            places = (levels * len(column)).long().clamp_max(len(column) - 1)
            edges = column.sort().values[places].unique()
            kept = torch.bucketize(column.contiguous(), edges, right=True)
        columns.append(_from_zero(kept))
    return torch.stack(columns, 1)


def _from_zero(column: Tensor) -> Int[Tensor, "n"]:
    """Numbers 0, 1, … in the order of the distinct values."""
    low, high = (int(end) for end in column.aminmax())
    if high - low >= 4 * len(column):
        inverse: Tensor = torch.unique(column, return_inverse=True)[1]
        return inverse
    shifted = column.long() - low
    found = torch.bincount(shifted, minlength=high - low + 1) > 0
    numbers: Tensor = (found.cumsum(0) - 1)[shifted]
    return numbers


def split_rows(
    codes: Tensor,
    attributes: Tensor,
    *,
    held_out: HeldOut | None = None,
    classes: int = CLASSES,
) -> Split:
    """Training and test rows, with the same classes in both.

    Args:
        codes: `[n, …]`.
        attributes: `[n, k]` or `[n]`.
        held_out: Other rows to test on. By default every second row is held out.
        classes: Number of intervals of equal counts to cut values into.

    Raises:
        LatdirError: `checked_rows` refuses either, or the two differ in columns or kind.

    Example:
        >>> half = split_rows(torch.zeros(10, 3), torch.arange(10) % 2)
        >>> half.codes.shape, half.test_codes.shape, half.counts
        (torch.Size([5, 3]), torch.Size([5, 3]), (2,))
    """
    rows, table = checked_rows(codes, attributes)
    if held_out is None:
        if len(rows) < 4:
            raise LatdirError(f"{len(rows)} rows cannot be halved: give some hundreds at least")
        # Every second row, not the last half: rows that come sorted still give all classes.
        picks = [torch.arange(first, len(rows), 2, device=rows.device) for first in (0, 1)]
    else:
        test_rows, test_table = checked_rows(*held_out)
        if test_rows.shape[1:] != rows.shape[1:] or test_table.shape[1:] != table.shape[1:]:
            raise LatdirError(
                f"rows of {rows.shape[1]} codes and {table.shape[1]} attributes cannot be tested "
                f"on rows of {test_rows.shape[1]} and {test_table.shape[1]}"
            )
        if test_table.is_floating_point() != table.is_floating_point():
            raise LatdirError(
                f"attributes of {table.dtype} cannot be tested on {test_table.dtype}: "
                "integers are classes, floating-point numbers are values"
            )
        count, rows = len(rows), torch.cat([rows, test_rows])
        table = torch.cat([table, test_table])
        whole = torch.arange(len(rows), device=rows.device)
        picks = [whole[:count], whole[count:]]
    labels = as_classes(table, classes=classes)
    train, test = picks
    counts = tuple((labels.amax(0) + 1).tolist())
    return Split(rows[train], labels[train], rows[test], labels[test], counts)
