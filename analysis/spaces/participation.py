"""Participation of the prior's principal axes in directions.

A direction along which codes hardly vary is one the generator has hardly seen: a step of one
sigma is short there, and a step of unit length leaves the codes it was trained on. A direction
spread over many principal axes is not one that PCA could find.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields
from directions.bank import DirectionBank
from directions.errors import SpaceError
from directions.space import Prior

__all__ = ["Participation", "participation"]


@checked_fields
@dataclass(frozen=True, eq=False)
class Participation:
    """Participation of directions in a prior's covariance.

    Attributes:
        names: Of the directions.
        variance: `[k]`, of the codes along each.
        relative: `[k]`, that over the mean variance of all coordinates: 1 for a random direction
            on average.
        axes: `[k]`, number of principal axes each is spread over, 1 … d: the participation ratio
            1 / Σ c⁴ of its squared coordinates c² on them.
        coordinates: `[k, d]`, squared coordinates on the principal axes, the widest axis first;
            rows sum to 1.
        spectrum: `[d]`, variances of the principal axes, descending.
    """

    names: tuple[str, ...]
    variance: Float[Tensor, "k"]
    relative: Float[Tensor, "k"]
    axes: Float[Tensor, "k"]
    coordinates: Float[Tensor, "k d"]
    spectrum: Float[Tensor, "d"]

    def within(self, axes: int) -> Float[Tensor, "k"]:
        """Fraction of each direction's squared norm in the leading principal axes."""
        return self.coordinates[:, :axes].sum(1)


def participation(bank: DirectionBank, prior: Prior) -> Participation:
    """Participation of a bank's directions in the covariance of a prior.

    Where axes are equally wide, as in a standard normal prior, the axes are any: `axes` and
    `coordinates` are then meaningless, `variance` and `relative` are not.

    Args:
        bank: Directions of one space.
        prior: `generator.prior(space)` of that space.

    Raises:
        LatdirError: Directions of several spaces, or a prior of another size.

    Example:
        >>> from directions import Direction
        >>> v = Direction.from_vector("both", torch.tensor([1.0, 1.0]), space="z")
        >>> bank = DirectionBank((v,), generator="toy", fingerprint="0" * 64)
        >>> found = participation(bank, Prior(torch.zeros(2), torch.diag(torch.tensor([3.0, 1.0]))))
        >>> [round(float(x), 4) for x in (found.variance, found.relative, found.axes)]
        [2.0, 1.0, 2.0]
    """
    rows = bank.matrix().double()
    covariance = prior.covariance.double().cpu()
    if rows.shape[1] != len(covariance):
        raise SpaceError(
            f"the prior has {len(covariance)} dimensions and the directions {rows.shape[1]}: "
            "use generator.prior(space) of their space"
        )
    values, vectors = torch.linalg.eigh(covariance)
    squares = (rows @ vectors).square().flip(1)
    spectrum = values.flip(0).clamp_min(0)
    variance = squares @ spectrum
    return Participation(
        names=tuple(d.name for d in bank.directions),
        variance=variance.float(),
        relative=(variance / spectrum.mean()).float(),
        axes=(1 / squares.square().sum(1)).float(),
        coordinates=squares.float(),
        spectrum=spectrum.float(),
    )
