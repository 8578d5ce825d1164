"""How good directions are: what they move, what they move besides, and how sure that is."""

from analysis import plots
from analysis.accuracy import Accuracy, editing_accuracy
from analysis.calibration import (
    CalibrationCurve,
    apply_calibrations,
    calibrate,
    calibration_curves,
)
from analysis.compare import Comparison, Cost, compare_methods
from analysis.consistency import Consistency, edit_consistency, level_edits, shift_edits
from analysis.curves import HELD_OUT_SEED, Curves, measure_curves
from analysis.effects import Effect, Effects, effects_of, measure_effects
from analysis.geometry import cosine_matrix
from analysis.identity import Identity, identity_preservation
from analysis.leakage import Leakage, attribute_dependency
from analysis.linear_range import LinearRange, linear_ranges
from analysis.naming import Naming, name_directions
from analysis.nulls import (
    PermutationTest,
    RandomNull,
    permuted_labels,
    random_directions,
    random_null,
)
from analysis.realism import Realism, measure_realism
from analysis.reconstruction import Reconstruction, lpips_distance, reconstruction_quality
from analysis.remarks import Remark, remarks_on
from analysis.report import write_report
from analysis.subspaces import compare_banks, compare_subspaces, principal_angles

__all__ = [
    "HELD_OUT_SEED",
    "Accuracy",
    "CalibrationCurve",
    "Comparison",
    "Consistency",
    "Cost",
    "Curves",
    "Effect",
    "Effects",
    "Identity",
    "Leakage",
    "LinearRange",
    "Naming",
    "PermutationTest",
    "RandomNull",
    "Realism",
    "Reconstruction",
    "Remark",
    "apply_calibrations",
    "attribute_dependency",
    "calibrate",
    "calibration_curves",
    "compare_banks",
    "compare_methods",
    "compare_subspaces",
    "cosine_matrix",
    "edit_consistency",
    "editing_accuracy",
    "effects_of",
    "identity_preservation",
    "level_edits",
    "linear_ranges",
    "lpips_distance",
    "measure_curves",
    "measure_effects",
    "measure_realism",
    "name_directions",
    "permuted_labels",
    "plots",
    "principal_angles",
    "random_directions",
    "random_null",
    "reconstruction_quality",
    "remarks_on",
    "shift_edits",
    "write_report",
]
