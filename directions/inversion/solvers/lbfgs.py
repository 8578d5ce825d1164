"""Limited-memory BFGS, each image with its own history and line search.

Liu & Nocedal 1989: On the limited memory BFGS method for large scale optimization. All images of
a batch are evaluated together; one that rejects a trial shortens its step while the others go on,
so that a step of the batch is one evaluation and no image waits for another. Where JᵀJ averaged
over the prior is known, twice that, damped, is the first guess of the Hessian matrix. Products with
its inverse are in the compact form of Byrd, Nocedal & Schnabel 1994 (Representations of
quasi-Newton matrices and their use in limited memory methods).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.inversion.base import Inverter, Solved
from directions.inversion.objective import Objective

__all__ = ["LBFGS"]

TINY = 1e-30
# Of the decrease that the slope promises, the fraction a step must reach (Armijo).
SUFFICIENT = 1e-4
# A rejected step is shortened to between these fractions, by the parabola through what is known.
SHORTEST, LONGEST = 0.1, 0.5
# An image has stopped whose cost fell by less than this fraction in so many evaluations.
GAIN, WINDOW = 1e-3, 40
# Added to the mean JᵀJ, relative to its largest eigenvalue: directions that are flat on average
# are steeper at single codes.
DAMPING = 0.0125


@dataclass(frozen=True)
class LBFGS(Inverter):
    """Quasi-Newton steps from gradients alone.

    Attributes:
        steps: Evaluations at most.
        target: PSNR in decibels at which an image is done.
        memory: Pairs of differences that are kept.
    """

    preconditioned: ClassVar[bool] = True

    steps: int = 500
    target: float = 100.0
    memory: int = 20

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`; nothing is drawn at random."""
        goal, found = self.goal, Solved.start(codes)
        rows = torch.arange(len(codes), device=codes.device)
        state = _State(objective, codes, self.memory)
        for _ in range(self.steps):
            found.keep(rows, state.codes, state.costs)
            stopped = state.stopped()
            found.stationary[rows[stopped]] = True
            going = ~(stopped | (state.costs <= goal))
            if not going.any():
                break
            rows = rows[going]
            state.select(going)
            state.step()
            found.steps[rows] += 1
        found.keep(rows, state.codes, state.costs)
        return found


