"""What images have gone through before they are inverted: masks, shrinking, gray, blur, noise.

All but `Degraded` are linear; `transpose` gives the transpose of any of them. A code is then found
whose image, degraded in the same way, is the one given, so that the generator's image repairs it:
fills the hole, gives detail or color back (PULSE: Menon et al. 2020, arXiv:2003.03808; image
processing with a GAN's prior: Gu, Shen & Zhou 2020, arXiv:1912.07116). What shrinks or blurs is a
matrix for each axis, whose weights are renormalized at the border.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields
from directions.errors import LatdirError, real_number, whole_number
from directions.fingerprints import callable_parts, fingerprint
from directions.inversion.objective import Degradation

__all__ = [
    "KERNELS",
    "Blur",
    "Chain",
    "Crop",
    "Degraded",
    "Gray",
    "Mask",
    "Noise",
    "Shrink",
    "transpose",
]

Kernel = Literal["area", "bilinear", "bicubic", "lanczos"]
KERNELS: Mapping[str, float] = {"area": 0.5, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}
"""Kernels of `Shrink` and their reach, in pixels of the smaller image."""
# Weights of red, green and blue in what is seen as brightness (Rec. 601).
BRIGHTNESS = (0.299, 0.587, 0.114)
# Standard deviations at which a Gaussian is cut off.
CUT = 4.0


@dataclass(frozen=True, eq=False)
class Mask(Degradation):
    """Only some pixels are seen.

    Attributes:
        visible: `[h, w]`, true where an image is seen.

    Raises:
        LatdirError: No pixel is visible.

    Example:
        >>> hole = torch.ones(64, 64, dtype=torch.bool)
        >>> hole[20:40, 20:40] = False
        >>> Mask(hole)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 3, 3696])
    """

    visible: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.visible, Tensor):
            object.__setattr__(self, "visible", torch.as_tensor(self.visible))
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
                f"the mask is {_size(self.visible)} and the image {_size(images)}: give a mask of "
                "the image's size"
            )
        return images[..., self.visible.to(images.device)]

    def observe(self, images: Float[Tensor, "n c ..."]) -> Float[Tensor, "n c p"]:
        """The visible pixels of whole images, whatever is in the hole."""
        return self(images) if images.ndim == 4 else images

    @property
    def config(self) -> dict[str, Any]:
        """The visible pixels by their digest."""
        bits = self.visible.cpu().numpy().tobytes()
        return {"kind": "mask", "size": _size(self.visible), "sha256": sha256(bits).hexdigest()}


@checked_fields
@dataclass(frozen=True)
class Shrink(Degradation):
    """Images with fewer pixels.

    Attributes:
        factor: Pixels of the image along each axis that become one.
        kernel: A name from `KERNELS`; each is as wide as the factor asks, so nothing aliases.

    Raises:
        LatdirError: An unknown kernel, or a factor below 2.

    Example:
        >>> Shrink(4)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 3, 16, 16])
    """

    factor: int = 4
    kernel: Kernel = "area"

    def __post_init__(self) -> None:
        whole_number(self.factor, "factor", least=2)
        if self.kernel not in KERNELS:
            raise LatdirError(f"no kernel {self.kernel!r}: choose from {', '.join(KERNELS)}")

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c height width"]:
        """The smaller images."""
        if min(images.shape[-2:]) < self.factor:
            raise LatdirError(f"images of {_size(images)} cannot shrink by {self.factor}")
        rows, columns = (
            _shrinking(length, self.factor, self.kernel).to(images) for length in images.shape[-2:]
        )
        return rows @ images @ columns.T

    @property
    def config(self) -> dict[str, Any]:
        """Factor and kernel."""
        return {"kind": "shrink", "factor": self.factor, "kernel": self.kernel}


@checked_fields
@dataclass(frozen=True)
class Blur(Degradation):
    """A Gaussian blur.

    Attributes:
        sigma: Standard deviation in pixels.
    """

    sigma: float = 2.0

    def __post_init__(self) -> None:
        if real_number(self.sigma, "sigma") <= 0:
            raise LatdirError(f"sigma {self.sigma} must be above 0 pixels")

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The blurred images."""
        rows, columns = (_blurring(length, self.sigma).to(images) for length in images.shape[-2:])
        return rows @ images @ columns.T

    @property
    def config(self) -> dict[str, Any]:
        """The width."""
        return {"kind": "blur", "sigma": self.sigma}


