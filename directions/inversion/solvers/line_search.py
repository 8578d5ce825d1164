"""L-BFGS-B of SciPy on one image after another, as recipes that use it do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from directions.inversion.base import Inverter, Solved
from directions.inversion.objective import Objective

__all__ = ["LineSearch"]


@dataclass(frozen=True)
class LineSearch(Inverter):
    """Quasi-Newton steps, each with a line search to the strong Wolfe conditions."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Options of SciPy's method, `maxiter` apart."""

    def loss(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n"]:
        """What is minimized, differentiable; by default the cost."""
        return objective.costs(codes)

    def free(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n ..."]:
        """Codes as variables without bounds; by default they are such."""
        return codes

    def bound(self, objective: Objective, free: Tensor) -> Float[Tensor, "n ..."]:
        """The inverse of `free`, differentiable."""
        return free

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`; nothing is drawn at random."""
        found = Solved.start(codes)
        rows = torch.arange(len(codes), device=codes.device)
        for row in torch.split(rows, 1):
            one = objective.of(row)
            if one.observed.isfinite().all():
                self._solve_one(one, codes[row], found, row)
        return found

    def _solve_one(self, one: Objective, code: Tensor, found: Solved, row: Tensor) -> None:
        def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
            leaf = torch.from_numpy(flat).to(code).reshape(code.shape).requires_grad_()
            with torch.enable_grad():
                place = self.bound(one, leaf)
                loss = self.loss(one, place)
                [slope] = torch.autograd.grad(loss.sum(), leaf)
            place = place.detach()
            found.keep(row, place, one.costs(place).detach())
            return float(loss.detach()), slope.flatten().double().cpu().numpy()

        def noted(intermediate_result: OptimizeResult) -> None:
            found.steps[row] += 1
            if bool(found.costs[row] <= self.goal):
                raise StopIteration

        start = self.free(one, code).flatten().double().cpu().numpy()
        options = {"maxiter": self.steps, "maxfun": 4 * self.steps, **self.options}
        made = minimize(
            evaluate, start, jac=True, method="L-BFGS-B", callback=noted, options=options
        )
        found.stationary[row] = bool(made.status == 0)
