"""Where the training of an encoder by identity starts: the best linear mixture of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["LinearStart", "linear_start", "standard"]

# Ridge of the regressions on codes, for each sample.
RIDGE = 0.1


class LinearStart(NamedTuple):
    """What embeddings and other measures say of codes by linear regression.

    Attributes:
        turn: `[k, k]`, from the change to another code to the part of it that is not identity.
        answer: `[k, e + m1 + …]`, from what images measure beyond what they should, embeddings
            first, to the change of their codes that lessens it.
    """

    turn: Float[Tensor, "k k"]
    answer: Float[Tensor, "k m"]


def linear_start(
    codes: Float[Tensor, "n k"], embedded: Float[Tensor, "n e"], held: Sequence[Tensor]
) -> LinearStart:
    """The part of a code that is not identity, and how codes answer to measures.

    Embeddings and what is held are regressed on codes: E ≈ Z A and Hᵢ ≈ Z Bᵢ, standardized. Of a
    change d to the code of another image, the part x takes as much of what is held from that image
    and as little of its identity as it can:
    it minimizes |xᵀA|² / e + Σᵢ |(x − d)ᵀBᵢ|² / mᵢ + |x|² / k. The answer to excesses r of an
    embedding and rᵢ of what is held minimizes |xᵀA + r|² / e + Σᵢ |xᵀBᵢ + rᵢ|² / mᵢ + |x|² / k.

    Args:
        codes: Standardized coordinates of samples.
        embedded: Embeddings of their images.
        held: What else is measured of them, `[n, m]` each.

    Example:
        >>> codes = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> turn, answer = linear_start(codes, codes[:, :1], [codes[:, 1:]])
        >>> bool(turn[1, 1] > 10 * turn[0].abs().max()), bool((answer.diag() < -0.5).all())
        (True, True)
    """
    count, axes = codes.shape
    z, one = codes - codes.mean(0), torch.eye(axes).to(codes)
    gram, measures = z.T @ z + RIDGE * count * one, (embedded, *held)
    scales = [standard(measured) for measured in measures]
    slopes = [
        torch.linalg.solve(gram, z.T @ ((measured - mean) / spread))
        for measured, (mean, spread) in zip(measures, scales, strict=True)
    ]
    costs = [slope @ slope.T / slope.shape[1] for slope in slopes]
    whole, moved = sum(costs, one / axes), sum(costs[1:], torch.zeros_like(one))
    excess = torch.cat(
        [s / s.shape[1] / spread for s, (_, spread) in zip(slopes, scales, strict=True)], 1
    )
    return LinearStart(torch.linalg.solve(whole, moved), -torch.linalg.solve(whole, excess))


def standard(values: Float[Tensor, "n m"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column, those of a hardly varying one not too small."""
    spread, mean = torch.std_mean(values, 0)
    return mean, spread.clamp_min(1e-3 * float(spread.max()) + 1e-12)
