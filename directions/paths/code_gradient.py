"""Code-gradient paths: along the gradient of an attribute that a network tells from the code.

Z. Chen et al.: Exploring gradient-based multi-directional controls in GANs (GradCtrl), ECCV 2022,
arXiv:2209.00698. No image is made on the way. `discovery.GradCtrl` trains the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from directions.errors import LatdirError, UnknownNameError
from directions.paths.base import CurvedPath
from directions.paths.warp import follow_field

__all__ = ["CodeGradientPath", "Readout"]


@dataclass(frozen=True, eq=False)
class Readout:
    """Attributes as a network tells them from x = (code - mean) / scale: D x + B tanh(A x + a).

    Attributes:
        direct: `[k, d]`, D.
        inner: `[h, d]`, A.
        offset: `[h]`, a.
        outer: `[k, h]`, B.
    """

    direct: Float[Tensor, "k d"]
    inner: Float[Tensor, "h d"]
    offset: Float[Tensor, "h"]
    outer: Float[Tensor, "k h"]

    def values(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The attributes at x."""
        return x @ self.direct.T + torch.tanh(x @ self.inner.T + self.offset) @ self.outer.T

    def gradients(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k d"]:
        """Their gradients at x."""
        slopes = 1 - torch.tanh(x @ self.inner.T + self.offset).square()
        return self.direct + (slopes[:, None] * self.outer) @ self.inner

    def field(self, x: Float[Tensor, "n d"], k: int, *, hold: bool) -> Float[Tensor, "n d"]:
        """The unit gradient of attribute k, without its part in the span of the others' if held."""
        gradients = self.gradients(x)
        own = gradients[:, k]
        if hold and len(self.direct) > 1:
            others = torch.cat([gradients[:, :k], gradients[:, k + 1 :]], 1)
            basis = torch.linalg.qr(others.mT).Q
            own = own - (basis @ (basis.mT @ own[:, :, None]))[:, :, 0]
        return normalize(own)


@dataclass(frozen=True, eq=False)
class CodeGradientPath(CurvedPath):
    """A path along the gradient of one attribute of a readout, the others held or not.

    Attributes:
        name: The attribute that changes; one of `attributes`.
        space: Name of the codes' space.
        attributes: All attributes of the readout.
        hold: Whether steps are orthogonal to the gradients of the others.
        scale: Latent units to one of x.
        sigma: Standard deviation of the prior's codes along the mean step.
        response: Change of the attribute's mean score for each sigma, among labeled codes.
        unit: Unit of the scores.
        mean: `[d]`, of the codes.
        readout: Of all attributes.
        generator: Name of the generator.
        fingerprint: Its sha256.

    Raises:
        LatdirError: An attribute that the readout does not have, tensors of shapes that do not fit
            together, or figures that are not a scale.

    Example:
        >>> readout = Readout(torch.eye(2), torch.zeros(1, 2), torch.zeros(1), torch.zeros(2, 1))
        >>> path = CodeGradientPath("a", "z", ("a", "b"), True, 1.0, 1.0, 1.0, "", torch.zeros(2),
        ...                         readout, "toy", "0" * 64)
        >>> path.shift(torch.zeros(1, 2), 1.0).round()
        tensor([[1., 0.]])
    """

    kind: ClassVar[str] = "code_gradient"

    name: str
    space: str
    attributes: tuple[str, ...]
    hold: bool
    scale: float
    sigma: float
    response: float
    unit: str
    mean: Float[Tensor, "d"]
    readout: Readout
    generator: str
    fingerprint: str

    def __post_init__(self) -> None:
        if self.name not in self.attributes:
            raise UnknownNameError(
                f"this readout has no attribute {self.name!r}: it has {', '.join(self.attributes)}"
            )
        k, d, h = len(self.attributes), len(self.mean), len(self.readout.offset)
        shapes = [list(t.shape) for t in (self.mean, *vars(self.readout).values())]
        wanted = [[d], [k, d], [h, d], [h], [k, h]]
        if shapes != wanted:
            raise LatdirError(
                f"path {self.name!r} has tensors of shapes {shapes}: with codes of {d} numbers "
                f"and {k} attributes they must be {wanted}"
            )
        if not (self.sigma > 0 and self.scale > 0 and self.response != 0):
            raise LatdirError(
                f"path {self.name!r} has sigma {self.sigma}, scale {self.scale} and response "
                f"{self.response}: the first two are positive, and a response is not zero"
            )

    @property
    def units(self) -> dict[str, float]:
        """Units that an amount may be given in, in sigma."""
        own = {name: 1 / self.response for name in ("attribute", self.unit) if name}
        return {"sigma": 1.0, "latent": 1 / self.sigma, **own}

    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """Move codes along their paths.

        Args:
            codes: `[n, *shape]`.
            amount: A number, or one for each code.
            unit: `sigma` (default), `latent`, the length of the path, or the attribute's own unit,
                also called `attribute`.

        Raises:
            LatdirError: Codes of another size, or an unknown unit.
        """
        steps = self._steps(amount, codes, self.units, unit) * (self.sigma / self.scale)
        readout, x = self._read(codes)
        k = self.attributes.index(self.name)
        new = follow_field(lambda x: readout.field(x, k, hold=self.hold), x, steps)
        return codes + (self.scale * (new - x)).reshape(codes.shape)

    def told(self, codes: Float[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        """The attributes as the network tells them from codes."""
        readout, x = self._read(codes)
        return readout.values(x)

    def _read(self, codes: Tensor) -> tuple[Readout, Tensor]:
        """The readout as codes need it, and their x."""
        flat = self._flat(codes, len(self.mean))
        readout = Readout(*(t.to(flat) for t in vars(self.readout).values()))
        return readout, (flat - self.mean.to(flat)) / self.scale
