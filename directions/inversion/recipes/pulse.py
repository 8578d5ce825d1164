"""PULSE: super-resolution by search on a sphere.

Menon, Damian, Hu, Ravi, Rudin 2020: PULSE: Self-Supervised Photo Upsampling via Latent Space
Exploration of Generative Models, arXiv:2003.03808. With `degradation=Shrink(…, "bicubic")`, from
a sample of pn+ (the original standardizes by coordinate where this whitens) or z. The image is
returned and judged also where it misses the original's threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError
from directions.inversion.objective import Objective
from directions.inversion.solvers.first_order import AdamMoments, FirstOrder, Stepper
from directions.inversion.starts import Best, Start

__all__ = ["Pulse", "geocross"]


@dataclass(frozen=True)
class Pulse(FirstOrder):
    """Adam whose codes are put back on the sphere of the start after each step.

    Attributes:
        rate: Largest learning rate.
        cross: Weight of the angles between layers, beside 100 times the mean squared difference
            of images in [0, 1].
    """

    spaces: ClassVar[tuple[str, ...]] = ("pn+", "z")
    start: ClassVar[Start] = Best(1)

    steps: int = 100
    target: float = 100.0
    rate: float = 0.4
    cross: float = 0.05

    def penalty(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n"]:
        """GEOCROSS, in the unit of the cost: images in [−1, 1], weight 1."""
        if codes.ndim < 3:
            return codes.new_zeros(len(codes))
        return self.cross / 25 * geocross(codes - objective.typicality.center(codes))

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """Adam on the sphere.

        Raises:
            LatdirError: A start at the mean.
        """
        center = objective.typicality.center(codes)
        radius = (codes - center).norm(dim=-1, keepdim=True)
        if not bool((radius > 0).all()):
            raise LatdirError("the sphere of a start at the mean is a point: say start=Best(1)")
        rates = [self.rate * one_cycle(i, self.steps) for i in range(self.steps)]
        return _OnSphere(AdamMoments(rates), center, radius)


class _OnSphere(Stepper):
    def __init__(self, inner: Stepper, center: Tensor, radius: Tensor) -> None:
        self.inner, self.center, self.radius = inner, center, radius

    def __call__(
        self, codes: Tensor, slope: Tensor, step: int, random: torch.Generator
    ) -> Float[Tensor, "n ..."]:
        offset = self.inner(codes, slope, step, random) - self.center
        length = offset.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        moved: Tensor = self.center + offset * self.radius / length
        return moved


def one_cycle(step: int, steps: int) -> float:
    """The rate relative to the largest: a triangle from 0.1 over 0.9 of the steps, then a drop.

    Example:
        >>> [round(one_cycle(i, 100), 3) for i in (0, 45, 90, 99)]
        [0.1, 1.0, 0.1, 0.011]
    """
    until = 0.9 * steps
    if step < until:
        return (9 * (1 - abs(step / until - 0.5) * 2) + 1) / 10
    return 0.1 + (step - until) / (0.1 * steps) * (0.001 - 0.1)


def geocross(codes: Float[Tensor, "n layers d"]) -> Float[Tensor, "n"]:
    """Mean squared angle between layers over all ordered pairs, times d / 8.

    Example:
        >>> geocross(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))  # 2 / 8 · (π / 2)² / 2
        tensor([0.3084])
    """
    x, y = codes[:, None], codes[:, :, None]
    apart = ((x - y).square() + 1e-9).sum(-1).sqrt()
    along = ((x + y).square() + 1e-9).sum(-1).sqrt()
    angle = 2 * torch.atan2(apart, along)
    return angle.square().mean((1, 2)) * codes.shape[-1] / 8
