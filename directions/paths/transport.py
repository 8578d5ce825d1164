"""Parallel transport and geodesics under the pullback metric.

Hang Shao, Abhishek Kumar, P. Thomas Fletcher: The Riemannian Geometry of Deep Generative Models,
CVPRW 2018, arXiv:1711.08014; Georgios Arvanitidis, Lars Kai Hansen, Søren Hauberg: Latent Space
Oddity, ICLR 2018, arXiv:1710.11379. With J(x) the Jacobian of f = φ(G(x)), φ the pixels of an image
or features of it, a direction v at x changes f by J(x) v. Carried to the next point y of a curve it
is the direction whose change of f is nearest,

    w = argmin ‖J(y) w − J(x) v‖²,   scaled to ‖J(y) w‖ = ‖J(x) v‖,

which for small steps is the transport of the Levi-Civita connection of the metric JᵀJ. A geodesic
is a curve that carries its own velocity along.

Differences from the papers: the projection is made by conjugate gradients from v, a few products
with J and Jᵀ in the place of a singular value decomposition of J, so that what no image shows of v
stays as it is, and many codes are carried at once; the sphere of the scaling is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError, SpaceError
from directions.generators.base import Generator
from directions.numerics.linearized_batch import LinearizedBatch
from directions.scoring.features import Features

__all__ = ["carried", "geodesic", "parallel_transport"]

ITERATIONS = 10
"""Of conjugate gradients, for each step of a curve."""
ROUNDING = 50.0

Models = Callable[[Tensor], LinearizedBatch]


def models_of(generator: Generator, space: str, features: Features | None) -> Models:
    """First-order models of the images of codes, or of features of these, as rows."""

    def model(codes: Tensor) -> LinearizedBatch:
        found = generator.linearize_batch(codes, space=space)
        if features is None:
            return found
        return found.then(lambda images: features(images).flatten(1))

    return model


def carried(
    here: LinearizedBatch,
    there: LinearizedBatch,
    vectors: Float[Tensor, "n *shape"],
    *,
    iterations: int = ITERATIONS,
) -> Float[Tensor, "n *shape"]:
    """Directions at n points carried to the next point of a curve each.

    Args:
        here: The map at the points.
        there: At the next ones.
        vectors: `[n, *shape]`.
        iterations: Of conjugate gradients; in exact arithmetic as many as coordinates are enough.

    Example:
        >>> from directions.numerics.linearized_batch import linearize_batch
        >>> circle = lambda t: torch.cat([2 * t.cos(), 2 * t.sin()], 1)
        >>> here, there = (linearize_batch(circle, torch.tensor([[a]])) for a in (0.0, 0.1))
        >>> carried(here, there, torch.tensor([[1.0]]))
        tensor([[1.0000]])
    """
    wanted = here.push(vectors)
    found = vectors
    residual = wanted - there.push(found)
    step = gradient = there.pull(residual)
    size = _dot(gradient, gradient)
    tiny, whole = torch.finfo(size.dtype).tiny, there.pull(wanted)
    # What is left below it is rounding, which further steps would follow.
    floor = (ROUNDING * torch.finfo(size.dtype).eps) ** 2 * _dot(whole, whole)
    for _ in range(iterations):
        image = there.push(step)
        rate = torch.where(size > floor, size / _dot(image, image).clamp_min(tiny), 0.0)
        found = found + _times(rate, step)
        residual = residual - _times(rate, image)
        gradient = there.pull(residual)
        before, size = size, _dot(gradient, gradient)
        if not bool((size > floor).any()):
            break
        ratio = size / before.clamp_min(tiny)
        step = gradient + _times(ratio, step)
    now = there.push(found)
    shorter = _dot(now, now).clamp_min(tiny)
    return _times((_dot(wanted, wanted) / shorter).sqrt(), found)


@checked
def parallel_transport(
    generator: Generator,
    path: Float[Tensor, "t n *shape"],
    directions: Float[Tensor, "n *shape"],
    *,
    space: str | None = None,
    features: Features | None = None,
    iterations: int = ITERATIONS,
) -> Float[Tensor, "n *shape"]:
    """Directions at the start of curves carried to their ends.

    Args:
        generator: Differentiable.
        path: Codes along n curves, `[t, n, *shape]`, closely spaced; those of
            `Geodesic.codes[:, None]` are one.
        directions: At the first codes, of any length.
        space: Space of the codes; by default the first.
        features: φ; by default pixels.
        iterations: Of conjugate gradients at each step.

    Returns:
        Directions at the last codes, which change images by as much.

    Raises:
        LatdirError: Fewer than two codes along a curve, or codes that do not fit.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> path = torch.stack([torch.zeros(1, 8), 0.1 * world.truth[:1]])
        >>> moved = parallel_transport(world, path, world.truth[1:])
        >>> float((moved[0] @ world.truth[1]).round(decimals=2))
        1.0
    """
    if len(path) < 2 or path.shape[1:] != directions.shape:
        raise SpaceError(
            f"a path of shape {list(path.shape)} and directions of {list(directions.shape)}: give "
            "codes [t, n, …] of at least two points and directions [n, …] at the first"
        )
    name = space or generator.default_space()
    generator.check_shape(path[0], name)
    models = models_of(generator, name, features)
    here = models(path[0])
    for codes in path[1:]:
        there = models(codes)
        directions, here = carried(here, there, directions, iterations=iterations), there
    return directions


def geodesic(
    models: Models,
    codes: Float[Tensor, "n *shape"],
    velocities: Float[Tensor, "n *shape"],
    *,
    steps: int,
    iterations: int = ITERATIONS,
) -> Iterator[Float[Tensor, "n *shape"]]:
    """Codes along geodesics after each of `steps` equal steps from time 0 to 1, the start first.

    Each step is predicted by the velocity at its start, carried along, and made with the mean of
    both, which is of second order.

    Args:
        models: Of the map.
        codes: Where they start.
        velocities: There.
        steps: Number of steps.
        iterations: Of conjugate gradients.
    """
    if steps < 1:
        raise LatdirError(f"steps is {steps}: give at least 1")
    here = models(codes)
    yield codes
    for _ in range(steps):
        ahead = models(codes + velocities / steps)
        turned = carried(here, ahead, velocities, iterations=iterations)
        codes = codes + (velocities + turned) / (2 * steps)
        there = models(codes)
        velocities = carried(here, there, velocities, iterations=iterations)
        here = there
        yield codes


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, "n"]:
    return (a * b).flatten(1).sum(1)


def _times(factors: Float[Tensor, "n"], values: Float[Tensor, "n ..."]) -> Tensor:
    return factors.reshape(-1, *[1] * (values.ndim - 1)) * values
