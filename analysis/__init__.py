"""Evaluation of directions: effects, side effects, and their uncertainty.

Read `evaluation` first, then `edits/effects/matrix.py`. Everything that a notebook needs is here by
name, imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from directions.lazy import lazy_names

if TYPE_CHECKING:
    from analysis import plots
    from analysis.comparison import (
        Agreement,
        Comparison,
        Cost,
        Distinguishability,
        EqualEffect,
        compare_methods,
        judge_agreement,
        measure_distinguishability,
    )
    from analysis.edits.accuracy import Accuracy, editing_accuracy
    from analysis.edits.calibration import (
        CalibrationCurve,
        apply_calibrations,
        calibrate,
        calibration_curves,
    )
    from analysis.edits.consistency import Consistency, edit_consistency, level_edits, shift_edits
    from analysis.edits.curves import Curves
    from analysis.edits.effects import Effect, Effects, effects_of, measure_effects
    from analysis.edits.held_out import measure_curves
    from analysis.edits.identity import Identity, identity_preservation
    from analysis.edits.leakage import Leakage, attribute_dependency
    from analysis.edits.linear_range import LinearRange, linear_ranges
    from analysis.edits.nulls import (
        PermutationTest,
        RandomNull,
        permuted_labels,
        random_null,
    )
    from analysis.edits.realism import Realism, measure_realism
    from analysis.edits.reconstruction import Reconstruction, lpips_distance, reconstruction_quality
    from analysis.evaluation import Evaluation, evaluate
    from analysis.inversions import (
        InversionQuality,
        KeptEdits,
        LatentConsistency,
        kept_edits,
        latent_consistency,
        measure_inversion,
    )
    from analysis.measures.remarks import Remark, remarks_on
    from analysis.naming.by_effects import Naming, name_directions
    from analysis.naming.by_text import name_by_text, nearest_phrases
    from analysis.report.page import write_report
    from analysis.representation.dci import DCI, dci, stylespace_dci
    from analysis.representation.factorvae import factorvae_score
    from analysis.representation.mig import mutual_information
    from analysis.representation.scores import disentanglement_scores, entanglement_sweep
    from analysis.spaces.cosines import cosine_matrix
    from analysis.spaces.geodesic import Geodesic, find_geodesic, geodesic_between
    from analysis.spaces.geodesic_statistics import (
        FrechetMean,
        PrincipalGeodesics,
        frechet_mean,
        principal_geodesics,
    )
    from analysis.spaces.participation import Participation
    from analysis.spaces.path_length import (
        PathLength,
        edit_path_length,
        lipschitz,
        perceptual_path_length,
    )
    from analysis.spaces.pullback import LocalMetric, effective_dimension, pullback_metric
    from analysis.spaces.separability import Separability, linear_separability, measure_separability
    from analysis.spaces.subspaces import compare_banks, compare_subspaces, principal_angles
    from directions.baselines import random_directions
    from directions.scoring.features import face_features, lpips_features, pixel_features
    from directions.seeds import HELD_OUT_SEED, NAMING_SEED

__all__ = [
    "HELD_OUT_SEED", "NAMING_SEED", "Accuracy", "Agreement", "CalibrationCurve", "Comparison",
    "Consistency", "Cost", "Curves", "DCI", "Distinguishability", "Effect", "Effects",
    "EqualEffect", "Evaluation", "FrechetMean", "Geodesic", "Identity", "InversionQuality",
    "KeptEdits", "LatentConsistency", "Leakage", "LinearRange", "LocalMetric", "Naming",
    "Participation", "PathLength", "PermutationTest", "PrincipalGeodesics", "RandomNull", "Realism",
    "Reconstruction", "Remark", "Separability", "apply_calibrations", "attribute_dependency",
    "calibrate", "calibration_curves", "compare_banks", "compare_methods", "compare_subspaces",
    "cosine_matrix", "dci", "disentanglement_scores", "edit_consistency", "edit_path_length",
    "editing_accuracy", "effective_dimension", "effects_of", "entanglement_sweep", "evaluate",
    "face_features", "factorvae_score", "find_geodesic", "frechet_mean", "geodesic_between",
    "identity_preservation", "judge_agreement", "kept_edits", "latent_consistency", "level_edits",
    "linear_ranges", "linear_separability", "lipschitz", "lpips_distance", "lpips_features",
    "measure_curves", "measure_distinguishability", "measure_effects", "measure_inversion",
    "measure_realism", "measure_separability", "mutual_information", "name_by_text",
    "name_directions", "nearest_phrases", "perceptual_path_length", "permuted_labels",
    "pixel_features", "plots", "principal_angles", "principal_geodesics", "pullback_metric",
    "random_directions", "random_null", "reconstruction_quality", "remarks_on", "shift_edits",
    "stylespace_dci", "write_report",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__)
