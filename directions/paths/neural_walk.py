"""Neural walks: curved paths along a learned field of latent steps.

Ali Jahanian, Lucy Chai, Phillip Isola: On the "steerability" of generative adversarial networks,
ICLR 2020, arXiv:1907.07171. `walks.Walks.bend` fits them; they are saved and loaded as any
`CurvedPath`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError
from directions.paths.base import CurvedPath

__all__ = ["NeuralWalk", "follow"]

FIELD_STEPS = 4


@dataclass(frozen=True, eq=False)
class NeuralWalk(CurvedPath):
    """A curved path: the field v(z) = w + B tanh(A z + a), followed in a few steps.

    Attributes:
        name: The edit it follows.
        unit: Unit of the edit's amounts.
        space: Name of the codes' space.
        w: `[d]`, the field's constant part: latent units a unit of the edit.
        inner: `[h, d]`, A.
        offset: `[h]`, a.
        outer: `[d, h]`, B.
        speed: Mean length of v over codes.
        sigma: Standard deviation of the prior's codes along the mean field.
        explained: Share of the edit's change it brings about on held-out codes.
        generator: Name of the generator it was fitted to.
        fingerprint: Its sha256.

    Raises:
        LatdirError: Tensors whose shapes do not fit together.
    """

    kind: ClassVar[str] = "neural_walk"

    name: str
    unit: str
    space: str
    w: Float[Tensor, "d"]
    inner: Float[Tensor, "h d"]
    offset: Float[Tensor, "h"]
    outer: Float[Tensor, "d h"]
    speed: float
    sigma: float
    explained: float
    generator: str
    fingerprint: str

    def __post_init__(self) -> None:
        size, hidden = self.w.numel(), self.offset.numel()
        shapes = [list(t.shape) for t in (self.w, self.inner, self.offset, self.outer)]
        if shapes != [[size], [hidden, size], [hidden], [size, hidden]]:
            raise LatdirError(
                f"walk {self.name!r} has w, inner, offset and outer of shapes {shapes}: "
                "they must be [d], [h, d], [h] and [d, h]"
            )

    def shift(
        self, codes: Float[Tensor, "n ..."], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n ..."]:
        """Move codes along the path.

        Args:
            codes: `[n, *shape]`.
            amount: A number, or one for each code.
            unit: `sigma` (default) or `latent`, of mean path length, or the edit's own unit.

        Raises:
            LatdirError: Codes of another size, or an unknown unit.
        """
        lengths = {"sigma": self.sigma / self.speed, "latent": 1 / self.speed, self.unit: 1.0}
        steps = self._steps(amount, codes, lengths, unit)
        flat = self._flat(codes, len(self.w))
        field = [p.to(flat) for p in (self.w, self.inner, self.offset, self.outer)]
        return follow(flat, steps, field).reshape(codes.shape)


def follow(
    codes: Float[Tensor, "n d"], amounts: Float[Tensor, "n"], field: Sequence[Tensor]
) -> Float[Tensor, "n d"]:
    """Euler steps along the field.

    Args:
        codes: `[n, d]`.
        amounts: `[n]`, in the unit of the field.
        field: w, A, a and B of `NeuralWalk`.
    """
    w, inner, offset, outer = field
    stride = amounts[:, None] / FIELD_STEPS
    for _ in range(FIELD_STEPS):
        codes = codes + stride * (w + torch.tanh(codes @ inner.T + offset) @ outer.T)
    return codes
