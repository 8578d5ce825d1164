"""Cone angles: bounds on the angle between a direction and that of unlimited samples.

The angle comes from draws of the direction: from a posterior for `ridge`, which has
one for any number of rows, and from the bootstrap for estimators without a penalty.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError
from discovery.estimators.chunks import InMemory
from discovery.estimators.linear import Regression, Rotated, rotate
from discovery.estimators.sums import influences

__all__ = [
    "angles",
    "check_determined",
    "check_rows",
    "cone_angle",
    "drawn_cone",
    "posterior_cone",
    "sandwich_cone",
    "split_half",
]


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


def posterior_cone(
    codes: Float[Tensor, "n d"],
    targets: Float[Tensor, "k n"],
    *,
    draws: int = 400,
    level: float = 0.95,
    seed: int = 0,
    turned: Rotated | None = None,
) -> Float[Tensor, "k"]:
    """Cone of each target's ridge direction from its posterior, for any number of rows.

    Draws the penalty from its restricted likelihood times a prior that is uniform in the
    fraction of variance explained, then the noise, then the coefficients, and takes the angle
    of each draw to the direction of `ridge`. Directions that no row reaches vary as the
    model's prior does, so that the cone stays calibrated with fewer rows than coordinates.

    Args:
        codes: `[n, d]`, n > 2.
        targets: `[k, n]`, soft scores or labels of ±1.
        draws: Draws from the posterior.
        level: Fraction of draws inside the cone.
        seed: Of the draws.
        turned: `rotate(codes, exact=True)`, where it is known.

    Returns:
        `[k]`, degrees; near 90 nothing is known of the direction.

    Raises:
        LatdirError: Fewer than three rows, or a level outside 0 … 1.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> codes = torch.randn(60, 100, generator=g)
        >>> noise = 0.1 * torch.randn(60, generator=g)
        >>> posterior_cone(codes, (codes[:, 0] + noise)[None])  # 40 of 100 coordinates unseen
        tensor([55.5...])
    """
    _check(level, draws)
    check_rows(len(codes))
    turned = turned or rotate(codes, exact=True)
    found = Regression.of_rows(turned, targets)
    cones = drawn_cone(found, codes.shape[1], draws=draws, level=level, seed=seed)
    return cones.to(torch.promote_types(codes.dtype, torch.float32))


def check_rows(n: int) -> None:
    """Refuse rows too few for any cone."""
    if n < 3:
        raise LatdirError(f"{n} rows give no cone: label at least 3 samples")


def drawn_cone(
    regression: Regression, size: int, *, draws: int = 400, level: float = 0.95, seed: int = 0
) -> Float[Tensor, "k"]:
    """`posterior_cone` of a regression whose rows need not be in memory, float64.

    Args:
        regression: The rows' sums.
        size: Coordinates d of the codes.
        draws: Draws from the posterior.
        level: Fraction of draws inside the cone.
        seed: Of the draws.
    """
    n, found = regression.n, regression.likelihood()
    r = len(found.spectrum)
    # Uniform in R² = signal / (signal + noise), which is R² (1 − R²) a step of log λ.
    ratio = found.spectrum.sum() / (n * found.penalties)
    prior = ratio / (1 + ratio).square()
    weight = (prior.log() - found.deviance / 2).softmax(1)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(weight.cpu(), draws, replacement=True, generator=generator)
    chosen = chosen.to(weight.device)
    shape = (len(weight), draws)
    noise = found.misfit.gather(1, chosen) / _chi_square(n - 1, shape, generator).to(weight)
    penalty = found.penalties[chosen]
    best = found.coefficients(found.best)
    cones = []
    for k in range(len(weight)):  # one target at a time: draws × r numbers
        tried = penalty[k, :, None]
        unit = torch.randn(draws, r, generator=generator, dtype=torch.float64).to(weight)
        spread = (noise[k, :, None] / (found.spectrum + tried)).sqrt()
        drawn = found.coefficients(tried, target=k) + spread * unit
        unseen = noise[k] / penalty[k] * _chi_square(size - r, (draws,), generator).to(weight)
        w = best[k]
        cosine = (drawn @ w) / w.norm() / (drawn.square().sum(1) + unseen).sqrt()
        cones.append(cosine.clamp(-1, 1).acos().rad2deg().quantile(level))
    return torch.stack(cones)


def _chi_square(degrees: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draws of χ² by the gamma distribution of NumPy, seeded from `generator`."""
    if degrees == 0:
        return torch.zeros(shape, dtype=torch.float64)
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).chisquare(degrees, shape))


