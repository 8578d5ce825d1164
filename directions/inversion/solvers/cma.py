"""Evolution strategies: CMA-ES without gradients, BasinCMA with a few gradient steps a sample.

Nikolaus Hansen, Andreas Ostermeier: Completely Derandomized Self-Adaptation in Evolution
Strategies, 2001. Minyoung Huh, Richard Zhang, Jun-Yan Zhu, Sylvain Paris, Aaron Hertzmann:
Transforming and Projecting Images into Class-conditional Generative Networks, ECCV 2020,
arXiv:2005.01703: the strategy is told the cost that a sample reaches after refinement, at the place
where the sample was drawn. The official code returns the best of a last population; here the best
iterate of all is kept. Codes are searched in standard deviations from the mean. Needs `cmaes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.errors import real_number, require, whole_number
from directions.inversion.base import Inverter, Solved
from directions.inversion.objective import Objective
from directions.inversion.solvers.adam import Adam

__all__ = ["CMA", "BasinCMA"]

BATCH = 32


@dataclass(frozen=True)
class CMA(Inverter):
    """Covariance matrix adaptation; works on generators without gradients.

    Attributes:
        steps: Generations.
        target: PSNR in decibels at which an image is done.
        sigma: First step size, in standard deviations of the space's codes.
        population: Samples a generation; by default 4 + 3 ln d.
    """

    gradients: ClassVar[bool] = False

    steps: int = 300
    target: float = 100.0
    sigma: float = 0.5
    population: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        real_number(self.sigma, "sigma", least=1e-6)
        if self.population is not None:
            whole_number(self.population, "population", least=4)

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`; every image has a generator of random numbers of that seed."""
        cmaes = require("cmaes", "inversion")
        goal, found = self.goal, Solved.start(codes)
        near = objective.typicality
        center, spread = near.center(codes), near.spread
        searches: list[Any] = [
            cmaes.CMA(
                mean=((code - center) / spread).flatten().double().cpu().numpy(),
                sigma=self.sigma,
                population_size=self.population,
                seed=seed % 2**32,
            )
            for code in codes
        ]
        every = torch.arange(len(codes), device=codes.device)
        found.keep(every, codes, self._costs(objective, codes))
        dead = ~objective.observed.flatten(1).isfinite().all(1)
        for _ in range(self.steps):
            rows = (~dead & (found.costs > goal)).nonzero()[:, 0]
            rows = rows[[not searches[i].should_stop() for i in rows.tolist()]]
            if not len(rows):
                break
            many, places = self.population_of(objective, searches, rows)
            costs = self.refined(objective, found, many, places, seed)
            told = costs.reshape(len(rows), -1).double().cpu().nan_to_num(1e30, 1e30).numpy()
            drawn = ((places - center) / spread).reshape(*told.shape, -1).double().cpu().numpy()
            for i, samples, values in zip(rows.tolist(), drawn, told, strict=True):
                searches[i].tell(list(zip(samples, values.tolist(), strict=True)))
            found.steps[rows] += 1
        ended = [search.should_stop() for search in searches]
        found.stationary[torch.tensor(ended, device=codes.device) | dead] = True
        return self.finished(objective, found, searches, seed)

    def population_of(
        self, objective: Objective, searches: list[Any], rows: Tensor
    ) -> tuple[Int[Tensor, "m"], Float[Tensor, "m ..."]]:
        """Samples of some images' searches, and the image that each belongs to."""
        asked = [[searches[i].ask() for _ in range(searches[i].population_size)] for i in rows]
        drawn = torch.from_numpy(np.array(asked)).to(objective.observed)
        near = objective.typicality
        center = near.center(drawn)
        places = center + near.spread * drawn.reshape(-1, *center.shape)
        return rows.repeat_interleave(drawn.shape[1]), objective.constrained(places)

    def finished(
        self, objective: Objective, found: Solved, searches: list[Any], seed: int
    ) -> Solved:
        """What is done at the end; here nothing."""
        return found

    def refined(
        self, objective: Objective, found: Solved, rows: Tensor, codes: Tensor, seed: int
    ) -> Float[Tensor, "m"]:
        """Costs of samples, the best of which are kept."""
        costs = self._costs(objective.of(rows), codes)
        _keep(found, rows, codes, costs)
        return costs

    def _costs(self, objective: Objective, codes: Tensor) -> Float[Tensor, "m"]:
        with torch.no_grad():
            places = torch.split(torch.arange(len(codes), device=codes.device), BATCH)
            costs = torch.cat([objective.of(rows).costs(codes[rows]) for rows in places])
        return torch.where(costs.isfinite(), costs, torch.inf)


@dataclass(frozen=True)
class BasinCMA(CMA):
    """CMA-ES over the places where gradient descent begins.

    Attributes:
        steps: Rounds.
        target: PSNR in decibels at which an image is done.
        sigma: First step size, in standard deviations of the space's codes.
        population: Samples a round; by default 4 + 3 ln d.
        refinement: Adam steps of each sample.
        final: Adam steps of the best iterate at the end.
        rate: Learning rate, in standard deviations of the space's codes.
    """

    gradients: ClassVar[bool] = True

    steps: int = 30
    sigma: float = 1.0
    refinement: int = 30
    final: int = 300
    rate: float = 0.05

    def finished(
        self, objective: Objective, found: Solved, searches: list[Any], seed: int
    ) -> Solved:
        """Adam from the best iterates."""
        last = Adam(steps=self.final, target=self.target, rate=self.rate)
        every = torch.arange(len(found.codes), device=found.codes.device)
        polished = last.solve(objective, found.codes.clone(), seed=seed)
        found.keep(every, polished.codes, polished.costs)
        return replace(found, steps=found.steps + polished.steps)

    def refined(
        self, objective: Objective, found: Solved, rows: Tensor, codes: Tensor, seed: int
    ) -> Float[Tensor, "m"]:
        """Costs after Adam's steps from each sample."""
        adam = Adam(steps=self.refinement, target=self.target, rate=self.rate)
        costs = []
        for part, begin in zip(torch.split(rows, BATCH), torch.split(codes, BATCH), strict=True):
            refined = adam.solve(objective.of(part), begin, seed=seed)
            _keep(found, part, refined.codes, refined.costs)
            costs.append(refined.costs)
        return torch.cat(costs)


def _keep(found: Solved, rows: Tensor, codes: Tensor, costs: Tensor) -> None:
    """Note the best of several iterates of each image."""
    for i in torch.unique(rows):
        mine = (rows == i).nonzero()[:, 0]
        best = mine[costs[mine].argmin()][None]
        found.keep(i[None], codes[best], costs[best])
