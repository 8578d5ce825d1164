"""Editing codes: move, sweep, interpolate, truncate.

Everything takes and returns batches, on the codes' device and in their dtype, and is
differentiable. Several attributes are moved at once by `move`; `solver.py` chooses the amounts when
the input is changes of attributes rather than moves along directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.direction import Amount, Direction, as_amount
from directions.errors import LatdirError, SpaceError
from directions.generators.base import Generator
from directions.space import Prior, as_codes

__all__ = ["HasAmounts", "lerp", "move", "slerp", "space_of", "sweep", "truncate"]

# Below this sine of the angle between them, two codes are taken as parallel.
PARALLEL = 1e-6


@runtime_checkable
class HasAmounts(Protocol):
    """What `solve` returns, as far as a move is concerned."""

    @property
    def amounts(self) -> Mapping[str, Tensor]:
        """Amounts of each direction, in sigma."""


@checked
def move(
    codes: Float[Tensor, "n *shape"] | np.ndarray,
    bank: DirectionBank,
    amounts: Mapping[str, Amount] | HasAmounts,
    *,
    unit: str = "sigma",
    layers: Sequence[int] | None = None,
    generator: Generator | None = None,
) -> Float[Tensor, "n *shape"]:
    """Move codes along several directions at once.

    Args:
        codes: `[n, *shape]` of the directions' space; `[n, layers, d]` for directions `[d]`.
        bank: Holds the directions.
        amounts: For each direction by name, a number or one for each code; or what `solve` found.
        unit: `sigma`, `latent`, `attribute` (each in the unit it is calibrated in), or the name of
            a unit that all of them are calibrated in.
        layers: Move these layers only, instead of those each direction was made for.
        generator: When given, the bank must belong to it, and the codes to the space that the
            directions move, also where another space has its shape.

    Returns:
        New codes.

    Raises:
        LatdirError: An unknown name or unit, codes of another shape or space, amounts that are
            no numbers, or a bank of another generator.

    Example:
        >>> bank = DirectionBank(
        ...     (
        ...         Direction("smiling", torch.tensor([1.0, 0.0]), "z"),
        ...         Direction("yaw", torch.tensor([0.0, 1.0]), "z", sigma=0.5),
        ...     ),
        ...     generator="toy",
        ...     fingerprint="0" * 64,
        ... )
        >>> move(torch.zeros(1, 2), bank, {"smiling": 2.0, "yaw": -1.0})
        tensor([[ 2.0000, -0.5000]])
    """
    codes = as_codes(codes)
    if isinstance(amounts, HasAmounts):
        amounts = amounts.amounts
    if not isinstance(amounts, Mapping):
        raise LatdirError("amounts is a dict: write move(codes, bank, {'smiling': 2.0})")
    if generator is not None:
        bank.check(generator)
        for name in amounts:
            space_of(generator, codes, _on(bank[name], layers))
    for name, amount in amounts.items():
        codes = _on(bank[name], layers).shift(codes, amount, unit=unit)
    return codes


def space_of(generator: Generator, codes: Tensor, direction: Direction) -> str:
    """The space of codes that a direction moves: its own, or the layered one of their shape.

    Raises:
        LatdirError: Codes of another space, or a direction of another generator.
    """
    name = direction.check(generator).acts_in(generator.spaces)
    layered = generator.spaces.get(f"{name}+")
    if layered is not None and layered.shape == tuple(codes.shape[1:]):
        name = layered.name
    generator.check(codes, name)
    return name


@checked
def sweep(
    codes: Float[Tensor, "n *shape"] | np.ndarray,
    direction: Direction,
    amounts: Sequence[float] | Float[Tensor, "m"],
    *,
    unit: str = "sigma",
    layers: Sequence[int] | None = None,
) -> Float[Tensor, "m n *shape"]:
    """Move codes by each of several amounts.

    Args:
        codes: `[n, *shape]`.
        direction: Where to.
        amounts: m amounts.
        unit: `sigma`, `latent`, or the unit the direction is calibrated in.
        layers: Move these layers only, instead of those the direction was made for.

    Returns:
        `[m, n, *shape]`; flatten the first two axes to make images of all.

    Raises:
        LatdirError: As `Direction.shift`, or no amounts.

    Example:
        >>> up = Direction("up", torch.tensor([0.0, 1.0]), "z")
        >>> sweep(torch.zeros(1, 2), up, [-1.0, 0.0, 1.0])[:, 0]
        tensor([[ 0., -1.],
                [ 0.,  0.],
                [ 0.,  1.]])
    """
    codes = as_codes(codes)
    steps = torch.as_tensor(as_amount(amounts), dtype=codes.dtype, device=codes.device)
    if steps.ndim != 1 or len(steps) == 0:
        raise LatdirError(f"amounts of shape {list(steps.shape)}: give a list of at least one")
    n = len(codes)
    repeated = codes.expand(len(steps), *codes.shape).reshape(-1, *codes.shape[1:])
    moved = _on(direction, layers).shift(repeated, steps.repeat_interleave(n), unit=unit)
    return moved.reshape(len(steps), *codes.shape)


@checked
def lerp(
    start: Float[Tensor, "n *shape"],
    end: Float[Tensor, "n *shape"],
    fractions: Sequence[float] | Float[Tensor, "m"],
) -> Float[Tensor, "m n *shape"]:
    """Linear interpolation of two batches of codes; suited to w spaces.

    Args:
        start: `[n, *shape]`, met at fraction 0.
        end: `[n, *shape]`, met at fraction 1.
        fractions: m fractions; beyond 0 … 1 it extrapolates.

    Returns:
        `[m, n, *shape]`.

    Raises:
        LatdirError: The batches differ in shape.

    Example:
        >>> lerp(torch.zeros(1, 2), torch.ones(1, 2), [0.25]).squeeze()
        tensor([0.2500, 0.2500])
    """
    t = _fractions(start, end, fractions)
    # Both ends are weighted, so that each is met to the last bit.
    return (1 - t) * start + t * end


@checked
def slerp(
    start: Float[Tensor, "n *shape"],
    end: Float[Tensor, "n *shape"],
    fractions: Sequence[float] | Float[Tensor, "m"],
) -> Float[Tensor, "m n *shape"]:
    """Spherical interpolation of two batches of codes; suited to a normal z.

    The straight line between two normal codes passes through codes far shorter than any the
    generator was trained on; the arc keeps their length (Shoemake 1985; White 2016,
    arXiv:1609.04468). Codes of unequal lengths pass from one to the other.

    Args:
        start: `[n, *shape]`, met at fraction 0.
        end: `[n, *shape]`, met at fraction 1.
        fractions: m fractions.

    Returns:
        `[m, n, *shape]`.

    Raises:
        LatdirError: The batches differ in shape, or a code faces its opposite or zero, between
            which there is no one arc.

    Example:
        >>> slerp(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), [0.5]).squeeze()
        tensor([0.7071, 0.7071])
    """
    t = _fractions(start, end, fractions)
    a, b = start.flatten(1).double(), end.flatten(1).double()
    lengths = a.norm(dim=1) * b.norm(dim=1)
    cosine = ((a * b).sum(1) / lengths.clamp_min(1e-300)).clamp(-1, 1)
    angle = torch.arccos(cosine)
    sine = torch.sin(angle)
    if ((lengths == 0) | ((cosine < 0) & (sine < PARALLEL))).any():
        raise LatdirError(
            "slerp between a code and its opposite, or zero, has no one path: use lerp, or go "
            "by way of a third code"
        )
    parallel = sine < PARALLEL
    safe = torch.where(parallel, torch.ones_like(sine), sine)
    place = [1, -1, *[1] * (start.ndim - 1)]
    angle, safe, parallel = (v.reshape(place) for v in (angle, safe, parallel))
    t = t.double()
    first = torch.where(parallel, 1 - t, torch.sin((1 - t) * angle) / safe)
    second = torch.where(parallel, t, torch.sin(t * angle) / safe)
    return first.to(start) * start + second.to(start) * end


@checked
def truncate(
    codes: Float[Tensor, "n *shape"],
    psi: float | Tensor,
    *,
    prior: Prior,
    layers: Sequence[int] | None = None,
) -> Float[Tensor, "n *shape"]:
    """Draw codes toward the mean of their space: `mean + ψ (code - mean)`.

    Args:
        codes: `[n, *shape]`, or `[n, layers, d]` with the prior of codes `[d]`.
        psi: ψ, one number or one for each code; 1 changes nothing, 0 gives the mean.
        prior: Of the codes' space, from `generator.prior(space)`.
        layers: Truncate these layers only.

    Returns:
        New codes.

    Raises:
        LatdirError: The prior or the layers do not fit the codes.

    Example:
        >>> prior = Prior(torch.ones(2), torch.eye(2))
        >>> truncate(torch.tensor([[3.0, 1.0]]), 0.5, prior=prior)
        tensor([[2., 1.]])
    """
    shape = codes.shape[1:]
    size = prior.mean.numel()
    if size == shape.numel():
        mean = prior.mean.to(codes).reshape(shape)
    elif codes.ndim == 3 and size == shape[-1]:
        mean = prior.mean.to(codes).expand(shape)
    else:
        raise SpaceError(
            f"this prior is of codes of size {size}, which does not fit codes of shape "
            f"{list(codes.shape)}: take the prior of their own space"
        )
    factor = torch.as_tensor(psi).to(codes)
    if factor.ndim > 1 or (factor.ndim == 1 and len(factor) not in (1, len(codes))):
        raise LatdirError(
            f"psi has shape {list(factor.shape)}: give one number, or one for each of the "
            f"{len(codes)} codes"
        )
    factor = factor.reshape(-1, *[1] * (codes.ndim - 1))
    drawn = mean + factor * (codes - mean)
    if layers is None:
        return drawn
    if codes.ndim < 3 or not all(0 <= layer < shape[0] for layer in layers):
        raise SpaceError(
            f"codes of shape {list(codes.shape)} have no layers {list(layers)}: "
            "layers are counted from 0 along the axis after the batch"
        )
    chosen = torch.zeros(shape[0], dtype=torch.bool, device=codes.device)
    chosen[list(layers)] = True
    return torch.where(chosen.reshape(-1, *[1] * (codes.ndim - 2)), drawn, codes)


def _on(direction: Direction, layers: Sequence[int] | None) -> Direction:
    return direction if layers is None else direction.evolve(layers=tuple(layers))


def _fractions(start: Tensor, end: Tensor, fractions: Sequence[float] | Tensor) -> Tensor:
    if start.shape != end.shape:
        raise SpaceError(
            f"codes of shapes {list(start.shape)} and {list(end.shape)} cannot be joined: "
            "give as many ends as starts"
        )
    t = torch.as_tensor(fractions, dtype=start.dtype, device=start.device)
    if t.ndim != 1 or len(t) == 0:
        raise LatdirError(f"fractions of shape {list(t.shape)}: give a list of at least one")
    return t.reshape(-1, *[1] * start.ndim)
