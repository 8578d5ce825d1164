"""A direction: a unit vector of a latent space, with its step size and metadata."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields, checked_kinds
from directions.errors import BankError, LatdirError, SpaceError, UnknownNameError, described
from directions.numerics.monotone import Knots, interpolated
from directions.space import Space, as_codes

__all__ = ["Amount", "Calibration", "Direction", "as_amount", "owns", "per_code"]

Amount = float | Tensor | np.ndarray | Sequence[float]
"""A number, or one for each code."""

UNIT_TOLERANCE = 1e-4

log = logging.getLogger(__name__)
# Tuned copies for which it was said that directions of their base are used.
_noted: set[str] = set()


@checked_fields
@dataclass(frozen=True)
class Calibration:
    """Response of an attribute to a direction, measured on held-out codes.

    Attributes:
        attribute: Name of the attribute the direction is meant to move.
        unit: Unit of that attribute (`degrees`, `probability`, `years`, …).
        per_sigma: Change of the attribute per step of one sigma, near zero.
        low: Lower end of the range, in sigma, over which the response is linear.
        high: Upper end of that range.
        response: Measured changes as a monotone function of the amount, pairs of sigma and change
            ascending in sigma; amounts are converted by it where there is one, otherwise by
            `per_sigma`.

    Raises:
        LatdirError: A figure is not finite, the range is upside down, or a response that does not
            pass through 0 and rise or fall with `per_sigma`.
    """

    attribute: str
    unit: str
    per_sigma: float
    low: float
    high: float
    response: Knots = ()

    def __post_init__(self) -> None:
        figures = (self.per_sigma, self.low, self.high)
        if not all(map(math.isfinite, figures)) or self.low > self.high:
            raise LatdirError(
                f"the calibration for {self.attribute!r} has per_sigma {self.per_sigma} over "
                f"{self.low} … {self.high} sigma: all three must be finite, low first"
            )
        steps = [(b[0] - a[0], (b[1] - a[1]) * self.per_sigma) for a, b in pairwise(self.response)]
        if self.response and not (
            steps and (0.0, 0.0) in self.response and all(min(s) > 0 for s in steps)
        ):
            raise LatdirError(
                f"the calibration for {self.attribute!r} has the response {self.response}: pairs "
                "of sigma and change ascend from pair to pair, the change in the sense of "
                f"per_sigma {self.per_sigma}, and (0, 0) is one of them"
            )

    def sigmas(self, change: Tensor) -> Tensor:
        """Amounts in sigma that change the attribute by so much.

        Args:
            change: In the attribute's unit, of any shape.

        Example:
            >>> flatter = Calibration("a", "", 1.0, -1.0, 1.0, ((0.0, 0.0), (1.0, 1.0), (3.0, 2.0)))
            >>> flatter.sigmas(torch.tensor([0.5, 1.5, 2.5]))
            tensor([0.5000, 2.0000, 3.5000])
        """
        if not self.response:
            return change / self.per_sigma
        places, changes = zip(*sorted(self.response, key=lambda pair: pair[1]), strict=True)
        return interpolated(change, changes, places, slope=1 / self.per_sigma)

    def __neg__(self) -> Calibration:
        """Of the opposite direction."""
        return replace(
            self,
            per_sigma=-self.per_sigma,
            low=-self.high,
            high=-self.low,
            response=tuple((-x, y) for x, y in reversed(self.response)),
        )


@runtime_checkable
class Owner(Protocol):
    """A generator, as far as a direction needs to know it."""

    name: str

    @property
    def fingerprint(self) -> str:
        """sha256 over weights and configuration."""


def owns(generator: Owner, fingerprint: str) -> bool:
    """Whether directions of that fingerprint are of the generator, or of what it was tuned from.

    The latter is noted once for each copy.
    """
    if generator.fingerprint == fingerprint:
        return True
    tuned = fingerprint in getattr(generator, "ancestors", ())
    if tuned and generator.fingerprint not in _noted:
        _noted.add(generator.fingerprint)
        log.warning(
            "%s is a tuned copy: directions of the generator it was tuned from are used, whose "
            "effects were measured there",
            generator.name,
        )
    return tuned


@checked_fields
@dataclass(frozen=True, eq=False)
class Direction:
    """A direction of one latent space, with its scale and its evidence.

    Attributes:
        name: The attribute it is meant to change.
        vector: Unit vector, shape of one code of its space.
        space: Name of that space.
        method: Name of the method that found it.
        config: The method's hyper-parameters.
        layers: For layered spaces, the layers it acts on; None means all. The vector's first
            axis counts the layers, or, for a vector `[d]`, the second axis of the codes.
        offset: Signed distance of the origin to the separating hyperplane, when there is one:
            `vector · code + offset` is the signed distance of a code.
        sigma: Standard deviation of the prior's codes along the vector; one unit of amount.
        calibration: The measured response of its attribute, if any.
        evidence: Figures that speak for it: held-out accuracy, eigenvalue, effects.
        fingerprint: sha256 of the generator it belongs to, set by its bank; None for any.

    Raises:
        LatdirError: The vector is not finite or not of unit norm, sigma is not positive, or
            layers are not distinct numbers from 0.

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
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise LatdirError("a direction needs a name: the attribute it changes, such as 'smile'")
        if not self.vector.is_floating_point() or self.vector.ndim == 0:
            raise LatdirError(
                f"direction {self.name!r} has a vector of {self.vector.dtype} and shape "
                f"{list(self.vector.shape)}: give a float tensor of the shape of one code"
            )
        if not torch.isfinite(self.vector).all():
            raise LatdirError(f"direction {self.name!r} has NaN or infinite coordinates")
        norm = float(self.vector.detach().double().norm())
        if abs(norm - 1) > UNIT_TOLERANCE:
            raise LatdirError(
                f"direction {self.name!r} has norm {norm:.6g}, not 1: "
                "use Direction.from_vector, which normalizes"
            )
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise LatdirError(
                f"direction {self.name!r} has sigma {self.sigma}: it must be positive; "
                "a direction along which the prior does not vary has no natural step"
            )
        if self.offset is not None and not math.isfinite(self.offset):
            raise LatdirError(
                f"direction {self.name!r} has offset {self.offset}: give a number, or None"
            )
        # Callers pass lists or NumPy scalars; the stored type is one.
        object.__setattr__(self, "sigma", float(self.sigma))
        object.__setattr__(self, "offset", None if self.offset is None else float(self.offset))
        if self.layers is not None:
            layers = tuple(int(layer) for layer in self.layers)
            if not layers or min(layers) < 0 or len(set(layers)) < len(layers):
                raise SpaceError(
                    f"direction {self.name!r} acts on layers {list(layers)}: "
                    "give distinct numbers from 0, or None for all"
                )
            object.__setattr__(self, "layers", layers)

    @classmethod
    @checked_kinds
    def from_vector(
        cls,
        name: str,
        vector: Tensor | np.ndarray | Sequence[float],
        *,
        space: str,
        method: str = "given",
        config: Mapping[str, Any] | None = None,
        layers: tuple[int, ...] | None = None,
        offset: float | None = None,
        sigma: float = 1.0,
        calibration: Calibration | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> Direction:
        """Make a direction from any non-zero vector, dividing vector and offset by its norm.

        The other arguments are the attributes of `Direction`.

        Args:
            name: The attribute it is meant to change.
            vector: Non-zero, shape of one code of its space: a tensor, whose float64 is kept, an
                array or a list.
            space: Name of that space.
            method: Name of the method that found it.
            config: The method's hyper-parameters.
            layers: The layers it acts on.
            offset: Intercept b of the hyperplane `vector · code + b = 0`.
            sigma: Standard deviation of the prior's codes along the unit vector.
            calibration: The measured response of its attribute.
            evidence: Figures that speak for it.

        Raises:
            LatdirError: The vector is zero or not finite, or `Direction` refuses the rest.
        """
        wide = isinstance(vector, Tensor) and vector.dtype == torch.float64
        try:
            exact = torch.as_tensor(vector).detach().double()
        except (TypeError, ValueError, RuntimeError) as error:
            raise LatdirError(
                f"direction {name!r} cannot be made of {type(vector).__name__}: give its "
                "coordinates as a tensor, an array or a list of numbers"
            ) from error
        norm = float(exact.norm())
        if not (norm > 0 and math.isfinite(norm)):
            raise LatdirError(
                f"direction {name!r} cannot be normalized: its vector has norm {norm}"
            )
        return cls(
            name=name,
            vector=(exact / norm).to(torch.float64 if wide else torch.float32),
            space=space,
            method=method,
            config=config or {},
            layers=layers,
            offset=None if offset is None else offset / norm,
            sigma=sigma,
            calibration=calibration,
            evidence=evidence or {},
        )

    @classmethod
    def from_argument(cls, value: Any, name: str, arguments: Mapping[str, Any]) -> Direction:
        """What stands for a direction in a call: itself, or a bank of one.

        Raises:
            LatdirError: Something else.
        """
        if isinstance(value, Mapping) and len(value) == 1:
            only = next(iter(value.values()))
            if isinstance(only, cls):
                return only
        raise LatdirError(
            f"{name} is {described(value)}, not a direction: take one of a bank, as "
            "bank['smiling'], or write Direction.from_vector(name, vector, space='z')"
        )

    @property
    def units(self) -> tuple[str, ...]:
        """Units that an amount may be given in; `attribute` is the calibrated one."""
        known = ("sigma", "latent")
        return known if self.calibration is None else (*known, "attribute", self.calibration.unit)

    def latent_amount(self, amount: float | Tensor, unit: str = "sigma") -> float | Tensor:
        """Convert an amount in sigma, latent units, or the attribute's unit to latent units.

        Args:
            amount: A number, or a tensor of any shape.
            unit: One of `units`.

        Raises:
            LatdirError: The unit is not one of `units`, or the attribute does not respond.

        Example:
            >>> yaw = Calibration("yaw", "degrees", per_sigma=10.0, low=-3.0, high=3.0)
            >>> turn = Direction("turn", torch.tensor([1.0, 0.0]), "z", calibration=yaw)
            >>> turn.latent_amount(25.0, "degrees")
            2.5
        """
        if unit == "latent":
            return amount
        if unit == "sigma":
            return amount * self.sigma
        if unit not in self.units or self.calibration is None:
            raise UnknownNameError(
                f"direction {self.name!r} has no unit {unit!r}: use one of {', '.join(self.units)}"
                + ("" if self.calibration else ", or calibrate it first with analysis.calibrate")
            )
        scale = self.calibration
        if scale.per_sigma == 0:
            raise LatdirError(
                f"{scale.attribute!r} does not respond to direction {self.name!r} "
                f"(0 {scale.unit} per sigma): give the amount in sigma"
            )
        given = amount if isinstance(amount, Tensor) else torch.tensor(amount, dtype=torch.float64)
        sigmas = scale.sigmas(given)
        low, high = scale.low, scale.high
        if scale.response:
            low, high = scale.response[0][0], scale.response[-1][0]
        if ((sigmas < low) | (sigmas > high)).any():
            log.warning(
                "%s responds %s from %.3g to %.3g sigma along %s only; "
                "an amount beyond that will miss its mark",
                scale.attribute,
                "steadily" if scale.response else "linearly",
                low,
                high,
                self.name,
            )
        moved = sigmas * self.sigma
        return moved if isinstance(amount, Tensor) else float(moved)

    def acts_in(self, spaces: Mapping[str, Space]) -> str:
        """Name of the space whose codes it moves.

        Its own; but a direction of w that acts on some layers moves codes of w+, which have them.

        Args:
            spaces: The generator's, `generator.spaces`.

        Raises:
            LatdirError: It acts on layers, and the generator has no space with layers for it.

        Example:
            >>> spaces = {"w": Space("w", (2,)), "w+": Space("w+", (4, 2))}
            >>> whole = Direction("yaw", torch.tensor([1.0, 0.0]), "w")
            >>> whole.acts_in(spaces), whole.evolve(layers=(0, 1)).acts_in(spaces)
            ('w', 'w+')
        """
        if self.layers is None or self.vector.ndim > 1:
            return self.space
        layered = f"{self.space}+"
        if layered not in spaces:
            raise UnknownNameError(
                f"direction {self.name!r} acts on layers {list(self.layers)}, and the generator "
                f"has no space {layered!r}, whose codes have layers: it has {', '.join(spaces)}"
            )
        return layered

    @checked_kinds
    def check(self, generator: Owner) -> Direction:
        """Return this direction if it may be of `generator`: one of no bank may be of any.

        Raises:
            LatdirError: It is from a bank of another generator.
        """
        if self.fingerprint is not None and not owns(generator, self.fingerprint):
            raise BankError(
                f"direction {self.name!r} was made for another generator "
                f"({str(self.fingerprint)[:12]}…), not for {generator.name} "
                f"({generator.fingerprint[:12]}…), where it is meaningless; to override, use "
                "direction.evolve(fingerprint=None)"
            )
        return self

    @checked_kinds
    def shift(
        self,
        codes: Float[Tensor, "n ..."] | np.ndarray,
        amount: Amount,
        *,
        unit: str = "sigma",
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
        codes = as_codes(codes)
        step = per_code(self.latent_amount(as_amount(amount), unit), codes)
        return codes + step * self._placed(codes)

    def _placed(self, codes: Tensor) -> Tensor:
        """The vector in the shape of one of `codes`, zero on layers it does not act on."""
        if not codes.is_floating_point():
            raise SpaceError(f"codes are floating point, not {codes.dtype}: use codes.float()")
        vector = self.vector.to(codes)
        layered = codes.ndim == vector.ndim + 2
        if codes.shape[-vector.ndim :] != vector.shape or not (
            layered or codes.ndim == vector.ndim + 1
        ):
            raise SpaceError(
                f"direction {self.name!r} lives in space {self.space!r} with shape "
                f"{list(vector.shape)}, which does not fit codes of shape {list(codes.shape)}: "
                + self._remedy(codes)
            )
        if layered:
            vector = vector.expand(codes.shape[1:])
        elif self.layers is not None and vector.ndim < 2:
            raise SpaceError(
                f"direction {self.name!r} acts on layers {list(self.layers)}: "
                f"give it codes with a layer axis [n, layers, {vector.shape[-1]}]"
            )
        if self.layers is None:
            return vector
        if max(self.layers) >= len(vector):
            raise SpaceError(
                f"direction {self.name!r} acts on layers {list(self.layers)}, "
                f"but the codes have {len(vector)}: they come from a smaller generator"
            )
        mask = torch.zeros(len(vector), dtype=codes.dtype, device=codes.device)
        mask[list(self.layers)] = 1
        return vector * mask.reshape(-1, *[1] * (vector.ndim - 1))

    def _remedy(self, codes: Tensor) -> str:
        """Advice for codes of another shape."""
        shape = self.vector.shape
        if codes.shape == shape:
            return "add a batch axis with codes[None]"
        if len(shape) == 2 and codes.ndim == 2 and codes.shape[1] == shape[1]:
            return (
                f"give it codes with a layer axis [n, {shape[0]}, {shape[1]}], such as "
                f"generator.map(codes, 'w', {self.space!r})"
            )
        return f"carry them over with generator.map(codes, their space, {self.space!r})"

    def level(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n"]:
        """Signed distance of codes to the hyperplane, in latent units.

        Without an offset this is the plain projection on the vector.
        """
        if codes.shape[1:] != self.vector.shape:
            raise SpaceError(
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
        calibration = self.calibration and -self.calibration
        offset = None if self.offset is None else -self.offset
        return replace(self, vector=-self.vector, offset=offset, calibration=calibration)


def per_code(amount: float | Tensor, codes: Float[Tensor, "n *shape"]) -> Tensor:
    """Amounts in the shape that multiplies codes: one for all of them, or one for each.

    Args:
        amount: A number or `[1]`, or `[n]`.
        codes: `[n, *shape]`.

    Raises:
        LatdirError: Amounts of another shape.

    Example:
        >>> per_code(2.0, torch.zeros(3, 5)).tolist()
        [[2.0]]
        >>> per_code(torch.ones(3), torch.zeros(3, 4, 5)).shape
        torch.Size([3, 1, 1])
    """
    step = torch.as_tensor(amount).to(codes)
    if step.ndim > 1 or (step.ndim == 1 and len(step) not in (1, len(codes))):
        raise LatdirError(
            f"amount has shape {list(step.shape)}: give one number, "
            f"or one for each of the {len(codes)} codes"
        )
    return step.reshape(-1, *[1] * (codes.ndim - 1))


def as_amount(amount: object) -> float | Tensor:
    """An amount as a number or a tensor.

    Raises:
        LatdirError: It is neither a number nor a list, array or tensor of numbers.

    Example:
        >>> as_amount([1, 2.5])
        tensor([1.0000, 2.5000], dtype=torch.float64)
        >>> as_amount("2")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: an amount is a number, or a list, array or tensor of one for
        each code, not '2'
    """
    if isinstance(amount, Tensor | int | float) and not isinstance(amount, bool):
        return amount
    try:
        values = np.asarray(amount)
        if values.dtype.kind in "iuf":
            return float(values) if values.ndim == 0 else torch.from_numpy(values.astype(float))
    except (TypeError, ValueError):
        pass
    raise LatdirError(
        "an amount is a number, or a list, array or tensor of one for each code, not "
        f"{repr(amount)[:60]}"
    )
