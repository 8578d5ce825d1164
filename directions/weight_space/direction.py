"""A direction among changes of a weight: an edit of the generator instead of the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked, checked_fields, checked_kinds
from directions.direction import Direction
from directions.errors import SpaceError
from directions.generators.base import Generator
from directions.generators.deltas import Deltas
from directions.weight_space.basis import WeightBasis
from directions.weight_space.generator import WeightedGenerator, widened

__all__ = ["WeightDirection"]


@checked_fields
@dataclass(frozen=True, eq=False)
class WeightDirection(Direction):
    """A direction in the weights of a generator.

    Everything that takes directions takes these: functions that are given one, or a bank of them,
    beside a generator make images by the generator with its weights changed. `applied` gives that
    generator itself. Amounts are in sigma: one changes images as much as one sigma along a random
    direction of the codes does, in mean square.

    Attributes:
        basis: The changes of a weight that `vector` has the coordinates of.

    Raises:
        LatdirError: As `Direction`, or a vector that does not fit the basis or moves the code.

    Example:
        >>> from directions import load_generator
        >>> generator = load_generator("digiface64")
        >>> weight = generator.tunable["layers.4.weight"]
        >>> basis = WeightBasis("layers.4.weight", weight.shape, 100, {"added": 0.1 * weight[None]})
        >>> contrast = WeightDirection.of(basis, [1.0], name="contrast")
        >>> contrast.applied(generator, 2.0).name
        'digiface64+contrast'
    """

    basis: WeightBasis = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        space = self.basis.space
        if self.space != space.name or tuple(self.vector.shape) != space.shape:
            raise SpaceError(
                f"direction {self.name!r} is of {self.space!r} and shape "
                f"{list(self.vector.shape)}, its basis of {space.name!r} and {list(space.shape)}"
            )
        if bool(self.basis.split(self.vector)[0].any()):
            raise SpaceError(f"direction {self.name!r} moves the code beside the weights")

    @classmethod
    @checked_kinds
    def of(
        cls,
        basis: WeightBasis,
        amounts: Float[Tensor, "K"],
        *,
        name: str,
        method: str = "given",
        config: Mapping[str, Any] | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> WeightDirection:
        """The direction of given amounts of the changes of a basis.

        Args:
            basis: K changes of a weight.
            amounts: `[K]`, not all 0; their length does not count.
            name: The attribute it is meant to change.
            method: Name of the method that found it.
            config: The method's hyper-parameters.
            evidence: Supporting statistics.
        """
        given = amounts.float()
        if tuple(given.shape) != (len(basis),) or not 0 < float(given.norm()) < torch.inf:
            raise SpaceError(
                f"amounts of shape {list(given.shape)} and norm {float(given.norm()):g} are no "
                f"direction among {len(basis)} changes of {basis.weight!r}"
            )
        vector = torch.cat([torch.zeros(basis.latent), given / given.norm()])
        return cls(
            name=name,
            vector=vector,
            space=basis.space.name,
            method=method,
            config=config or {},
            evidence=evidence or {},
            basis=basis,
        )

    @property
    def amounts(self) -> Float[Tensor, "K"]:
        """Its unit vector among the changes of the basis."""
        return self.basis.split(self.vector)[1]

    @checked
    def deltas(self, generator: Generator, amount: float = 1.0, *, unit: str = "sigma") -> Deltas:
        """The change of the weights as deltas of the generator, to be saved or applied.

        Args:
            generator: Whose weights are to be changed.
            amount: How far.
            unit: As for `shift`.

        Raises:
            LatdirError: Another generator than the direction's, no such unit, or an amount whose
                changes float16 cannot hold.
        """
        base = generator.base if isinstance(generator, WeightedGenerator) else generator
        self.check(base)
        self.basis.check(base)
        step = float(self.latent_amount(amount, unit))
        part = self.basis.part(step * self.amounts.float())
        record = {"direction": self.name, "method": self.method, "amount": amount, "unit": unit}
        change = {name: t.half() for name, t in part.items()}
        if not all(bool(t.isfinite().all()) for t in change.values()):
            raise SpaceError(
                f"amount {amount:g} of {self.name!r} changes weights by more than float16 holds: "
                "give a smaller one"
            )
        return Deltas(self.name, base.name, base.fingerprint, {self.basis.weight: change}, record)

    @checked
    def applied(
        self, generator: Generator, amount: float = 1.0, *, unit: str = "sigma"
    ) -> Generator:
        """The generator with its weights changed along the direction.

        Args:
            generator: Whose weights are to be changed; it stays as it is.
            amount: How far.
            unit: As for `shift`.

        Raises:
            LatdirError: Another generator than the direction's, or no such unit.
        """
        base = generator.base if isinstance(generator, WeightedGenerator) else generator
        return base.with_deltas(self.deltas(base, amount, unit=unit))

    def beside(self, arguments: dict[str, Any]) -> None:
        """Let a call that takes a generator and this direction make images by its weights."""
        if isinstance(generator := arguments.get("generator"), Generator):
            arguments["generator"] = widened(generator, [self.check(generator)])
