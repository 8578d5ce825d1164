"""Image2StyleGAN, and the improved embedding II2S.

Abdal, Qin, Wonka 2019: Image2StyleGAN, arXiv:1904.03189: Adam in w+ from the mean, pixels and VGG
features (`features=`). Zhu, Abdal, Qin, Femiani, Wonka 2020:
Improved StyleGAN Embedding, arXiv:2012.09036: the same with the P_N distance, which here is that
of `Typicality`; eigenvalues are bounded from below, where the original divides by near zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from directions.inversion.objective import Objective
from directions.inversion.recipes.first_order import AdamMoments, FirstOrder, Stepper
from directions.inversion.starts import Mean, Start

__all__ = ["II2S", "Image2StyleGAN"]


@dataclass(frozen=True)
class Image2StyleGAN(FirstOrder):
    """Adam at a constant rate.

    Attributes:
        rate: Learning rate.
    """

    spaces: ClassVar[tuple[str, ...]] = ("w+",)
    start: ClassVar[Start] = Mean()

    steps: int = 5000
    target: float = 100.0
    rate: float = 0.01

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """Adam."""
        return AdamMoments([self.rate] * self.steps)


@dataclass(frozen=True)
class II2S(Image2StyleGAN):
    """Adam with a prior.

    Attributes:
        weight: Of the mean squared standardized coordinate.
    """

    steps: int = 1300
    weight: float = 0.001

    def penalty(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n"]:
        """0.001 · mean v², v the coordinates in P_N."""
        return self.weight * objective.typicality.standardized(codes).square().mean(1)
