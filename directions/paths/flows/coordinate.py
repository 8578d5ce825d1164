"""Coordinate paths: one coordinate of an invertible map changes, the others stay.

y = f(x) takes whitened codes to coordinates, and a path is f⁻¹(f(x) + a eₖ). Paths of one map
commute, and a path back undoes the way there. `discovery.DeCurvEd` trains the map without labels,
`discovery.PluGeN` so that its first coordinates are attributes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError
from directions.paths.base import CurvedPath
from directions.paths.flows.couplings import Couplings

__all__ = ["CoordinatePath"]


@dataclass(frozen=True, eq=False)
class CoordinatePath(CurvedPath):
    """A path along one coordinate of an invertible map of codes.

    Attributes:
        name: What it is called.
        space: Name of the codes' space.
        index: Place of its coordinate.
        per_sigma: Change of the coordinate for each sigma.
        length: Mean distance that codes move for each sigma, in latent units.
        mean: `[d]`, mean of the codes.
        chart: `[d, r]`, takes centered codes to white ones.
        back: `[r, d]`, takes them back.
        couplings: The map, of no conditions.
        generator: Name of the generator.
        fingerprint: Its sha256.
        unit: Change of an attribute's mean score for each sigma, by the name of its unit.

    Raises:
        LatdirError: Tensors of shapes that do not fit together, no such coordinate, or figures
            that are not a scale.
    """

    kind: ClassVar[str] = "coordinate"

    name: str
    space: str
    index: int
    per_sigma: float
    length: float
    mean: Float[Tensor, "d"]
    chart: Float[Tensor, "d r"]
    back: Float[Tensor, "r d"]
    couplings: Couplings
    generator: str
    fingerprint: str
    unit: dict[str, float]

    def __post_init__(self) -> None:
        d, rank = self.chart.shape
        wanted = [[d], [rank, d], *self.couplings.shapes(rank, 0)]
        shapes = [list(t.shape) for t in (self.mean, self.back, *self.couplings)]
        if shapes != wanted:
            raise LatdirError(
                f"coordinate path {self.name!r} has tensors of shapes {shapes}: with codes of {d} "
                f"numbers they must be {wanted}"
            )
        if not 0 <= self.index < rank:
            raise LatdirError(
                f"coordinate path {self.name!r} has index {self.index}: there are {rank} "
                "coordinates, from 0"
            )
        if not (self.length > 0 and self.per_sigma > 0) or 0 in self.unit.values():
            raise LatdirError(
                f"coordinate path {self.name!r} has length {self.length}, per_sigma "
                f"{self.per_sigma} and unit {self.unit}: the first two are positive, and a "
                "response is not zero"
            )

    @property
    def units(self) -> dict[str, float]:
        """Units that an amount may be given in, in sigma."""
        own = {name: 1 / response for name, response in self.unit.items()}
        return {"sigma": 1.0, "latent": 1 / self.length, **own}

    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """Move codes along their paths.

        Args:
            codes: `[n, *shape]`.
            amount: A number, or one for each code.
            unit: `sigma` (default; a standard deviation of the coordinate), `latent` (mean
                distance), or the attribute's own unit where there is one, also called `attribute`.

        Raises:
            LatdirError: Codes of another size, or an unknown unit.
        """
        steps = self._steps(amount, codes, self.units, unit) * self.per_sigma
        x = self._white(codes)
        flow = self.couplings.like(x)
        none = x[:, :0]
        y, _ = flow.forward(x, none)
        y = y.clone()
        y[:, self.index] += steps
        # What the chart does not see stays.
        change = (flow.inverse(y, none) - x) @ self.back.to(x)
        return codes + change.reshape(codes.shape)

    def coordinates(self, codes: Float[Tensor, "n *shape"]) -> Float[Tensor, "n r"]:
        """All coordinates of codes."""
        x = self._white(codes)
        return self.couplings.like(x).forward(x, x[:, :0])[0]

    def _white(self, codes: Tensor) -> Tensor:
        flat = self._flat(codes, len(self.mean))
        return (flat - self.mean.to(flat)) @ self.chart.to(flat)
