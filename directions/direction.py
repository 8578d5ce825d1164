"""A direction: a unit vector of a latent space that knows what it is and how far a step is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError

__all__ = ["Calibration", "Direction"]

UNIT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Calibration:
    """How an attribute answers to a direction, measured on held-out codes.

    Attributes:
        attribute: Name of the attribute the direction is meant to move.
        unit: Unit of that attribute (`degrees`, `probability`, `years`, …).
        per_sigma: Change of the attribute per step of one sigma, near zero.
        low: Lower end of the range, in sigma, over which the answer is linear.
        high: Upper end of that range.
    """

    attribute: str
    unit: str
    per_sigma: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction of one latent space, with its scale and its evidence.

    Attributes:
        name: What it is meant to change.
        vector: Unit vector, shape of one code of its space.
        space: Name of that space.
        method: Name of the method that found it.
        config: The method's hyper-parameters.
        layers: For layered spaces, the layers it acts on; None means all.
        offset: Signed distance of the origin to the separating hyperplane, when there is one:
            `vector · code + offset` is the signed distance of a code.
        sigma: Standard deviation of the prior's codes along the vector; one unit of amount.
        calibration: How its attribute answers, once measured.
        evidence: Figures that speak for it: held-out accuracy, eigenvalue, effects.

    Raises:
        LatdirError: The vector is not finite or not of unit norm, or sigma is not positive.

    Example:
        >>> up = Direction.from_vector("up", torch.tensor([0.0, 2.0]), space="z", sigma=1.5)
        >>> up.vector
        tensor([0., 1.])
        >>> up.shift(torch.zeros(1, 2), 2.0)
        tensor([[0., 3.]])
    """

    name: str
    vector: Float[Tensor, "*shape"]
    space: str
    method: str = "given"
    config: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[int, ...] | None = None
    offset: float | None = None
    sigma: float = 1.0
    calibration: Calibration | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise LatdirError("a direction needs a name: give it what it changes, such as 'smile'")
        if not torch.isfinite(self.vector).all():
            raise LatdirError(f"direction {self.name!r} has NaN or infinite coordinates")
        norm = float(self.vector.double().norm())
        if abs(norm - 1) > UNIT_TOLERANCE:
            raise LatdirError(
                f"direction {self.name!r} has norm {norm:.6g}, not 1: "
                "use Direction.from_vector, which normalises"
            )
        if not self.sigma > 0:
            raise LatdirError(
                f"direction {self.name!r} has sigma {self.sigma}: it must be positive; "
                "a direction along which the prior does not vary has no natural step"
            )

    @classmethod
    def from_vector(
        cls,
        name: str,
        vector: Float[Tensor, "*shape"],
        *,
        space: str,
        offset: float | None = None,
        **rest: Any,
    ) -> Direction:
        """Make a direction of any non-zero vector, dividing vector and offset by its norm.

        Args:
            name: What it is meant to change.
            vector: Non-zero, shape of one code of its space.
            space: Name of that space.
            offset: Intercept b of the hyperplane `vector · code + b = 0`.
            **rest: The other attributes of `Direction`.

        Raises:
            LatdirError: The vector is zero or not finite.
        """
        norm = float(vector.double().norm())
        if not (norm > 0 and torch.isfinite(vector).all()):
            raise LatdirError(
                f"direction {name!r} cannot be normalised: its vector has norm {norm}"
            )
        unit = (vector.double() / norm).to(vector.dtype)
        scaled = None if offset is None else offset / norm
        return cls(name, unit, space, offset=scaled, **rest)

    @property
    def units(self) -> tuple[str, ...]:
        """Units that an amount may be given in."""
        known = ("sigma", "latent")
        return known if self.calibration is None else (*known, self.calibration.unit)

    def latent_amount(self, amount: float | Tensor, unit: str = "sigma") -> float | Tensor:
        """Convert an amount in sigma, latent units, or the attribute's unit to latent units.

        Raises:
            LatdirError: The unit is not one of `units`.
        """
        if unit == "latent":
            return amount
        if unit == "sigma":
            return amount * self.sigma
        if self.calibration is not None and unit == self.calibration.unit:
            return amount / self.calibration.per_sigma * self.sigma
        raise LatdirError(
            f"direction {self.name!r} has no unit {unit!r}: use one of {', '.join(self.units)}"
            + ("" if self.calibration else ", or calibrate it first with analysis.calibrate")
        )

    def shift(
        self, codes: Float[Tensor, "n ..."], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n ..."]:
        """Move codes along the direction.

        Args:
            codes: `[n, *shape]`; for a vector `[d]` also `[n, layers, d]`, where it moves the
                layers it acts on.
            amount: A number, or one for each code `[n]`.
            unit: `sigma` (default), `latent`, or the unit it is calibrated in.

        Returns:
            New codes, of the same shape, device and dtype.

        Raises:
            LatdirError: The codes do not fit the vector, or the unit is unknown.
        """
        step = torch.as_tensor(
            self.latent_amount(amount, unit), dtype=codes.dtype, device=codes.device
        )
        if step.ndim > 1 or (step.ndim == 1 and len(step) not in (1, len(codes))):
            raise LatdirError(
                f"amount has shape {list(step.shape)}: give one number, "
                f"or one for each of the {len(codes)} codes"
            )
        vector = self._placed(codes)
        return codes + step.reshape(-1, *[1] * (codes.ndim - 1)) * vector

    def _placed(self, codes: Tensor) -> Tensor:
        """The vector in the shape of one of `codes`, zero on layers it leaves alone."""
        vector = self.vector.to(codes)
        layered = codes.ndim == vector.ndim + 2
        if codes.shape[-vector.ndim :] != vector.shape or not (
            layered or codes.ndim == vector.ndim + 1
        ):
            raise LatdirError(
                f"direction {self.name!r} lives in space {self.space!r} with shape "
                f"{list(vector.shape)}, which does not fit codes of shape {list(codes.shape)}"
            )
        if layered:
            vector = vector.expand(codes.shape[1:])
        elif self.layers is not None and vector.ndim < 2:
            raise LatdirError(
                f"direction {self.name!r} acts on layers {list(self.layers)}: "
                f"give it codes with a layer axis [n, layers, {vector.shape[-1]}]"
            )
        if self.layers is None:
            return vector
        if max(self.layers) >= len(vector):
            raise LatdirError(
                f"direction {self.name!r} acts on layers {list(self.layers)}, "
                f"but the codes have {len(vector)}: they come from a smaller generator"
            )
        mask = torch.zeros(len(vector), dtype=codes.dtype, device=codes.device)
        mask[list(self.layers)] = 1
        return vector * mask.reshape(-1, *[1] * (vector.ndim - 1))

    def level(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n"]:
        """Signed distance of codes to the hyperplane, in latent units.

        Without an offset this is the plain projection on the vector.
        """
        if codes.shape[1:] != self.vector.shape:
            raise LatdirError(
                f"direction {self.name!r} has shape {list(self.vector.shape)}, "
                f"which does not fit codes of shape {list(codes.shape)}"
            )
        return codes.flatten(1) @ self.vector.to(codes).flatten() + (self.offset or 0.0)

    def evolve(self, **changes: Any) -> Direction:
        """A copy with some attributes changed.

        Example:
            >>> d = Direction("up", torch.tensor([0.0, 1.0]), "z")
            >>> d.evolve(name="sky").name
            'sky'
        """
        return replace(self, **changes)

    def __neg__(self) -> Direction:
        calibration = self.calibration and replace(
            self.calibration,
            per_sigma=-self.calibration.per_sigma,
            low=-self.calibration.high,
            high=-self.calibration.low,
        )
        offset = None if self.offset is None else -self.offset
        return replace(self, vector=-self.vector, offset=offset, calibration=calibration)
