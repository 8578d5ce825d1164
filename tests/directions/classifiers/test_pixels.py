"""Pixel statistics against their definitions, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from directions import LatdirError
from directions.classifiers.pixels import pixels


def written_out(image: np.ndarray) -> list[float]:
    """The four definitions for one image `[3, h, w]`, in float64."""
    red, green, blue = (image.astype(np.float64) + 1) / 2
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    k = max(1, round(min(luma.shape) / 8))
    corners = np.concatenate([luma[:k, :k].ravel(), luma[:k, -k:].ravel()])
    return [luma.mean(), luma.std(), corners.mean(), (red - blue).mean()]


@pytest.mark.parametrize("shape", [(64, 64), (40, 72), (5, 5)])
def test_scores_are_their_definitions(shape: tuple[int, int]) -> None:
    images = torch.rand(4, 3, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = torch.tensor([written_out(image.numpy()) for image in images])
    torch.testing.assert_close(pixels()(images).double(), expected, atol=1e-6, rtol=0)


def test_each_score_moves_by_what_it_means() -> None:
    gray = torch.zeros(1, 3, 64, 64)

    blue, red = (torch.full((1, 3, 64, 64), -1.0) for _ in range(2))
    red[:, 0], blue[:, 2] = 1.0, 1.0
    warmth = pixels().names.index("warmth")
    assert pixels()(blue)[0, warmth] == -1
    assert pixels()(red)[0, warmth] == 1
    half = gray.clone()
    half[..., 32:], half[..., :32] = 1.0, -1.0
    assert pixels()(half)[0, 1] == pytest.approx(0.5)
    face = gray.clone()
    face[..., 8:, 8:-8] = 1.0
    assert pixels()(face)[0, 2] == pytest.approx(0.5)


def test_gradients_are_finite_even_on_a_flat_image() -> None:
    flat = torch.zeros(1, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(pixels()(flat).sum(), flat)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_images_of_another_kind_are_refused() -> None:
    with pytest.raises(LatdirError, match=r"not \[3, 8, 8\]: add a batch axis with images\[None\]"):
        pixels()(torch.zeros(3, 8, 8))
    with pytest.raises(LatdirError, match=r"not \[2, 1, 8, 8\]: give RGB images"):
        pixels()(torch.zeros(2, 1, 8, 8))
    with pytest.raises(LatdirError, match=r"not torch.uint8: use directions.images.from_uint8"):
        pixels()(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
