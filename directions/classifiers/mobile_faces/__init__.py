"""A second face classifier, of other origins than `directions.classifiers.faces`.

Read `classifier` first; `nets` are its networks. Import from here.
"""

from directions.classifiers.mobile_faces.classifier import MobileFaceClassifier, mobile_faces

__all__ = ["MobileFaceClassifier", "mobile_faces"]
