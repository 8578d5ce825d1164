"""The loop of first-order recipes: a penalty beside the cost, a step, what is seen of a code."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.inversion.base import Inverter, Solved
from directions.inversion.objective import Objective

__all__ = ["AdamMoments", "Descent", "FirstOrder"]


@dataclass(frozen=True)
class FirstOrder(Inverter):
    """Steps along gradients of cost and penalty.

    All random numbers are the same for every image of a batch, which so does not matter.
    """

    def begin(
        self, objective: Objective, codes: Tensor, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        """The first codes, made of those of the start; by default these."""
        return codes

    def seen(
        self, objective: Objective, codes: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        """The codes that the cost is taken of; by default the codes themselves."""
        return codes

    def penalty(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n"]:
        """What is added to the cost, differentiable; by default nothing."""
        return codes.new_zeros(len(codes))

    @abstractmethod
    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """What takes the steps, from the first codes."""

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`."""
        found = Solved.start(codes)
        rows = torch.arange(len(codes), device=codes.device)
        random = torch.Generator().manual_seed(seed)
        codes = self.begin(objective, codes, random)
        stepper = self.stepper(objective, codes)
        for i in range(self.steps + 1):
            leaf = self.seen(objective, codes, i, random).detach().clone().requires_grad_()
            with torch.enable_grad():
                costs = objective.costs(leaf)
                [slope] = torch.autograd.grad((costs + self.penalty(objective, leaf)).sum(), leaf)
            found.keep(rows, leaf.detach(), costs.detach())
            if i == self.steps or bool((found.costs <= self.goal).all()):
                break
            # An image without a finite gradient stays where it is.
            slope = torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)
            codes = objective.constrained(stepper(codes, slope, i, random))
            found.steps.add_(1)
        return found


class Stepper:
    """Takes one step after another."""

    def __call__(
        self, codes: Tensor, slope: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        """The codes after a step, the first being step 0."""
        raise NotImplementedError


class Descent(Stepper):
    """Gradient descent.

    Args:
        rate: Learning rate.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(
        self, codes: Tensor, slope: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        """As `Stepper`."""
        return codes - self.rate * slope


class AdamMoments(Stepper):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980).

    Args:
        rates: Learning rate of each step.
        betas: Decay of both moments.
        moving: 1 where coordinates move, 0 where they stay; by default all move.
    """

    def __init__(
        self,
        rates: list[float],
        betas: tuple[float, float] = (0.9, 0.999),
        *,
        moving: Tensor | None = None,
    ) -> None:
        self.rates, self.betas, self.moving = rates, betas, moving
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0

    def __call__(
        self, codes: Tensor, slope: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        """As `Stepper`."""
        b1, b2 = self.betas
        if self.moving is not None:
            slope = slope * self.moving
        self.first = b1 * self.first + (1 - b1) * slope
        self.second = b2 * self.second + (1 - b2) * slope.square()
        mean = self.first / (1 - b1 ** (step + 1))
        scale = (self.second / (1 - b2 ** (step + 1))).sqrt() + 1e-8
        moved: Tensor = codes - self.rates[step] * mean / scale
        return moved
