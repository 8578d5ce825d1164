"""Gradient descent with stochastic clipping.

Lipton & Tripathi 2017: Precise Recovery of Latent Vectors from Generative Adversarial Networks,
arXiv:1702.04782. There z is uniform in [−1, 1]; here it is normal, and the box is [−2, 2], as in
later encoders of StyleGAN that use it. The paper's cost is the sum of squared differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import real_number
from directions.inversion.objective import Objective
from directions.inversion.solvers.first_order import FirstOrder, Stepper
from directions.inversion.starts import Best, Start

__all__ = ["StochasticClipping"]


@dataclass(frozen=True)
class StochasticClipping(FirstOrder):
    """Plain gradient descent in a box.

    Attributes:
        rate: Length of a step over the gradient of the summed squared difference.
        limit: Half the side of the box.
    """

    spaces: ClassVar[tuple[str, ...]] = ("z",)
    start: ClassVar[Start] = Best(1)

    steps: int = 20_000
    target: float = 100.0
    rate: float = 0.01
    limit: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        real_number(self.limit, "limit", least=0.0)

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """Descent, then clipping."""
        # The cost is a mean over what is observed.
        return _Clipped(self.rate * objective.observed[0].numel(), self.limit)


class _Clipped(Stepper):
    def __init__(self, rate: float, limit: float) -> None:
        self.rate, self.limit = rate, limit

    def __call__(
        self, codes: Tensor, slope: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        moved = codes - self.rate * slope
        uniform = torch.rand(codes.shape[1:], generator=random).to(codes)
        # Coordinates that left the box are drawn anew in it, not put on its face.
        return torch.where(moved.abs() > self.limit, (2 * uniform - 1) * self.limit, moved)
