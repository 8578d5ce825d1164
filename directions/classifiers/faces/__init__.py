"""The built-in face classifier: expression, landmarks, age and gender.

Read `classifier` first; `nets` are its networks, `inference` runs them fast on a CPU. `detector`
finds the faces of a picture. Import from here.
"""

from directions.classifiers.faces.classifier import FaceClassifier, faces
from directions.classifiers.faces.detector import FaceBox, find_faces
from directions.classifiers.faces.landmarks import Pose, head_pose

__all__ = [
    "FaceBox",
    "FaceClassifier",
    "Pose",
    "faces",
    "find_faces",
    "head_pose",
]
