"""Varimax rotation.

H. F. Kaiser: The Varimax Criterion for Analytic Rotation in Factor Analysis, Psychometrika 1958.
The rotation R of loadings L that maximizes the variance of the squares in each column of L R, found
as the limit of R = U Vᵀ, where U S Vᵀ = Lᵀ (Λ³ - Λ diag(mean Λ²)) and Λ = L R.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["varimax"]

ROUNDS, TOLERANCE = 1000, 1e-9


def varimax(loadings: Float[Tensor, "m k"]) -> Float[Tensor, "k k"]:
    """The rotation after which each column has few large loadings.

    Args:
        loadings: Of m variables on k factors, in double precision.

    Example:
        >>> turn = torch.tensor([[0.8, 0.6], [-0.6, 0.8]]).double()
        >>> simple = torch.tensor([[3.0, 0.0], [2.0, 0.0], [0.0, 1.0]]).double()
        >>> found = simple @ turn @ varimax(simple @ turn)
        >>> found.abs().sort(dim=1).values[:, 0].max().item() < 1e-6
        True
    """
    rotation = torch.eye(loadings.shape[1], dtype=loadings.dtype, device=loadings.device)
    last = 0.0
    for _ in range(ROUNDS):
        rotated = loadings @ rotation
        slope = rotated**3 - rotated * rotated.square().mean(0)
        u, s, v = torch.linalg.svd(loadings.T @ slope)
        rotation = u @ v
        reached = float(s.sum())
        if reached <= last * (1 + TOLERANCE):
            break
        last = reached
    return rotation
