"""The projector of StyleGAN2-ADA.

Karras, Aittala, Hellsten, Laine, Lehtinen, Aila 2020: Training Generative Adversarial Networks
with Limited Data, arXiv:2006.06676; the projector of Karras et al. 2020, arXiv:1912.04958. From
the mean of w; its own cost is `features=lpips_features()`, summed as there.
With `NoiseMaps(generator, space="w")` its noise maps are optimized too, and are part of the code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.inversion.objective import Objective
from directions.inversion.solvers.adam import schedule
from directions.inversion.solvers.first_order import AdamMoments, FirstOrder, Stepper
from directions.inversion.starts import Mean, Start
from directions.inversion.unknowns.noise_maps import NoiseMaps, noise_autocorrelation

__all__ = ["StyleGAN2Ada"]


@dataclass(frozen=True)
class StyleGAN2Ada(FirstOrder):
    """Adam on w with noise that dies away.

    Attributes:
        rate: Largest learning rate.
        noise: Deviation of the noise at first, of the root mean square distance of w to its mean.
        noise_until: Fraction of the steps with noise.
        autocorrelation: Weight of the autocorrelation of noise maps.
    """

    spaces: ClassVar[tuple[str, ...]] = ("w",)
    start: ClassVar[Start] = Mean()

    steps: int = 1000
    target: float = 100.0
    rate: float = 0.1
    noise: float = 0.05
    noise_until: float = 0.75
    autocorrelation: float = 1e5

    def begin(
        self, objective: Objective, codes: Tensor, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        """Fresh noise maps, standard normal."""
        first = codes.clone()
        for place, _ in _maps(objective):
            first[:, place] = torch.randn(codes[0, place].shape, generator=random).to(codes)
        return first

    def penalty(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n"]:
        """1e5 · autocorrelation of the noise maps."""
        total = codes.new_zeros(len(codes))
        for place, shape in _maps(objective):
            maps = codes[:, place].reshape(len(codes), *shape[-2:])
            total = total + noise_autocorrelation(maps)
        return self.autocorrelation * total

    def seen(
        self, objective: Objective, codes: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        """W + ε · 0.05 σ max(0, 1 − t / 0.75)²."""
        fading = max(0.0, 1 - step / self.steps / self.noise_until) ** 2
        drawn = torch.randn(codes.shape[1:], generator=random).to(codes)
        return codes + self.noise * _sigma(objective) * fading * drawn * _is_code(objective, codes)

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """The rate of the first step is 0, as in the original."""
        adam = AdamMoments([self.rate * schedule(i / self.steps) for i in range(self.steps)])
        maps = [place for place, _ in _maps(objective)]
        return _Standardized(adam, maps) if maps else adam


class _Standardized(Stepper):
    """Steps after which noise maps have mean 0 and mean square 1."""

    def __init__(self, inner: Stepper, maps: list[slice]) -> None:
        self.inner, self.maps = inner, maps

    def __call__(
        self, codes: Tensor, slope: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        moved = self.inner(codes, slope, step, random)
        for place in self.maps:
            centered = moved[:, place] - moved[:, place].mean(1, keepdim=True)
            moved[:, place] = centered * centered.square().mean(1, keepdim=True).rsqrt()
        return moved


def _maps(objective: Objective) -> list[tuple[slice, tuple[int, ...]]]:
    """Places and shapes of noise maps in the code, if there are any."""
    joint = objective.generator
    if not isinstance(joint, NoiseMaps):
        return []
    return [(joint.places[name], joint.shapes[name]) for name in joint.maps]


def _is_code(objective: Objective, codes: Tensor) -> Tensor | float:
    """1 for coordinates of the style code, 0 for those of noise maps."""
    joint = objective.generator
    if not isinstance(joint, NoiseMaps):
        return 1.0
    chosen = torch.zeros_like(codes[0])
    chosen[joint.places["code"]] = 1
    return chosen


def _sigma(objective: Objective) -> float:
    """σ = √(E ‖w − w̄‖²), one number."""
    joint = objective.generator
    if isinstance(joint, NoiseMaps):
        return float(joint.inner.prior(joint.code_space).deviations.norm())
    return objective.typicality.spread * math.sqrt(len(objective.typicality.mean))
