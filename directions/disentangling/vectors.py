"""Bank vectors as rows in a metric, for orthogonalization and mixing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.direction import Direction
from directions.errors import LatdirError, SpaceError
from directions.space import Prior

__all__ = [
    "LEAST_KEPT",
    "RANK_TOLERANCE",
    "evolved",
    "gram_and_condition",
    "in_metric",
    "new_sigma",
    "one_layer_range",
    "rows",
]

# Vectors are float32: below this share of the largest singular value they are one and the same.
RANK_TOLERANCE = 1e-5
# A remainder this small is rounding and estimation error, and no direction any more.
LEAST_KEPT = 1e-2
NEARLY_PARALLEL = 100.0

log = logging.getLogger(__name__)


def evolved(
    direction: Direction,
    vector: Float[Tensor, "*shape"],
    *,
    sigma: float,
    key: str,
    record: Mapping[str, Any],
    name: str | None = None,
) -> Direction:
    """A direction with another vector, without the values that the change invalidates.

    Args:
        direction: The original.
        vector: Its new vector, of any length.
        sigma: Standard deviation of the prior along it.
        key: Name of the record in the new evidence.
        record: The change, for the evidence.
        name: Its new name, if any.
    """
    evidence: dict[str, Any] = {key: dict(record)}
    if direction.evidence:
        evidence["original"] = dict(direction.evidence)
    return Direction.from_vector(
        name or direction.name,
        vector.to(direction.vector),
        space=direction.space,
        method=direction.method,
        config=direction.config,
        layers=direction.layers,
        sigma=sigma,
        evidence=evidence,
    )


def rows(directions: Sequence[Direction], model: Direction) -> Float[Tensor, "k d"]:
    """Vectors as float64 rows, zero where `model` does not act; its moves never go there.

    Raises:
        LatdirError: A direction of another space.
    """
    found = []
    for d in directions:
        if d.space != model.space:
            raise SpaceError(
                f"directions {model.name!r} and {d.name!r} live in spaces {model.space!r} and "
                f"{d.space!r}: only directions of one space can be made orthogonal"
            )
        vector = d.vector.detach().double()
        if model.layers is not None and vector.ndim > 1:
            mask = torch.zeros_like(vector)
            mask[list(model.layers)] = 1
            vector = vector * mask
        found.append(vector.flatten().to(model.vector.device))
    return torch.stack(found)


def one_layer_range(directions: Sequence[Direction]) -> tuple[int, ...] | None:
    """The layers that all of some directions act on.

    Raises:
        LatdirError: They act on different layers.
    """
    first = directions[0]
    for d in directions:
        if d.layers != first.layers:
            raise SpaceError(
                f"directions {first.name!r} and {d.name!r} act on different layers, so that "
                "their vectors cannot be mixed: select those of one layer range first"
            )
    return first.layers


def in_metric(metric: Prior | None, space: str, size: int) -> Callable[[Tensor], Tensor]:
    """The map v -> M v of rows v, M the identity or a prior's covariance.

    Raises:
        LatdirError: The prior is of codes of another size.
    """
    if metric is None:
        return lambda v: v
    if metric.mean.numel() != size:
        raise SpaceError(
            f"this metric is of codes of size {metric.mean.numel()}, but space {space!r} has "
            f"{size}: give generator.prior({space!r})"
        )
    return metric.times


def gram_and_condition(
    vectors: Float[Tensor, "k d"], inner: Callable[[Tensor], Tensor], names: Sequence[str]
) -> tuple[Float[Tensor, "k k"], float]:
    """Gram matrix of vectors and the condition number of them at unit length.

    Args:
        vectors: Rows.
        inner: The metric, from `in_metric`.
        names: Their names, for messages.

    Raises:
        LatdirError: They depend on one another.
    """
    products = vectors @ inner(vectors).T
    lengths = products.diagonal().clamp_min(0).sqrt()
    if not (lengths > 0).all():
        name = names[int((lengths <= 0).nonzero()[0])]
        raise LatdirError(f"direction {name!r} has no length in this metric or on these layers")
    cosines = products / lengths[:, None] / lengths
    values = torch.linalg.eigvalsh(cosines).clamp_min(0)
    smallest, largest = float(values[0].sqrt()), float(values[-1].sqrt())
    off = cosines.abs().fill_diagonal_(0)
    i, j = divmod(int(off.argmax()), len(off))
    if smallest < RANK_TOLERANCE * largest or len(vectors) > vectors.shape[1]:
        raise LatdirError(
            f"{len(names)} directions span fewer dimensions than their number: "
            f"{', '.join(names)}; the closest pair is {names[i]!r} and {names[j]!r}, cosine "
            f"{float(cosines[i, j]):.6f}: leave one out"
        )
    number = largest / smallest
    if number > NEARLY_PARALLEL:
        log.warning(
            "%s and %s are nearly parallel (cosine %.5f): what distinguishes them is mostly noise",
            names[i],
            names[j],
            float(cosines[i, j]),
        )
    return products, number


def new_sigma(vector: Tensor, involved: Sequence[Direction], prior: Prior | None) -> float:
    """Sigma along a new vector, from the prior or from equal sigmas of its components.

    Raises:
        LatdirError: Unequal sigmas and no prior.
    """
    if prior is not None:
        return prior.sigma(vector) / float(vector.double().norm())
    sigmas = {round(d.sigma, 6) for d in involved}
    if len(sigmas) > 1:
        space = involved[0].space
        raise LatdirError(
            "the codes vary differently along these directions: the new sigma cannot be determined "
            f"without the prior: give prior=generator.prior({space!r})"
        )
    return involved[0].sigma
