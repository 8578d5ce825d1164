"""A photograph in the framing of a generator, and what was made of it pasted back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked, checked_fields
from directions.classifiers.faces.classifier import faces
from directions.classifiers.faces.detector import FaceBox, find_faces
from directions.classifiers.faces.landmarks import head_pose
from directions.errors import LatdirError, real_number
from directions.generators.base import Generator, check_generator
from directions.images.photographs import named_pictures
from directions.photographs.alignment import LEAST_TRUST, Framing, Similarity

__all__ = ["Photograph", "open_photograph"]

Align = Literal["face", "center"]
# The landmarks are read again in the framing that they led to.
PASSES = 3


@checked_fields
@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph, and the part of it in a generator's framing.

    Attributes:
        picture: `[1, 3, H, W]` in [-1, 1], the whole photograph.
        image: `[1, 3, h, w]`, what `invert` takes.
        alignment: Brings pixels of the picture to pixels of the image.
        name: File name, for messages.

    Raises:
        LatdirError: Pixels that are not finite.
    """

    picture: Float[Tensor, "1 3 H W"]
    image: Float[Tensor, "1 3 h w"]
    alignment: Similarity
    name: str = "the picture"

    def __post_init__(self) -> None:
        if not (self.picture.isfinite().all() and self.image.isfinite().all()):
            raise LatdirError(f"{self.name} has NaN or infinite pixels: images are in [-1, 1]")

    def paste(
        self,
        images: Float[Tensor, "n 3 h w"],
        *,
        instead_of: Tensor | None = None,
        feather: float = 0.15,
    ) -> Float[Tensor, "n 3 H W"]:
        """The photograph with other images in place of its part, each in one.

        Args:
            images: In the generator's framing, such as edited ones.
            instead_of: `[1, 3, h, w]` or `[n, 3, h, w]`, the images before the edit: only the
                difference is pasted, so that what the edit leaves alone keeps every detail of the
                photograph. By default the images themselves are.
            feather: Width of the soft edge, as a fraction of the image's side.

        Raises:
            LatdirError: Images of another size, or a feather outside 0 … 0.5.

        Example:
            >>> photo = Photograph(torch.zeros(1, 3, 90, 90), torch.zeros(1, 3, 32, 32),
            ...                    Similarity(0.5 + 0j, -4 - 4j))
            >>> pasted = photo.paste(torch.ones(1, 3, 32, 32))
            >>> pasted[0, 0, 40, 40], pasted[0, 0, 4, 4]
            (tensor(1.), tensor(0.))
        """
        if not 0 <= real_number(feather, "feather") <= 0.5:
            raise LatdirError(f"feather {feather} is a fraction of the image's side in 0 … 0.5")
        for given in (images, instead_of):
            if given is not None and given.shape[1:] != self.image.shape[1:]:
                raise LatdirError(
                    f"images to paste are {list(self.image.shape)} as photograph.image is, not "
                    f"{list(given.shape)}"
                )
        change = images.detach() if instead_of is None else (images - instead_of).detach()
        change = change.to(self.picture)
        back, mask = self._unaligned(change), self._mask(feather)
        base = (1 - mask) * self.picture if instead_of is None else self.picture
        return (base + mask * back).clamp(-1, 1)

    def _unaligned(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 H W"]:
        # Halved, since differences of images reach beyond [-1, 1].
        inverse = Similarity(
            1 / self.alignment.factor, -self.alignment.offset / self.alignment.factor
        )
        height, width = self.picture.shape[2:]
        return 2 * inverse.warp(images / 2, (height, width))

    def _mask(self, feather: float) -> Float[Tensor, "H W"]:
        """1 within the image's frame, 0 beyond it, with a smooth ramp along the inside."""
        height, width = self.picture.shape[2:]
        rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
        extent = torch.tensor([self.image.shape[3], self.image.shape[2]])
        places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
        inside = self.alignment(places) / extent
        margin = torch.minimum(inside, 1 - inside).amin(-1)
        ramp = (margin / max(feather, 1e-6)).clamp(0, 1)
        return (ramp * ramp * (3 - 2 * ramp)).to(self.picture)


@checked
def open_photograph(
    source: Any,
    generator: Generator,
    *,
    align: Align = "face",
    box: Sequence[int] | None = None,
    face: int | None = None,
) -> Photograph:
    """A photograph in the framing of a generator's own images.

    Args:
        source: A file, a PIL image or an array, as `open_images` takes it.
        generator: Whose size and framing the image is to have.
        align: `face` finds the face and brings its landmarks to where the generator's faces of
            that shape have theirs; `center` takes the largest part in the middle.
        box: Left, top, right and bottom of the part to take, in pixels, instead.
        face: Of several faces, which: 0 is the largest.

    Raises:
        LatdirError: No picture; no face, or several without a choice; a box beyond the picture; a
            generator whose images show no faces.

    Example:
        >>> from directions.planted.world import planted
        >>> photo = open_photograph(torch.zeros(48, 80, 3).numpy(), planted(), align="center")
        >>> photo.picture.shape, photo.image.shape
        (torch.Size([1, 3, 48, 80]), torch.Size([1, 3, 16, 16]))
    """
    check_generator(generator)
    pictures = list(named_pictures(source))
    if len(pictures) != 1:
        raise LatdirError(
            f"open_photograph opens one picture, and there are {len(pictures)}: open each by itself"
        )
    [(name, picture)] = pictures
    height, width = generator.image_shape[1:]
    if box is not None:
        alignment = _of_box(box, name, picture, (height, width))
    elif align == "center":
        scale = max(height / picture.shape[2], width / picture.shape[3])
        middle = complex(width - scale * picture.shape[3], height - scale * picture.shape[2]) / 2
        alignment = Similarity(complex(scale), middle)
    else:
        alignment = _of_face(picture, name, generator, face)
    image = alignment.warp(picture, (height, width)).to(generator.device)
    return Photograph(picture, image, alignment, name)


def _of_box(box: Sequence[int], name: str, picture: Tensor, size: tuple[int, int]) -> Similarity:
    if len(box) != 4:
        raise LatdirError(f"a box is (left, top, right, bottom) in pixels, not {tuple(box)}")
    left, top, right, bottom = (int(edge) for edge in box)
    height, width = picture.shape[2:]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise LatdirError(
            f"the box {(left, top, right, bottom)} is not within {name}, which is {width}×{height}"
        )
    # The box keeps its proportions: the larger part is cut at the sides that do not fit.
    scale = max(size[0] / (bottom - top), size[1] / (right - left))
    center = complex(left + right, top + bottom) / 2
    return Similarity(complex(scale), complex(size[1], size[0]) / 2 - scale * center)


def _of_face(picture: Tensor, name: str, generator: Generator, face: int | None) -> Similarity:
    places = find_faces(picture)
    if not places:
        raise _no_face(name)
    framing = Framing.of(generator)
    size: tuple[int, int] = (generator.image_shape[1], generator.image_shape[2])
    found = []
    for place in places:
        brought, trust = _brought(picture, place, framing, size)
        if trust > LEAST_TRUST:
            found.append((place, brought))
    if not found:
        raise _no_face(name)
    if face is None and len(found) > 1:
        where = "; ".join(f"{i} at {_center(box)}" for i, (box, _) in enumerate(found))
        raise LatdirError(
            f"{name} shows {len(found)} faces: choose one, such as face=0, the largest ({where})"
        )
    if not 0 <= (face or 0) < len(found):
        raise LatdirError(
            f"there is no face {face} in {name}: the largest of {len(found)} is face 0, the "
            f"smallest face {len(found) - 1}"
        )
    return found[face or 0][1]


def _no_face(name: str) -> LatdirError:
    return LatdirError(
        f'no face is found in {name}: say where it is by a box, or align="center" where it fills '
        "the picture"
    )


def _brought(
    picture: Tensor, box: FaceBox, framing: Framing, size: tuple[int, int]
) -> tuple[Similarity, float]:
    """The alignment of the face in a box, and the trust in its landmarks."""
    side = max(box.right - box.left, box.bottom - box.top)
    center = complex(box.left + box.right, box.top + box.bottom) / 2
    alignment = Similarity(
        complex(size[1] / side), complex(*size[::-1]) / 2 - size[1] / side * center
    )
    read = faces()
    trust = 0.0
    for _ in range(PASSES):
        with torch.no_grad():
            points = (
                read.landmarks(alignment.scaled(2.0).warp(picture, (2 * size[0], 2 * size[1]))) / 2
            )
        trust = float(head_pose(points).trust)
        alignment = framing.bring(alignment.inverse(points[0]))
    return alignment, trust


def _center(box: FaceBox) -> str:
    return f"({(box.left + box.right) / 2:.0f}, {(box.top + box.bottom) / 2:.0f})"
