"""Solutions corrected on the image of each code: measure, correct, until the targets are met.

Each code has amounts c and its own Jacobian J of the attributes (probabilities as log-odds, on
which edits are nearly linear). A step solves

    min ‖W (Jᵀ Δ - (wanted - measured))‖² + ε² ‖Sᵀ (c + Δ)‖²,   |Δ| ≤ radius,  c + Δ in its range,

and the image is scored. J starts from the measured effects and is fitted to all that was measured
near c, with less weight the farther away. Of one point that is Broyden's update (1965, A class of
methods for solving nonlinear simultaneous equations); of several it averages the noise of the
classifier, which is large beside the change of a short step. Steps need not improve: where three in
a row did not, the search goes back to its best point with a shorter radius.

Held attributes weigh more the shorter the radius, and come first in the end: no amounts count as
better that move one beyond its tolerance. All codes of one step are scored together; those that
have arrived leave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from directions.bank import DirectionBank
from directions.editing.moves import move
from directions.editing.ranges import Matrix, constrained_least_squares
from directions.editing.response import Response
from directions.progress import tqdm
from directions.scoring.scorer import Scorer

__all__ = ["Points", "Task", "approach", "fitted"]

STEPS = 40
PATIENCE, SHRINK = 3, 1.5
SHORTEST = 1 / 16  # of the radius, in sigma
# Weight of held attributes beside targets: over the radius in a step, so that targets lead at
# first and what is held at last; and in the choice of the amounts to return to.
HELD_WEIGHT = 2.0
# In the choice of the best amounts: a held attribute that moved outweighs any target.
HELD_FIRST = 1e3
FAR = 3.0  # standard deviations; beyond it a target weighs no more in a step
SLIGHT = 0.02  # ε: standard deviations worth a distance of one
STIFF = 0.1  # weight of the effects beside a measured step as long as the radius


@dataclass(frozen=True, eq=False)
class Points:
    """Amounts of some codes, and what was measured there.

    Attributes:
        amounts: `[n, k]`, in sigma.
        scores: `[n, a]`.
        values: `[n, a]`, scores on the scale that changes are meant on.
        logits: `[n, a]`, on the unbounded scale.
    """

    amounts: Float[Tensor, "n k"]
    scores: Float[Tensor, "n a"]
    values: Float[Tensor, "n a"]
    logits: Float[Tensor, "n a"]

    def at(self, rows: Tensor) -> Points:
        """Those of some codes, as a copy."""
        return Points(*(getattr(self, f)[rows].clone() for f in self.__dataclass_fields__))

    def put(self, rows: Tensor, others: Points) -> None:
        """Replace those of some codes."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[rows] = getattr(others, name)


