"""Paths along each image's own gradient, bounded by a global direction and off conditions.

Yuxuan Han, Jiaolong Yang, Ying Fu: Disentangled Face Attribute Editing via Instance-Aware Latent
Space Search, IJCAI 2021, arXiv:2105.12660. At every step the direction of an attribute is

    d = λ d_global + (1 - λ) ∇s / ‖∇s‖,

and the same blend of every attribute that should be preserved is projected out of it. The official
code moves one code at a time and projects out a single condition; here all codes of a batch move
together and any number of conditions is projected out at once. A condition is projected out of
the blend by least squares, so conditions may be parallel to each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.direction import Direction
from directions.errors import BankError, LatdirError, SpaceError
from directions.generators.base import Generator
from directions.paths.base import CurvedPath
from directions.paths.contents import StoredPath
from directions.scoring.gradients import score_gradients

__all__ = ["InstancePath"]

SETTINGS = {
    "name": str, "conditions": tuple[str, ...], "weight": float, "step": float, "classifier": str,
    "classifier_fingerprint": str, "space": str, "sigmas": tuple[float, ...],
}  # fmt: skip

LEAST_LEFT = 1e-3
"""Length below which the remainder of a blend of unit vectors is rounding."""


@dataclass(frozen=True, eq=False)
class InstancePath(CurvedPath):
    """A curved path for each code, with a direction's `shift` but a gradient at every step.

    Attributes:
        generator: Makes the images, differentiably.
        classifier: Scores them, differentiably.
        bank: Global directions, named after the attributes.
        name: The attribute to change; a direction of the bank and of the classifier.
        conditions: Attributes to hold; likewise.
        weight: λ. 1 is the straight line of the global directions, 0 follows the gradients alone.
        step: Longest step, in sigma of the global direction.
        batch: Codes at a time; bounds the memory.
        space: Name of the codes' space, that of the global direction.

    Raises:
        LatdirError: An attribute that the bank or the classifier does not have, directions of
            several spaces or of single layers, a weight outside [0, 1], or a step that is not
            positive.

    Example:
        >>> from directions.planted.world import planted
        >>> from discovery.supervised.gradient import Gradient
        >>> world = planted(factors=2, dim=8, cosine=0.5, bend=0.5)
        >>> bank = Gradient(n_codes=64).discover(world, classifier=world.classifier())
        >>> path = InstancePath(world, world.classifier(), bank, "factor_0", ("factor_1",))
        >>> codes = world.sample(3, seed=1)
        >>> change = world.factors(path.shift(codes, 1.0)) - world.factors(codes)
        >>> bool((change[:, 0] > 5 * change[:, 1].abs()).all())
        True
    """

    kind: ClassVar[str] = "instance"

    generator: Generator
    classifier: Classifier
    bank: DirectionBank
    name: str
    conditions: tuple[str, ...] = ()
    weight: float = 0.75
    step: float = 0.25
    batch: int = field(default=32, kw_only=True)
    space: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(dict.fromkeys(self.conditions)))
        if self.name in self.conditions:
            raise LatdirError(f"{self.name!r} cannot both change and hold: leave it out of one")
        self.bank.check(self.generator)
        self.classifier.columns(self.attributes)
        used = self.bank.select(self.attributes).directions
        object.__setattr__(self, "space", used[0].space)
        if len({d.space for d in used}) > 1 or any(d.layers is not None for d in used):
            raise SpaceError(
                "a path needs directions of one space that act on all of it, but these act on "
                + ", ".join(f"{d.name}: {d.space} {list(d.layers or ())}" for d in used)
            )
        if not 0 <= self.weight <= 1:
            raise LatdirError(
                f"weight {self.weight} must be in [0, 1]: 1 is the global direction alone"
            )
        if not (self.step > 0 and math.isfinite(self.step)):
            raise LatdirError(f"step {self.step} must be positive, in sigma: a usual one is 0.25")

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attribute to change, then those to hold."""
        return (self.name, *self.conditions)

    @property
    def direction(self) -> Direction:
        """The global direction of the attribute; its sigma is the unit of amounts."""
        return self.bank[self.name]

    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """Move codes along their own paths.

        Args:
            codes: `[n, *shape]`.
            amount: Length of the path, backwards if negative; a number, or one for each code
                `[n]`.
            unit: A unit of the global direction: its `sigma`, `latent`, or the one it is
                calibrated in.

        Returns:
            New codes, of the same shape, device and dtype.

        Raises:
            LatdirError: Codes of another space, amounts of another shape or not finite, or a
                condition that leaves nothing of the direction.
        """
        *_, moved = self.trace(codes, amount, unit=unit)
        return moved

    def trace(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Iterator[Float[Tensor, "n *shape"]]:
        """The codes after each step of `shift`, beginning with where they start.

        All codes take the same number of steps, of equal length each.

        Args:
            codes: `[n, *shape]`.
            amount: As for `shift`.
            unit: As for `shift`.

        Raises:
            LatdirError: As `shift`.
        """
        self.generator.check(codes, self.space)
        lengths = torch.as_tensor(self.direction.latent_amount(amount, unit)).to(codes)
        if lengths.ndim > 1 or (lengths.ndim == 1 and len(lengths) != len(codes)):
            raise LatdirError(
                f"amount has shape {list(lengths.shape)}: give one number, "
                f"or one for each of the {len(codes)} codes"
            )
        if not torch.isfinite(lengths).all():
            raise LatdirError(f"amounts must be finite, in {unit}")
        longest = float(lengths.abs().max()) if lengths.numel() else 0.0
        # Rounding must not turn a whole number of steps into one more.
        steps = math.ceil(longest / (self.step * self.direction.sigma) - 1e-6)
        stride = (lengths / max(steps, 1)).reshape(-1, 1)
        yield codes
        for _ in range(steps):
            codes = codes + (stride * self.tangents(codes)).reshape(codes.shape)
            yield codes

    def tangents(self, codes: Float[Tensor, "n *shape"]) -> Float[Tensor, "n d"]:
        """Unit directions in which codes move next, `[n, d]`.

        Raises:
            LatdirError: A condition leaves nothing of the direction at some code.
        """
        rows = torch.stack([self.bank[a].vector.flatten() for a in self.attributes])
        blend = rows.to(codes).expand(len(codes), -1, -1)
        if self.weight < 1:
            found = score_gradients(
                self.generator,
                self.classifier,
                codes,
                attributes=self.attributes,
                space=self.space,
                batch_size=self.batch,
            )
            norms = found.gradients.norm(dim=2, keepdim=True)
            # Where a score is flat or its gradient broken, the global direction is all there is.
            usable = (norms > 0) & norms.isfinite()
            own = torch.where(usable, found.gradients / norms, blend)
            blend = self.weight * blend + (1 - self.weight) * own
        return _without(blend[:, 0], blend[:, 1:], self.attributes)

    def stored(self) -> StoredPath:
        """The global directions and the settings; not the networks."""
        used = self.bank.select(self.attributes).directions
        config = {
            "name": self.name,
            "conditions": list(self.conditions),
            "weight": self.weight,
            "step": self.step,
            "classifier": self.classifier.name,
            "classifier_fingerprint": self.classifier.fingerprint,
            "space": self.space,
            "sigmas": [d.sigma for d in used],
        }
        tensors = {f"vector.{i}": d.vector for i, d in enumerate(used)}
        return StoredPath(self.generator.name, self.generator.fingerprint, config, tensors)

    @classmethod
    def restored(
        cls,
        stored: StoredPath,
        *,
        generator: Generator | None = None,
        classifier: Classifier | None = None,
    ) -> InstancePath:
        """The path again, over the networks that it follows the gradients of.

        Raises:
            LatdirError: No generator or classifier, or another classifier than it was made with.
        """
        config = stored.typed_config(SETTINGS)
        wanted = config["classifier_fingerprint"]
        if generator is None or classifier is None:
            raise BankError(
                f"the path of {config['name']!r} follows gradients of the classifier "
                f"{config['classifier']} through {stored.generator}: give load_path both, "
                "generator=… and classifier=…"
            )
        if classifier.fingerprint != wanted:
            raise BankError(
                f"the path of {config['name']!r} was made with {config['classifier']} "
                f"({wanted[:12]}…), not {classifier.name} ({classifier.fingerprint[:12]}…): "
                "load that one"
            )
        names = (config["name"], *config["conditions"])
        if len(names) != len(config["sigmas"]):
            count = f"there are {len(config['sigmas'])} for {len(names)} names"
            raise stored.broken("setting sigmas", count)
        axes = len(generator.space(config["space"]).shape)
        vectors = stored.shaped_tensors({f"vector.{i}": axes for i in range(len(names))})
        used = zip(names, vectors.values(), config["sigmas"], strict=True)
        directions = tuple(Direction(n, v, config["space"], sigma=sigma) for n, v, sigma in used)
        bank = DirectionBank(directions, stored.generator, stored.fingerprint)
        return cls(
            generator,
            classifier,
            bank,
            *(config[name] for name in ("name", "conditions", "weight", "step")),
        )


def _without(
    target: Float[Tensor, "n d"], conditions: Float[Tensor, "n c d"], names: Sequence[str]
) -> Float[Tensor, "n d"]:
    """Unit vectors of the part of `target` outside the span of each code's conditions."""
    left = target.double()
    if conditions.shape[1]:
        basis, values, _ = torch.linalg.svd(conditions.double().mT, full_matrices=False)
        kept = values > 1e-5 * values[:, :1]
        inside = basis.mT @ left[:, :, None] * kept[:, :, None]
        left = left - (basis @ inside)[:, :, 0]
    norms: Tensor = left.norm(dim=1, keepdim=True)
    if (norms <= LEAST_LEFT).any():
        raise LatdirError(
            f"holding {', '.join(names[1:])} leaves nothing of {names[0]!r} at some code: "
            "drop the condition that is the same attribute by another name"
            if len(names) > 1
            else f"the blend for {names[0]!r} vanishes: its gradient opposes the global direction"
        )
    tangents: Tensor = (left / norms).to(target.dtype)
    return tangents
