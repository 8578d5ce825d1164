"""Means and principal directions of codes under the pullback metric.

Line Kühnel, Tom Fletcher, Sarang Joshi, Stefan Sommer: Latent Space Non-Linear Statistics, 2018,
arXiv:1805.07632; P. Thomas Fletcher et al.: Principal Geodesic Analysis for the Study of Nonlinear
Statistics of Shape, IEEE TMI 2004. The Fréchet mean of codes x_i is the code of the least sum of
squared geodesic distances. With curves from it to each x_i, whose least energy is the squared
distance, mean and curves are the minimum of

    Σ_i E(c_i),   c_i from μ to x_i,   E(c) = T Σ_j ‖φ(c_{j+1}) − φ(c_j)‖².

Principal geodesic analysis is the principal component analysis of the curves' velocities at μ, the
logarithms of the x_i, in the metric there.

Difference from the papers: mean and curves are found together by L-BFGS, where they alternate
geodesics and steps of the mean.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields, checked_values, returned
from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.eigen import eigh, signed
from directions.paths.transport import models_of
from directions.progress import tqdm
from directions.scoring.features import Features

__all__ = ["FrechetMean", "PrincipalGeodesics", "frechet_mean", "mean_of", "principal_geodesics"]

SEGMENTS = 8
TOLERANCE = 1e-4
HISTORY = 20
NOTHING = 1e-7
"""Variance over the largest below which it is rounding."""

log = logging.getLogger(__name__)


@checked_fields
@dataclass(frozen=True, eq=False)
class FrechetMean:
    """The Fréchet mean of codes.

    Attributes:
        code: `[*shape]`, the mean.
        curves: `[n, T + 1, *shape]`, from it to each code.
        distances: `[n]`, lengths of the curves, in units of φ.
        energies: Sum of their energies after each round, that of lines from the plain mean first.
        converged: Whether the last round changed it by less than the tolerance.
    """

    code: Float[Tensor, "*shape"]
    curves: Float[Tensor, "n t *shape"]
    distances: Float[Tensor, "n"]
    energies: tuple[float, ...]
    converged: bool

    @property
    def velocities(self) -> Float[Tensor, "n *shape"]:
        """Velocities of the curves at the mean, of second order in the segments' length."""
        first, second, third = self.curves[:, :3].unbind(1)
        return (self.curves.shape[1] - 1) * (4 * second - 3 * first - third) / 2


@checked_fields
@dataclass(frozen=True, eq=False)
class PrincipalGeodesics:
    """Principal directions of codes at their Fréchet mean.

    Attributes:
        mean: The Fréchet mean.
        variances: `[k]`, squared lengths in units of φ, descending.
        total: Sum of all variances.
        bank: The directions at the mean; one sigma is one standard deviation of the codes.
            `directions.paths.GeodesicPath` with the mean as origin follows their geodesics.
    """

    mean: FrechetMean
    variances: Float[Tensor, "k"]
    total: float
    bank: DirectionBank


