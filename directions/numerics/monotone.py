"""Monotone responses: increasing piecewise linear functions through the origin, and their inverses.

A. Plumerault, H. Le Borgne & C. Hudelot: Controlling generative models with continuous factors of
variations, ICLR 2020, arXiv:2001.10238, calibrate a direction u by such a function of ⟨u, z⟩.
Differences from their code: least squares of the measured means, solved exactly by pooling adjacent
violators, where theirs descends on a lattice of fixed knots.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import isotonic_regression
from torch import Tensor

__all__ = ["Knots", "interpolated", "monotone_knots"]

Knots = tuple[tuple[float, float], ...]
"""(x, y), strictly monotone in both, ascending in x."""


def monotone_knots(x: Float[Tensor, "t"], y: Float[Tensor, "t"], *, rising: bool = True) -> Knots:
    """The least-squares monotone function of y at x that is 0 at 0, where it is not flat.

    Args:
        x: Ascending places, 0 among them.
        y: Values.
        rising: Whether the function rises, or falls.

    Returns:
        Its knots. Where it is flat nothing tells places apart: of them the one next to 0 is kept,
        so that the function ends where it stops responding.

    Example:
        >>> monotone_knots(torch.tensor([-1.0, 0.0, 1.0, 2.0, 3.0]),
        ...                torch.tensor([-2.0, 0.0, 1.0, 3.0, 2.0]))
        ((-1.0, -2.0), (0.0, 0.0), (1.0, 1.0), (2.0, 2.5))
    """
    places, values = x.double().cpu().numpy(), y.double().cpu().numpy() * (1 if rising else -1)
    made: list[tuple[float, float]] = [(0.0, 0.0)]
    for side in (1, -1):
        out = np.flatnonzero(side * places > 0)[::side]
        # Bounded at 0, the fit is the free one, cut off there.
        fitted = isotonic_regression(side * values[out]).x.clip(0) if len(out) else out
        last = 0.0
        for place, value in zip(places[out], fitted, strict=True):
            if value > last:
                made.append((float(place), float(side * value) * (1 if rising else -1)))
                last = value
    return tuple(sorted(made))


def interpolated(
    at: Float[Tensor, "*n"], x: Sequence[float], y: Sequence[float], *, slope: float
) -> Float[Tensor, "*n"]:
    """Linear interpolation, beyond the ends along a slope.

    Args:
        at: Places.
        x: Knots, ascending.
        y: Values there.
        slope: Beyond the first and the last knot.

    Example:
        >>> interpolated(torch.tensor([0.5, 3.0]), [0.0, 1.0, 2.0], [0.0, 2.0, 3.0], slope=1.0)
        tensor([1., 4.])
    """
    inside = np.interp(at.detach().double().cpu().numpy(), x, y)
    beyond = (at - x[-1]).clamp_min(0) + (at - x[0]).clamp_max(0)
    return torch.as_tensor(inside).to(at) + slope * beyond
