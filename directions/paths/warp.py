"""Warps: curved paths along the gradient of a sum of Gaussians.

C. Tzelepis, G. Tzimiropoulos & I. Patras: WarpedGANSpace, ICCV 2021, arXiv:2109.13357. With
f(x) = Σᵢ αᵢ exp(-γ ‖x - sᵢ‖²) a path follows ∇f / ‖∇f‖, so that its length is the amount.
`discovery.WarpedGANSpace` trains them. Steps are of the midpoint rule where the official code takes
Euler's, after which a path back does not return.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError
from directions.paths.base import CurvedPath

__all__ = ["WarpPath", "follow_field", "warp_field"]

STRIDE = 0.2
FLAT = 1e-30


def warp_field(
    x: Float[Tensor, "n d"],
    support: Float[Tensor, "*n s d"],
    alphas: Float[Tensor, "*n s"],
    gamma: Float[Tensor, "*n"],
) -> Float[Tensor, "n d"]:
    """∇f / ‖∇f‖ at each x, and 0 where the gradient vanishes.

    Args:
        x: Places.
        support: Support vectors s, the same for all places or some for each.
        alphas: Their signs or weights α.
        gamma: γ.

    Example:
        >>> one = torch.ones(1)
        >>> warp_field(torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2), one, one[0]).tolist()
        [[-1.0, -0.0]]
    """
    apart = x[:, None] - support  # x - s
    # Scaled by the nearest one's Gaussian, so that none of them underflows: only ∇f's line counts.
    exponent = -gamma[..., None] * apart.square().sum(-1)
    weights = alphas * (exponent - exponent.amax(-1, keepdim=True).detach()).exp()
    gradient = -(weights[..., None] * apart).sum(1)
    length = gradient.square().sum(1, keepdim=True)
    return gradient * length.clamp_min(FLAT).rsqrt()


def follow_field(
    field: Callable[[Tensor], Tensor],
    x: Float[Tensor, "n d"],
    amounts: Float[Tensor, "n"],
    *,
    stride: float = STRIDE,
) -> Float[Tensor, "n d"]:
    """Midpoint steps along a field, no longer than `stride`.

    Args:
        field: Velocities of places.
        x: Where to start.
        amounts: Times to go, backward if negative.
        stride: Longest step.

    Example:
        >>> spin = lambda x: torch.stack([-x[:, 1], x[:, 0]], 1)
        >>> there = follow_field(spin, torch.tensor([[1.0, 0.0]]), torch.tensor([torch.pi / 2]))
        >>> bool((there - torch.tensor([[0.0, 1.0]])).abs().max() < 0.01)
        True
    """
    # Of each its own number, so that a code's path does not depend on its neighbors'.
    steps = (amounts.abs() / stride - 1e-6).ceil().clamp_min(1)[:, None]
    for i in range(int(steps.max()) if len(x) else 0):
        step = torch.where(i < steps, amounts[:, None] / steps, 0)
        x = x + step * field(x + step / 2 * field(x))
    return x


@dataclass(frozen=True, eq=False)
class WarpPath(CurvedPath):
    """A path along the normalized gradient of a sum of Gaussians.

    Attributes:
        name: What it is called.
        space: Name of the codes' space.
        sigma: Standard deviation of the prior's codes along the mean field.
        scale: Latent units to one of x: x = (code - mean) / scale.
        gamma: γ.
        mean: `[d]`.
        support: `[s, d]`, support vectors.
        alphas: `[s]`.
        generator: Name of the generator.
        fingerprint: Its sha256.

    Raises:
        LatdirError: Tensors whose shapes do not fit together, or figures that are not positive.

    Example:
        >>> one = torch.ones(2)
        >>> path = WarpPath("out", "z", 1.0, 1.0, 0.5, torch.zeros(2), torch.zeros(1, 2), -one[:1],
        ...                 "toy", "0" * 64)
        >>> path.shift(torch.tensor([[1.0, 0.0]]), 2.0).round()
        tensor([[3., 0.]])
    """

    kind: ClassVar[str] = "warp"

    name: str
    space: str
    sigma: float
    scale: float
    gamma: float
    mean: Float[Tensor, "d"]
    support: Float[Tensor, "s d"]
    alphas: Float[Tensor, "s"]
    generator: str
    fingerprint: str

    def __post_init__(self) -> None:
        d, s = len(self.mean), len(self.alphas)
        if list(self.support.shape) != [s, d] or self.mean.ndim != 1 or self.alphas.ndim != 1:
            raise LatdirError(
                f"warp {self.name!r} has mean, support and alphas of shapes "
                f"{[list(t.shape) for t in (self.mean, self.support, self.alphas)]}: they must be "
                "[d], [s, d] and [s]"
            )
        if not (self.sigma > 0 and self.scale > 0 and self.gamma > 0):
            raise LatdirError(
                f"warp {self.name!r} has sigma {self.sigma}, scale {self.scale} and gamma "
                f"{self.gamma}: all three are positive"
            )

    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """Move codes along their paths.

        Args:
            codes: `[n, *shape]`.
            amount: A number, or one for each code.
            unit: `sigma` (default), or `latent`, the length of the path.

        Raises:
            LatdirError: Codes of another size, or an unknown unit.
        """
        lengths = {"sigma": self.sigma, "latent": 1.0}
        steps = self._steps(amount, codes, lengths, unit) / self.scale
        flat = self._flat(codes, len(self.mean))
        support, alphas, mean = (t.to(flat) for t in (self.support, self.alphas, self.mean))
        gamma = torch.as_tensor(self.gamma).to(flat)
        x = (flat - mean) / self.scale
        new = follow_field(lambda x: warp_field(x, support, alphas, gamma), x, steps)
        return codes + (self.scale * (new - x)).reshape(codes.shape)
