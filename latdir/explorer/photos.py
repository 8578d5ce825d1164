"""Photographs as codes."""

from __future__ import annotations

from dataclasses import dataclass

from directions.images.photographs import open_images
from directions.inversion import invert
from directions.scoring.rendering import Rendering
from latdir.explorer.export import opened
from latdir.explorer.pictures import Studio
from latdir.explorer.state import packed

__all__ = ["Found", "inverted"]

GOOD = ("converged", "unfinished")


@dataclass(frozen=True)
class Found:
    """The code of a photograph.

    Attributes:
        code: The code, packed.
        remark: How well it makes the photograph again, in a sentence.
    """

    code: str
    remark: str


def inverted(studio: Studio, data: bytes) -> Found:
    """The code whose picture is nearest to a photograph, cut to the middle.

    Raises:
        LatdirError: No gradient flows through the generator, or the file is no photograph.
    """
    size = studio.generator.image_shape[1:]
    image = open_images(opened(data), size=(size[0], size[1])).to(studio.generator.device)
    found = invert(studio.generator, image, space=studio.space, rendering=Rendering(progress=False))
    psnr, status = float(found.psnr[0]), found.statuses[0]
    remark = f"Found at {psnr:.1f} dB."
    if status not in GOOD:
        remark = (
            f"The nearest picture that {studio.generator.name} makes is {psnr:.1f} dB away: crop "
            "the photograph as its training images were."
        )
    return Found(packed(found.codes[0]), remark)
