"""Where the training of an encoder by identity starts: the best linear mixture of codes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["linear_start"]

# Ridge of the regressions on codes, for each sample.
RIDGE = 0.1


def linear_start(
    codes: Float[Tensor, "n k"], embedded: Float[Tensor, "n e"], held: Sequence[Tensor]
) -> Float[Tensor, "k k"]:
    """The part of a code that is not identity: of a change to another code, what keeps embeddings.

    Embeddings and what is held are regressed on codes: E ≈ Z A and Hᵢ ≈ Z Bᵢ, standardized. Of a
    change d to the code of another image, the part x takes as much of what is held from that image
    and as little of its identity as it can:
    it minimizes |xᵀA|² / e + Σᵢ |(x − d)ᵀBᵢ|² / mᵢ + |x|² / k.

    Args:
        codes: Standardized coordinates of samples.
        embedded: Embeddings of their images.
        held: What else is measured of them, `[n, m]` each.

    Returns:
        The matrix T of x = T d.

    Example:
        >>> codes = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> part = linear_start(codes, codes[:, :1], [codes[:, 1:]])
        >>> bool(part[1, 1] > 10 * part[0].abs().max())
        True
    """
    count, axes = codes.shape
    z, one = codes - codes.mean(0), torch.eye(axes).to(codes)
    gram = z.T @ z + RIDGE * count * one

    def cost(measured: Tensor) -> Tensor:
        """Of a change of code, as a quadratic form, by what is measured."""
        slopes: Tensor = torch.linalg.solve(gram, z.T @ _standard(measured.flatten(1)))
        return slopes @ slopes.T / slopes.shape[1]

    moved = sum((cost(measured) for measured in held), torch.zeros_like(one))
    part: Tensor = torch.linalg.solve(cost(embedded) + moved + one / axes, moved)
    return part


def _standard(values: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    spread, mean = torch.std_mean(values, 0)
    return (values - mean) / spread.clamp_min(1e-3 * float(spread.max()) + 1e-12)
