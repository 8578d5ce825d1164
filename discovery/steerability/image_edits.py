"""Image edits by a known amount: shift, zoom, rotation, brightness and color.

They act on images and on feature maps, differentiably, and mark which pixels of the result
are known: those that enter the frame from outside are unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.errors import LatdirError

__all__ = ["EDITS", "Edit", "edits_named"]

KNOWN = 0.999


@dataclass(frozen=True)
class Edit:
    """One kind of edit.

    Attributes:
        name: Such as `zoom`.
        unit: Meaning of an amount of 1.
        reach: A large amount that a generator can still be expected to follow.
        placement: For geometric edits, amounts `[n]` to the maps `[n, 2, 3]` from places in the
            result to places in the original, in `affine_grid`'s coordinates.
        tint: For color edits, the change of red, green and blue per unit amount.

    Example:
        >>> picture = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> moved, known = EDITS["shift_x"](picture, torch.tensor([0.25]))
        >>> moved[0, 0, 0].tolist(), known[0, 0, 0].tolist()
        ([0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0])
    """

    name: str
    unit: str
    reach: float
    placement: Callable[[Tensor], Tensor] | None = None
    tint: tuple[float, float, float] | None = None

    def __call__(
        self, pictures: Float[Tensor, "n c h w"], amounts: Float[Tensor, "n"]
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 1 h w"]]:
        """The edited images, and a mask, 1 where they are known and 0 elsewhere."""
        if self.placement is None:
            tint = torch.tensor(self.tint, dtype=pictures.dtype, device=pictures.device)
            # Images are bounded by -1 and 1, and so is the target.
            edited = (pictures + amounts[:, None, None, None] * tint[:, None, None]).clamp(-1, 1)
            return edited, torch.ones_like(pictures[:, :1])
        grid = functional.affine_grid(
            self.placement(amounts), list(pictures.shape), align_corners=False
        )
        inside = functional.grid_sample(
            torch.ones_like(pictures[:, :1]), grid.detach(), align_corners=False
        )
        edited = functional.grid_sample(pictures, grid, align_corners=False)
        known = (inside > KNOWN).to(pictures)
        return edited * known, known


def _matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _shift_x(a: Tensor) -> Tensor:
    one, zero = torch.ones_like(a), torch.zeros_like(a)
    return _matrix((one, zero, -2 * a), (zero, one, zero))


def _shift_y(a: Tensor) -> Tensor:
    one, zero = torch.ones_like(a), torch.zeros_like(a)
    return _matrix((one, zero, zero), (zero, one, -2 * a))


def _zoom(a: Tensor) -> Tensor:
    scale, zero = torch.exp2(-a), torch.zeros_like(a)
    return _matrix((scale, zero, zero), (zero, scale, zero))


def _rotate(a: Tensor) -> Tensor:
    cos, sin, zero = torch.cos(a * math.pi / 180), torch.sin(a * math.pi / 180), torch.zeros_like(a)
    return _matrix((cos, -sin, zero), (sin, cos, zero))


EDITS: dict[str, Edit] = {
    edit.name: edit
    for edit in (
        Edit("shift_x", "frame widths to the right", 0.15, _shift_x),
        Edit("shift_y", "frame heights down", 0.15, _shift_y),
        Edit("zoom", "doublings in size", 0.4, _zoom),
        Edit("rotate", "degrees counter-clockwise", 20.0, _rotate),
        Edit("brightness", "of the range from gray to white", 0.5, tint=(1.0, 1.0, 1.0)),
        Edit("red", "of the range from gray to red", 0.5, tint=(1.0, 0.0, 0.0)),
        Edit("green", "of the range from gray to green", 0.5, tint=(0.0, 1.0, 0.0)),
        Edit("blue", "of the range from gray to blue", 0.5, tint=(0.0, 0.0, 1.0)),
    )
}


def edits_named(text: str) -> list[Edit]:
    """Edits from comma-separated names.

    Raises:
        LatdirError: An unknown name, one given twice, or none.

    Example:
        >>> [edit.unit for edit in edits_named("zoom, rotate")]
        ['doublings in size', 'degrees counter-clockwise']
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in EDITS]
    if unknown or not names or len(set(names)) < len(names):
        raise LatdirError(
            f"transforms {text!r}: give some of {', '.join(EDITS)}, each once, commas between"
        )
    return [EDITS[name] for name in names]
