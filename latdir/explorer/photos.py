"""Photographs as codes."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.inversion import invert
from directions.inversion.encoders import built_in_encoder
from directions.photographs import Framing, open_photograph
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
    """The code whose picture is nearest to a photograph, framed as the generator's images are.

    Raises:
        LatdirError: No gradient flows through the generator, or the file is not a photograph.
    """
    image, framed = _framed(opened(data), studio.generator)
    quiet = Rendering(progress=False)
    encoder = built_in_encoder(studio.generator)
    # Its codes need no fit, which takes half a minute.
    start = encoder if encoder is not None and encoder.space == studio.space else None
    found = invert(studio.generator, image, space=studio.space, start=start, rendering=quiet)
    psnr, status = float(found.psnr[0]), found.statuses[0]
    remark = f"Found at {psnr:.1f} dB."
    if status not in GOOD:
        remark = (
            f"The nearest picture that {studio.generator.name} makes is {psnr:.1f} dB away: crop "
            "the photograph as its training images were."
        )
    return Found(packed(found.codes[0]), f"{framed}{remark}")


def _framed(picture: Image.Image, generator: Generator) -> tuple[Float[Tensor, "1 3 h w"], str]:
    """The photograph as an image of the generator, and how it was framed.

    The largest face where the generator makes faces and there is one; else the middle.
    """
    try:
        Framing.of(generator)
    except LatdirError:
        return open_photograph(picture, generator, align="center").image, ""
    try:
        return open_photograph(picture, generator, face=0).image, "The largest face is aligned. "
    except LatdirError:
        middle = open_photograph(picture, generator, align="center").image
        return middle, "No face is found in it, so its middle is taken. "
