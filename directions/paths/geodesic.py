"""Geodesic edits: along a direction as straight as the images allow, not the code.

Hang Shao, Abhishek Kumar, P. Thomas Fletcher, CVPRW 2018, arXiv:1711.08014; Line Kühnel et al.:
Latent Space Non-Linear Statistics, 2018, arXiv:1805.07632. See `transport.py` for the equations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Classifier
from directions.direction import Direction
from directions.errors import BankError, LatdirError, SpaceError
from directions.generators.base import Generator
from directions.paths.base import CurvedPath
from directions.paths.contents import StoredPath
from directions.paths.transport import Models, carried, geodesic, models_of
from directions.scoring.features import face_features

__all__ = ["GeodesicPath"]

Metric = Literal["pixels", "faces"]
SETTINGS = {
    "name": str, "space": str, "sigma": float, "metric": Metric, "step": float, "batch": int
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class GeodesicPath(CurvedPath):
    """A path that starts along a direction and is a geodesic of the images from there.

    Its speed is that of the direction where it starts: images change by as much at every step.

    Attributes:
        generator: Differentiable.
        direction: Where paths start to; of that generator, on all layers.
        metric: What change is measured in: `pixels`, or activations of the built-in network for
            `faces`.
        origin: `[*shape]`, the code where the direction is known, from which it is carried to each
            code along the line between them; None where it is the same everywhere.
        step: Longest step, in sigma of the direction.
        batch: Codes at a time; bounds the memory.
        name: The direction's.
        space: The direction's.

    Raises:
        LatdirError: A direction of single layers or another generator, an origin of another shape,
            or a step that is not positive.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8, nuisances=0)
        >>> path = GeodesicPath(world, Direction("factor_0", world.truth[0], "z"))
        >>> codes = world.sample(2, seed=0)
        >>> change = world.factors(path.shift(codes, 1.0)) - world.factors(codes)
        >>> bool((change[:, 0] > 0.9).all())
        True
    """

    kind: ClassVar[str] = "geodesic"

    generator: Generator
    direction: Direction
    metric: Metric = "pixels"
    origin: Float[Tensor, "*shape"] | None = None
    step: float = 0.5
    batch: int = 32
    name: str = field(init=False)
    space: str = field(init=False)

    def __post_init__(self) -> None:
        self.direction.check(self.generator)
        object.__setattr__(self, "name", self.direction.name)
        object.__setattr__(self, "space", self.direction.space)
        shape = self.generator.space(self.space).shape
        if self.direction.layers is not None or tuple(self.direction.vector.shape) != shape:
            raise SpaceError(
                f"a geodesic starts along a direction of all of a code, and {self.name!r} acts on "
                f"layers {list(self.direction.layers or ())}: give it without layers"
            )
        if self.origin is not None and tuple(self.origin.shape) != shape:
            raise SpaceError(
                f"origin has shape {list(self.origin.shape)}, and codes of {self.space} have "
                f"{list(shape)}"
            )
        if not (self.step > 0 and math.isfinite(self.step)) or self.batch < 1:
            raise LatdirError(f"step {self.step} and batch {self.batch} must be positive")

    def shift(
        self, codes: Float[Tensor, "n *shape"], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n *shape"]:
        """As `CurvedPath.shift`, in the units of the direction; `latent` is length at the start."""
        self.generator.check_shape(codes, self.space)
        given = torch.as_tensor(self.direction.latent_amount(amount, unit)).to(codes)
        lengths = self._steps(given, codes, {unit: 1.0}, unit)
        if not torch.isfinite(lengths).all():
            raise LatdirError(f"amounts must be finite, in {unit}")
        parts = zip(torch.split(codes, self.batch), torch.split(lengths, self.batch), strict=True)
        moved = [self._moved(part, length) for part, length in parts if len(part)]
        return torch.cat(moved) if moved else codes

    def starts(self, codes: Float[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
        """The direction at codes: its unit vector, or what it becomes when carried there."""
        vectors = self.direction.vector.to(codes).expand_as(codes)
        if self.origin is None:
            return vectors
        start = self.origin.to(codes).expand_as(codes)
        longest = float((codes - start).flatten(1).norm(dim=1).max())
        steps = max(1, math.ceil(longest / (2 * self.step * self.direction.sigma)))
        models = self._models()
        here = models(start)
        for i in range(1, steps + 1):
            there = models(start + (codes - start) * (i / steps))
            vectors, here = carried(here, there, vectors), there
        return vectors

    def _moved(self, codes: Tensor, lengths: Tensor) -> Tensor:
        longest = float(lengths.abs().max())
        if longest == 0:
            return codes
        # Rounding must not turn a whole number of steps into one more.
        steps = max(1, math.ceil(longest / (self.step * self.direction.sigma) - 1e-6))
        velocities = self.starts(codes) * lengths.reshape(-1, *[1] * (codes.ndim - 1))
        *_, moved = geodesic(self._models(), codes, velocities, steps=steps)
        return moved

    def _models(self) -> Models:
        features = None
        if self.metric == "faces":
            features = face_features(device=self.generator.device)
        return models_of(self.generator, self.space, features)

    def stored(self) -> StoredPath:
        """The direction, the origin and the settings; not the generator."""
        own, owner = self.direction, self.generator
        config = {"name": own.name, "space": own.space, "sigma": own.sigma, "metric": self.metric}
        config |= {"step": self.step, "batch": self.batch}
        tensors = {"vector": own.vector}
        tensors |= {} if self.origin is None else {"origin": self.origin}
        return StoredPath(owner.name, owner.fingerprint, config, tensors)

    @classmethod
    def restored(
        cls,
        stored: StoredPath,
        *,
        generator: Generator | None = None,
        classifier: Classifier | None = None,
    ) -> GeodesicPath:
        """The path again, over the generator whose images it follows.

        Raises:
            LatdirError: No generator.
        """
        config = stored.typed_config(SETTINGS)
        if generator is None:
            raise BankError(
                f"the path of {config['name']!r} follows the images of {stored.generator}: give "
                "load_path that generator, generator=…"
            )
        axes = len(generator.space(config["space"]).shape)
        held = stored.shaped_tensors(dict.fromkeys(("vector", *_origin(stored)), axes))
        name, space, sigma = (config.pop(key) for key in ("name", "space", "sigma"))
        own = Direction(name, held["vector"], space, sigma=sigma, fingerprint=stored.fingerprint)
        return cls(generator, own, origin=held.get("origin"), **config)


def _origin(stored: StoredPath) -> tuple[str, ...]:
    return ("origin",) if "origin" in stored.tensors else ()
