"""Similarity of two batches of images, for an inversion, a codec or a reverted edit.

PSNR, SSIM (Wang et al. 2004) and MS-SSIM (Wang et al. 2003) are computed by torchmetrics. The
perceptual distance is LPIPS (Zhang et al. 2018, arXiv:1801.03924) where the weights of its network
are at hand, or any function of two batches of images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.intervals.mean import mean_interval
from directions.arguments import checked, checked_fields, checked_values
from directions.errors import LatdirError, described, require

__all__ = ["Backbone", "Perceptual", "Reconstruction", "lpips_distance", "reconstruction_quality"]

Perceptual = Callable[[Tensor, Tensor], Tensor]
Backbone = Literal["alex", "vgg", "squeeze"]
# The smallest side whose fifth and coarsest scale still holds a window of 11 pixels.
SMALLEST_MS_SSIM = 161
# Torchvision's file names of the networks under LPIPS.
BACKBONES: dict[str, str] = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}


@checked_fields
@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Likeness of each pair of images.

    Attributes:
        mse: `[n]`, mean squared error of pixels in [-1, 1].
        psnr: `[n]`, in decibels; infinite for equal images.
        ssim: `[n]`, 1 for equal images.
        ms_ssim: `[n]`, 1 for equal images; None for images under 161 pixels, which do not have
            its five scales.
        perceptual: `[n]`, distance; None where no function was given.
    """

    mse: Float[Tensor, "n"]
    psnr: Float[Tensor, "n"]
    ssim: Float[Tensor, "n"]
    ms_ssim: Float[Tensor, "n"] | None
    perceptual: Float[Tensor, "n"] | None

    def summary(self, *, level: float = 0.95) -> dict[str, dict[str, float]]:
        """Mean, and ends of its interval, of each measure that there is.

        The mean PSNR is over unequal pairs; there is none where all are equal.
        """
        found: dict[str, dict[str, float]] = {}
        for name in ("mse", "psnr", "ssim", "ms_ssim", "perceptual"):
            values: Tensor | None = getattr(self, name)
            if values is None:
                continue
            finite = values[values.isfinite()]
            if len(finite) > 1:
                ends = mean_interval(finite, level=level)
                found[name] = {k: float(v) for k, v in ends._asdict().items()}
        return found

    def as_dict(self) -> dict[str, Any]:
        """The summary, ready for JSON."""
        return {"count": len(self.mse), **self.summary()}


@checked_values
def reconstruction_quality(
    images: Float[Tensor, "n 3 h w"],
    rebuilt: Float[Tensor, "..."],
    *,
    perceptual: Perceptual | None = None,
    batch_size: int = 32,
) -> Reconstruction:
    """Compare images with their reconstructions, pair by pair.

    Args:
        images: In [-1, 1].
        rebuilt: As many, of the same size.
        perceptual: Two batches of images to distances `[n]`, such as `lpips_distance()`.
        batch_size: Pairs at a time.

    Returns:
        Each measure of each pair, on the CPU.

    Raises:
        LatdirError: The batches differ in shape, hold no images or images under 11 pixels, lie
            outside [-1, 1], or torchmetrics is not installed.

    Example:
        >>> images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
        >>> found = reconstruction_quality(images, images * 0.9)
        >>> bool((found.psnr > 25).all()), bool((found.ssim > 0.9).all()), found.ms_ssim
        (True, True, None)
    """
    if images.shape != rebuilt.shape or images.ndim != 4 or 0 in images.shape:
        raise LatdirError(
            f"images of shape {list(images.shape)} cannot be compared with "
            f"{list(rebuilt.shape)}: give two batches [n, 3, h, w] of one size"
        )
    smallest = min(images.shape[-2:])
    if smallest < 11:
        raise LatdirError(f"SSIM looks through windows of 11 pixels: {smallest} are too few")
    largest = max(float(images.abs().max()), float(rebuilt.abs().max()))
    if not largest <= 1.001:
        raise LatdirError(
            f"pixels reach {largest:g}, where images are in [-1, 1]: clamp them, or use "
            "images / 127.5 - 1 for bytes"
        )
    measures = require("torchmetrics.functional.image", "metrics")
    parts: dict[str, list[Tensor]] = {}
    for a, b in zip(torch.split(images, batch_size), torch.split(rebuilt, batch_size), strict=True):
        with torch.no_grad():
            x, y = a.float().clamp(-1, 1), b.float().clamp(-1, 1)
            error = (x - y).square().mean((1, 2, 3))
            found = {
                "mse": error,
                "psnr": measures.peak_signal_noise_ratio(
                    y, x, data_range=2.0, reduction="none", dim=(1, 2, 3)
                ),
                "ssim": measures.structural_similarity_index_measure(
                    y, x, data_range=2.0, reduction="none"
                ),
            }
            if smallest >= SMALLEST_MS_SSIM:
                found["ms_ssim"] = measures.multiscale_structural_similarity_index_measure(
                    y, x, data_range=2.0, reduction="none"
                )
            if perceptual is not None:
                found["perceptual"] = _distances(perceptual, x, y)
        for name, values in found.items():
            parts.setdefault(name, []).append(values.reshape(len(a)).float().cpu())
    whole = {name: torch.cat(values) for name, values in parts.items()}
    return Reconstruction(
        whole["mse"], whole["psnr"], whole["ssim"], whole.get("ms_ssim"), whole.get("perceptual")
    )


def _distances(perceptual: Perceptual, x: Tensor, y: Tensor) -> Tensor:
    values = perceptual(x, y)
    if not isinstance(values, Tensor):
        raise LatdirError(
            f"the perceptual function returned {described(values)}, not a tensor of distances: "
            "give one such as lpips_distance()"
        )
    if values.numel() != len(x):
        raise LatdirError(
            f"the perceptual function returned {list(values.shape)} for {len(x)} pairs of images: "
            "it must return one distance for each, not their mean"
        )
    return values


@checked
def lpips_distance(backbone: Backbone | str = "alex") -> Perceptual:
    """LPIPS as a function of two batches of images, from local weights.

    Nothing is downloaded: the network's weights are looked for where torchvision keeps them.

    Args:
        backbone: `alex`, as most papers report; `vgg` or `squeeze`.

    Raises:
        LatdirError: torchmetrics or torchvision is missing, or the weights are not there.
    """
    require("torchvision", "metrics")
    metrics = require("torchmetrics.image.lpip", "metrics")
    if backbone not in BACKBONES:
        raise LatdirError(f"backbone is one of {', '.join(BACKBONES)}, not {backbone!r}")
    weights = Path(torch.hub.get_dir()) / "checkpoints" / BACKBONES[backbone]
    if not weights.is_file():
        raise LatdirError(
            f"LPIPS needs {weights.name} in {weights.parent}: put torchvision's file there, or "
            "give any other function of two batches of images as perceptual="
        )
    metric = metrics.LearnedPerceptualImagePatchSimilarity(net_type=backbone, reduction="none")

    def distance(x: Tensor, y: Tensor) -> Tensor:
        metric.to(x.device).reset()
        metric.update(x, y)
        values: Tensor = metric.compute()
        return values.reshape(len(x))

    return distance
