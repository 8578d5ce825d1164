"""Both built-in face classifiers and their mirror images as one, standardized on digiface64."""

from __future__ import annotations

from directions.classifiers.ensemble import Ensemble
from directions.classifiers.faces import faces
from directions.classifiers.mirror import Mirrored
from directions.classifiers.mobile_faces import mobile_faces
from directions.classifiers.reliability import ODD

__all__ = ["face_ensemble"]

# Attribute: offset, weight of faces, weight of mobile-faces, by
# `python benchmarks/reliability.py --weights` (1,024 faces).
WEIGHTS = {
    "smiling": (1.1742, 0.5436, 1.0972),
    "surprised": (2.2347, 0.5626, 1.0770),
    "neutral": (1.7070, 0.5751, 1.6109),
    "sad": (0.1721, 0.5823, 1.5292),
    "angry": (0.3188, 0.5980, 1.3618),
    "fearful": (0.2953, 0.6181, 1.2119),
    "disgusted": (0.0000, 1.0000, 0.0000),
    "male": (-0.5036, 0.5712, 0.7681),
    "age": (-22.3587, 0.5918, 0.9730),
    "yaw": (-0.0165, 0.5043, 0.4194),
    "pitch": (-0.8735, 0.5190, 0.5930),
    "roll": (0.1728, 0.5238, 0.7471),
    "mouth_open": (0.0064, 0.5186, 0.6629),
    "eyes_open": (-0.0074, 0.5808, 0.4511),
    "smile_width": (-0.0679, 0.5273, 0.5939),
}


def face_ensemble() -> Ensemble:
    """`faces` and `mobile-faces`, each asked about mirror images too, with equal weights.

    Scores are on the scale of `faces`. Weights are for digiface64; for another generator make one
    with `Ensemble.fit`.

    Example:
        >>> both = face_ensemble()
        >>> both.name, both.names[:3]
        ('face-ensemble', ('smiling', 'surprised', 'neutral'))
    """
    members = [Mirrored(member, odd=ODD) for member in (faces(), mobile_faces())]
    return Ensemble(members, WEIGHTS, name="face-ensemble")
