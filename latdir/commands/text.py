"""Text-image models and banks of texts for the command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from directions.errors import LatdirError
from directions.plugins import build

if TYPE_CHECKING:
    from directions import DirectionBank
    from directions.classifiers.clip.protocol import TextImageModel
    from directions.generators import Generator

__all__ = ["MODEL", "MODEL_HELP", "bank_of_texts", "load_model"]

MODEL = "tinyclip-faces"
MODEL_HELP = "tinyclip-faces, ViT-B/32 and the like, a file of weights, or module:function."
LIBRARIES = ("open_clip", "transformers")
QUICK = 2000


def load_model(name: str, *, device: str = "cpu") -> TextImageModel:
    """A text-image model by name.

    Args:
        name: What `load_clip` takes, or `module:function` of the user's own, where the function
            takes no arguments and returns such a model, and puts it on its device.
        device: Where it runs.

    Raises:
        LatdirError: No model of that name, or the function returns something else.
    """
    from directions.classifiers.clip.model import load_clip
    from directions.classifiers.clip.protocol import TextImageModel

    if ":" not in name or name.partition(":")[0] in LIBRARIES or Path(name).exists():
        return load_clip(name, device=device)
    made = build(name, {}, kind="CLIP", wrap="directions.classifiers.clip.model.load_clip")
    if not isinstance(made, TextImageModel):
        raise LatdirError(
            f"{name} made a {type(made).__name__}, which has not all of encode_images, "
            "encode_texts, temperature, name and fingerprint: return load_clip(…)"
        )
    return made


def bank_of_texts(
    generator: Generator, clip: TextImageModel, text: Sequence[str], *, neutral: str
) -> DirectionBank:
    """Directions of texts, found quickly: boundaries of 2,000 labels.

    Args:
        generator: Makes the images.
        clip: Labels them.
        text: Texts, as `prompts_of` reads them.
        neutral: Where from.
    """
    from discovery.text.clip_boundary import ClipBoundary

    return ClipBoundary(n_codes=QUICK).discover(
        generator, text=list(text), neutral=neutral, clip=clip
    )
