"""Flow paths: one attribute of a code changes, everything else a flow sees in it stays.

`discovery.ConditionalFlow` trains them. An invertible map takes a code to (u, z): u are the
attributes as a linear readout tells them from the code, in standard deviations, and z = f(r; u)
what a flow of the other coordinates r leaves once the attributes are known. A path adds to its
own coordinate of u and maps back. Paths of one flow commute and are reversible, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError, UnknownNameError
from directions.paths.base import CurvedPath
from directions.paths.flows.couplings import Couplings

__all__ = ["FlowPath"]


@dataclass(frozen=True, eq=False)
class FlowPath(CurvedPath):
    """A path of a conditional flow along one of its attributes.

    Attributes:
        name: The attribute that changes; one of `attributes`.
        space: Name of the codes' space.
        attributes: All attributes of the flow; the others hold.
        unit: Unit of the attribute's scores.
        per_sigma: Change of the attribute's mean score among labeled codes for each sigma.
        length: Mean distance that codes move for each sigma, in latent units.
        mean: `[d]`, mean of the codes.
        chart: `[d, k + m]`, takes centered codes to u and r.
        back: `[k + m, d]`, takes them back.
        couplings: The flow of r given u.
        generator: Name of the generator.
        fingerprint: Its sha256.

    Raises:
        LatdirError: An attribute that the flow does not have, tensors of shapes that do not fit
            together, or figures that are not a scale.
    """

    kind: ClassVar[str] = "flow"

    name: str
    space: str
    attributes: tuple[str, ...]
    unit: str
    per_sigma: float
    length: float
    mean: Float[Tensor, "d"]
    chart: Float[Tensor, "d r"]
    back: Float[Tensor, "r d"]
    couplings: Couplings
    generator: str
    fingerprint: str

    def __post_init__(self) -> None:
        if self.name not in self.attributes:
            raise UnknownNameError(
                f"this flow has no attribute {self.name!r}: it has {', '.join(self.attributes)}"
            )
        d, rank = self.chart.shape
        k = len(self.attributes)
        wanted = [[d], [rank, d], *self.couplings.shapes(rank - k, k)]
        shapes = [list(t.shape) for t in (self.mean, self.back, *self.couplings)]
        if shapes != wanted:
            raise LatdirError(
                f"flow path {self.name!r} has tensors of shapes {shapes}: with codes of {d} "
                f"numbers and {k} attributes they must be {wanted}"
            )
        if not (self.length > 0 and self.per_sigma != 0):
            raise LatdirError(
                f"flow path {self.name!r} has length {self.length} and per_sigma "
                f"{self.per_sigma}: a length is positive, and a response is not zero"
            )

    @property
    def units(self) -> dict[str, float]:
        """Units that an amount may be given in, in sigma."""
        own = 1 / self.per_sigma
        return {"sigma": 1.0, "latent": 1 / self.length, "attribute": own, self.unit: own}

    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """Move codes along their paths.

        Args:
            codes: `[n, *shape]`.
            amount: A number, or one for each code.
            unit: `sigma` (default; a standard deviation of the attribute as codes tell it),
                `latent` (mean distance), or the attribute's own unit, also called `attribute`.

        Raises:
            LatdirError: Codes of another size, or an unknown unit.
        """
        steps = self._steps(amount, codes, self.units, unit)
        flat = self._flat(codes, len(self.mean))
        flow, k = self.couplings.like(flat), len(self.attributes)
        u, r = self._charted(flat)
        moved = u.clone()
        moved[:, self.attributes.index(self.name)] += steps
        new = flow.inverse(flow.forward(r, u)[0], moved)
        # What the chart does not see stays.
        back = self.back.to(flat)
        change = (moved - u) @ back[:k] + (new - r) @ back[k:]
        return codes + change.reshape(codes.shape)

    def readout(self, codes: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        """The attributes as the codes tell them, in standard deviations."""
        return self._charted(self._flat(codes, len(self.mean)))[0]

    def latent(self, codes: Float[Tensor, "n *shape"]) -> Float[Tensor, "n m"]:
        """What the flow holds: f(r; u), close to standard normal for codes of the prior."""
        flat = self._flat(codes, len(self.mean))
        u, r = self._charted(flat)
        return self.couplings.like(flat).forward(r, u)[0]

    def _charted(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates u `[n, k]` and r `[n, m]` of codes."""
        both = (flat - self.mean.to(flat)) @ self.chart.to(flat)
        k = len(self.attributes)
        return both[:, :k], both[:, k:]
