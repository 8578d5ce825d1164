"""Deformators: from amounts of K directions to steps in latent space.

A. Voynov & A. Babenko, ICML 2020, arXiv:2002.03754: x is ε at one of K places and 0 elsewhere, and
A(x) the step. The official code's are matched with their biases, cut and padded outputs; see
`voynov_babenko.py` for what is trained here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import elu

__all__ = ["Deformator", "Fc", "Kind", "Linear", "Ortho", "Unit", "deformator"]

Kind = Literal["ortho", "unit", "linear", "fc"]
HIDDEN = 256


class Deformator(nn.Module):
    """Base: amounts x `[n, K]` to steps `[n, d]`."""

    def forward(self, x: Float[Tensor, "n k"]) -> Float[Tensor, "n d"]:
        """The steps."""
        raise NotImplementedError


class Linear(Deformator):
    """A(x) = W x + b; columns of any length.

    Args:
        weight: `[d, K]`.
        bias: `[d]`, if any: a step that all directions share.
    """

    def __init__(self, weight: Float[Tensor, "d k"], bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """As `Deformator.forward`."""
        return nn.functional.linear(x, self.weight, self.bias)


class Unit(Linear):
    """A(x) = ‖x‖ (W x + b) / ‖W x + b‖; the official `proj`: unit columns where x has one entry."""

    def forward(self, x: Tensor) -> Tensor:
        """As `Deformator.forward`."""
        step = super().forward(x)
        longer: Tensor = x.norm(dim=1) / step.norm(dim=1).clamp_min(1e-12)
        return step * longer[:, None]


class Ortho(Deformator):
    """A(x) = B exp(L - Lᵀ) Q x, with orthonormal columns.

    Args:
        log: `[m, m]`, L.
        start: `[m, K]`, Q.
        base: `[d, m]`, B, orthonormal: steps stay in its span. By default all of the space.
    """

    start: Tensor
    base: Tensor | None

    def __init__(
        self,
        log: Float[Tensor, "m m"],
        start: Float[Tensor, "m k"],
        base: Float[Tensor, "d m"] | None = None,
    ) -> None:
        super().__init__()
        self.log = nn.Parameter(log)
        self.register_buffer("start", start)
        self.register_buffer("base", base)

    def forward(self, x: Tensor) -> Tensor:
        """As `Deformator.forward`."""
        step = x @ (torch.matrix_exp(self.log - self.log.T) @ self.start).T
        return step if self.base is None else step @ self.base.T


class Fc(Deformator):
    """A(x) = x + four layers with sums of earlier ones; the first K numbers of a step take the x.

    Args:
        k: Number of directions.
        size: Numbers d of a step.
        hidden: Units of the hidden layers.
        base: `[d, K]` in the place of the identity beside the layers.
    """

    base: Tensor

    def __init__(self, k: int, size: int, *, hidden: int, base: Float[Tensor, "d k"]) -> None:
        super().__init__()
        sizes = (k, hidden, hidden, hidden, size)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in range(3))
        self.register_buffer("base", base)

    def forward(self, x: Tensor) -> Tensor:
        """As `Deformator.forward`."""
        first, second, third, last = self.layers
        n1, n2, n3 = self.norms
        x1 = first(x)
        x2 = second(elu(n1(x1)))
        x3 = third(elu(n2(x2 + x1)))
        step: Tensor = last(elu(n3(x3 + x2 + x1)))
        return step + x @ self.base.T


def deformator(kind: Kind, start: Float[Tensor, "d k"], *, seed: int) -> Deformator:
    """A deformator that begins with given directions.

    Args:
        kind: `ortho`, `unit`, `linear` or `fc`.
        start: `[d, K]`, the columns to begin with; orthonormal ones for `ortho`.
        seed: Of the other weights.

    Example:
        >>> start = torch.eye(4)[:, :2]
        >>> deformator("ortho", start, seed=0)(torch.tensor([[0.0, 3.0]])).detach()
        tensor([[0., 3., 0., 0.]])
    """
    d, k = start.shape
    if kind == "ortho":
        return Ortho(torch.zeros(d, d), start)
    if kind != "fc":
        return (Unit if kind == "unit" else Linear)(start.clone())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Fc(k, d, hidden=HIDDEN, base=start)
        nn.init.zeros_(made.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(made.layers[-1].bias)  # type: ignore[arg-type]
    return made
