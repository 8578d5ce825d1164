"""Bootstrap intervals of means over codes.

The codes are resampled as a whole, so that one draw serves every direction, amount and
attribute, and differences between two images of one code stay paired.

Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile
intervals).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError

__all__ = ["Estimate", "Interval", "estimate", "mean_interval", "resamples"]

CHUNK = 4096


class Interval(NamedTuple):
    """Means and the ends of their bootstrap intervals, tensors of one shape."""

    mean: Tensor
    low: Tensor
    high: Tensor


class Estimate(NamedTuple):
    """One mean and the ends of its bootstrap interval.

    Example:
        >>> Estimate(0.5, low=0.25, high=0.75).significant
        True
    """

    mean: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def resamples(n: int, *, draws: int, seed: int) -> Float[Tensor, "b n"]:
    """Frequency of each of `n` codes in each of `draws` resamples, divided by `n`.

    Args:
        n: Number of codes.
        draws: Number of resamples.
        seed: Seed of the resampling; the same on every device.

    Returns:
        `[draws, n]`, float64; each row sums to 1, so `weights @ values` are resampled means.

    Example:
        >>> resamples(4, draws=2, seed=0).sum(1)
        tensor([1., 1.], dtype=torch.float64)
    """
    rng = torch.Generator().manual_seed(seed)
    picks = torch.randint(n, (draws, n), generator=rng)
    counts = torch.zeros(draws, n, dtype=torch.float64)
    counts.scatter_add_(1, picks, torch.ones(1, dtype=torch.float64).expand(draws, n))
    return counts / n


def mean_interval(
    values: Float[Tensor, "n *rest"], *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Mean over the first axis with its percentile bootstrap interval.

    Args:
        values: `[n, ...]`, one row per code.
        draws: Number of resamples.
        level: Share of the resampled means inside the interval.
        seed: Seed of the resampling.

    Returns:
        Mean, low and high, each `[...]`, of the dtype and device of `values`.

    Raises:
        LatdirError: Fewer than two codes, no resamples, or a level outside (0, 1).

    Example:
        >>> interval = mean_interval(torch.tensor([[1.0], [1.0], [1.0]]))
        >>> interval.low, interval.high
        (tensor([1.]), tensor([1.]))
    """
    if len(values) < 2:
        raise LatdirError(
            f"an interval needs at least 2 codes, not {len(values)}: raise count to 128 or more"
        )
    if draws < 1 or not 0 < level < 1:
        raise LatdirError(
            f"bootstrap draws {draws} must be at least 1 and level {level} inside (0, 1), "
            "such as 1000 and 0.95"
        )
    flat = values.reshape(len(values), -1).double()
    mean = flat.mean(0)
    centered = flat - mean
    weights = resamples(len(flat), draws=draws, seed=seed).to(flat.device)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    # In chunks of columns: the resampled means of a large measurement would not fit at once.
    offsets = torch.cat(
        [
            torch.quantile(weights @ part, ends.to(flat.device), dim=0)
            for part in torch.split(centered, CHUNK, 1)
        ],
        1,
    )
    low, high = (mean + offsets).to(values.dtype)
    shape = values.shape[1:]
    return Interval(mean.to(values.dtype).reshape(shape), low.reshape(shape), high.reshape(shape))


def estimate(values: Float[Tensor, "n"], *, draws: int = 1000, level: float = 0.95) -> Estimate:
    """Mean of one figure over the codes with its percentile bootstrap interval, as numbers.

    Args:
        values: One a code.
        draws: Number of resamples.
        level: Share of the resampled means inside the interval.

    Raises:
        LatdirError: As `mean_interval`.
    """
    mean, low, high = (float(v) for v in mean_interval(values, draws=draws, level=level))
    return Estimate(mean, low, high)