@dataclass(frozen=True, eq=False)
class Task:
    """What each code is to reach, and where.

    Attributes:
        bank: The directions.
        codes: `[n, *shape]`.
        scorer: Makes and scores images.
        response: Of the attributes to the bank.
        held: `[a]`, attributes to hold.
        aims: `[n, a]`, values to reach.
        low: `[k]`, lowest amounts.
        high: `[k]`, highest amounts.
        distance: Longest distance.
        lower: `[k, k]`, L with L Lᵀ = S Sᵀ: the distance of amounts c is ‖Lᵀ c‖.
    """

    bank: DirectionBank
    codes: Tensor
    scorer: Scorer
    response: Response
    held: Bool[Tensor, "a"]
    aims: Float[Tensor, "n a"]
    low: Float[Tensor, "k"]
    high: Float[Tensor, "k"]
    distance: float
    lower: Float[Tensor, "k k"]

    def measure(self, rows: Int[Tensor, "m"], amounts: Float[Tensor, "m k"]) -> Points:
        """Scores of some codes, moved."""
        parts = {name: amounts[:, k] for k, name in enumerate(self.bank)}
        scores = self.scorer.score(move(self.codes[rows], self.bank, parts))
        values, logits = self.response.values(scores), self.response.logits(scores)
        return Points(amounts, scores.double(), values, logits)

    def errors(self, rows: Int[Tensor, "m"], at: Points) -> Float[Tensor, "m a"]:
        """What is left to change, in standard deviations."""
        return (self.aims[rows] - at.values) / self.response.std

    def arrived(self, rows: Int[Tensor, "m"], at: Points) -> Bool[Tensor, "m"]:
        """Whether all attributes are where they are wanted."""
        return (self.errors(rows, at).abs() <= self.response.tolerance).all(1)

    def shortfall(self, rows: Int[Tensor, "m"], at: Points) -> Float[Tensor, "m"]:
        """What makes one solution worse than another: held attributes that moved, then targets."""
        errors = self.errors(rows, at).abs()
        moved = (errors - self.response.tolerance).clamp_min(0)[:, self.held].sum(1)
        return HELD_FIRST * moved + errors[:, ~self.held].sum(1)

    def merit(self, rows: Int[Tensor, "m"], at: Points) -> Float[Tensor, "m"]:
        """What the search lessens: squared errors.

        Targets also count in log-odds, which still differ where a probability is near 0 or 1.
        """
        errors = self.errors(rows, at)
        held = (HELD_WEIGHT * errors[:, self.held]).square().sum(1)
        far = (self.unbounded(self.aims[rows]) - at.logits)[:, ~self.held] / self.spread
        left = torch.cat([errors[:, ~self.held], far], 1).abs()
        return held + torch.where(left < FAR, left.square(), FAR * (2 * left - FAR)).sum(1)

    @property
    def spread(self) -> Float[Tensor, "t"]:
        """Scale of the targets in log-odds: the change that the strongest direction makes."""
        strongest: Tensor = self.response.effects[:, ~self.held].abs().max(0).values
        return strongest.clamp_min(1e-12)

    def unbounded(self, values: Float[Tensor, "m a"]) -> Float[Tensor, "m a"]:
        """Values on the scale of log-odds."""
        return values if self.response.scale == "logit" else self.response.logits(values)

    def slopes(self, rows: Int[Tensor, "m"], at: Points) -> Float[Tensor, "m a"]:
        """Change of each value per unit of log-odds, between where it is and where it shall be."""
        least = self.response.tolerance * self.response.std
        aims = self.aims[rows]
        inward = at.values + least * torch.where(at.values > 0.5, -1.0, 1.0)
        ends = torch.where((aims - at.values).abs() > least, aims, inward)
        span = self.unbounded(ends) - at.logits
        slopes = ((ends - at.values) / torch.where(span == 0, 1.0, span)).abs()
        bounded = [a.kind == "probability" for a in self.response.attributes]
        return torch.where(torch.tensor(bounded), slopes, 1.0)

    def proposed(
        self, rows: Int[Tensor, "m"], at: Points, jacobians: Tensor, radius: Float[Tensor, "m"]
    ) -> Float[Tensor, "m k"]:
        """The next amounts of each code."""
        held = torch.where(self.held, HELD_WEIGHT / radius[:, None], 1.0).double()
        weights = self.slopes(rows, at) / self.response.std * held
        responses = (weights[:, None] * jacobians).transpose(1, 2).numpy()
        wanted = weights * (self.unbounded(self.aims[rows]) - at.logits)
        wanted = torch.where(self.held, wanted, wanted.clamp(-FAR, FAR))
        low = torch.maximum(self.low, at.amounts - radius[:, None])
        high = torch.minimum(self.high, at.amounts + radius[:, None])
        made = [
            self._nearest(A, b + A @ c, lo, hi)
            for A, b, c, lo, hi in zip(
                responses,
                wanted.numpy(),
                at.amounts.numpy(),
                low.numpy(),
                high.numpy(),
                strict=True,
            )
        ]
        return torch.from_numpy(np.stack(made))

    def _nearest(self, A: Matrix, b: Matrix, low: Matrix, high: Matrix) -> Matrix:
        """The amounts of one code."""
        L, k = self.lower.numpy(), len(low)
        G, h = np.vstack([np.eye(k), -np.eye(k)]), np.concatenate([low, -high])

        def nearest(slight: float) -> Matrix:
            rows, ends = np.vstack([A, slight * L.T]), np.concatenate([b, np.zeros(k)])
            return constrained_least_squares(rows, ends, G, h).clip(low, high)

        def far(c: Matrix) -> bool:
            return bool(np.linalg.norm(L.T @ c) > self.distance * (1 + 1e-9))

        c = nearest(SLIGHT)
        if not far(c):
            return c
        # The weight of the distance that brings it to its bound.
        less, more = SLIGHT, SLIGHT
        while far(c):
            less, more = more, 4 * more
            c = nearest(more)
        for _ in range(12):
            middle = math.sqrt(less * more)
            tried = nearest(middle)
            less, more, c = (middle, more, c) if far(tried) else (less, middle, tried)
        return c


