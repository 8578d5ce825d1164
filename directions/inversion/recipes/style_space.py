"""Inversion to StyleSpace.

Wu, Lischinski, Shechtman 2021: StyleSpace Analysis, arXiv:2011.12799, where s, the outputs of all
affine layers, has the lowest error of all spaces and the least meaning. First w+, as
Image2StyleGAN, then the styles of what was found: styles alone leave the generator's range soon.
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
from directions.inversion.recipes.image2stylegan import Image2StyleGAN
from directions.inversion.typicality import Typicality

__all__ = ["StyleSpace"]


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
