"""Details: what an encoder's codes lose of images, put into the features of a layer in one pass.

Read `base` first: `Details` renders images with their details, before and after an edit of the
codes. `networks` has HFGI's consultation and StyleFeatureEditor's feature edit, `training` their
trainer, `files` keeps them. Import the names from here.
"""

from directions.inversion.details.base import Details
from directions.inversion.details.files import load_details, save_details
from directions.inversion.details.networks import (
    Consultation,
    DetailConfig,
    FeatureEditor,
    Kind,
    Look,
    network_of,
)
from directions.inversion.details.training import DetailProgress, DetailTraining, train_details

__all__ = [
    "Consultation",
    "DetailConfig",
    "DetailProgress",
    "DetailTraining",
    "Details",
    "FeatureEditor",
    "Kind",
    "Look",
    "load_details",
    "network_of",
    "save_details",
    "train_details",
]
