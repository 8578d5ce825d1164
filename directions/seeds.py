"""Reserved seeds: codes that the library draws for itself, each set for one purpose.

A figure is unbiased only on codes that were not used to choose its subject: a direction found
on some codes is measured on others, and one named by its effect on those is tried on others
again. No two seeds are equal, and those of measurements are far from the small ones that people
sample with.
"""

from __future__ import annotations

__all__ = [
    "CHECKPOINT_SEED",
    "ENCODER_SEED",
    "HELD_OUT_SEED",
    "INVERSION_SEED",
    "JUDGE_SEED",
    "LEAK_SEED",
    "LESSON_SEED",
    "MAPPER_SEED",
    "MIXING_SEED",
    "NAMING_SEED",
    "PICTURE_SEED",
    "PRIOR_SEED",
    "PROMPT_SEED",
    "TEACHING_SEED",
    "TRIAL_SEED",
    "TUNING_SEED",
]

HELD_OUT_SEED = 920_419_823
"""Codes that directions are measured and calibrated on."""

NAMING_SEED = 920_419_824
"""Codes that unnamed directions are named by."""

TRIAL_SEED = 920_419_825
"""Codes that named, calibrated directions are tried on: accuracy, consistency, realism."""

PRIOR_SEED = 0x5EED
"""Codes that the mean and covariance of a latent space are estimated from."""

LEAK_SEED = 0xC11A
"""Codes that the leakage of StyleCLIP's channel thresholds is measured on."""

PROMPT_SEED = 0xC11B
"""Codes that the effects of text directions are measured on to make them independent."""

JUDGE_SEED = 0xC11C
"""Codes that a second labeler judges text directions on."""

MAPPER_SEED = 0xC11D
"""Codes that the mean step of a trained mapper is taken over."""

MIXING_SEED = 0xC11F
"""Codes that effects are measured on to make a bank's directions independent."""

CHECKPOINT_SEED = 0
"""What a checkpoint lacks: the mean of w, noise maps. Part of the fingerprints of such networks."""

INVERSION_SEED = 0xC11E
"""Codes that the start of inversions is fitted to."""

TEACHING_SEED = 0xC120
"""Codes whose images say which directions of a space matter, before a person is asked."""

LESSON_SEED = 0xC121
"""Codes of the images that a person is asked about; the next two seeds are of the lesson too."""

TUNING_SEED = 0xC124
"""Codes whose images a tuned generator should make as its base does."""

ENCODER_SEED = 0xC125
"""Codes that an encoder in training is measured on, and with the training's seed those it sees."""

PICTURE_SEED = 11
"""Codes that the demo draws; nothing is measured on them."""