class _State:
    """Where each image is, its history, and its current search direction."""

    def __init__(self, objective: Objective, codes: Tensor, memory: int) -> None:
        self.objective, self.codes = objective, codes.clone()
        self.costs, self.gradient = _evaluate(objective, self.codes)
        n, d = self.gradient.shape
        self.moves = codes.new_zeros(n, memory, d)
        self.turns = codes.new_zeros(n, memory, d)
        self.history = codes.new_full((n, WINDOW), torch.inf)
        self.inverse: Tensor | None = None
        if objective.metric is not None:
            hessian = 2 * objective.metric.to(codes)
            values, axes = torch.linalg.eigh(hessian)
            self.inverse = (axes / (values + DAMPING * values[-1])) @ axes.T
            self.direction = -self.gradient @ self.inverse
        else:
            # The first step is that to a cost of 0 along the gradient.
            square = self.gradient.square().sum(1, keepdim=True)
            self.direction = -self.gradient * (2 * self.costs[:, None] / (square + TINY))
        self.length = codes.new_ones(n)

    def stopped(self) -> Tensor:
        """Images that no longer improve, or are not finite."""
        slow = self.costs > (1 - GAIN) * self.history[:, 0]
        dead = ~(self.costs.isfinite() & self.gradient.isfinite().all(1))
        return slow | dead | (self.gradient.square().sum(1) <= TINY)

    def select(self, chosen: Tensor) -> None:
        """Keep some of the images."""
        if chosen.all():
            return
        self.objective = self.objective.of(chosen.nonzero()[:, 0])
        for name in (
            "codes", "costs", "gradient", "moves", "turns", "history", "direction", "length"
        ):  # fmt: skip
            setattr(self, name, getattr(self, name)[chosen])

    def step(self) -> None:
        """One evaluation of each image."""
        shift = (self.length[:, None] * self.direction).reshape(self.codes.shape)
        trial = self.objective.constrained(self.codes + shift)
        costs, gradient = _evaluate(self.objective, trial)
        slope = (self.gradient * self.direction).sum(1) * self.length
        good = costs <= self.costs + SUFFICIENT * slope
        wide = good.reshape(-1, *[1] * (trial.ndim - 1))
        move, turn = (trial - self.codes).flatten(1), gradient - self.gradient
        curved = (move * turn).sum(1) > 1e-10 * turn.square().sum(1)
        kept = (good & curved)[:, None, None]
        self.moves = torch.where(kept, _shifted(self.moves, move), self.moves)
        self.turns = torch.where(kept, _shifted(self.turns, turn), self.turns)
        self.history = torch.cat([self.history[:, 1:], self.costs[:, None]], 1)
        # The parabola through both costs and the slope at the start has its minimum here.
        rise = (costs - self.costs - slope).clamp_min(TINY)
        shorter = (-slope / (2 * rise)).clamp(SHORTEST, LONGEST).nan_to_num(SHORTEST)
        self.length = torch.where(good, 1.0, self.length * shorter)
        self.codes = torch.where(wide, trial, self.codes)
        self.costs = torch.where(good, costs, self.costs)
        self.gradient = torch.where(good[:, None], gradient, self.gradient)
        self.direction = torch.where(good[:, None], self._search(), self.direction)

    def _search(self) -> Float[Tensor, "n d"]:
        """−H g, and −g where that is no descent.

        H in compact form: with the pairs s and y as rows of S and Y, T the upper triangle of S Yᵀ
        and D its diagonal, T a = S g, r = H₀ (g − Yᵀ a), Tᵀ c = D a − Y r and H g = r + Sᵀ c.
        """
        moves, turns, gradient = self.moves, self.turns, self.gradient[..., None]
        inner = moves @ turns.mT
        curvature = inner.diagonal(dim1=1, dim2=2)
        upper = inner.triu() + torch.diag_embed((curvature <= 0).to(inner))
        a = torch.linalg.solve_triangular(upper, moves @ gradient, upper=True)
        r = self._first_guess((gradient - turns.mT @ a)[..., 0], curvature[:, -1])[..., None]
        c = curvature[..., None] * a - turns @ r
        c = torch.linalg.solve_triangular(upper.mT, c, upper=False)
        found = (r + moves.mT @ c)[..., 0]
        down = (found * self.gradient).sum(1) > 0
        return -torch.where(down[:, None], found, self.gradient)

    def _first_guess(
        self, rows: Float[Tensor, "n d"], curvature: Float[Tensor, "n"]
    ) -> Float[Tensor, "n d"]:
        """H₀ times rows, scaled by the last pair, whose sᵀy is given.

        The identity is scaled by sᵀy / yᵀy; the mean metric, which holds on average, half of the
        way, by the root of sᵀy / yᵀH₀y.
        """
        last = self.turns[:, -1]
        size = (last if self.inverse is None else last @ self.inverse).mul(last).sum(1)
        scale = torch.where(curvature > 0, curvature / (size + TINY), 1.0)
        if self.inverse is None:
            return scale[:, None] * rows
        return scale.sqrt()[:, None] * (rows @ self.inverse)


def _shifted(rows: Float[Tensor, "n m d"], last: Float[Tensor, "n d"]) -> Float[Tensor, "n m d"]:
    return torch.cat([rows[:, 1:], last[:, None]], 1)


def _evaluate(
    objective: Objective, codes: Tensor
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n d"]]:
    costs, gradient = objective.gradient(codes)
    return torch.where(costs.isfinite(), costs, torch.inf), gradient.flatten(1)
