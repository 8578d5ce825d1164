"""Bootstrap over codes, for figures that are not means.

The codes are resampled as a whole, so that one draw serves every direction, amount and
attribute, and differences between two images of one code stay paired.

Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile
intervals).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["resamples"]


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
