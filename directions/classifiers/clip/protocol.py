"""The text-image model protocol: images and texts in one embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

__all__ = ["TextImageModel"]


@runtime_checkable
class TextImageModel(Protocol):
    """Images and texts as unit vectors of one space, close to each other where they agree.

    Methods ask for no more than this, so that a model of any library, or a planted one, will do.
    """

    @property
    def name(self) -> str:
        """Short name, shown and stored."""
        ...

    @property
    def fingerprint(self) -> str:
        """sha256 over weights and configuration."""
        ...

    @property
    def temperature(self) -> float:
        """Factor from cosines to the model's own logits."""
        ...

    def encode_images(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n e"]:
        """Unit embeddings of images in [-1, 1], of any size; differentiable."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "k e"]:
        """Unit embeddings of texts."""
        ...
