"""Effects of edits on images: effects, response curves, leakage, identity, realism.

Read `held_out` first: one pass of images, whose scores (`curves`) most measures are computed from;
then `effects`.
Import from here.
"""

from analysis.edits.accuracy import Accuracy, Goal, editing_accuracy
from analysis.edits.calibration import (
    CalibrationCurve,
    apply_calibrations,
    calibrate,
    calibration_curves,
)
from analysis.edits.consistency import Consistency, Edit, edit_consistency, level_edits, shift_edits
from analysis.edits.curves import Curves, Scale, Source
from analysis.edits.effects import Effect, Effects, effects_of, measure_effects
from analysis.edits.held_out import measure_curves
from analysis.edits.identity import Identity, identity_preservation
from analysis.edits.leakage import Leakage, Match, attribute_dependency, reaching
from analysis.edits.linear_range import LinearRange, linear_ranges, slope_near_zero
from analysis.edits.nulls import (
    PermutationTest,
    RandomNull,
    evident,
    permuted_labels,
    random_null,
)
from analysis.edits.realism import (
    Realism,
    frechet_distance,
    kernel_distance,
    measure_realism,
    neighbor_density,
)
from analysis.edits.reconstruction import (
    Backbone,
    Perceptual,
    Reconstruction,
    lpips_distance,
    reconstruction_quality,
)
from analysis.edits.sweeps import ScoredSweep, scored_sweep
from analysis.edits.targets import amounts_reaching, between, match_targets

__all__ = [
    "Accuracy", "Backbone", "CalibrationCurve", "Consistency", "Curves", "Edit", "Effect",
    "Effects", "Goal", "Identity", "Leakage", "LinearRange", "Match", "Perceptual",
    "PermutationTest", "RandomNull", "Realism", "Reconstruction", "Scale", "ScoredSweep", "Source",
    "amounts_reaching", "apply_calibrations", "attribute_dependency", "between", "calibrate",
    "calibration_curves", "edit_consistency", "editing_accuracy", "effects_of", "evident",
    "frechet_distance", "identity_preservation", "kernel_distance", "level_edits", "linear_ranges",
    "lpips_distance", "match_targets", "measure_curves", "measure_effects", "measure_realism",
    "neighbor_density", "permuted_labels", "random_null", "reaching",
    "reconstruction_quality", "scored_sweep", "shift_edits", "slope_near_zero",
]  # fmt: skip
