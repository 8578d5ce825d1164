"""Adam with the learning-rate schedule of the StyleGAN2 projector.

Kingma & Ba 2015: Adam, arXiv:1412.6980; schedule of Karras et al. 2020, arXiv:1912.04958. The
update is elementwise, so that images of a batch do not mix. Unlike the official projector it keeps
the best iterate, not the last one, and adds no noise to the code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import real_number
from directions.inversion.base import Inverter, Solved
from directions.inversion.objective import Objective

__all__ = ["Adam"]

BETAS, EPSILON = (0.9, 0.999), 1e-8
# Fractions of the steps over which the learning rate rises and falls.
RISE, FALL = 0.05, 0.25


@dataclass(frozen=True)
class Adam(Inverter):
    """First-order steps of a size set by the learning rate.

    Attributes:
        steps: Steps; all are taken, unless the target is reached.
        target: PSNR in decibels at which an image is done.
        rate: Largest learning rate, in standard deviations of the space's codes.
    """

    steps: int = 1000
    target: float = 100.0
    rate: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        real_number(self.rate, "rate", least=0.0)

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`; nothing is drawn at random."""
        goal, found = self.goal, Solved.start(codes)
        rows = torch.arange(len(codes), device=codes.device)
        spread = self.rate * objective.typicality.spread
        first, second = torch.zeros_like(codes), torch.zeros_like(codes)
        for i in range(self.steps + 1):
            costs, gradient = objective.gradient(codes)
            found.keep(rows, codes, costs)
            dead = ~(costs.isfinite() & gradient.flatten(1).isfinite().all(1))
            found.stationary[rows[dead]] = True
            going = ~(dead | (costs <= goal))
            if i == self.steps or not going.any():
                break
            if not going.all():
                objective, rows = objective.of(going.nonzero()[:, 0]), rows[going]
                codes, gradient = codes[going], gradient[going]
                first, second = first[going], second[going]
            first = BETAS[0] * first + (1 - BETAS[0]) * gradient
            second = BETAS[1] * second + (1 - BETAS[1]) * gradient.square()
            mean = first / (1 - BETAS[0] ** (i + 1))
            scale = (second / (1 - BETAS[1] ** (i + 1))).sqrt() + EPSILON
            rate = spread * schedule((i + 1) / self.steps)
            codes = objective.constrained(codes - rate * mean / scale)
            found.steps[rows] += 1
        return found


def schedule(t: float) -> float:
    """The learning rate at a fraction t of the steps, relative to the largest.

    Example:
        >>> schedule(0.025), schedule(0.5), schedule(0.875), schedule(1.0)
        (0.5, 1.0, 0.5, 0.0)
    """
    fall = min(1.0, (1 - t) / FALL)
    return round(min(1.0, t / RISE) * (0.5 - 0.5 * math.cos(math.pi * fall)), 12)
