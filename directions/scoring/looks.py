"""Several readings of the images of codes, each image made once and nothing that is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from directions.fingerprints import Precision
from directions.progress import tqdm
from directions.scoring.kept import KeptRows, kept_scores

__all__ = ["Batches", "Embedding", "Reading", "read_all"]

SAVE_EVERY = 10.0  # seconds between writings of rows that are kept
UNKEPT = (
    "no scores were kept: inside `with directions.keep_scores(folder):` a measurement goes on "
    "where it was interrupted"
)

Rows = tuple[Tensor, ...]
Batches = Callable[[Tensor, Callable[[Tensor], Rows]], Iterator[Rows]]
"""Codes, and what to read of their images, to what was read, batch by batch."""


@runtime_checkable
class Embedding(Protocol):
    """Images to embeddings, with a form prepared for speed."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Embeddings `[n, e]`, differentiable."""

    def inference(self, *, precision: Precision = "float32") -> Callable[[Tensor], Tensor]:
        """The same function prepared for speed, without gradients."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Something that is read of images.

    Attributes:
        wanted: `[n]`, the codes of whose images it is wanted.
        read: Images to rows.
        kept: Where rows are kept, if they are.
    """

    wanted: Bool[Tensor, "n"]
    read: Callable[[Tensor], Tensor]
    kept: KeptRows | None = None


def read_all(
    codes: Float[Tensor, "n *shape"],
    readings: Sequence[Reading],
    batches: Batches,
    *,
    hidden: bool = True,
) -> list[Tensor]:
    """The rows of each reading, one for each code it is wanted of.

    Args:
        codes: `[n, *shape]`.
        readings: What is wanted.
        batches: Makes images of codes, and reads them.
        hidden: Whether no bar is shown.

    Example:
        >>> def batches(codes, read):
        ...     yield from (read(part) for part in codes.split(2))
        >>> total = Reading(torch.tensor([True, False, True]), lambda x: x.sum(1, keepdim=True))
        >>> read_all(torch.eye(3) * 2, [total], batches)
        [tensor([[2.],
                [2.]])]
    """
    missing = torch.stack([reading.wanted for reading in readings], 1)
    found: list[Tensor | None] = []
    for reading, column in zip(readings, missing.T, strict=True):
        there = None
        if reading.kept is not None:
            known, there = reading.kept.find(codes[reading.wanted.to(codes.device)])
            column[reading.wanted] = ~known
        found.append(_filled(None, reading.wanted & ~column, there))
    # No codes make one empty batch, so that the shape of rows is known.
    kinds = set(map(tuple, missing.tolist())) if len(codes) else {(True,) * len(readings)}
    for kind in sorted(kind for kind in kinds if any(kind)):
        at = (missing == torch.tensor(kind)).all(1)
        chosen = [j for j, wanted in enumerate(kind) if wanted]
        made = _made(codes[at.to(codes.device)], [readings[j] for j in chosen], batches, hidden)
        for j, rows in zip(chosen, made, strict=True):
            found[j] = _filled(found[j], at, rows)
    return [
        codes.new_zeros(0)
        if rows is None
        else rows[reading.wanted.to(rows.device)]
        if not bool(reading.wanted.all())
        else rows
        for rows, reading in zip(found, readings, strict=True)
    ]


def _made(
    codes: Tensor, readings: Sequence[Reading], batches: Batches, hidden: bool
) -> list[Tensor]:
    """Rows of images made now; what there is of them at an interruption is kept."""
    parts: list[Rows] = []
    rows = batch = 0
    due = time.monotonic() + SAVE_EVERY

    def save() -> None:
        nonlocal rows, batch
        if all(reading.kept is None for reading in readings):
            return
        new = [torch.cat(column) for column in zip(*parts[batch:], strict=True)]
        for reading, made in zip(readings, new, strict=False):
            if reading.kept is not None and len(made) and bool(torch.isfinite(made).all()):
                reading.kept.add(codes[rows : rows + len(made)], made)
        rows, batch = rows + (len(new[0]) if new else 0), len(parts)

    bar = tqdm(total=len(codes), desc="scoring", unit="image", delay=1, leave=False, disable=hidden)
    try:
        for part in batches(codes, lambda images: tuple(r.read(images) for r in readings)):
            parts.append(part)
            bar.update(len(part[0]))
            if time.monotonic() > due:
                save()
                due = time.monotonic() + SAVE_EVERY
    except KeyboardInterrupt as error:
        save()
        if kept_scores() is None:
            error.add_note(UNKEPT)
        raise
    finally:
        bar.close()
    save()
    # One transfer, so that a device is not made to wait for each batch.
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _filled(values: Tensor | None, at: Tensor, new: Tensor | None) -> Tensor | None:
    """Rows put in their places."""
    if new is None or (values is None and bool(at.all())):
        return values if new is None else new
    if values is None:
        values = new.new_zeros(len(at), *new.shape[1:])
    values[at.to(values.device)] = new.to(values)
    return values
