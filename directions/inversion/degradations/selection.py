"""Some of the pixels or colors of an image: masks, parts, brightness."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields
from directions.errors import LatdirError, whole_number
from directions.inversion.objective import Degradation

__all__ = ["Crop", "Gray", "Mask", "size_of"]

# Weights of red, green and blue in what is seen as brightness (Rec. 601).
BRIGHTNESS = (0.299, 0.587, 0.114)


@checked_fields
@dataclass(frozen=True, eq=False)
class Mask(Degradation):
    """Only some pixels are seen.

    Attributes:
        visible: `[h, w]`, true where an image is seen.

    Raises:
        LatdirError: No pixel is visible.

    Example:
        >>> import torch
        >>> hole = torch.ones(64, 64, dtype=torch.bool)
        >>> hole[20:40, 20:40] = False
        >>> Mask(hole)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 3, 3696])
    """

    visible: Tensor

    def __post_init__(self) -> None:
        if self.visible.ndim != 2:
            raise LatdirError(
                f"a mask is [height, width], true where the image is seen, not "
                f"{list(self.visible.shape)}"
            )
        object.__setattr__(self, "visible", self.visible.bool())
        if not self.visible.any():
            raise LatdirError("the mask hides every pixel: True stands for a pixel that is seen")

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c p"]:
        """The visible pixels."""
        if images.shape[-2:] != self.visible.shape:
            raise LatdirError(
                f"the mask is {size_of(self.visible)} and the image {size_of(images)}: give a mask "
                "of the image's size"
            )
        return images[..., self.visible.to(images.device)]

    def observe(self, images: Float[Tensor, "n c ..."]) -> Float[Tensor, "n c p"]:
        """The visible pixels of whole images, whatever is in the hole."""
        return self(images) if images.ndim == 4 else images

    @property
    def config(self) -> dict[str, Any]:
        """The visible pixels by their digest."""
        bits = self.visible.cpu().numpy().tobytes()
        return {"kind": "mask", "size": size_of(self.visible), "sha256": sha256(bits).hexdigest()}


@checked_fields
@dataclass(frozen=True)
class Crop(Degradation):
    """A part of the image.

    Attributes:
        top, left: The first row and column that are seen.
        height, width: Pixels that are seen.
    """

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for name, least in (("top", 0), ("left", 0), ("height", 1), ("width", 1)):
            whole_number(getattr(self, name), name, least=least)

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c height width"]:
        """The part."""
        height, width = images.shape[-2:]
        if self.top + self.height > height or self.left + self.width > width:
            raise LatdirError(
                f"a part of {self.width}×{self.height} pixels from column {self.left} and row "
                f"{self.top} reaches beyond an image of {width}×{height}"
            )
        rows = slice(self.top, self.top + self.height)
        return images[..., rows, self.left : self.left + self.width]

    @property
    def config(self) -> dict[str, Any]:
        """Where the part is."""
        corner = {"top": self.top, "left": self.left}
        return {"kind": "crop", **corner, "height": self.height, "width": self.width}


@dataclass(frozen=True)
class Gray(Degradation):
    """Brightness only: 0.299 red + 0.587 green + 0.114 blue.

    Example:
        >>> import torch
        >>> Gray()(torch.ones(1, 3, 2, 2)).shape
        torch.Size([1, 1, 2, 2])
    """

    def __call__(self, images: Float[Tensor, "n 3 ..."]) -> Float[Tensor, "n 1 ..."]:
        """One channel."""
        red, green, blue = (w * images[:, i : i + 1] for i, w in enumerate(BRIGHTNESS))
        return red + green + blue

    def observe(self, images: Float[Tensor, "n c ..."]) -> Float[Tensor, "n 1 ..."]:
        """Gray images of one channel or three."""
        return self(images) if images.shape[1] == 3 else images

    @property
    def config(self) -> dict[str, Any]:
        """Nothing but the kind."""
        return {"kind": "gray"}


def size_of(images: Tensor) -> str:
    """Width × height, for messages and records.

    Example:
        >>> import torch
        >>> size_of(torch.zeros(1, 3, 4, 6))
        '6×4'
    """
    return f"{images.shape[-1]}×{images.shape[-2]}"
