"""Geodesics: shortest paths between codes in image distance, against straight lines.

Georgios Arvanitidis, Lars Kai Hansen, Søren Hauberg: Latent Space Oddity, ICLR 2018,
arXiv:1710.11379; Nutan Chen et al.: Metrics for Deep Generative Models, AISTATS 2018,
arXiv:1711.01204. A curve through T + 1 codes has, with φ the image or features of it,

    energy E = T Σ ‖φ(x_{i+1}) − φ(x_i)‖²  ≥  length² = (Σ ‖φ(x_{i+1}) − φ(x_i)‖)²,

equal where the steps are. The curve of least energy between fixed ends is the shortest one,
walked at even speed. It is found by L-BFGS on the inner codes, from the straight line.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields, checked_values, returned
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.features import Features

__all__ = ["Geodesic", "find_geodesic", "geodesic_between"]

SEGMENTS = 16
TOLERANCE = 1e-5
HISTORY = 20

log = logging.getLogger(__name__)


@checked_fields
@dataclass(frozen=True, eq=False)
class Geodesic:
    """A curve of least energy between two codes.

    Attributes:
        codes: `[T + 1, …]`, along the curve, ends included.
        energies: Energy of the curve after each round, the straight line's first.
        length: Its length, in units of φ.
        straight_length: Length of the straight line.
        steps: `[T]`, of its segments.
        straight_steps: `[T]`, of the straight line's.
        converged: Whether the last round changed the energy by less than the tolerance.
    """

    codes: Float[Tensor, "t1 *shape"]
    energies: tuple[float, ...]
    length: float
    straight_length: float
    steps: Float[Tensor, "t"]
    straight_steps: Float[Tensor, "t"]
    converged: bool

    @property
    def detour(self) -> float:
        """Length of the straight line over that of the curve: 1 where the space is flat."""
        return self.straight_length / self.length


@checked_values
def find_geodesic(
    function: Callable[[Tensor], Tensor],
    start: Float[Tensor, "*shape"],
    end: Float[Tensor, "*shape"],
    *,
    segments: int = SEGMENTS,
    rounds: int = 40,
    tolerance: float = TOLERANCE,
) -> Geodesic:
    """The shortest curve between two points of any differentiable map.

    Args:
        function: Takes a batch of points and returns a batch of vectors.
        start: One end.
        end: The other.
        segments: T, at least 2.
        rounds: Of five steps of L-BFGS each, at most.
        tolerance: Relative change of the energy in a round below which it has converged.

    Returns:
        The curve; `converged` says whether more rounds would still have changed it.

    Raises:
        LatdirError: Ends of different shapes, that coincide or that φ does not distinguish, or
            too few segments.

    Example:
        >>> def sphere(p):
        ...     x, y = p.unbind(1)
        ...     return torch.stack([x.cos() * y.cos(), x.sin() * y.cos(), y.sin()], 1)
        >>> a, b = torch.tensor([[0.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
        >>> way = find_geodesic(sphere, a, b, segments=32)
        >>> round(way.length, 2), round(way.straight_length, 2)
        (0.94, 1.08)
    """
    if start.shape != end.shape or segments < 2 or rounds < 1:
        raise LatdirError(
            f"ends of shapes {list(start.shape)} and {list(end.shape)}, {segments} segments and "
            f"{rounds} rounds: give two codes of one shape, 2 segments and 1 round at least"
        )
    first, last = start.detach(), end.detach()
    weights = torch.linspace(0, 1, segments + 1, dtype=first.dtype, device=first.device)
    line = first + weights.reshape(-1, *[1] * first.ndim) * (last - first)

    def steps(inner: Tensor) -> Tensor:
        points = torch.cat([first[None], inner, last[None]])
        seen: Tensor = returned(function(points), "the function", "n *f").flatten(1)
        return (seen[1:] - seen[:-1]).square().sum(1)

    # Bends around the line, scaled so that one is of the size of the ends' distance.
    scale = float((last - first).double().norm())
    with torch.no_grad():
        straight = steps(line[1:-1])
    if not float(straight.sum()) > 0:
        raise LatdirError("the two ends give the same image: there is no path between them")
    if not math.isfinite(float(straight.sum())):
        raise LatdirError("the function's values between the ends are too large to be compared")
    base = float(straight.sum()) * segments
    bend = torch.zeros_like(line[1:-1]).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [bend], max_iter=5, history_size=HISTORY, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            # In units of the straight line's energy, so that tolerances mean the same anywhere.
            loss = steps(line[1:-1] + scale * bend).sum() * (segments / base)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    energies = [base]
    converged = False
    for _ in tqdm(range(rounds), desc="geodesic", unit="round", delay=1, leave=False):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            energies.append(float(steps(line[1:-1] + scale * bend).sum()) * segments)
        if abs(energies[-2] - energies[-1]) <= tolerance * energies[-2]:
            converged = True
            break
    if not converged:
        log.warning("geodesic: not converged after %d rounds; raise rounds", rounds)
    inner = (line[1:-1] + scale * bend).detach()
    with torch.no_grad():
        found = steps(inner).sqrt()
    return Geodesic(
        codes=torch.cat([first[None], inner, last[None]]),
        energies=tuple(energies),
        length=float(found.sum()),
        straight_length=float(straight.sqrt().sum()),
        steps=found,
        straight_steps=straight.sqrt(),
        converged=converged,
    )


@checked_values
def geodesic_between(
    generator: Generator,
    start: Float[Tensor, "*shape"],
    end: Float[Tensor, "*shape"],
    *,
    space: str | None = None,
    features: Features | None = None,
    segments: int = SEGMENTS,
    rounds: int = 40,
    tolerance: float = TOLERANCE,
) -> Geodesic:
    """The shortest path between two codes of a generator, measured in its images.

    Nothing keeps the curve in the support of the prior: a path may be short because it goes
    where images are similar, such as near the origin of a normal prior. Inspect it.

    Args:
        generator: Differentiable.
        start: A code.
        end: Another.
        space: Their space; by default the first.
        features: φ; by default pixels, each squared distance the mean over them.
        segments: Segments of the curve.
        rounds: Rounds of the optimizer, at most.
        tolerance: Relative change of the energy in a round below which it has converged.

    Raises:
        LatdirError: Codes of another shape, or `find_geodesic` refuses.
    """
    name = space or generator.default_space()
    generator.space(name).check(torch.stack([start, end]))
    size = float(torch.tensor(generator.image_shape).prod())

    def seen(codes: Tensor) -> Tensor:
        images = generator.synthesize(codes, name)
        return images.flatten(1) / size**0.5 if features is None else features(images)

    return find_geodesic(seen, start, end, segments=segments, rounds=rounds, tolerance=tolerance)