def cone_angle(
    codes: Float[Tensor, "n d"],
    targets: Float[Tensor, "k n"],
    *,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
    turned: Rotated | None = None,
) -> Float[Tensor, "k"]:
    """Bootstrap cone of the least-squares direction of each target, cheap at any n.

    The rows' influences on the solution, `residual · (XᵀX)⁻¹x`, are summed over up to 512
    groups once; a replicate is then a random combination of those sums (the wild bootstrap,
    Wu 1986, Ann. Statist. 14(4)), whose covariance is the sandwich estimate. Residuals are divided
    by 1 − the mean leverage, so that the cone stays calibrated when n is not much larger than d,
    and the solution, which noise lengthens, is shortened to its expected length before replicates
    are compared with it. Beside the factorization it costs one pass over the rows.

    Args:
        codes: `[n, d]`, with n > d + 1.
        targets: `[k, n]`: soft scores, or labels of ±1, for which it is the cone of `lda`.
        resamples: Bootstrap replicates.
        level: Fraction of replicates inside the cone.
        seed: Of the replicates.
        turned: `rotate(codes, exact=True)`, where it is known.

    Returns:
        `[k]`, degrees; near 90 nothing is known of the direction.

    Raises:
        LatdirError: Too few rows, or a level outside 0 … 1.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> codes = torch.randn(4000, 10, generator=g)
        >>> noise = torch.randn(4000, generator=g)
        >>> cone_angle(codes, (codes[:, 0] + noise)[None])  # theory: atan √(9 / 4000) = 2.7°
        tensor([3.3...])
    """
    _check(level, resamples)
    check_determined(*codes.shape)
    turned = turned or rotate(codes, exact=True)
    regression = Regression.of_rows(turned, targets)
    plane = regression.ridge(0.0, torch.float64)
    rows = InMemory(codes)
    used = torch.ones(len(codes), dtype=torch.bool)
    sums = influences(rows, targets, used, plane=plane, mean=turned.mean.double())
    cones = sandwich_cone(regression, sums, resamples=resamples, level=level, seed=seed)
    return cones.to(torch.promote_types(codes.dtype, torch.float32))


def check_determined(n: int, d: int) -> None:
    """Refuse rows that leave least squares no rest to judge by."""
    if n <= d + 1:
        raise LatdirError(
            f"{n} rows of {d} coordinates give no cone: label more than {d + 1} samples"
        )


def sandwich_cone(
    regression: Regression,
    sums: Float[Tensor, "k b d"],
    *,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Float[Tensor, "k"]:
    """`cone_angle` from the `influences` of blocks of rows, float64."""
    axes = regression.axes
    steps = sums @ axes.basis.double() / axes.spectrum.double()
    # Residuals are too short by 1 − leverage, whose mean over the rows this is.
    steps = steps / max(1 - (len(axes.spectrum) + 1) / regression.n, 1e-3)
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (resamples, sums.shape[1]), generator=generator) * 2 - 1
    steps = torch.einsum("bg,kgr->bkr", signs.to(steps), steps)
    w = regression.signal / axes.spectrum.double().sqrt()
    # E‖ŵ‖² = ‖w‖² + E‖ŵ − w‖².
    squared = w.square().sum(1)
    shrink = (1 - steps.square().sum(2).mean(0) / squared).clamp_min(torch.finfo(w.dtype).eps)
    w = w * shrink.sqrt()[:, None]
    return angles(w + steps, w).quantile(level, dim=0)


def _check(level: float, draws: int) -> None:
    if not (0 < level < 1 and draws > 0):
        raise LatdirError(f"level must be between 0 and 1 and draws be positive: {level}, {draws}")


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
