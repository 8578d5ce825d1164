"""The projector of StyleGAN2-ADA.

Karras, Aittala, Hellsten, Laine, Lehtinen, Aila 2020: Training Generative Adversarial Networks
with Limited Data, arXiv:2006.06676; the projector of Karras et al. 2020, arXiv:1912.04958. From
the mean of w; its own cost is `features=lpips_features()`, summed as there.
Noise maps are not optimized: codes alone are returned here, and the original loses them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.inversion.objective import Objective
from directions.inversion.recipes.first_order import AdamMoments, FirstOrder, Stepper
from directions.inversion.solvers.adam import schedule
from directions.inversion.starts import Mean, Start

__all__ = ["StyleGAN2Ada"]


@dataclass(frozen=True)
class StyleGAN2Ada(FirstOrder):
    """Adam on w with noise that dies away.

    Attributes:
        rate: Largest learning rate.
        noise: Deviation of the noise at first, of the root mean square distance of w to its mean.
        noise_until: Fraction of the steps with noise.
    """

    spaces: ClassVar[tuple[str, ...]] = ("w",)
    start: ClassVar[Start] = Mean()

    steps: int = 1000
    target: float = 100.0
    rate: float = 0.1
    noise: float = 0.05
    noise_until: float = 0.75

    def seen(
        self, objective: Objective, codes: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        """W + ε · 0.05 σ max(0, 1 − t / 0.75)²."""
        fading = max(0.0, 1 - step / self.steps / self.noise_until) ** 2
        drawn = torch.randn(codes.shape[1:], generator=random).to(codes)
        # σ = √(E ‖w − w̄‖²), one number.
        sigma = objective.typicality.spread * math.sqrt(len(objective.typicality.mean))
        return codes + self.noise * sigma * fading * drawn

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """The rate of the first step is 0, as in the original."""
        return AdamMoments([self.rate * schedule(i / self.steps) for i in range(self.steps)])
