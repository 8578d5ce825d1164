"""Image2StyleGAN++: first w+, then noise maps.

Abdal, Qin, Wonka 2020: Image2StyleGAN++: How to Edit the Embedded Images?, arXiv:1911.11544. On
`NoiseMaps(generator)`; one after the other, since together the picture goes into the noise. Masks
are `degradation=Mask(visible)`; `layers` are those of w+ that move, nine for inpainting there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError, real_number, whole_number
from directions.inversion.base import Solved
from directions.inversion.objective import Objective
from directions.inversion.recipes.image2stylegan import Image2StyleGAN
from directions.inversion.solvers.first_order import AdamMoments, Stepper
from directions.inversion.unknowns.noise_maps import NoiseMaps

__all__ = ["Image2StyleGANPlus"]


@dataclass(frozen=True)
class Image2StyleGANPlus(Image2StyleGAN):
    """Adam on the style code, then on the noise maps.

    Attributes:
        steps: Of the style code.
        layers: Of w+ that move, the first ones; by default all.
        noise_steps: Of the noise maps.
        noise_rate: Learning rate of the noise maps, in their standard deviations.
    """

    spaces: ClassVar[tuple[str, ...]] = ("joint", "w+")

    layers: int | None = None
    noise_steps: int = 3000
    noise_rate: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.noise_steps, "noise_steps", least=0)
        real_number(self.noise_rate, "noise_rate", least=0.0)
        if self.layers is not None:
            whole_number(self.layers, "layers", least=1)

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """Adam on the layers of the style code that move."""
        joint, moving = objective.generator, torch.ones_like(codes[0])
        if isinstance(joint, NoiseMaps):
            moving = torch.zeros_like(moving)
            moving[joint.places["code"]] = 1
        if self.layers is not None:
            shape = joint.shapes["code"] if isinstance(joint, NoiseMaps) else tuple(moving.shape)
            if len(shape) < 2 or self.layers > shape[0]:
                raise LatdirError(
                    f"{self.layers} layers move, and codes are {list(shape)}: leave layers out, or "
                    "search w+"
                )
            moving.flatten()[self.layers * shape[1] : shape[0] * shape[1]] = 0
        return AdamMoments([self.rate] * self.steps, moving=moving)

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`."""
        found = super().solve(objective, codes, seed=seed)
        joint = objective.generator
        if not isinstance(joint, NoiseMaps) or not self.noise_steps:
            return found
        moving = torch.ones_like(codes[0])
        moving[joint.places["code"]] = 0
        noise = _Noise(
            steps=self.noise_steps, target=self.target, rate=self.noise_rate, moving=moving
        )
        last = noise.solve(objective, found.codes, seed=seed)
        return replace(last, steps=found.steps + last.steps)


@dataclass(frozen=True, eq=False)
class _Noise(Image2StyleGAN):
    """The same on other coordinates."""

    moving: Tensor | None = None

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        assert self.moving is not None
        return AdamMoments([self.rate] * self.steps, moving=self.moving)
