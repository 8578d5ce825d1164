"""BasinCMA of pix2latent: CMA-ES over where Adam begins.

Huh, Zhang, Zhu, Paris, Hertzmann 2020: Transforming and Projecting Images into Class-conditional
Generative Networks, arXiv:2005.01703. In a truncated z; the last population is refined for longer,
and the best iterate of all is kept. Its own cost is an L1 distance of pixels and 10 · LPIPS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from directions.errors import real_number
from directions.inversion.base import Solved
from directions.inversion.objective import Objective
from directions.inversion.solvers.cma import BasinCMA
from directions.inversion.starts import Mean, Start

__all__ = ["Pix2Latent"]


@dataclass(frozen=True)
class Pix2Latent(BasinCMA):
    """BasinCMA in a box, with a last population.

    Attributes:
        limit: Largest coordinate, in standard deviations.
    """

    spaces: ClassVar[tuple[str, ...]] = ("z",)
    start: ClassVar[Start] = Mean()

    limit: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        real_number(self.limit, "limit", least=0.0)

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`."""
        return super().solve(replace(objective, limit=self.limit), codes, seed=seed)

    def finished(
        self, objective: Objective, found: Solved, searches: list[Any], seed: int
    ) -> Solved:
        """The last population, refined."""
        going = (found.costs > self.goal) & found.costs.isfinite()
        rows = going.nonzero()[:, 0]
        if not len(rows):
            return found
        many, places = self.population_of(objective, searches, rows)
        patient = replace(self, refinement=self.final)
        patient.refined(objective, found, many, places, seed)
        found.steps[rows] += self.final
        return found
