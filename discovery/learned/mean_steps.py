"""Mean steps of curved paths as straight directions, and how much the paths bend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from directions.direction import Direction
from directions.paths.base import CurvedPath

__all__ = ["P", "Trained", "bend_of", "mean_directions"]

AHEAD = 1.0

P = TypeVar("P", bound=CurvedPath)


@dataclass(frozen=True, eq=False)
class Trained(Generic[P]):
    """Trained paths and what is known of them.

    Attributes:
        paths: By name, in the order of the bank.
        codes: Codes not trained on, `[n, *shape]`, over which steps are averaged.
        evidence: Figures of each path, in their order.
        provenance: Figures of the training.
    """

    paths: dict[str, P]
    codes: Tensor
    evidence: Sequence[Mapping[str, Any]]
    provenance: Mapping[str, Any]


@torch.no_grad()
def bend_of(path: CurvedPath, codes: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Mean step of codes from -1 to 1 sigma, and how the codes' own steps differ from it.

    Args:
        path: Any path.
        codes: `[n, *shape]`.

    Returns:
        The mean step, flat, and `agreement` (mean cosine of the codes' steps with it) and `bend`
        (1 - mean cosine of a code's steps from -1 to 0 and from 0 to 1 sigma).
    """
    ahead = (path.shift(codes, AHEAD) - codes).flatten(1)
    behind = (codes - path.shift(codes, -AHEAD)).flatten(1)
    steps = ahead + behind
    mean = steps.mean(0)
    return mean, {
        "agreement": float(cosine_similarity(steps, mean[None]).mean()),
        "bend": float(1 - cosine_similarity(ahead, behind).mean()),
    }


def mean_directions(
    found: Trained[P],
    *,
    sigma: Callable[[Tensor], float],
    method: str,
    config: Mapping[str, Any],
) -> tuple[Direction, ...]:
    """The mean steps of paths as directions, in their order.

    Args:
        found: The paths.
        sigma: Of unit vectors `[d]`, the codes' standard deviation along them.
        method: Name of the method.
        config: Its hyper-parameters.
    """
    made = []
    for path, figures in zip(found.paths.values(), found.evidence, strict=True):
        mean, bends = bend_of(path, found.codes)
        unit = (mean / mean.norm()).cpu()
        made.append(
            Direction.from_vector(
                path.name,
                unit.reshape(found.codes.shape[1:]),
                space=path.space,
                method=method,
                config=config,
                sigma=sigma(unit),
                evidence={**bends, **figures},
            )
        )
    return tuple(made)
