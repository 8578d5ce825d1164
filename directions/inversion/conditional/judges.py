"""What judges the images of conditional encoders in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from directions.fingerprints import Precision
from directions.inversion.checks import identified

__all__ = ["Judge", "Judges"]

Judge = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Judges:
    """What images are judged by, each differentiable.

    Attributes:
        attribute: Name of the value.
        value: Images to `[n]`.
        embed: Images to `[n, k]`, identity.
        points: Images to `[n, p, 2]`, landmarks in pixels.
        kept: Images to `[n, m]`, attributes that are to stay.
    """

    attribute: str
    value: Judge
    embed: Judge
    points: Judge | None
    kept: Judge | None = None

    def at(self, precision: Precision) -> Judges:
        """The same with the products of networks in a precision."""

        def run(judge: Judge) -> Judge:
            def judged(images: Tensor) -> Tensor:
                with torch.autocast(images.device.type, torch.bfloat16):
                    return judge(images).float()

            return judged

        if precision == "float32":
            return self
        return replace(
            self,
            value=run(self.value),
            embed=run(self.embed),
            points=None if self.points is None else run(self.points),
            kept=None if self.kept is None else run(self.kept),
        )

    def record(self, shape: tuple[int, ...], device: torch.device) -> dict[str, str | None]:
        """What identifies those of identity and landmarks in a run's record.

        Args:
            shape: Of an image.
            device: Of the images they see.
        """
        return {
            "embed": identified(self.embed, shape, device),
            "points": None if self.points is None else identified(self.points, shape, device),
        }
