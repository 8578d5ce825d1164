"""iGAN: L-BFGS-B in a box.

Zhu, Krähenbühl, Shechtman, Efros 2016: Generative Visual Manipulation on the Natural Image
Manifold, arXiv:1609.03552. z = tanh(u), inside the box of a uniform prior. From a predictor of
codes, here the regression; its own cost is `weighted((1, pixel_features), (0.002,
network_features(conv4 of AlexNet)))`. Starts are kept off the faces of the box, where the
original's are infinite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from directions.errors import real_number
from directions.inversion.objective import Objective
from directions.inversion.solvers.line_search import LineSearch

__all__ = ["IGAN"]

# Of half the box, the largest coordinate of a start.
INSIDE = 0.999


@dataclass(frozen=True)
class IGAN(LineSearch):
    """Quasi-Newton steps of u, where tanh(u) is the code in its box.

    Attributes:
        limit: Half the side of the box in standard deviations; √3 is that of a uniform prior, and
            leaves a twelfth of the coordinates of a normal one outside.
    """

    spaces: ClassVar[tuple[str, ...]] = ("z",)
    options: ClassVar[Mapping[str, Any]] = {"ftol": 1e-6, "gtol": 1e-6}

    steps: int = 200
    target: float = 100.0
    limit: float = math.sqrt(3)

    def __post_init__(self) -> None:
        super().__post_init__()
        real_number(self.limit, "limit", least=0.0)

    def free(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n ..."]:
        """U = arctanh of the place in the box."""
        near = objective.typicality
        place = (codes - near.center(codes)) / (self.limit * near.spread)
        return place.clamp(-INSIDE, INSIDE).atanh()

    def bound(self, objective: Objective, free: Tensor) -> Float[Tensor, "n ..."]:
        """The code in the box."""
        near = objective.typicality
        return near.center(free) + self.limit * near.spread * free.tanh()
