"""Brightness, contrast, background and warmth, from pixels alone: exact and differentiable."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Attribute, Classifier
from directions.classifiers.crop import rgb_images
from directions.fingerprints import fingerprint

__all__ = ["PixelClassifier", "pixels"]

# Luma of ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)
BORDER = 0.125
# Keeps the gradient of the standard deviation finite on a flat image.
FLAT = 1e-6


class PixelClassifier(Classifier):
    """Scores of pixels; make one with `pixels()`.

    With luma Y = 0.299 R + 0.587 G + 0.114 B, all channels in [0, 1]:

    - `brightness`: mean of Y, in [0, 1];
    - `contrast`: standard deviation of Y over the pixels, in [0, 0.5];
    - `background_brightness`: mean of Y over the upper corners, two squares whose side is an
      eighth of the image's shorter side, where a centered face leaves the background free;
    - `warmth`: mean of R − B, in [-1, 1], positive for reddish images.
    """

    name = "pixels"
    attributes = (
        Attribute("brightness", "value", "luma", "mean luma"),
        Attribute("contrast", "value", "luma", "standard deviation of luma"),
        Attribute("background_brightness", "value", "luma", "mean luma of the upper corners"),
        Attribute("warmth", "value", "luma", "mean of red minus blue"),
    )
    differentiable = True
    concurrent = True

    @property
    def fingerprint(self) -> str:
        """sha256 over the definitions' constants."""
        return fingerprint({}, {"name": self.name, "luma": LUMA, "border": BORDER})

    def __call__(self, images: Tensor) -> Float[Tensor, "n 4"]:
        """Scores, `[n, 4]`, float32.

        Raises:
            LatdirError: Not a batch of RGB images.
        """
        unit = (rgb_images(images).float() + 1) / 2
        if not len(unit):
            return unit.new_zeros(0, len(self.attributes))
        luma = (unit * unit.new_tensor(LUMA)[:, None, None]).sum(1)
        corner = max(1, round(min(luma.shape[1:]) * BORDER))
        corners = torch.cat((luma[:, :corner, :corner], luma[:, :corner, -corner:]), 2)
        contrast = (luma.var((1, 2), correction=0) + FLAT**2).sqrt()
        warmth = (unit[:, 0] - unit[:, 2]).mean((1, 2))
        return torch.stack((luma.mean((1, 2)), contrast, corners.mean((1, 2)), warmth), 1)


def pixels() -> PixelClassifier:
    """The classifier of pixel statistics; it has no weights.

    Example:
        >>> pixels()(torch.ones(1, 3, 8, 8))[0].round(decimals=3)
        tensor([1., 0., 1., 0.])
    """
    return PixelClassifier()
