"""The built-in face classifier: expression, landmarks, age and gender.

Read `classifier` first; `nets` are its networks, `inference` runs them fast on a CPU. Import from
here.
"""

from directions.classifiers.faces.classifier import FaceClassifier, faces
from directions.classifiers.faces.landmarks import Pose, head_pose

__all__ = [
    "FaceClassifier",
    "Pose",
    "faces",
    "head_pose",
]
