"""Classifiers: images in, named scores out."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from directions.classifiers.base import Attribute, Classifier, Combined
from directions.errors import LatdirError

__all__ = ["CLASSIFIERS", "Attribute", "Classifier", "Combined", "Entry", "load_classifier"]


@dataclass(frozen=True)
class Entry:
    """One classifier that loads by name.

    Attributes:
        location: `module:function` that makes it.
        summary: What it is, in a line.
    """

    location: str
    summary: str


CLASSIFIERS: dict[str, Entry] = {
    "faces": Entry(
        "directions.classifiers.faces:faces",
        "expression, landmarks, age and gender of a face (ships with the package)",
    ),
    "pixels": Entry(
        "directions.classifiers.pixels:pixels",
        "brightness, contrast, background, warmth, from pixels alone",
    ),
}


def load_classifier(name: str) -> Classifier:
    """A classifier by name; several joined by `+` stand side by side.

    Raises:
        LatdirError: No classifier of that name.

    Example:
        >>> load_classifier("pixels").names
        ('brightness', 'contrast', 'background_brightness', 'warmth')
        >>> load_classifier("cats")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: no classifier 'cats': there are faces, pixels; wrap
        your own with directions.wrap_classifier
    """
    parts = []
    for part in name.split("+"):
        if part not in CLASSIFIERS:
            raise LatdirError(
                f"no classifier {part!r}: there are {', '.join(CLASSIFIERS)}; "
                "wrap your own with directions.wrap_classifier"
            )
        module, _, function = CLASSIFIERS[part].location.partition(":")
        made: Classifier = getattr(importlib.import_module(module), function)()
        parts.append(made)
    return parts[0] if len(parts) == 1 else Combined(*parts)
