"""Inverting the generator of a GAN: RMSprop in z with the prior's log density.

Creswell & Bharath 2016/2018: Inverting the Generator of a Generative Adversarial Network,
arXiv:1611.05644, arXiv:1802.05701; rate, and PyTorch's decay, of the authors' script. From a
sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.inversion.objective import Objective
from directions.inversion.solvers.first_order import FirstOrder, Stepper
from directions.inversion.starts import Best, Start

__all__ = ["Creswell"]

DECAY, EPSILON = 0.99, 1e-8


@dataclass(frozen=True)
class Creswell(FirstOrder):
    """RMSprop, whose elementwise steps keep images of a batch apart.

    Attributes:
        rate: Learning rate.
        alpha: Weight of the mean log density of a standard normal prior.
    """

    spaces: ClassVar[tuple[str, ...]] = ("z",)
    start: ClassVar[Start] = Best(1)

    steps: int = 5000
    target: float = 100.0
    rate: float = 0.01
    alpha: float = 0.01

    def penalty(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n"]:
        """−α · mean log N(z; 0, 1), up to a constant."""
        return self.alpha * codes.flatten(1).square().mean(1) / 2

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """RMSprop."""
        return _RMSprop(self.rate)


class _RMSprop(Stepper):
    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.square: Tensor | float = 0.0

    def __call__(
        self, codes: Tensor, slope: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        self.square = DECAY * self.square + (1 - DECAY) * slope.square()
        moved: Tensor = codes - self.rate * slope / (self.square.sqrt() + EPSILON)
        return moved
