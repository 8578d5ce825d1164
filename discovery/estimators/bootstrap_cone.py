"""How far a direction would turn with other samples.

The cone angle of a direction is the angle within which a stated share of its bootstrap
replicates fall around it. For isotropic codes it is also, to a few per cent, the angle
between the direction and the one that endless samples would give.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError
from discovery.estimators.linear import ridge, rotate

__all__ = ["angles", "cone_angle", "split_half"]

GROUPS = 512


def angles(replicates: Float[Tensor, "b k d"], normals: Float[Tensor, "k d"]) -> Tensor:
    """Angles in degrees, `[b, k]`, between replicates and normals of any length.

    Example:
        >>> angles(torch.tensor([[[1.0, 1.0]]]), torch.tensor([[2.0, 0.0]]))
        tensor([[45.]])
    """
    a, b = replicates.double(), normals.double()
    a, b = a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True)
    # 2 atan2(|a − b|, |a + b|) keeps its digits near 0, where the arc cosine loses half.
    half = torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))
    return (2 * half).rad2deg().to(normals)


def cone_angle(
    codes: Float[Tensor, "n d"],
    targets: Float[Tensor, "k n"],
    *,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Float[Tensor, "k"]:
    """Bootstrap cone of the least-squares direction of each target, cheap at any n.

    The rows' influences on the solution, `residual · (XᵀX)⁻¹x`, are summed over up to 512
    groups once; a replicate is then a random combination of those sums (the wild bootstrap,
    Wu 1986, Ann. Statist. 14(4)). Residuals are divided by 1 − leverage, so that the cone
    stays honest when n is not much larger than d. The cost is that of one fit.

    Args:
        codes: `[n, d]`, with n > d + 1.
        targets: `[k, n]`: soft scores, or labels of ±1, for which it is the cone of `lda`.
        resamples: Bootstrap replicates.
        level: Share of replicates inside the cone.
        seed: Of the replicates.

    Returns:
        `[k]`, degrees; 90 and more means that nothing is known of the direction.

    Raises:
        LatdirError: Too few rows, or a level outside 0 … 1.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> codes = torch.randn(4000, 10, generator=g)
        >>> noise = torch.randn(4000, generator=g)
        >>> cone_angle(codes, (codes[:, 0] + noise)[None])  # theory: atan √(9 / 4000) = 2.7°
        tensor([3.6...])
    """
    n, d = codes.shape
    if n <= d + 1:
        raise LatdirError(
            f"{n} rows of {d} coordinates give no cone: label more than {d + 1} samples"
        )
    if not (0 < level < 1 and resamples > 0):
        raise LatdirError(
            f"level must lie between 0 and 1 and resamples be positive, not {level}, {resamples}"
        )
    turned = rotate(codes)
    plane = ridge(codes, targets, penalty=0.0)
    residual = targets - (plane.weights @ codes.T + plane.intercepts[:, None])
    influence = turned.codes / turned.spectrum[:, None]
    leverage = (turned.codes * influence).sum(0) + 1 / n
    residual = residual / (1 - leverage).clamp_min(1e-3)
    # Rows are dealt into groups in order: codes are drawn independently, so any dealing serves.
    size = math.ceil(n / min(n, GROUPS))
    pad = (0, -n % size)
    grouped_codes = torch.nn.functional.pad(influence, pad).reshape(len(influence), -1, size)
    grouped_residual = torch.nn.functional.pad(residual, pad).reshape(len(targets), -1, size)
    sums = torch.einsum("rgm,kgm->kgr", grouped_codes, grouped_residual)
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (resamples, sums.shape[1]), generator=generator) * 2 - 1
    w = plane.weights @ turned.basis
    moved = w + torch.einsum("bg,kgr->bkr", signs.to(sums), sums)
    return angles(moved, w).quantile(level, dim=0)


def split_half(first: Float[Tensor, "k d"], second: Float[Tensor, "k d"]) -> Float[Tensor, "k"]:
    """Angle in degrees of a fit to its truth, from fits to two disjoint halves of its samples.

    With independent errors the halves' normals have the cosine cos²θ, θ being the angle of
    each to the truth, and the squared tangent of θ halves when the samples double. For
    estimators that the bootstrap flatters, such as a support vector machine on separable rows.

    Example:
        >>> turned = torch.tensor([[1.0, 0.1, 0.0]]), torch.tensor([[1.0, 0.0, 0.1]])
        >>> split_half(*turned)  # each half is atan 0.1 = 5.71° off, the whole 5.71° / √2
        tensor([4.0447])
    """
    cosine = angles(first[None], second)[0].double().deg2rad().cos().clamp_min(0)
    tangent = (1 / cosine - 1).sqrt()
    return (tangent / math.sqrt(2)).atan().rad2deg().to(first)
