"""Validation of images and of seeds."""

from __future__ import annotations

import torch
from torch import Tensor

from directions.errors import LatdirError, whole_number

__all__ = ["check_images", "check_pixels", "check_seed"]


def check_images(
    images: object, *, name: str, count: int, later: list[Tensor] | None = None
) -> Tensor:
    """Return a generator's output if it is `count` images, `[n, 3, H, W]` and finite.

    Args:
        images: The output.
        name: Of the generator.
        count: Number of codes.
        later: Where the answer goes, for images on a card, whether all pixels are finite: to
            read it would wait for the card. `check_pixels` reads all of them at once.

    Raises:
        LatdirError: It is something else.

    Example:
        >>> check_images(torch.zeros(2, 100), name="net", count=2)
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: net does not make images: 2 codes gave a tensor of shape
        [2, 100], where [2, 3, H, W] is wanted
    """
    if not isinstance(images, Tensor):
        what = f"a {type(images).__name__}"
    elif images.ndim != 4 or images.shape[:2] != (count, 3) or 0 in images.shape:
        what = f"a tensor of shape {list(images.shape)}"
    elif not images.is_floating_point():
        what = f"a tensor of type {images.dtype}, not floating point"
    else:
        finite = torch.isfinite(images).all()
        if later is not None and images.device.type != "cpu":
            later.append(finite)
        else:
            check_pixels([finite], name=name, count=count)
        return images
    raise LatdirError(_refusal(name, count, what))


def check_pixels(finite: list[Tensor], *, name: str, count: int) -> None:
    """Read answers that `check_images` left on a card, and forget them.

    Raises:
        LatdirError: Images had NaN or infinite pixels.
    """
    wrong = finite and not bool(torch.stack(finite).all())
    finite.clear()
    if wrong:
        raise LatdirError(_refusal(name, count, "NaN or infinite pixels"))


def _refusal(name: str, count: int, what: str) -> str:
    return (
        f"{name} does not make images: {count} codes gave {what}, "
        f"where [{count}, 3, H, W] is wanted"
    )


def check_seed(seed: int, start: int = 0, count: int = 0) -> None:
    """Refuse a seed, or positions in its sequence of codes, that do not exist.

    Raises:
        LatdirError: A number with a fraction, a negative count or start, or a seed outside
            0 … 2**64 - 1.

    Example:
        >>> check_seed(-1)
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: count 0 and start 0 must not be negative nor beyond 2**63,
        and seed -1 must be in 0 … 2**64 - 1
    """
    count, start, seed = (
        whole_number(value, name)
        for value, name in ((count, "count"), (start, "start"), (seed, "seed"))
    )
    if count < 0 or start < 0 or start + count >= 2**63 or not 0 <= seed < 2**64:
        raise LatdirError(
            f"count {count} and start {start} must not be negative nor beyond 2**63, "
            f"and seed {seed} must be in 0 … 2**64 - 1"
        )
