"""Coupling layers: an invertible map of numbers given conditions, with its exact inverse.

L. Dinh et al.: Density estimation using Real NVP, ICLR 2017, arXiv:1605.08803. Each layer turns
its input by an orthogonal matrix Q, leaves the first half a as it is and moves the second,

    b' = b · exp(tanh m(a, c)) + t(a, c),

m and t being one network of two hidden layers; c are the conditions. Since a stays, b can be
computed back from b' with the same network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

__all__ = ["Couplings"]


class Couplings(NamedTuple):
    """The tensors of L coupling layers of m numbers, k conditions and h hidden units.

    Attributes:
        turns: `[L, m, m]`, orthogonal.
        w1: `[L, m // 2 + k, h]`.
        b1: `[L, h]`.
        w2: `[L, h, h]`.
        b2: `[L, h]`.
        w3: `[L, h, 2 (m - m // 2)]`.
        b3: `[L, 2 (m - m // 2)]`.
    """

    turns: Float[Tensor, "L m m"]
    w1: Float[Tensor, "L i h"]
    b1: Float[Tensor, "L h"]
    w2: Float[Tensor, "L h h"]
    b2: Float[Tensor, "L h"]
    w3: Float[Tensor, "L h o"]
    b3: Float[Tensor, "L o"]

    def shapes(self, size: int, conditions: int) -> list[list[int]]:
        """Shapes that the tensors must have for maps of `size` numbers under `conditions`."""
        layers, _, h = self.w1.shape
        half, out = size // 2, 2 * (size - size // 2)
        return [
            [layers, size, size], [layers, half + conditions, h], [layers, h], [layers, h, h],
            [layers, h], [layers, h, out], [layers, out],
        ]  # fmt: skip

    @classmethod
    def started(
        cls,
        size: int,
        conditions: int,
        *,
        hidden: int,
        layers: int,
        seed: int,
        identity: bool = False,
    ) -> Couplings:
        """Layers that only turn their input: the last weights start at zero.

        Args:
            size: Numbers m, at least 2.
            conditions: Numbers k.
            hidden: Units of each hidden layer.
            layers: Number L.
            seed: Of turns and weights.
            identity: Whether the first turn takes the others back, so that the map is the identity.

        Example:
            >>> flow = Couplings.started(4, 1, hidden=8, layers=3, seed=0)
            >>> x, c = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.zeros(1, 1)
            >>> z, log_volume = flow.forward(x, c)
            >>> bool(torch.isclose(z.norm(), x.norm())), float(log_volume)
            (True, 0.0)
        """
        rng = torch.Generator().manual_seed(seed)
        kept = size // 2

        def uniform(inputs: int, *shape: int) -> Tensor:
            return (2 * torch.rand(*shape, generator=rng) - 1) / math.sqrt(inputs)

        read = kept + conditions
        outputs = 2 * (size - kept)
        turns = torch.linalg.qr(torch.randn(layers, size, size, generator=rng))[0]
        if identity:
            back = torch.eye(size)
            for turn in turns[1:]:
                back = back @ turn
            turns[0] = back.T
        return cls(
            turns,
            uniform(read, layers, read, hidden),
            uniform(read, layers, hidden),
            uniform(hidden, layers, hidden, hidden),
            uniform(hidden, layers, hidden),
            torch.zeros(layers, hidden, outputs),
            torch.zeros(layers, outputs),
        )

    def like(self, codes: Tensor) -> Couplings:
        """The layers on the device and in the dtype of codes."""
        return Couplings(*(tensor.to(codes) for tensor in self))

    def forward(
        self, x: Float[Tensor, "n m"], c: Float[Tensor, "n k"]
    ) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n"]]:
        """Latent numbers z = f(x; c) and the log of the volume's change."""
        volume = x.new_zeros(len(x))
        for turn, *weights in zip(*(t.unbind() for t in self), strict=True):
            # Only the networks may be of low precision: z is as exact as the code.
            with torch.autocast(x.device.type, enabled=False):
                a, b = _halves(x @ turn)
            scale, shift = _network(weights, a, c)
            x = torch.cat([a, b * scale.exp() + shift], 1)
            volume = volume + scale.sum(1)
        return x, volume

    def inverse(self, z: Float[Tensor, "n m"], c: Float[Tensor, "n k"]) -> Float[Tensor, "n m"]:
        """The x with f(x; c) = z."""
        for turn, *weights in reversed([*zip(*(t.unbind() for t in self), strict=True)]):
            a, b = _halves(z)
            scale, shift = _network(weights, a, c)
            z = torch.cat([a, (b - shift) * (-scale).exp()], 1) @ turn.T
        return z


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    kept = x.shape[1] // 2
    return x[:, :kept], x[:, kept:]


def _network(weights: Sequence[Tensor], a: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Log-scale and shift of the half that moves."""
    w1, b1, w2, b2, w3, b3 = weights
    x = silu(torch.addmm(b1, torch.cat([a, c], 1), w1))
    x = silu(torch.addmm(b2, x, w2))
    scale, shift = torch.addmm(b3, x, w3).to(a.dtype).chunk(2, 1)
    return scale.tanh(), shift
