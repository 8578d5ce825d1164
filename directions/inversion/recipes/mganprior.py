"""mGANprior: several codes of one image by gradient descent.

Gu, Shen, Zhou 2020: Image Processing Using Multi-Code GAN Prior, arXiv:1912.07116. On
`SeveralCodes(generator, layer=…)`, from samples with equal weights; its own cost adds 0.001 times
the L1 distance of VGG16 features, and `features=` a squared one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from directions.inversion.objective import Objective
from directions.inversion.solvers.first_order import Descent, FirstOrder, Stepper
from directions.inversion.starts import Best, Start

__all__ = ["MGANPrior"]


@dataclass(frozen=True)
class MGANPrior(FirstOrder):
    """Gradient descent at a constant rate on the mean squared difference.

    Attributes:
        rate: Learning rate.
    """

    spaces: ClassVar[tuple[str, ...]] = ("joint", "z")
    start: ClassVar[Start] = Best(1)

    steps: int = 3000
    target: float = 100.0
    rate: float = 1.0

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """Gradient descent."""
        return Descent(self.rate)
