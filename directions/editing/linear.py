"""Solutions of the linear model of measured effects.

With the effects E of one-sigma steps S (`mixing.py`) the smallest edit is a least-norm problem
with equality constraints,

    min ‖Sᵀ c‖   subject to   E_targetsᵀ c = t,  E_heldᵀ c = 0,

solved in closed form. Where its amounts leave the ranges over which directions respond linearly,
the held attributes stay held, and the targets are met as closely as the ranges allow. A bound on
the distance makes it a trust region, `min ‖E_targetsᵀ c - t‖² + λ ‖Sᵀ c‖²` with λ ≥ 0 such that
the bound is met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.disentangling.mixing import BISECTIONS, Mixture, checked_effects, column_numbers
from directions.disentangling.vectors import RANK_TOLERANCE
from directions.editing.ranges import Bound, at_ends, constrained_least_squares, ranges_of
from directions.editing.solution import BEYOND_BOUND, UNREACHABLE, InfeasibleError, Solution
from directions.errors import LatdirError

__all__ = ["MeasuredEffects", "check_rows", "predict"]

MISSED = 1e-3
# Of the largest response: weight of the distance where ranges leave several solutions.
SLIGHT = 1e-6


@runtime_checkable
class MeasuredEffects(Protocol):
    """What `analysis.measure_effects` returns, as far as a prediction is concerned."""

    @property
    def standardized(self) -> Tensor:
        """`[k, a]`, change per sigma in standard deviations of each attribute."""

    @property
    def directions(self) -> tuple[str, ...]:
        """Directions of the rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Attributes of the columns."""


def predict(
    bank: DirectionBank,
    *,
    targets: Mapping[str, float | Tensor],
    hold: tuple[str, ...],
    effects: Float[Tensor, "k a"] | MeasuredEffects,
    attributes: Sequence[str] | None,
    bound: Bound,
) -> Solution:
    """The solution of the linear model; arguments as in `solve`.

    Raises:
        InfeasibleError: The targets cannot be met together, or not within the bound.
        LatdirError: Unknown attributes, or effects that do not fit the bank.
    """
    wanted = _stacked(targets)
    E, columns = _matrix(bank, effects, attributes)
    mixture = Mixture.of(bank)
    low, high = ranges_of(bank, bound, linear=True)
    distance = float(bound) if isinstance(bound, int | float) else None
    free = _null_space(E[:, column_numbers(hold, columns)].T @ mixture.unwhiten)
    unheld = E[:, column_numbers(list(targets), columns)].T @ mixture.unwhiten
    U, s, Wh = torch.linalg.svd(unheld @ free, full_matrices=False)
    # Against what could be reached with nothing held: less than this of it is rounding.
    seen = s > RANK_TOLERANCE * unheld.norm().clamp_min(1e-300)
    U, s, Wh = U[:, seen], s[seen], Wh[seen]
    along = wanted @ U
    shrinkage = torch.zeros(len(wanted), 1) if distance is None else _within(along, s, distance)
    q = (along * s / (s.square() + shrinkage.to(s))) @ Wh
    moves = mixture.unwhiten @ free
    amounts = q @ moves.T
    beyond = ((amounts < low) | (amounts > high)).any(1)
    for row in beyond.nonzero()[:, 0].tolist():
        amounts[row] = _in_ranges(wanted[row], (U * s) @ Wh, moves, low, high)
    changes = amounts @ E
    reached = changes[:, column_numbers(list(targets), columns)]
    missed = (reached - wanted).norm(dim=1) > MISSED * wanted.norm(dim=1)
    spanned = (along @ U.T - wanted).norm(dim=1) <= MISSED * wanted.norm(dim=1)
    shortest = (along / s).norm(dim=1)
    reasons = [
        ""
        if not missed[row]
        else at_ends(amounts[row], low, high, list(bank))
        if beyond[row]
        else BEYOND_BOUND
        if distance is not None and spanned[row]
        else UNREACHABLE
        for row in range(len(wanted))
    ]
    asked = {name: wanted[:, t] for t, name in enumerate(targets)}
    still = dict.fromkeys(hold, torch.zeros(len(wanted), dtype=wanted.dtype))
    best = Solution(
        {name: amounts[:, k] for k, name in enumerate(bank)},
        {name: changes[:, a] for a, name in enumerate(columns)},
        (amounts @ mixture.steps).norm(dim=1),
        asked | still,
        tuple(reasons),
    )
    if missed.any():
        raise InfeasibleError(_told(best, list(targets), hold, distance, shortest), best)
    return best


def check_rows(directions: Sequence[str], bank: DirectionBank) -> None:
    """Refuse effects of other directions than the bank's.

    Raises:
        LatdirError: Their names or their order differ.
    """
    if list(directions) != list(bank):
        raise LatdirError(
            f"these effects are of {', '.join(directions)}, but the bank has {', '.join(bank)}: "
            "measure the effects of this bank"
        )


def _matrix(
    bank: DirectionBank,
    effects: Float[Tensor, "k a"] | MeasuredEffects,
    attributes: Sequence[str] | None,
) -> tuple[Float[Tensor, "k a"], list[str]]:
    """The effects and the names of their columns."""
    columns = list(bank) if attributes is None else list(attributes)
    if isinstance(effects, MeasuredEffects):
        check_rows(effects.directions, bank)
        # An attribute that was constant has no standardized effect.
        known = torch.isfinite(effects.standardized).all(0).tolist()
        columns = [name for name, there in zip(effects.names, known, strict=True) if there]
        effects = effects.standardized[:, known]
    return checked_effects(effects, bank=bank, attributes=columns), columns


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


def _in_ranges(
    wanted: Float[Tensor, "t"],
    responses: Float[Tensor, "t f"],
    moves: Float[Tensor, "k f"],
    low: Float[Tensor, "k"],
    high: Float[Tensor, "k"],
) -> Float[Tensor, "k"]:
    """Amounts within their ranges whose targets are nearest to those wanted, then the shortest."""
    f = moves.shape[1]
    slight = SLIGHT * float(responses.norm())
    G, h = torch.cat([moves, -moves]), torch.cat([low, -high])
    limited = torch.isfinite(h)
    q = constrained_least_squares(
        torch.cat([responses, slight * torch.eye(f).to(responses)]).numpy(),
        torch.cat([wanted, torch.zeros(f).to(wanted)]).numpy(),
        G[limited].numpy(),
        h[limited].numpy(),
    )
    amounts: Tensor = moves @ torch.from_numpy(q)
    return amounts.clamp(low, high)


def _told(
    best: Solution,
    targets: Sequence[str],
    hold: Sequence[str],
    distance: float | None,
    shortest: Float[Tensor, "n"],
) -> str:
    """The request for the first code that failed, the best solution, and how to relax it."""
    failed = [row for row, reason in enumerate(best.stopped) if reason]
    row, reason = failed[0], best.stopped[failed[0]]
    asked = ", ".join(f"{name} {float(best.wanted[name][row]):+.3g}" for name in targets)
    have = ", ".join(f"{name} {float(best.changes[name][row]):+.3g}" for name in targets)
    count = f" (and {len(failed) - 1} more codes)" if len(failed) > 1 else ""
    held = f" with {', '.join(hold)} held" if hold else ""
    ways = ["hold fewer attributes"] if hold else []
    if reason == BEYOND_BOUND:
        held = f" within a distance of {distance:.3g}{held}"
        raised = f"raise the bound ({float(shortest[row]):.3g} would do)"
        ways = [raised, *ways, "ask for less"]
    elif reason == UNREACHABLE:
        ways = [*ways, "add directions", "ask for less"]
    else:
        held += f", because {reason}"
        ways += ["ask for less", "correct it on images (codes=, generator=, classifier=)"]
        ways = [*ways, "go beyond the ranges by bound=None"]
    way = ", ".join(ways[:-1]) + (", or " if len(ways) > 2 else " or ") + ways[-1]
    return f"{asked}{count} cannot be reached{held}: the best is {have}; {way}"
