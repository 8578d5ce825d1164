"""Potential paths: codes that flow down a gradient which changes with time, from rest.

Y. Song, T. A. Keller, N. Sebe & M. Welling: Latent Traversals in Generative Models as Potential
Flows, ICML 2023, arXiv:2304.12944. A potential u(x, t) moves a code by dx/dt = ∇u(x, t), from t = 0
on. `discovery.PotentialFlow` trains potentials that nearly solve the wave equation.

Since the field changes with time, a path of 2 is not two paths of 1, and a path back does not
return; since it starts at rest, a small amount does little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError
from directions.paths.base import CurvedPath
from directions.paths.warp import follow_field

__all__ = ["Potential", "PotentialPath", "follow_potential"]

STRIDE = 0.25


class Potential(NamedTuple):
    """u(x, t) = Σⱼ bⱼ (tanh(Aⱼ · x + aⱼ + Wⱼ · τ(t)) - tanh(Aⱼ · x + aⱼ)), τₘ(t) = sin(m t π/2).

    It is 0 at t = 0, so that codes start at rest. Tensors may have an axis of potentials before,
    one for each place.

    Attributes:
        inner: `[h, d]`, A.
        offset: `[h]`, a.
        phase: `[h, m]`, W.
        outer: `[h]`, b.
    """

    inner: Float[Tensor, "h d"]
    offset: Float[Tensor, "h"]
    phase: Float[Tensor, "h m"]
    outer: Float[Tensor, "h"]

    def gradient(self, x: Float[Tensor, "n d"], t: Float[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """∇u.

        Example:
            >>> one, none = torch.ones(1), torch.zeros(1)
            >>> u = Potential(torch.tensor([[2.0, 0.0]]), none, torch.full((1, 1), 9.0), one)
            >>> u.gradient(torch.zeros(2, 2), torch.tensor([0.0, 1.0])).round(decimals=3).tolist()
            [[0.0, 0.0], [-2.0, -0.0]]
        """
        first, now, _ = self._levels(x, t)
        slope = self.outer * (first.square() - now.square())
        return (slope[:, None] @ self.inner)[:, 0]

    def wave(self, x: Float[Tensor, "n d"], t: Float[Tensor, "n"], c: float) -> Float[Tensor, "n"]:
        """The residual u_tt / c² - ∇²u of the wave equation, with the Laplacian in closed form."""
        first, now, pace = self._levels(x, t)
        angle = pace * t[:, None]
        speed, force = (
            (self.phase @ part[:, :, None])[:, :, 0]
            for part in (pace * angle.cos(), -pace.square() * angle.sin())
        )
        slope, before = 1 - now.square(), 1 - first.square()  # tanh'
        in_time = -2 * now * slope * speed.square() + slope * force
        bend = -2 * now * slope + 2 * first * before  # tanh''
        in_space = bend * self.inner.square().sum(-1)
        return (self.outer * (in_time / c**2 - in_space)).sum(1)

    def _levels(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The units `[n, h]` at rest and now, and the paces of τ."""
        pace = math.pi / 2 * torch.arange(1, self.phase.shape[-1] + 1).to(t)
        times = (pace * t[:, None]).sin()
        level = (self.inner @ x[:, :, None])[:, :, 0] + self.offset
        return level.tanh(), (level + (self.phase @ times[:, :, None])[:, :, 0]).tanh(), pace


def follow_potential(
    potential: Potential,
    x: Float[Tensor, "n d"],
    amounts: Float[Tensor, "n"],
    *,
    reach: float,
    stride: float = STRIDE,
) -> Float[Tensor, "n d"]:
    """Flow from rest at t = 0 for a time of |amount| / reach, backward if negative.

    Velocities are ∇u / √(1 + ‖∇u‖²), so that no code goes farther than its amount.

    Args:
        potential: One for all places, or one for each.
        x: Where to start.
        amounts: How far at most.
        reach: The amount that takes a time of 1.
        stride: Longest step of the midpoint rule.
    """

    def field(state: Tensor) -> Tensor:
        gradient = potential.gradient(state[:, :-1], state[:, -1].abs() / reach)
        velocity = gradient * (1 + gradient.square().sum(1, keepdim=True)).rsqrt()
        return torch.cat([velocity, torch.ones_like(velocity[:, :1])], 1)

    start = torch.cat([x, torch.zeros_like(x[:, :1])], 1)
    return follow_field(field, start, amounts, stride=stride)[:, :-1]


@dataclass(frozen=True, eq=False)
class PotentialPath(CurvedPath):
    """A flow along the gradient of a potential that changes with time.

    Attributes:
        name: What it is called.
        space: Name of the codes' space.
        sigma: Standard deviation of the prior's codes along the mean move.
        scale: Latent units to one of x: x = (code - mean) / scale.
        reach: Amount, in units of x, that takes a time of 1.
        length: Mean distance moved by then, in latent units.
        mean: `[d]`.
        potential: u.
        generator: Name of the generator.
        fingerprint: Its sha256.

    Raises:
        LatdirError: Tensors whose shapes do not fit together, or figures that are not positive.

    Example:
        >>> one = torch.ones(1, 1)
        >>> left = Potential(torch.tensor([[2.0, 0.0]]), one[0] * 0, 3 * one, one[0])
        >>> path = PotentialPath("left", "z", 1.0, 1.0, 2.0, 2.0, torch.zeros(2), left, "toy",
        ...                      "0" * 64)
        >>> [round(float(path.shift(torch.zeros(1, 2), a)[0, 0]), 1) for a in (0.2, 1.0, 2.0)]
        [-0.0, -0.4, -0.7]
    """

    kind: ClassVar[str] = "potential"

    name: str
    space: str
    sigma: float
    scale: float
    reach: float
    length: float
    mean: Float[Tensor, "d"]
    potential: Potential
    generator: str
    fingerprint: str

    def __post_init__(self) -> None:
        h, d = self.potential.inner.shape
        shapes = [list(t.shape) for t in (self.mean, *self.potential)]
        if shapes != [[d], [h, d], [h], [h, self.potential.phase.shape[-1]], [h]]:
            raise LatdirError(
                f"path {self.name!r} has mean, inner, offset, phase and outer of shapes {shapes}: "
                "they must be [d], [h, d], [h], [h, m] and [h]"
            )
        if not min(self.sigma, self.scale, self.reach, self.length) > 0:
            raise LatdirError(
                f"path {self.name!r} has sigma {self.sigma}, scale {self.scale}, reach "
                f"{self.reach} and length {self.length}: all four are positive"
            )

    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """Move codes along their paths.

        Args:
            codes: `[n, *shape]`.
            amount: A number, or one for each code: how long the code flows.
            unit: `sigma` (default) or `latent`, of the mean distance at the end of what was
                trained; up to there codes move less than in proportion, for they start at rest.

        Raises:
            LatdirError: Codes of another size, or an unknown unit.
        """
        pace = self.reach / self.length
        steps = self._steps(amount, codes, {"sigma": self.sigma * pace, "latent": pace}, unit)
        flat = self._flat(codes, len(self.mean))
        u = Potential(*(t.to(flat) for t in self.potential))
        x = (flat - self.mean.to(flat)) / self.scale
        new = follow_potential(u, x, steps, reach=self.reach)
        return codes + (self.scale * (new - x)).reshape(codes.shape)
