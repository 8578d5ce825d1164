"""Ranges of amounts within which directions are valid, and least squares within such limits.

A calibrated direction knows the range over which its attribute responds linearly; one that is not
calibrated is taken to be valid over the amounts that calibration would measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import null_space
from scipy.optimize import nnls
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import LatdirError, real_number

__all__ = [
    "REACH",
    "Bound",
    "HasRange",
    "Matrix",
    "at_ends",
    "constrained_least_squares",
    "ranges_of",
]

# In sigma: calibration measures no further, and few codes of a prior lie beyond.
REACH = 3.0

Matrix = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@runtime_checkable
class HasRange(Protocol):
    """What `analysis.linear_ranges` returns for each direction, as far as it is needed here."""

    @property
    def direction(self) -> str:
        """Name of the direction."""

    @property
    def low(self) -> float:
        """Lower end, in sigma."""

    @property
    def high(self) -> float:
        """Upper end, in sigma."""


Bound = float | Mapping[str, tuple[float, float]] | Sequence[HasRange] | Literal["range"] | None
"""Limit of a solution: a distance, ranges of amounts, the directions' own ranges, or none."""


def ranges_of(
    bank: DirectionBank, bound: Bound, *, linear: bool
) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"]]:
    """Lowest and highest amount of each direction, in sigma.

    Args:
        bank: The directions.
        bound: As `solve` takes it; a distance or None leaves amounts unlimited.
        linear: Whether calibrated directions end where their response ceases to be linear.

    Raises:
        LatdirError: A range of an unknown direction, one without 0, or another kind of bound.

    Example:
        >>> from directions.direction import Calibration, Direction
        >>> yaw = Calibration("yaw", "degrees", per_sigma=10.0, low=-1.0, high=1.5)
        >>> turn = Direction("turn", torch.tensor([1.0, 0.0]), "z", calibration=yaw)
        >>> low, high = ranges_of(DirectionBank((turn,), "toy", "0" * 64), "range", linear=True)
        >>> low.tolist(), high.tolist()
        ([-1.0], [1.5])
    """
    far = torch.full((len(bank),), torch.inf, dtype=torch.float64)
    if bound is None:
        return -far, far
    if isinstance(bound, int | float):
        if not real_number(bound, "bound") > 0:
            raise LatdirError(f"the bound is a positive distance, not {bound}")
        return -far, far
    scales = [d.calibration if linear else None for d in bank.directions]
    ends = {
        name: (-REACH, REACH) if scale is None else (scale.low, scale.high)
        for name, scale in zip(bank, scales, strict=True)
    }
    for name, given in _given(bound).items():
        # An unknown name is refused by the bank.
        ends[bank[name].name] = given
    for name, (first, last) in ends.items():
        if not first <= 0 <= last:
            raise LatdirError(
                f"the range of {name!r} is {first:g} … {last:g} sigma: it must hold 0, no move"
            )
    low, high = torch.tensor(list(ends.values()), dtype=torch.float64).unbind(1)
    return low, high


def _given(bound: object) -> dict[str, tuple[float, float]]:
    if isinstance(bound, str) and bound == "range":
        return {}
    if isinstance(bound, Mapping):
        pairs = {name: tuple(map(float, ends)) for name, ends in bound.items()}
        if all(len(ends) == 2 for ends in pairs.values()):
            return {name: (ends[0], ends[1]) for name, ends in pairs.items()}
    elif isinstance(bound, Sequence) and all(isinstance(r, HasRange) for r in bound):
        return {r.direction: (r.low, r.high) for r in bound}
    raise LatdirError(
        f"bound is a distance, ranges such as {{'smiling': (-2, 2)}}, what "
        f"analysis.linear_ranges returns, 'range', or None for no bound, not {bound!r:.60}"
    )


def at_ends(
    amounts: Float[Tensor, "k"],
    low: Float[Tensor, "k"],
    high: Float[Tensor, "k"],
    names: Sequence[str],
) -> str:
    """The directions that are at the end of their range, in words; empty where none is.

    Example:
        >>> at_ends(torch.tensor([1.5, 0.0]), -torch.ones(2), torch.tensor([1.5, 1]), ["up", "a"])
        'the range of up ends at +1.5 sigma'
    """
    ends = ((amounts <= low + 1e-6) | (amounts >= high - 1e-6)).nonzero()[:, 0].tolist()
    said, at = " and ".join(names[k] for k in ends), [f"{float(amounts[k]):+.3g}" for k in ends]
    if len(ends) < 2:
        return f"the range of {said} ends at {at[0]} sigma" if ends else ""
    return f"the ranges of {said} end at {' and '.join(at)} sigma"


def constrained_least_squares(A: Matrix, b: Matrix, G: Matrix, h: Matrix) -> Matrix:
    """The x that minimizes ‖A x - b‖ subject to G x ≥ h, for A of full column rank.

    Reduced to the least-distance problem and solved by non-negative least squares (Lawson, Hanson
    1974, Solving Least Squares Problems, chapter 23).

    Args:
        A: `[m, k]`.
        b: `[m]`.
        G: `[g, k]`.
        h: `[g]`; some x must satisfy the constraints.

    Raises:
        LatdirError: No x satisfies them.

    Example:
        >>> constrained_least_squares(np.eye(2), np.array([3.0, 1.0]), -np.eye(2), -np.ones(2))
        array([1., 1.])
    """
    Q, R = np.linalg.qr(A)
    inverse = np.linalg.inv(R)
    center = Q.T @ b
    # z = R x - Qᵀ b makes it: min ‖z‖ subject to (G R⁻¹) z ≥ h - G R⁻¹ Qᵀ b.
    slopes = G @ inverse
    room = h - slopes @ center
    # Rows and z are scaled, which changes no answer and keeps its digits.
    lengths = np.linalg.norm(slopes, axis=1).clip(1e-300)
    slopes, room = slopes / lengths[:, None], room / lengths
    scale = max(float(np.abs(room).max(initial=0)), 1e-300)
    E = np.vstack([slopes.T, room / scale])
    f = np.eye(len(E))[-1]
    u, _ = nnls(E, f)
    r = E @ u - f
    if not r[-1] < -1e-15:
        raise LatdirError("the limits leave no room: no amounts satisfy all of them")
    x: Matrix = inverse @ (center - scale * r[:-1] / r[-1])
    # The constraints that are met exactly, solved for once more without the squared condition.
    tight = u > 0
    if not tight.any():
        return x
    base, free = np.linalg.pinv(G[tight]) @ h[tight], null_space(G[tight])
    exact: Matrix = base + free @ np.linalg.lstsq(A @ free, b - A @ base, rcond=None)[0]
    return exact if (G @ exact >= h - 1e-9).all() else x
