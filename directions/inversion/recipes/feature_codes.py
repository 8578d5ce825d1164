"""Features of a layer fitted beside a code, or after it: BDInvert and Bau's residuals.

- `bdinvert`: Kang, Kim, Cho 2021, arXiv:2108.08998. Adam at 0.01, 1,200 steps, on both parts;
  10 · mean square of the features' distance from the start's, 0.01 · mean square in P_N of w+.
  The start's features are those of its code, where the paper trains an encoder for them.
- `layer_residuals`: Bau et al. 2019, arXiv:1910.11626. Adam at 0.01, halved at 800, 1,200 and
  1,800 of 3,000 steps, on offsets alone; their mean square. One layer, where the paper has three.

The cost beside these is yours; the papers take pixels and LPIPS or VGG features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError, real_number
from directions.inversion.objective import Objective
from directions.inversion.solvers.first_order import AdamMoments, FirstOrder, Stepper
from directions.inversion.typicality import Typicality
from directions.inversion.unknowns.feature_offsets import FeatureOffsets

__all__ = ["BDInvert", "LayerResiduals"]


@dataclass(frozen=True)
class BDInvert(FirstOrder):
    """Adam on a code and on offsets from the features it makes.

    Attributes:
        steps: Of Adam.
        rate: Its learning rate.
        features: Weight of the offsets' mean square.
        codes: Of the mean square of the code in P_N.
    """

    spaces: ClassVar[tuple[str, ...]] = ("joint",)

    steps: int = 1200
    rate: float = 0.01
    features: float = 10.0
    codes: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rate", "features", "codes"):
            real_number(getattr(self, name), name, least=0.0)

    def penalty(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n"]:
        """10 · mean d² + 0.01 · mean v²."""
        world = _world(objective)
        parts = world.parts(codes)
        cost = self.features * parts["features"].flatten(1).square().mean(1)
        if not self.codes:
            return cost
        near = Typicality.of(world.inner, world.code_space)
        return cost + self.codes * near.standardized(parts["code"]).square().mean(1)

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """Adam on all of it."""
        return AdamMoments([self.rate] * self.steps)


@dataclass(frozen=True)
class LayerResiduals(BDInvert):
    """Adam on offsets alone.

    Attributes:
        steps: Of Adam.
        features: Weight of the offsets' mean square.
        halved: Shares of the steps after which the rate is halved.
    """

    steps: int = 3000
    features: float = 1.0
    codes: float = 0.0
    halved: tuple[float, ...] = (800 / 3000, 1200 / 3000, 1800 / 3000)

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """Adam whose steps leave the code where it is."""
        rates = [
            self.rate / 2 ** sum(i >= share * self.steps for share in self.halved)
            for i in range(self.steps)
        ]
        moving = torch.ones_like(codes[0])
        moving[_world(objective).places["code"]] = 0
        return AdamMoments(rates, moving=moving)


def _world(objective: Objective) -> FeatureOffsets:
    if not isinstance(objective.generator, FeatureOffsets):
        raise LatdirError(
            f"this recipe fits features of a layer, which {objective.generator.name}'s codes have "
            "none of: invert FeatureOffsets(generator, layer=…), from around(codes)"
        )
    return objective.generator
