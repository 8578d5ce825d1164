"""L-BFGS far from the solution, Levenberg–Marquardt near it.

Far away the first-order model holds over short steps only, so that solving it precisely is wasted:
an evaluation of L-BFGS costs about a tenth of a Levenberg–Marquardt step, and where JᵀJ averaged
over the prior preconditions it, it reaches the same PSNR in about half the time. Near the solution
Gauss–Newton steps converge in a few steps, where L-BFGS needs hundreds.

Where pixels alone lead away from the generator's codes, to where its images hardly change, restarts
follow the minimum of cost and prior while the prior fades (graduated optimization, Blake &
Zisserman 1987).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import whole_number
from directions.inversion.base import Inverter, Solved
from directions.inversion.objective import Objective
from directions.inversion.solvers.lbfgs import LBFGS
from directions.inversion.solvers.levenberg_marquardt import LevenbergMarquardt

__all__ = ["Hybrid"]

# Weights of the prior in turn, before a restart is left to the cost; evaluations at each, at most.
FADING, EASED = (1e-1, 1e-2, 1e-3), 30


@dataclass(frozen=True)
class Hybrid(Inverter):
    """Quasi-Newton steps, then damped Gauss–Newton steps.

    Attributes:
        steps: Steps of Levenberg–Marquardt at most.
        target: PSNR in decibels at which an image is done.
        evaluations: Evaluations of L-BFGS at most.
        near: PSNR in decibels at which Levenberg–Marquardt takes over.
    """

    preconditioned: ClassVar[bool] = True

    steps: int = 60
    target: float = 100.0
    evaluations: int = 150
    near: float = 48.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.evaluations, "evaluations", least=1)

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`; nothing is drawn at random."""
        far = LBFGS(steps=self.evaluations, target=min(self.near, self.target))
        found = far.solve(objective, codes, seed=seed)
        rows = (found.costs > self.goal).nonzero()[:, 0]
        if not len(rows):
            return found
        close = LevenbergMarquardt(steps=self.steps, target=self.target, near=self.near)
        last = close.solve(objective.of(rows), found.codes[rows], seed=seed)
        found.keep(rows, last.codes, last.costs)
        found.stationary[rows] = last.stationary
        found.steps[rows] += last.steps
        return found

    def retry(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `solve`, after the minima of cost and a prior that fades."""
        steps = torch.zeros(len(codes), dtype=torch.long, device=codes.device)
        for weight in FADING:
            eased = replace(objective, prior=objective.prior + weight)
            near = LBFGS(steps=EASED, target=self.near).solve(eased, codes, seed=seed)
            codes, steps = near.codes, steps + near.steps
        found = self.solve(objective, codes, seed=seed)
        found.steps.add_(steps)
        return found
