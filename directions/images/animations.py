"""Animations written to GIF and WebP files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from directions.arguments import checked
from directions.errors import LatdirError
from directions.images.grids import PAPER
from directions.storage.atomic import atomic

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ANIMATIONS", "save_animation"]

ANIMATIONS = (".gif", ".webp")


@checked
def save_animation(
    frames: Sequence[Image.Image], path: str | Path, *, seconds: float = 3.0, back: bool = True
) -> Path:
    """Write frames as an animation that repeats, atomically.

    Args:
        frames: PIL images, such as those of `edit_frames`; smaller ones are put on white.
        path: The file, `.gif` (256 colors) or `.webp`.
        seconds: Time of one pass from the first frame to the last.
        back: Whether it runs back to the first frame before it repeats.

    Raises:
        LatdirError: No frames, no such duration, another suffix, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> frames = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (0, 128, 255)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Image.open(save_animation(frames, f"{folder}/red.gif")) as read:
        ...         read.n_frames
        4
    """
    from PIL import Image

    path, frames = Path(path), list(frames)
    if path.suffix.lower() not in ANIMATIONS:
        raise LatdirError(
            f"animations are written as {' or '.join(ANIMATIONS)}, not {path.name!r}: rename it"
        )
    if not frames or not all(isinstance(frame, Image.Image) for frame in frames):
        raise LatdirError("an animation takes one PIL image or more, such as edit_frames makes")
    # A frame of a GIF lasts a hundredth of a second or more, and players slow down below two.
    duration = round(1000 * seconds / len(frames))
    if not 20 <= duration <= 60_000:
        raise LatdirError(
            f"{len(frames)} frames in {seconds:g} seconds are {duration} ms each: from 20 to 60,000"
        )
    size = tuple(max(frame.size[axis] for frame in frames) for axis in (0, 1))
    whole = [_padded(frame, (size[0], size[1])) for frame in frames]
    whole += whole[-2:0:-1] if back else []
    how = {"quality": 90} if path.suffix.lower() == ".webp" else {}
    with atomic(path) as temporary:
        whole[0].save(
            temporary, format=path.suffix[1:].upper(), save_all=True, append_images=whole[1:],
            duration=duration, loop=0, **how,
        )  # fmt: skip
    return path


def _padded(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    if frame.size == size and frame.mode == "RGB":
        return frame
    made = Image.new("RGB", size, PAPER)
    made.paste(frame, (0, 0))
    return made
