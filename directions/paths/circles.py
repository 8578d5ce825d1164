"""Circular walks: steps along a direction at constant distance from the mean code.

Nurit Spingarn-Eliezer, Ron Banner, Tomer Michaeli: GAN "Steerability" without optimization,
ICLR 2021, arXiv:2012.05328. Codes of a normal prior lie near a sphere. A great circle keeps a
code's norm and ends where the direction is all that is left of it. A small circle trades the
direction against one reference direction and leaves every other component alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.direction import Direction
from directions.errors import LatdirError, SpaceError

__all__ = ["GreatCircle", "SmallCircle"]


@dataclass(frozen=True, eq=False)
class GreatCircle:
    """The circle through a code and a direction, around the origin.

    Attributes:
        direction: Where to go.

    Example:
        >>> up = Direction("up", torch.tensor([0.0, 1.0]), "z")
        >>> GreatCircle(up).shift(torch.tensor([[2.0, 0.0]]), math.pi / 2).round(decimals=3)
        tensor([[1.4140, 1.4140]])
    """

    direction: Direction

    def shift(
        self, codes: Float[Tensor, "n ..."], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n ..."]:
        """Move codes along the circle, at most to its end.

        Args:
            codes: `[n, *shape]`, none of them zero.
            amount: Length of the arc; a number, or one for each code.
            unit: As for `Direction.shift`.

        Raises:
            LatdirError: A code of zero, or codes that do not fit the direction.
        """
        flat, vector = _fitting(codes, self.direction)
        along = flat @ vector
        rest = flat - along[:, None] * vector
        return _turned(codes, along, rest, vector, self.direction.latent_amount(amount, unit))


@dataclass(frozen=True, eq=False)
class SmallCircle:
    """The circle in the plane of a direction and a reference direction.

    Attributes:
        direction: Where to go.
        reference: What to trade for it: a direction of little effect, such as the last of
            `SeFa(n_directions=…)`. Only its part orthogonal to the direction counts.

    Raises:
        LatdirError: The two are parallel, or of different spaces.

    Example:
        >>> right, up, deep = (Direction(n, v, "z") for n, v in zip("rud", torch.eye(3)))
        >>> SmallCircle(right, deep).shift(torch.tensor([[0.0, 5.0, 1.0]]), 0.5).round(decimals=3)
        tensor([[0.4790, 5.0000, 0.8780]])
    """

    direction: Direction
    reference: Direction

    def __post_init__(self) -> None:
        vector, other = self.direction.vector.flatten(), self.reference.vector.flatten()
        if self.direction.space != self.reference.space or vector.shape != other.shape:
            raise SpaceError(
                f"{self.direction.name!r} is of space {self.direction.space!r}, "
                f"{self.reference.name!r} of {self.reference.space!r}: take both from one"
            )
        if float((vector @ other.to(vector)).abs()) > 1 - 1e-6:
            raise LatdirError(
                f"{self.direction.name!r} and {self.reference.name!r} are parallel: "
                "take another reference"
            )

    def shift(
        self, codes: Float[Tensor, "n ..."], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n ..."]:
        """Move codes along the circle, at most to its end; arguments as for `GreatCircle`."""
        flat, vector = _fitting(codes, self.direction)
        other = self.reference.vector.flatten().to(flat)
        other = other - (other @ vector) * vector
        other = other / other.norm()
        along = flat @ vector
        traded = (flat @ other)[:, None] * other
        moved = _turned(
            traded + along[:, None] * vector,
            along,
            traded,
            vector,
            self.direction.latent_amount(amount, unit),
        )
        kept = flat - along[:, None] * vector - traded
        shifted: Tensor = (kept + moved).reshape(codes.shape)
        return shifted


def _fitting(codes: Tensor, direction: Direction) -> tuple[Tensor, Tensor]:
    if codes.shape[1:] != direction.vector.shape or direction.layers is not None:
        raise SpaceError(
            f"a circle along {direction.name!r} takes codes [n, "
            f"{', '.join(map(str, direction.vector.shape))}] moved in all layers, "
            f"not {list(codes.shape)}"
        )
    flat = codes.flatten(1)
    return flat, direction.vector.flatten().to(flat)


def _turned(
    codes: Float[Tensor, "n ..."],
    along: Float[Tensor, "n"],
    rest: Float[Tensor, "n d"],
    vector: Float[Tensor, "d"],
    length: float | Tensor,
) -> Float[Tensor, "n ..."]:
    """Codes rotated toward the vector by an arc of that length, in the plane of both."""
    across = rest.norm(dim=1)
    radius = torch.hypot(along, across)
    if not bool((across > 0).all()):
        raise LatdirError("a code lies at the end of its circle or at zero: it has no way to go")
    angle = torch.atan2(along, across) + torch.as_tensor(length).to(along) / radius
    angle = angle.clamp(-math.pi / 2, math.pi / 2)
    moved = radius[:, None] * (
        angle.cos()[:, None] * rest / across[:, None] + angle.sin()[:, None] * vector
    )
    turned: Tensor = moved.reshape(codes.shape)
    return turned