@dataclass(frozen=True)
class Gray(Degradation):
    """Brightness only: 0.299 red + 0.587 green + 0.114 blue.

    Example:
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


@checked_fields
@dataclass(frozen=True)
class Noise(Degradation):
    """Gaussian noise, different in each pixel and independent of the image.

    The code found is the most probable one: residuals and the distance from the prior are weighed
    by the noise.

    Attributes:
        noise: Standard deviation, images in [-1, 1].
    """

    noise: float = 0.1

    def __post_init__(self) -> None:
        if real_number(self.noise, "noise") <= 0:
            raise LatdirError(f"noise {self.noise} must be above 0: images are in [-1, 1]")

    def __call__(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """The images as they are: noise is not part of what is expected."""
        return images

    @property
    def config(self) -> dict[str, Any]:
        """Its size."""
        return {"kind": "noise", "noise": self.noise}


@dataclass(frozen=True)
class Chain(Degradation):
    """One degradation after another.

    Attributes:
        parts: In the order in which they happened; noise, if any, last.

    Raises:
        LatdirError: No parts, or noise before another part.

    Example:
        >>> small_and_gray = Chain((Shrink(4), Gray()))
        >>> small_and_gray(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1, 16, 16])
    """

    parts: Sequence[Degradation] = ()

    def __post_init__(self) -> None:
        if not self.parts or not all(isinstance(part, Degradation) for part in self.parts):
            raise LatdirError("a chain takes degradations, such as Chain((Shrink(4), Gray()))")
        if any(part.noise for part in self.parts[:-1]):
            raise LatdirError("noise is the last part of a chain: give the one that was added last")
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "noise", self.parts[-1].noise)

    def __call__(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """All parts in turn."""
        for part in self.parts:
            images = part(images)
        return images

    def observe(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """What each part makes of the form that images are given in."""
        for part in self.parts:
            images = part.observe(images)
        return images

    @property
    def config(self) -> dict[str, Any]:
        """Those of the parts."""
        return {"kind": "chain", "parts": [dict(part.config) for part in self.parts]}


@dataclass(frozen=True)
class Degraded(Degradation):
    """Any differentiable function of images, each by itself.

    Attributes:
        function: `[n, 3, h, w]` to what is observed, `[n, ...]`.
        noise: Standard deviation of noise in what is observed, images in [-1, 1].

    Example:
        >>> dark = Degraded(lambda images: 0.5 * images)
        >>> dark(torch.ones(1, 3, 2, 2)).max()
        tensor(0.5000)
    """

    function: Callable[[Tensor], Tensor] = field(compare=False)
    noise: float = 0.0

    def __call__(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n ..."]:
        """What the function returns."""
        made = self.function(images)
        if not isinstance(made, Tensor) or len(made) != len(images):
            raise LatdirError("a degradation takes images [n, 3, h, w] and returns n of them")
        return made

    @property
    def config(self) -> dict[str, Any]:
        """A digest of the function and of all that it uses."""
        parts = callable_parts(self.function)
        digest = fingerprint(parts.tensors, parts.config)
        return {"kind": "function", "sha256": digest, "noise": self.noise}


def transpose(
    degradation: Degradation, observed: Float[Tensor, "n ..."], shape: tuple[int, ...]
) -> Float[Tensor, "n 3 h w"]:
    """Aᵀ of what was observed, for a linear degradation A.

    Args:
        degradation: A, one of this file other than a nonlinear `Degraded`.
        observed: `[n, …]`, in the form that `degradation(images)` has.
        shape: `(3, height, width)` of the images.

    Example:
        >>> transpose(Shrink(2), torch.ones(1, 3, 1, 1), (3, 2, 2))[0, 0]
        tensor([[0.2500, 0.2500],
                [0.2500, 0.2500]])
    """
    images = observed.new_zeros(len(observed), *shape, requires_grad=True)
    with torch.enable_grad():
        made = degradation(images)
    [pulled] = torch.autograd.grad(made, images, observed)
    return pulled


def _size(images: Tensor) -> str:
    return f"{images.shape[-1]}×{images.shape[-2]}"


@lru_cache(maxsize=32)
def _shrinking(length: int, factor: int, kernel: str) -> Float[Tensor, "small length"]:
    small = length // factor
    scale = length / small
    centers = (torch.arange(small, dtype=torch.float64) + 0.5) * scale
    pixels = torch.arange(length, dtype=torch.float64) + 0.5
    if kernel == "area":
        # The share of each pixel that lies within the larger one.
        upper = torch.minimum(pixels + 0.5, centers[:, None] + scale / 2)
        lower = torch.maximum(pixels - 0.5, centers[:, None] - scale / 2)
        return _rows(upper - lower)
    at = (pixels - centers[:, None]).abs() / scale
    if kernel == "bilinear":
        return _rows(1 - at)
    if kernel == "lanczos":
        window = torch.where(at < KERNELS[kernel], torch.sinc(at / KERNELS[kernel]), 0.0)
        return _rows(torch.sinc(at) * window, signed=True)
    # Keys's cubic convolution with a = −1/2.
    near, far = (1.5 * at - 2.5) * at**2 + 1, ((-0.5 * at + 2.5) * at - 4) * at + 2
    weights = torch.where(at < 1, near, torch.where(at < 2, far, 0.0))
    return _rows(weights, signed=True)


@lru_cache(maxsize=32)
def _blurring(length: int, sigma: float) -> Float[Tensor, "length length"]:
    pixels = torch.arange(length, dtype=torch.float64)
    at = (pixels - pixels[:, None]) / sigma
    return _rows(torch.where(at.abs() <= max(CUT, 1 / sigma), (-(at**2) / 2).exp(), 0.0))


def _rows(weights: Tensor, *, signed: bool = False) -> Tensor:
    """Weights whose rows sum to 1."""
    kept = weights if signed else weights.clamp_min(0)
    # Kept for later calls, which may want gradients: no tensor of inference mode.
    with torch.inference_mode(False):
        return (kept.clone() / kept.sum(1, keepdim=True)).float()
