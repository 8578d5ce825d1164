"""Half-sample intervals for scores of a whole set of rows, such as DCI.

The score of half of the rows, drawn without replacement, varies about as much as the score of
all rows does from sample to sample: for a mean, the variance of half-samples around the whole is
exactly σ²/n. Resampling with replacement would not do here. A row drawn twice can land among the
rows learned from and the rows tested on, and repeated rows inflate mutual information.

Source: P. J. McCarthy, "Pseudo-Replication: Half Samples", Review of the ISI 1969; J. Shao &
C. F. J. Wu, "A General Theory for Jackknife Variance Estimation", Annals of Statistics 1989.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from directions.errors import LatdirError
from directions.progress import tqdm

__all__ = ["Score", "half_sample_scores"]


class Score(NamedTuple):
    """A score of all rows and the ends of its interval."""

    value: float
    low: float
    high: float


def half_sample_scores(
    function: Callable[..., Mapping[str, float]],
    *tables: Tensor,
    draws: int = 40,
    level: float = 0.95,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Score]:
    """Scores of all rows with an interval from half-samples.

    A score that falls with the number of rows, as estimates of information do, is lower or higher
    on halves as a whole; the interval takes their spread only, around the score of all rows.

    Args:
        function: Takes the tables and returns named scores.
        *tables: Tensors of equally many rows, at least 8.
        draws: Number of half-samples.
        level: Share of them inside the interval.
        seed: Of the draws.
        progress: Whether to show a bar over the draws.

    Raises:
        LatdirError: Tables that do not fit, too few rows or draws, or a level outside (0, 1).

    Example:
        >>> ramp = torch.linspace(0, 1, 100)
        >>> scores = half_sample_scores(lambda x: {"mean": float(x.mean())}, ramp)
        >>> mean = scores["mean"]
        >>> round(mean.value, 3), round(mean.high - mean.low, 1)
        (0.5, 0.1)
    """
    counts = {len(t) for t in tables}
    if len(counts) != 1 or min(counts) < 8:
        raise LatdirError(
            f"half-samples need tables of equally many rows, at least 8, not {sorted(counts)}"
        )
    if draws < 2 or not 0 < level < 1:
        raise LatdirError(
            f"draws {draws} must be at least 2 and level {level} inside (0, 1), such as 40 and 0.95"
        )
    (n,) = counts
    whole = function(*tables)
    rng = torch.Generator().manual_seed(seed)
    halves: dict[str, list[float]] = {name: [] for name in whole}
    for _ in tqdm(range(draws), desc="half-samples", disable=not progress):
        # In order, so that halving every second row again is no different from before.
        picks = torch.randperm(n, generator=rng)[: n // 2].sort().values
        for name, value in function(*(t[picks.to(t.device)] for t in tables)).items():
            halves[name].append(value)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    scores = {}
    for name, value in whole.items():
        values = torch.tensor(halves[name], dtype=torch.float64)
        low, high = torch.quantile(values - values.mean(), ends).tolist()
        scores[name] = Score(value, value + low, value + high)
    return scores
