"""Codes of known entanglement, as ground truth for metrics of disentanglement.

Attributes are independent and uniform. At level 0 each code is one attribute and some noise; at
level 1 all codes are the same sum of all attributes:

    codes = (1 − level) · attributes + level · mean of the attributes + noise,

attributes scaled to variance 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from analysis.intervals.half_samples import Score
from analysis.representation.dci import Model
from analysis.representation.scores import METRICS, disentanglement_scores
from directions.errors import LatdirError

__all__ = ["EntanglementSweep", "entangled_world", "entanglement_sweep"]

CLASSES = 4


def entangled_world(
    count: int, *, level: float, factors: int = 4, noise: float = 0.2, seed: int = 0
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Codes and the attributes they mix.

    Args:
        count: Rows.
        level: 0 (each code one attribute) … 1 (each code all attributes equally).
        factors: Number k of attributes and of codes.
        noise: Standard deviation of the noise.
        seed: Of attributes and noise.

    Returns:
        Codes `[n, k]`, float64, and attributes `[n, k]` of four classes each.

    Raises:
        LatdirError: A level outside 0 … 1.

    Example:
        >>> codes, attributes = entangled_world(100, level=1.0, noise=0.0)
        >>> torch.equal(codes[:, 0], codes[:, 3])
        True
    """
    if not 0 <= level <= 1:
        raise LatdirError(f"level is {level}: it must be in 0 … 1")
    rng = torch.Generator().manual_seed(seed)
    attributes = torch.randint(CLASSES, (count, factors), generator=rng)
    spread = ((CLASSES**2 - 1) / 12) ** 0.5
    scaled = (attributes - (CLASSES - 1) / 2).double() / spread
    mixed = (1 - level) * scaled + level * scaled.mean(1, keepdim=True)
    return mixed + noise * torch.randn(count, factors, generator=rng).double(), attributes


@dataclass(frozen=True)
class EntanglementSweep:
    """Every metric at several levels of entanglement.

    Attributes:
        levels: Of entanglement, ascending.
        scores: One score a level for each metric.
    """

    levels: tuple[float, ...]
    scores: dict[str, tuple[Score, ...]]


def entanglement_sweep(
    levels: Sequence[float],
    *,
    count: int = 2000,
    metrics: Sequence[str] = METRICS,
    model: Model = "trees",
    bins: int | Literal["auto", "exact"] = "auto",
    draws: int = 0,
    seed: int = 0,
) -> EntanglementSweep:
    """Measure worlds of known entanglement with every metric.

    Args:
        levels: Of entanglement, 0 … 1.
        count: Rows of each world.
        metrics: Which of `METRICS`.
        model: Of DCI.
        bins: Of its trees.
        draws: Half-samples for intervals.
        seed: Of the worlds.
    """
    found = []
    for level in levels:
        codes, attributes = entangled_world(count, level=level, seed=seed)
        found.append(
            disentanglement_scores(
                codes, attributes, metrics=metrics, model=model, bins=bins, draws=draws
            )
        )
    return EntanglementSweep(tuple(levels), {m: tuple(f[m] for f in found) for m in metrics})
