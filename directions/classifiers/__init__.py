"""Classifiers: the contract, built-in and wrapped classifiers, lookup by name.

Read `base` first. Import `load_classifier` and the names below from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from directions.errors import LatdirError
from directions.lazy import lazy_names
from directions.plugins import Entry, build, installed

if TYPE_CHECKING:
    from directions.classifiers.base import Attribute, Classifier, Combined
    from directions.classifiers.ensemble import Ensemble
    from directions.classifiers.mirror import Mirrored
    from directions.classifiers.onnx_file import OnnxInput, load_onnx
    from directions.classifiers.reliability import Reliability, measure_reliability
    from directions.classifiers.rename import Renamed
    from directions.devices import Device

__all__ = [
    "CLASSIFIERS", "Attribute", "Classifier", "Combined", "Ensemble", "Mirrored", "OnnxInput",
    "Reliability", "Renamed", "available_classifiers", "load_classifier", "load_onnx",
    "measure_reliability",
]  # fmt: skip

GROUP = "latdir.classifiers"


CLASSIFIERS: dict[str, Entry] = {
    "faces": Entry(
        "directions.classifiers.faces.classifier:faces",
        "expression, landmarks, age and gender of a face; ships with the package",
    ),
    "mobile-faces": Entry(
        "directions.classifiers.mobile_faces.classifier:mobile_faces",
        "the attributes of faces by networks of other origins: a second opinion",
    ),
    "face-ensemble": Entry(
        "directions.classifiers.face_ensemble:face_ensemble",
        "faces, mobile-faces and mirror images of both, averaged; for digiface64",
    ),
    "pixels": Entry(
        "directions.classifiers.pixels:pixels",
        "brightness, contrast, background, warmth, from pixels alone",
    ),
    "clip": Entry(
        "directions.classifiers.clip.model:clip_faces",
        "zero-shot attributes of a face from text, by the small built-in CLIP; needs latdir[clip]",
    ),
}


def available_classifiers() -> dict[str, Entry]:
    """Classifiers by name, with those of other installed packages."""
    return CLASSIFIERS | installed(GROUP, CLASSIFIERS)


def load_classifier(name: str, *, device: Device = "cpu") -> Classifier:
    """A classifier by name; several joined by `+` are combined.

    Args:
        name: Such as `faces+pixels`. Each part is one of `available_classifiers()`; an ONNX file
            with the names of its outputs, `model.onnx?labels=smiling,age`, to which `output` and
            the fields of `OnnxInput` may be appended with `&`; or `module:function` or
            `path/to/file.py:function` of your own, where the function takes no arguments and
            returns a `Classifier`, such as `directions.wrap_classifier(…)`.
        device: As for `load_generator`. Classifiers without weights, `faces` and `mobile-faces` run
            where the images are.

    Raises:
        LatdirError: No classifier of that name, or no such device.

    Example:
        >>> load_classifier("pixels").names
        ('brightness', 'contrast', 'background_brightness', 'warmth')
        >>> load_classifier("cats")
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: no classifier 'cats': there are faces, mobile-faces,
            face-ensemble, pixels, clip; your own is named 'module:function' or 'file.py:function',
            where the function returns directions.wrap_classifier(…)
    """
    from directions.classifiers.base import Classifier, Combined
    from directions.devices import resolve_device

    if not isinstance(name, str):
        raise LatdirError(
            f"a classifier is loaded by its name, not from a {type(name).__name__}: a module or "
            "function of your own is adapted by directions.wrap_classifier(…)"
        )
    where = resolve_device(device)
    parts: list[Classifier] = []
    for part in name.split("+"):
        if part.partition("?")[0].lower().endswith(".onnx"):
            from directions.classifiers.onnx_file import named_in

            parts.append(named_in(part))
            continue
        made = build(
            part, CLASSIFIERS, kind="classifier", wrap="directions.wrap_classifier", group=GROUP
        )
        if not isinstance(made, Classifier):
            raise LatdirError(
                f"{part} made a {type(made).__name__}, not a Classifier: "
                "return directions.wrap_classifier(…)"
            )
        parts.append(made.to(where))
    return parts[0] if len(parts) == 1 else Combined(*parts)


__getattr__, __dir__ = lazy_names(__name__)
