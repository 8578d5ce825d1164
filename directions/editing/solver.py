"""Smallest edits that reach target changes of some attributes and hold others.

A linear model of measured effects (`mixing.py`) makes this a least-norm problem with equality
constraints,

    min ‖Sᵀ c‖   subject to   E_targetsᵀ c = t,  E_heldᵀ c = 0,

solved in closed form. A bound on the distance makes it a trust region: the held attributes stay
held, and the targets are met as closely as the bound allows,
`min ‖E_targetsᵀ c - t‖² + λ ‖Sᵀ c‖²` with λ ≥ 0 such that the bound is met.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.disentangling.mixing import BISECTIONS, Mixture, checked_effects, column_numbers
from directions.disentangling.vectors import RANK_TOLERANCE
from directions.errors import LatdirError

__all__ = ["InfeasibleError", "Solution", "solve"]

MISSED = 1e-3
# In sigma: effects are measured at 2 by default, and far beyond that they are not linear.
FAR = 4.0

log = logging.getLogger(__name__)


@runtime_checkable
class MeasuredEffects(Protocol):
    """What `analysis.measure_effects` returns, as far as it is needed here."""

    @property
    def standardized(self) -> Tensor:
        """`[k, a]`, change per sigma in standard deviations of each attribute."""

    @property
    def names(self) -> tuple[str, ...]:
        """Attributes of the columns."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Amounts that produce target changes of attributes.

    Attributes:
        amounts: For each direction, `[n]` amounts in sigma; as `move` takes them.
        changes: For each attribute measured, `[n]` predicted changes.
        distance: `[n]`, distance traveled in latent units.
    """

    amounts: dict[str, Float[Tensor, "n"]]
    changes: dict[str, Float[Tensor, "n"]]
    distance: Float[Tensor, "n"]


class InfeasibleError(LatdirError):
    """Targets that cannot be reached; `best` holds the nearest solution within the rules."""

    best: Solution

    def __init__(self, message: str, best: Solution) -> None:
        super().__init__(message)
        self.best = best


@checked
def solve(
    bank: DirectionBank,
    *,
    targets: Mapping[str, float | Tensor],
    effects: Float[Tensor, "k a"] | MeasuredEffects,
    attributes: Sequence[str] | None = None,
    hold: Sequence[str] = (),
    bound: float | None = None,
) -> Solution:
    """Amounts along a bank's directions that change some attributes and hold others.

    Args:
        bank: Directions of one space.
        targets: Wanted change of each attribute, in the units of `effects`: a number, or one for
            each of n codes.
        effects: Measured change of each attribute per sigma of each direction; rows follow the
            bank. Or what `analysis.measure_effects` returned for the bank; targets are then in
            standard deviations of the attributes.
        attributes: Names of its columns; by default the bank's own names.
        hold: Attributes that must not change. Others are free to.
        bound: Longest distance to travel, in latent units.

    Returns:
        The shortest move that does it; hand it to `move`. Effects are linear near the codes only:
        amounts beyond 4 sigma are logged as a warning.

    Raises:
        InfeasibleError: The targets cannot be met together, or not within the bound; the message
            says what can be reached and `best` holds the amounts for it.
        LatdirError: Unknown attributes, or effects that do not fit the bank.

    Example:
        >>> from directions import Direction
        >>> bank = DirectionBank(
        ...     (
        ...         Direction("smiling", torch.tensor([1.0, 0.0]), "z"),
        ...         Direction("yaw", torch.tensor([0.0, 1.0]), "z"),
        ...     ),
        ...     generator="toy",
        ...     fingerprint="0" * 64,
        ... )
        >>> measured = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
        >>> found = solve(bank, targets={"smiling": 1.6}, hold=["yaw"], effects=measured)
        >>> {name: round(float(amount), 3) for name, amount in found.amounts.items()}
        {'smiling': 2.0, 'yaw': -1.2}
        >>> solve(bank, targets={"smiling": 1.6}, hold=["yaw"], effects=measured, bound=1.0)
        Traceback (most recent call last):
        ...
        directions.editing.solver.InfeasibleError: smiling +1.6 cannot be reached within a distance
        of 1 with yaw held: the best is smiling +0.686; raise the bound (2.33 would do), hold fewer
        attributes, or ask for less
    """
    if isinstance(effects, MeasuredEffects):
        # An attribute that was constant has no standardized effect.
        known = torch.isfinite(effects.standardized).all(0).tolist()
        attributes = [name for name, there in zip(effects.names, known, strict=True) if there]
        effects = effects.standardized[:, known]
    columns = list(bank) if attributes is None else list(attributes)
    E = checked_effects(effects, bank=bank, attributes=columns)
    if not targets:
        raise LatdirError("no targets: give some, such as targets={'smiling': 1.0}")
    both = [name for name in targets if name in hold]
    if both:
        raise LatdirError(f"{both[0]!r} cannot be a target and held at once: take it off one list")
    if bound is not None and not bound > 0:
        raise LatdirError(f"the bound is a positive distance, not {bound}")
    wanted = _stacked(targets)
    mixture = Mixture.of(bank)
    free = _null_space(E[:, column_numbers(list(hold), columns)].T @ mixture.unwhiten)
    unheld = E[:, column_numbers(list(targets), columns)].T @ mixture.unwhiten
    U, s, Wh = torch.linalg.svd(unheld @ free, full_matrices=False)
    # Against what could be reached with nothing held: less than this of it is rounding.
    seen = s > RANK_TOLERANCE * unheld.norm().clamp_min(1e-300)
    U, s, Wh = U[:, seen], s[seen], Wh[seen]
    along = wanted @ U
    shortest = (along / s).norm(dim=1)
    shrinkage = _within(along, s, bound) if bound is not None else torch.zeros(len(wanted), 1)
    q = (along * s / (s.square() + shrinkage.to(s))) @ Wh
    amounts = q @ (mixture.unwhiten @ free).T
    changes = amounts @ E
    longest = amounts.abs().max(0).values
    if float(longest.max()) > FAR:
        k = int(longest.argmax())
        log.warning(
            "the solution moves up to %.3g sigma along %s, beyond where effects are linear "
            "(about %g sigma): it will miss its targets; ask for less, or set a bound",
            float(longest[k]),
            list(bank)[k],
            FAR,
        )
    best = Solution(
        {name: amounts[:, k] for k, name in enumerate(bank)},
        {name: changes[:, a] for a, name in enumerate(columns)},
        (amounts @ mixture.steps).norm(dim=1),
    )
    reached = changes[:, column_numbers(list(targets), columns)]
    missed = (reached - wanted).norm(dim=1) > MISSED * wanted.norm(dim=1)
    if missed.any():
        spanned = (along @ U.T - wanted).norm(dim=1) <= MISSED * wanted.norm(dim=1)
        raise InfeasibleError(
            _told(targets, wanted, reached, missed, hold, bound, shortest, spanned), best
        )
    return best


def _stacked(targets: Mapping[str, float | Tensor]) -> Float[Tensor, "n t"]:
    columns = [torch.as_tensor(v, dtype=torch.float64).detach().cpu() for v in targets.values()]
    lengths = {len(c) for c in columns if c.ndim == 1 and len(c) != 1}
    if any(c.ndim > 1 for c in columns) or len(lengths) > 1 or 0 in lengths:
        shapes = ", ".join(f"{n} {list(c.shape)}" for n, c in zip(targets, columns, strict=True))
        raise LatdirError(
            f"targets have shapes {shapes}: give one number, or one for each of n codes"
        )
    n = next(iter(lengths), 1)
    stacked = torch.stack([c.reshape(-1).expand(n) for c in columns], 1)
    if not torch.isfinite(stacked).all():
        raise LatdirError("a target is NaN or infinite: give the change wanted as a number")
    return stacked


def _null_space(constraints: Float[Tensor, "h k"]) -> Float[Tensor, "k f"]:
    """An orthonormal basis of the null space of the constraints."""
    _, s, Wh = torch.linalg.svd(constraints, full_matrices=True)
    rank = int((s > RANK_TOLERANCE * s.max().clamp_min(1e-300)).sum()) if len(s) else 0
    free: Tensor = Wh[rank:].T
    return free


def _within(
    along: Float[Tensor, "n r"], s: Float[Tensor, "r"], bound: float
) -> Float[Tensor, "n 1"]:
    """λ of each row: 0 where the shortest solution is within the bound, else on the bound."""

    def length(strength: Tensor) -> Tensor:
        lengths: Tensor = (along * s / (s.square() + strength)).norm(dim=1, keepdim=True)
        return lengths

    far = length(torch.zeros(len(along), 1).to(s)) > bound
    # ‖q(λ)‖ ≤ ‖s · along‖ / λ, so that this λ is always enough.
    high = (along * s).norm(dim=1, keepdim=True) / bound
    low = torch.zeros_like(high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        short = length(middle) <= bound
        low, high = torch.where(short, low, middle), torch.where(short, middle, high)
    return torch.where(far, high, torch.zeros_like(high))


def _told(
    targets: Mapping[str, float | Tensor],
    wanted: Tensor,
    reached: Tensor,
    missed: Tensor,
    hold: Sequence[str],
    bound: float | None,
    shortest: Tensor,
    spanned: Tensor,
) -> str:
    """The request for the first code that failed, the best solution, and how to relax it."""
    row = int(missed.nonzero()[0])
    asked = ", ".join(f"{n} {v:+.3g}" for n, v in zip(targets, wanted[row].tolist(), strict=True))
    have = ", ".join(f"{n} {v:+.3g}" for n, v in zip(targets, reached[row].tolist(), strict=True))
    count = f" (and {int(missed.sum()) - 1} more codes)" if int(missed.sum()) > 1 else ""
    held = f" with {', '.join(hold)} held" if hold else ""
    ways = ["hold fewer attributes"] if hold else []
    if bound is not None and spanned[row]:
        held = f" within a distance of {bound:.3g}" + held
        ways = [f"raise the bound ({float(shortest[row]):.3g} would do)", *ways, "ask for less"]
    else:
        ways = [*ways, "add directions", "ask for less"]
    way = ", ".join(ways[:-1]) + (", or " if len(ways) > 2 else " or ") + ways[-1]
    return f"{asked}{count} cannot be reached{held}: the best is {have}; {way}"