@checked_values
def mean_of(
    function: Callable[[Tensor], Tensor],
    points: Float[Tensor, "n *shape"],
    *,
    segments: int = SEGMENTS,
    rounds: int = 40,
    tolerance: float = TOLERANCE,
) -> FrechetMean:
    """The Fréchet mean of points of any differentiable map.

    Args:
        function: Takes a batch of points and returns a batch of vectors.
        points: At least two.
        segments: T, of each curve, at least 2.
        rounds: Of five steps of L-BFGS each, at most.
        tolerance: Relative change of the energy in a round below which it has converged.

    Raises:
        LatdirError: Fewer than two points, too few segments or rounds, or points that φ does not
            distinguish.

    Example:
        >>> def sphere(p):
        ...     x, y = p.unbind(1)
        ...     return torch.stack([x.cos() * y.cos(), x.sin() * y.cos(), y.sin()], 1)
        >>> points = torch.tensor([[0.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
        >>> mean_of(sphere, points, segments=16).code.round(decimals=2)
        tensor([1.0000, 1.2400], dtype=torch.float64)
    """
    n = len(points)
    if n < 2 or segments < 2 or rounds < 1:
        raise LatdirError(
            f"{n} points, {segments} segments and {rounds} rounds: give at least 2 points, 2 "
            "segments and 1 round"
        )
    points = points.detach()
    plain = points.mean(0)
    fractions = torch.linspace(0, 1, segments + 1, dtype=points.dtype, device=points.device)
    fractions = fractions.reshape(1, -1, *[1] * plain.ndim)
    # Mean and bends are scaled so that 1 is of the size of the points' spread.
    scale = float((points - plain).double().square().flatten(1).sum(1).mean().sqrt())

    def seen(codes: Tensor) -> Tensor:
        rows: Tensor = returned(function(codes), "the function", "n *f").flatten(1)
        return rows

    with torch.no_grad():
        ends = seen(points)

    def curves(move: Tensor, bends: Tensor) -> Tensor:
        mean = plain + scale * move
        lines = mean + fractions * (points - mean)[:, None]
        return torch.cat([lines[:, :1], lines[:, 1:-1] + scale * bends, lines[:, -1:]], 1)

    def squares(made: Tensor) -> Tensor:
        """Squared lengths of all segments, `[n, T]`; the mean is seen once."""
        inner = seen(torch.cat([made[:1, 0], made[:, 1:-1].flatten(0, 1)]))
        first, rest = inner[:1].expand(n, -1), inner[1:].reshape(n, segments - 1, -1)
        whole = torch.cat([first[:, None], rest, ends[:, None]], 1)
        return (whole[:, 1:] - whole[:, :-1]).square().sum(2)

    move = torch.zeros_like(plain, requires_grad=True)
    bends = points.new_zeros(n, segments - 1, *plain.shape).requires_grad_()
    with torch.no_grad():
        base = segments * float(squares(curves(move, bends)).sum())
    if not 0 < base < torch.inf:
        raise LatdirError("the points give the same images, or values too large to be compared")
    optimizer = torch.optim.LBFGS(
        [move, bends], max_iter=5, history_size=HISTORY, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            loss = squares(curves(move, bends)).sum() * (segments / base)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    energies, converged = [base], False
    for _ in tqdm(range(rounds), desc="Fréchet mean", unit="round", delay=1, leave=False):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            energies.append(segments * float(squares(curves(move, bends)).sum()))
        if abs(energies[-2] - energies[-1]) <= tolerance * energies[-2]:
            converged = True
            break
    if not converged:
        log.warning("Fréchet mean: not converged after %d rounds; raise rounds", rounds)
    with torch.no_grad():
        made = curves(move, bends)
        distances = squares(made).sqrt().sum(1)
    return FrechetMean(made[0, 0], made, distances, tuple(energies), converged)


@checked_values
def frechet_mean(
    generator: Generator,
    codes: Float[Tensor, "n *shape"],
    *,
    space: str | None = None,
    features: Features | None = None,
    segments: int = SEGMENTS,
    rounds: int = 40,
    tolerance: float = TOLERANCE,
) -> FrechetMean:
    """The Fréchet mean of codes of a generator, by distances along its images.

    Nothing keeps mean and curves in the support of the prior, as with `geodesic_between`.

    Args:
        generator: Differentiable.
        codes: At least two.
        space: Their space; by default the first.
        features: φ; by default pixels, each squared distance the mean over them.
        segments: Segments of each curve.
        rounds: Rounds of the optimizer, at most.
        tolerance: Relative change of the energy in a round below which it has converged.

    Raises:
        LatdirError: Codes of another space, or what `mean_of` refuses.
    """
    name = space or generator.default_space()
    generator.check(codes, name)
    size = float(torch.tensor(generator.image_shape).prod())

    def seen(points: Tensor) -> Tensor:
        images = generator.synthesize(points, name)
        return images.flatten(1) / size**0.5 if features is None else features(images)

    return mean_of(seen, codes, segments=segments, rounds=rounds, tolerance=tolerance)


@checked_values
def principal_geodesics(
    generator: Generator,
    codes: Float[Tensor, "n *shape"],
    *,
    n_directions: int = 8,
    space: str | None = None,
    features: Features | None = None,
    segments: int = SEGMENTS,
    rounds: int = 40,
    tolerance: float = TOLERANCE,
) -> PrincipalGeodesics:
    """Principal geodesic analysis of codes under the pullback metric.

    Args:
        generator: Differentiable.
        codes: More than `n_directions`.
        n_directions: Number of directions.
        space: As for `frechet_mean`, like the other arguments.
        features: φ.
        segments: Of each curve.
        rounds: Of the optimizer.
        tolerance: Of its convergence.

    Raises:
        LatdirError: Too few codes, or what `frechet_mean` refuses.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8, nuisances=0)
        >>> found = principal_geodesics(world, world.sample(6, seed=0), n_directions=2, segments=4)
        >>> bool(found.variances.sum() > 0.9 * found.total)
        True
    """
    if not 1 <= n_directions < len(codes):
        raise LatdirError(
            f"n_directions is {n_directions}: {len(codes)} codes have 1 … {len(codes) - 1}"
        )
    name = space or generator.default_space()
    mean = frechet_mean(
        generator,
        codes,
        space=name,
        features=features,
        segments=segments,
        rounds=rounds,
        tolerance=tolerance,
    )
    model = models_of(generator, name, features)(mean.code[None])
    scale = 1.0 if features is not None else model.value.numel() ** -0.5
    velocities = mean.velocities

    def changes(vectors: Tensor) -> Float[Tensor, "n f"]:
        return scale * model.push(vectors[:, None])[:, 0].flatten(1).double()

    # The logarithm of a code is as long as its distance.
    lengths = changes(velocities).norm(dim=1).clamp_min(1e-30)
    ratios = (mean.distances.double() / lengths).to(velocities)
    logs = velocities * ratios.reshape(-1, *[1] * mean.code.ndim)
    seen = changes(logs - logs.mean(0))
    found = eigh(seen @ seen.T / len(codes), count=n_directions)
    known = int((found.values > NOTHING * found.values[0]).sum())
    if known < n_directions:
        raise LatdirError(
            f"the codes vary along {known} principal geodesics only: lower n_directions to {known}"
        )
    mixed = signed(found.vectors.to(logs) @ (logs - logs.mean(0)).flatten(1))
    mixed = mixed.reshape(-1, *logs.shape[1:])
    made = []
    for i, vector in enumerate(mixed):
        # One standard deviation of the images, in latent units along the vector.
        unit = vector / vector.norm()
        sigma = float(found.values[i].clamp_min(0).sqrt() / changes(unit[None]).norm())
        made.append(
            Direction.from_vector(
                f"principal_geodesic_{i:02d}",
                unit,
                space=name,
                method="principal_geodesics",
                sigma=sigma,
                evidence=found.evidence(i),
            )
        )
    bank = DirectionBank.of(generator, made)
    return PrincipalGeodesics(mean, found.values.float().cpu(), found.total, bank)
