"""A planted text-image model whose words are the factors of a planted generator.

The ground truth of methods that start from text. The embedding of an image is the direction of

    b + Σ_j f_j(image) a_j,

with f_j the factors and b, a_j orthogonal unit vectors, so that it is curved as a real one is;
that of a text is the direction of b plus the a_j of the factors it names, minus those it denies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from directions.devices import Movable
from directions.errors import LatdirError
from directions.fingerprints import fingerprint
from directions.planted.world import PlantedGenerator

__all__ = ["PlantedClip"]

IMAGE_GAIN = 0.25


class PlantedClip(Movable):
    """Reads a planted generator's images, and texts that name its factors.

    Args:
        generator: The generator whose images it reads.
        dim: Size of the embeddings, above the number of factors.
        temperature: Factor from cosines to logits.
        seed: Of the embedding's axes.

    Raises:
        LatdirError: A size that has no room for the factors.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8, names=("smile", "age"))
        >>> clip = PlantedClip(world)
        >>> image = world.synthesize(3 * world.truth[:1])
        >>> likeness = clip.encode_images(image) @ clip.encode_texts(["a smile", "no smile"]).T
        >>> bool(likeness[0, 0] > likeness[0, 1])
        True
    """

    name = "planted-clip"

    def __init__(
        self,
        generator: PlantedGenerator,
        *,
        dim: int = 32,
        temperature: float = 20.0,
        seed: int = 0,
    ) -> None:
        count = len(generator.names) + 1
        if dim < count:
            raise LatdirError(f"embeddings of {count - 1} factors need a dim of {count}, not {dim}")
        self.names = generator.names
        self.temperature = temperature
        self.dim = dim
        self._reader = generator.classifier()
        rng = torch.Generator().manual_seed(seed)
        basis, _ = torch.linalg.qr(torch.randn(dim, count, generator=rng))
        self._axes = basis.T.contiguous().to(generator.device)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the generator read and the axes."""
        return fingerprint({"axes": self._axes}, {"of": self._reader.fingerprint})

    def encode_images(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n e"]:
        """Unit embeddings, differentiable."""
        factors = self._reader.logits(images)
        axes = self._axes.to(factors)
        return normalize(axes[0] + IMAGE_GAIN * factors @ axes[1:], dim=1)

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "k e"]:
        """Unit embeddings; a factor after `no`, `not` or `without` counts against."""
        rows = [self._axes[0] + self._signs(text) @ self._axes[1:] for text in texts]
        return normalize(torch.stack(rows), dim=1)

    def _signs(self, text: str) -> Float[Tensor, "k"]:
        found = []
        for name in self.names:
            match = re.search(rf"\b(?:(no|not|without)\s+)?{re.escape(name)}\b", text)
            found.append(0.0 if match is None else -1.0 if match[1] else 1.0)
        return torch.tensor(found).to(self._axes)
