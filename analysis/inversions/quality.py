"""The quality of an inversion as one row: distortion, identity, typicality, edits kept, time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.edits.reconstruction import Perceptual, reconstruction_quality
from analysis.inversions.kept_edits import KeptEdits, kept_edits
from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.errors import LatdirError
from directions.inversion import Inversion
from directions.inversion.checks import check_range
from directions.scoring.rendering import Rendering

__all__ = ["InversionQuality", "measure_inversion"]

EDITS = ("kept", "edit_error", "leakage", "native_leakage", "edited_identity")


@checked_fields
@dataclass(frozen=True)
class InversionQuality:
    """Medians and means over the images of an inversion; None where they were not measured.

    Attributes:
        count: Images.
        space: Space of the codes.
        psnr: Median, in decibels.
        ssim: Mean structural similarity.
        ms_ssim: Its mean over five scales, of images from 161 pixels.
        perceptual: Mean perceptual distance.
        identity: Mean identity kept: 1 for the same face, 0 for different ones.
        distance: Median distance of the codes from the prior, near 1 for its own.
        kept: Mean over the directions of the effect kept on the codes found.
        edit_error: Mean absolute error of the edits' changes of their targets, in standard
            deviations.
        leakage: Mean over the directions of the leakage on the codes found.
        native_leakage: The same on the native ones.
        edited_identity: Mean identity shared by edited images of found and native codes.
        seconds: Median seconds an image.
    """

    count: int
    space: str
    psnr: float
    ssim: float
    ms_ssim: float | None
    perceptual: float | None
    identity: float | None
    distance: float
    kept: float | None
    edit_error: float | None
    leakage: float | None
    native_leakage: float | None
    edited_identity: float | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Column to value."""
        return asdict(self)


@checked
def measure_inversion(
    inversion: Inversion,
    images: Float[Tensor, "n 3 h w"],
    *,
    bank: DirectionBank | None = None,
    classifier: Classifier | None = None,
    native: Tensor | None = None,
    embed: Callable[[Tensor], Tensor] | None = None,
    perceptual: Perceptual | None = None,
    amount: float = 2.0,
    rendering: Rendering = Rendering(),
) -> InversionQuality:
    """Measure an inversion: how like its images are, and how well its codes can be edited.

    Args:
        inversion: The codes.
        images: What was inverted, before any degradation. They and the images of the codes are
            compared within [-1, 1].
        bank: Directions whose edits are compared, with `classifier` and `native`.
        classifier: Scores images.
        native: `[n, *shape]`, the codes the images were made from; only images of the generator
            have them.
        embed: Images to embeddings, for identity.
        perceptual: Two batches of images to distances, such as `lpips_distance()`.
        amount: Length of the edits, in sigma.
        rendering: How edited images are made.

    Raises:
        LatdirError: As `reconstruction_quality` and `kept_edits`, or a bank without classifier
            and native codes.

    Example:
        >>> from directions import invert
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> images = world.synthesize(world.sample(3, seed=1))
        >>> measured = measure_inversion(invert(world, images, start="mean"), images)
        >>> measured.psnr > 60, measured.ssim > 0.99, measured.kept
        (True, True, None)
    """
    if len({bank is None, classifier is None, native is None}) > 1:
        raise LatdirError(
            "edits are compared with a bank, a classifier and the native codes: give all three, "
            "or none for the images alone"
        )
    check_range(images)
    # Networks without a bounded last layer overshoot; what is shown is within [-1, 1].
    images, made = images.clamp(-1, 1), inversion.reconstruct().clamp(-1, 1)
    likeness = reconstruction_quality(images, made, perceptual=perceptual)
    edits = None
    if bank is not None and classifier is not None and native is not None:
        edits = kept_edits(
            inversion, bank, classifier, native=native, amount=amount, embed=embed,
            rendering=rendering,
        )  # fmt: skip
    return InversionQuality(
        count=len(inversion),
        space=inversion.space,
        # Equal images have no finite PSNR; an inversion's own is limited by rounding.
        psnr=float(likeness.psnr.clamp_max(200).median()),
        ssim=float(likeness.ssim.mean()),
        ms_ssim=None if likeness.ms_ssim is None else float(likeness.ms_ssim.mean()),
        perceptual=None if likeness.perceptual is None else float(likeness.perceptual.mean()),
        identity=None if embed is None else _identity(images, made, embed),
        distance=float(inversion.distances.median()),
        seconds=float(inversion.seconds.median()),
        **_of_edits(edits),
    )


def _of_edits(edits: KeptEdits | None) -> dict[str, float | None]:
    if edits is None:
        return dict.fromkeys(EDITS)
    return {
        "kept": float(edits.kept.nanmean()),
        "edit_error": float(edits.error.nanmean()),
        "leakage": _finite(edits.leakage.mean()),
        "native_leakage": _finite(edits.native_leakage.mean()),
        "edited_identity": _finite(edits.identity.mean()),
    }


def _finite(value: Tensor) -> float | None:
    return float(value) if value.isfinite() else None


def _identity(images: Tensor, made: Tensor, embed: Callable[[Tensor], Tensor]) -> float:
    """Mean identity kept, 1 for equal embeddings, 0 for those of different images."""
    with torch.no_grad():
        rows = [
            torch.nn.functional.normalize(
                torch.cat([embed(part).flatten(1) for part in torch.split(batch, 32)]), dim=1
            ).double()
            for batch in (images, made)
        ]
    n = len(images)
    cosines = rows[0] @ rows[0].T
    different = (cosines.sum() - cosines.trace()) / max(n * (n - 1), 1)
    return float(((rows[0] * rows[1]).sum(1).mean() - different) / (1 - different))
