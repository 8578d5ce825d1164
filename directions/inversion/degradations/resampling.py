"""Fewer pixels, or blurred ones: a matrix for each axis, its weights renormalized at the border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_fields
from directions.errors import LatdirError, real_number, whole_number
from directions.inversion.degradations.selection import size_of
from directions.inversion.objective import Degradation

__all__ = ["KERNELS", "Blur", "Shrink"]

Kernel = Literal["area", "bilinear", "bicubic", "lanczos"]
KERNELS: Mapping[str, float] = {"area": 0.5, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}
"""Kernels of `Shrink` and their reach, in pixels of the smaller image."""
# Standard deviations at which a Gaussian is cut off.
CUT = 4.0


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
            raise LatdirError(f"images of {size_of(images)} cannot shrink by {self.factor}")
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
