"""Files and figures of the original implementations, kept beside the repository."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
FIXTURES = ROOT.parent / "shared" / "fixtures"


def fixture(name: str) -> Path:
    """The folder of one original; the test is skipped where there are none."""
    if not FIXTURES.is_dir():
        pytest.skip(f"the parity fixtures are not at {FIXTURES}")
    return FIXTURES / name


def agree(got: Tensor, expected: Tensor) -> None:
    """Equal within 1e-4 of the largest value, or of 1 where that is more."""
    tolerance = 1e-4 * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(got.detach(), expected, rtol=0, atol=tolerance)


def resized_as_tensorflow_does(images: Tensor, size: int) -> Tensor:
    """Bilinear, the first pixel's corner on the first pixel's corner."""
    for axis in (2, 3):
        length = images.shape[axis]
        position = torch.arange(size) * (length / size)
        low = position.floor().long()
        part = (position - low).reshape(-1, *[1] * (3 - axis))
        high = images.index_select(axis, (low + 1).clamp_max(length - 1))
        images = images.index_select(axis, low) * (1 - part) + high * part
    return images
