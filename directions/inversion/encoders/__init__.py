"""Encoders: codes of images in one pass, by a network trained for one generator.

Read `base` first: an `Encoder` holds its generator, and its codes are a start of `invert`.
`training` makes one for any generator by a `learner` of the parts in `recipes`; `compact` is its
network, `critics` are what it is trained against, `files` keeps it; `running` is what trainings
share, and `labels` trains a classifier of the same network (IcGAN's E_y). `networks` has the
published architectures, `published` reads the files that their authors share. Import
`load_encoder`, `train_encoder` and `save_encoder` from `directions`.
"""

from directions.inversion.encoders.base import Encoded, Encoder
from directions.inversion.encoders.compact import CompactConfig, CompactEncoder
from directions.inversion.encoders.files import built_in_encoder, save_encoder
from directions.inversion.encoders.labels import LabelEncoder, train_label_encoder
from directions.inversion.encoders.learner import Progress
from directions.inversion.encoders.networks import EncoderConfig, StyleEncoder
from directions.inversion.encoders.published import load_encoder
from directions.inversion.encoders.recipes import (
    ENCODER_RECIPES,
    EncoderRecipe,
    TrainingSchedule,
    find_encoder_recipe,
)
from directions.inversion.encoders.training import EncoderTraining, train_encoder

__all__ = [
    "ENCODER_RECIPES",
    "CompactConfig",
    "CompactEncoder",
    "Encoded",
    "Encoder",
    "EncoderConfig",
    "EncoderRecipe",
    "EncoderTraining",
    "LabelEncoder",
    "Progress",
    "TrainingSchedule",
    "StyleEncoder",
    "built_in_encoder",
    "find_encoder_recipe",
    "load_encoder",
    "save_encoder",
    "train_encoder",
    "train_label_encoder",
]
