"""Faces with planted factors: a truth that no labeler can fake.

Real faces have no ground truth: what a direction changes is known by labelers only, and each has
its own opinion. Here a real face generator's images get patterns whose amplitudes are linear
factors of the code, `f_j(z) = t_j · z`. Labelers read them from the images as classifiers of faces
do, with errors: the face itself shows in what they read, each may take a part of one factor for
another, and two labelers look at different frequencies, so that their errors are their own. The
true effect of a direction on a factor is `sigma v · t_j`, whatever a labeler says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Attribute, Classifier
from directions.errors import LatdirError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.space import Prior

__all__ = ["FaceLabeler", "PlantedFaces"]

NAMES = ("smiling", "male", "age", "yaw")
SOFT_RANGE = 4.0  # amplitudes are tanh(f / 4), as in `world`
TANH_CLAMP = 0.999
LABELERS = 2
LOWEST = 6  # cycles of the coarsest pattern: above most of what a face has


class PlantedFaces(Generator):
    """A face generator whose images carry known linear factors.

    Args:
        base: Makes the faces, from a standard normal z `[d]`.
        names: Names of the factors.
        cosine: Cosine between any two of the factors' directions.
        strength: Share of the image's range that the patterns have.
        seed: Seed of the geometry.

    Attributes:
        truth: `[k, d]`, unit directions of the factors.
        names: Names of the factors.

    Example:
        >>> from directions.generators.dcgan import digiface64
        >>> faces = PlantedFaces(digiface64())
        >>> codes = faces.sample(4, seed=0)
        >>> read = faces.labeler(0)(faces.synthesize(codes))
        >>> read.shape, faces.factors(codes).shape
        (torch.Size([4, 4]), torch.Size([4, 4]))
    """

    name = "planted-faces"

    def __init__(
        self,
        base: Generator,
        *,
        names: Sequence[str] = NAMES,
        cosine: float = 0.3,
        strength: float = 0.5,
        seed: int = 0,
    ) -> None:
        space = next(iter(base.spaces.values()))
        k, d, size = len(names), space.shape[0], base.image_shape[1]
        if not 0 < strength < 1 or not -1 < cosine * max(k - 1, 1) < max(k - 1, 1):
            raise LatdirError(
                f"strength {strength} must be between 0 and 1, and cosine {cosine} between "
                "-1/(k - 1) and 1"
            )
        random = torch.Generator().manual_seed(seed)
        axes = torch.linalg.qr(torch.randn(d, k, generator=random, dtype=torch.float64))[0].T
        gram = torch.full((k, k), cosine, dtype=torch.float64).fill_diagonal_(1)
        self.truth = (torch.linalg.cholesky(gram) @ axes).float()
        self.names, self.spaces, self.image_shape = (
            tuple(names),
            {space.name: space},
            base.image_shape,
        )
        self._base, self._strength = base, strength
        waves = _waves(LABELERS * k, size)
        # Each labeler reads a wave of its own of every factor.
        self._waves = waves.reshape(LABELERS, k, -1)
        self._patterns = waves.reshape(LABELERS, k, -1).mean(0) / k

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the faces' generator and the geometry."""
        config = {"base": self._base.fingerprint, "strength": self._strength}
        return fingerprint({"truth": self.truth}, config)

    @property
    def device(self) -> torch.device:
        """The device of the faces' generator."""
        return self._base.device

    def prior(self, space: str | None = None) -> Prior:
        """That of the faces' generator."""
        return self._base.prior(space)

    def factors(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The factors of codes: the truth."""
        levels: Tensor = codes @ self.truth.to(codes).T
        return levels

    def effects(self, steps: Float[Tensor, "m d"]) -> Float[Tensor, "m k"]:
        """True change of every factor along steps, such as `sigma * vector` of a direction."""
        return self.factors(steps)

    def synthesize(self, codes: Float[Tensor, "n d"], space: str = "z") -> Tensor:
        """Faces with the factors' patterns on them."""
        faces = self._base.synthesize(codes, space)
        levels = torch.tanh(self.factors(codes) / SOFT_RANGE)
        drawn = (levels @ self._patterns.to(levels)).view(-1, 1, *self.image_shape[1:])
        return (1 - self._strength) * faces + self._strength * drawn.to(faces)

    def labeler(self, which: int, *, mistakes: Float[Tensor, "k k"] | None = None) -> FaceLabeler:
        """One of two labelers that read the factors from the images, with errors of their own.

        Args:
            which: 0 or 1.
            mistakes: Row j says what parts of the factors it takes for factor j; by default the
                identity.
        """
        if which not in range(LABELERS):
            raise LatdirError(f"labeler {which} does not exist: there are 0 and 1")
        return FaceLabeler(self, which, mistakes)


class FaceLabeler(Classifier):
    """Reads planted factors by projection; what the face has of the pattern is its error."""

    differentiable = True

    def __init__(self, faces: PlantedFaces, which: int, mistakes: Tensor | None) -> None:
        k = len(faces.names)
        self.name = f"planted-{which}"
        self.attributes = tuple(Attribute(n, "value", "latent") for n in faces.names)
        self._mistakes = torch.eye(k) if mistakes is None else mistakes
        waves = faces._waves[which]
        # Amplitude of the wave at level 1; a third of it in each color channel.
        gain = faces._strength * (waves * faces._patterns).sum(1)
        self._readers = waves / gain[:, None] / 3

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over what it reads."""
        return fingerprint({"readers": self._readers, "mistakes": self._mistakes}, {})

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The factors as it sees them."""
        gray = images.float().sum(1).flatten(1)
        levels = (gray @ self._readers.to(gray).T).clamp(-TANH_CLAMP, TANH_CLAMP)
        return SOFT_RANGE * torch.atanh(levels) @ self._mistakes.to(gray).T


def _waves(count: int, size: int) -> Float[Tensor, "count pixels"]:
    """Orthogonal cosine waves of a plane, the smoothest above those that faces are full of."""
    position = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    lines = torch.cos(math.pi * torch.arange(size)[:, None] * position)
    places = sorted((u + v, u, v) for u in range(LOWEST, size) for v in range(LOWEST, size))
    return torch.stack(
        [torch.outer(lines[u], lines[v]).flatten() for _, u, v in places[:count]]
    ).float()
