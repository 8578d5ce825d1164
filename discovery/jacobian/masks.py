"""Regions of images: boxes, and parts of faces drawn around their landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from directions.errors import LatdirError, UnknownNameError
from directions.numerics.linearized import Window

__all__ = ["PARTS", "Part", "bounding_window", "box_mask", "part_mask"]

Part = Literal["eyes", "mouth", "nose", "face", "background"]
PARTS: tuple[Part, ...] = get_args(Part)

# iBUG's numbering of 68 points; each group is one convex patch.
GROUPS: dict[str, tuple[range, ...]] = {
    "eyes": (range(36, 42), range(42, 48)),
    "mouth": (range(48, 68),),
    "nose": (range(27, 36),),
}
BROWS, CHIN = slice(17, 27), 8
OUTER_EYES = (36, 45)
# Around each patch, and from the brows up to the hair, in units of the outer eyes' distance and
# of the face's height below the brows.
MARGIN, FOREHEAD = 0.12, 0.4


def box_mask(window: Window, *, height: int, width: int) -> Float[Tensor, "h w"]:
    """One inside a rectangle, zero outside.

    Args:
        window: (top, left, bottom, right) in pixels, the last two excluded.
        height: Of the image.
        width: Of the image.

    Raises:
        LatdirError: The rectangle is empty or leaves the image.

    Example:
        >>> box_mask((0, 1, 1, 3), height=2, width=3).tolist()
        [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    top, left, bottom, right = window
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise LatdirError(
            f"the box {window} is empty or leaves the image of {height}×{width} pixels: give "
            "top,left,bottom,right, the last two excluded"
        )
    mask = torch.zeros(height, width)
    mask[top:bottom, left:right] = 1
    return mask


def part_mask(
    landmarks: Float[Tensor, "68 2"], part: Part, *, height: int, width: int
) -> Float[Tensor, "h w"]:
    """One on a part of a face, zero elsewhere.

    Each part is the convex hull of its landmarks with a margin of 0.12 of the distance between
    the outer corners of the eyes. The landmarks end at the brows: the face extends upward, by
    0.4 of its height below them. `background` is the complement of the face.

    Args:
        landmarks: One face's 68 points, iBUG order, in pixels: x to the right, y down, the
            center of the first pixel at (0.5, 0.5).
        part: Which part.
        height: Of the image.
        width: Of the image.

    Raises:
        LatdirError: An unknown part, or landmarks that span no area.
    """
    if part not in PARTS:
        raise UnknownNameError(f"no face part {part!r}: there are {', '.join(PARTS)}")
    points = landmarks.detach().double().cpu()
    margin = MARGIN * float((points[OUTER_EYES[0]] - points[OUTER_EYES[1]]).norm())
    if part in GROUPS:
        patches = [points[list(group)] for group in GROUPS[part]]
    else:
        up = points[BROWS].mean(0) - points[CHIN]
        patches = [torch.cat([points, points[BROWS] + FOREHEAD * up])]
    inside = torch.zeros(height, width, dtype=torch.bool)
    for patch in patches:
        inside |= _distance(patch, height, width) <= margin
    return (~inside if part == "background" else inside).float()


def bounding_window(mask: Float[Tensor, "h w"]) -> Window:
    """The smallest rectangle that holds all of a mask that is not zero.

    Raises:
        LatdirError: The mask is zero everywhere.

    Example:
        >>> bounding_window(torch.tensor([[0.0, 0.0], [0.0, 0.5]]))
        (1, 1, 2, 2)
    """
    rows, columns = (mask > 0).any(1).nonzero(), (mask > 0).any(0).nonzero()
    if not len(rows):
        raise LatdirError("the mask is empty: no pixel is above zero")
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _distance(points: Float[Tensor, "n 2"], height: int, width: int) -> Float[Tensor, "h w"]:
    """Signed distance of each pixel's center to the hull; negative inside."""
    try:
        sides = torch.from_numpy(ConvexHull(points.numpy()).equations)
    except QhullError as error:
        raise LatdirError(
            "the landmarks of a face collapse to a line or a point: leave that code out, or "
            "give a mask of your own"
        ) from error
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) + 0.5,
        torch.arange(width, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    planes: Sequence[Tensor] = [a * x + b * y + c for a, b, c in sides]
    return torch.stack(list(planes)).amax(0)