def approach(task: Task, start: Points, *, progress: bool) -> Points:
    """The best points that the search meets."""
    n = len(task.codes)
    everyone = torch.arange(n)
    here, turn, best = (start.at(everyone) for _ in range(3))
    seen = [start]
    radius = torch.ones(n, dtype=torch.float64)
    failures = torch.zeros(n, dtype=torch.int64)
    active = everyone[~task.arrived(everyone, best)]
    with tqdm(total=n, desc="solving", unit="code", delay=1, disable=not progress) as bar:
        left = n
        for _ in range(STEPS):
            bar.update(left - len(active))
            left = len(active)
            if not left:
                break
            before, within = here.at(active), radius[active]
            J = fitted(task.response.effects, [p.at(active) for p in seen], before, within)
            after = task.measure(active, task.proposed(active, before, J, within))
            here.put(active, after)
            seen.append(here.at(everyone))
            _keep(best, active, after, task.shortfall)
            better = _keep(turn, active, after, task.merit)
            failures[active] = torch.where(better, 0, failures[active] + 1)
            stalled = active[failures[active] >= PATIENCE]
            here.put(stalled, turn.at(stalled))
            radius[stalled] /= SHRINK
            failures[stalled] = 0
            active = active[~task.arrived(active, best.at(active)) & (radius[active] > SHORTEST)]
        bar.update(left)
    return best


def fitted(
    effects: Float[Tensor, "k a"],
    seen: Sequence[Points],
    here: Points,
    radius: Float[Tensor, "m"],
) -> Float[Tensor, "m k a"]:
    """Jacobians by ridge regression toward the effects, of all that was seen around a point.

    `J = E + (Dᵀ w D + ρ I)⁻¹ Dᵀ w (Y - D E)` for steps D from the point and changes Y of the
    logits, with w = exp(-‖D‖² / 2 radius²) and ρ in proportion to the squared radius.

    Args:
        effects: E, measured on other codes.
        seen: Points of the m codes.
        here: Where the Jacobian is wanted.
        radius: Of each code.

    Example:
        >>> truth = torch.tensor([[2.0], [0.5]]).double()
        >>> points = [Points(c, c @ truth, c @ truth, c @ truth)
        ...           for c in torch.randn(9, 1, 2, generator=torch.manual_seed(0)).double()]
        >>> J = fitted(0.9 * truth, points, points[0], torch.ones(1).double())
        >>> torch.allclose(J[0], truth, atol=0.05)
        True
    """
    D = torch.stack([p.amounts for p in seen], 1) - here.amounts[:, None]
    Y = torch.stack([p.logits for p in seen], 1) - here.logits[:, None]
    width = radius[:, None, None]
    w = torch.exp(-D.square().sum(2, keepdim=True) / (2 * width.square()))
    ridge = STIFF * width.square() * torch.eye(D.shape[2]).to(D)
    weighted = (w * D).transpose(1, 2)
    learned: Tensor = torch.linalg.solve(weighted @ D + ridge, weighted @ (Y - D @ effects))
    return effects + learned


def _keep(
    kept: Points,
    rows: Int[Tensor, "m"],
    new: Points,
    cost: Callable[[Tensor, Points], Tensor],
) -> Bool[Tensor, "m"]:
    """Replace what costs more than the new points; where that was."""
    better = cost(rows, new) < cost(rows, kept.at(rows))
    kept.put(rows[better], new.at(better))
    return better
