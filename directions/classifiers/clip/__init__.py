"""CLIP: text-image models, zero-shot classifiers and text prompts.

Read `protocol` first: the interface of a text-image model; `model` loads one. Import from here;
`backends` and `weights` are internal.
"""

from directions.classifiers.clip.model import (
    ClipClassifier,
    ClipModel,
    clip_classifier,
    clip_faces,
    load_clip,
)
from directions.classifiers.clip.prompts import Prompt, Texts, prompts_of, text_directions
from directions.classifiers.clip.protocol import TextImageModel
from directions.classifiers.clip.templates import FACE_PROMPTS, TEMPLATES

__all__ = [
    "FACE_PROMPTS", "TEMPLATES", "ClipClassifier", "ClipModel", "Prompt", "TextImageModel", "Texts",
    "clip_classifier", "clip_faces", "load_clip", "prompts_of", "text_directions",
]  # fmt: skip
