"""Image2StyleGAN, and what follows it: II2S, StyleSpace, consecutive frames.

Abdal, Qin, Wonka 2019: Image2StyleGAN, arXiv:1904.03189: Adam in w+ from the mean, pixels and VGG
features (`features=`). Zhu, Abdal, Qin, Femiani, Wonka 2020:
Improved StyleGAN Embedding, arXiv:2012.09036: the same with the P_N distance, which here is that
of `Typicality`; eigenvalues are bounded from below, where the original divides by near zero.

Wu, Lischinski, Shechtman 2021: StyleSpace Analysis, arXiv:2011.12799: the same in s, whose error is
the lowest of all spaces. First in w+ here: styles alone leave the generator's range soon.

Xu, Du, Xiao, Xu, Qi, He 2021: From Continuity to Editability: Inverting GANs with Consecutive
Images, arXiv:2107.13812: the same on `Frames(generator)`, with `features=flow_features(…)` beside
VGG's. The original begins at w+ = 0; here at the mean, and both with offsets of 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import whole_number
from directions.inversion.base import Solved
from directions.inversion.objective import Objective
from directions.inversion.solvers.first_order import AdamMoments, FirstOrder, Stepper
from directions.inversion.starts import Mean, Start
from directions.inversion.typicality import Typicality

__all__ = ["II2S", "ConsecutiveFrames", "Image2StyleGAN", "StyleSpace"]


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


@dataclass(frozen=True)
class StyleSpace(Image2StyleGAN):
    """Adam in w+, then in s.

    Attributes:
        steps: In s.
        first: Steps in w+ before; none where the space searched is not s.
    """

    spaces: ClassVar[tuple[str, ...]] = ("s",)

    steps: int = 5000
    first: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.first, "first", least=0)

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`."""
        generator = objective.generator
        if objective.space != "s" or not self.first:
            return super().solve(objective, codes, seed=seed)
        layered = replace(objective, space="w+", typicality=Typicality.of(generator, "w+"))
        before = Image2StyleGAN(steps=self.first, target=self.target, rate=self.rate)
        with torch.no_grad():
            start = generator.map(codes, "s", "w+")
        coarse = before.solve(layered, start, seed=seed)
        with torch.no_grad():
            styles = generator.map(coarse.codes, "w+", "s")
        found = super().solve(objective, styles, seed=seed)
        return replace(found, steps=found.steps + coarse.steps)


@dataclass(frozen=True)
class ConsecutiveFrames(Image2StyleGAN):
    """Adam at a constant rate on the first code and the offsets together."""

    spaces: ClassVar[tuple[str, ...]] = ("joint", "w+")
