"""The names that must stay importable from the three packages, wherever their code lies."""

from __future__ import annotations

import importlib

import pytest

PINNED = {
    "directions": """
        Calibration Direction DirectionBank LatdirError Prior Space condition disentangle
        edit_grid export_bank grid import_bank keep_freed_memory keep_scores lerp load_classifier
        load_clip load_generator move orthonormalize save_png set_level slerp solve sweep truncate
        Inversion invert load_encoder save_encoder train_encoder EncoderRecipe EncoderTraining
        TrainingSchedule Hypernetwork HypernetworkRecipe HypernetworkTraining load_hypernetwork
        save_hypernetwork train_hypernetwork open_images Photograph open_photograph
        Deltas LocalPivotal Pivotal Progressive TuningStage Tuning tune Rewriter Rewriting rewrite
        Level Solution progress_bars
        Local Processes Ray wrap wrap_classifier
        contact_sheet edit_frames picked save_animation strongest_channels
        mix_styles transfer_region
        WeightDirection
    """,
    "discovery": """
        ActiveSubspace Answers Boundary Lesson Teach ClipBoundary ClipGlobal ClipGradient ClipMapper
        ClipOptimize ConditionalFlow ConditionalMean DeCurvEd DisCo FeatureRegression GlobalBasis
        GradCtrl Gradient HessianPenalty Latent2im LatentCLR LocalBasis LocalChannels METHODS
        OroJaR PCA PluGeN PotentialFlow RandomDirections Region Samples SeFa StyleSpace Transforms
        VoynovBabenko Walks WarpedGANSpace WeightContrast WeightHessian WeightSVD find_method sample
    """,
    "analysis": """
        Accuracy CalibrationCurve Comparison Consistency Cost Curves DCI Effect Effects Geodesic
        HELD_OUT_SEED Identity Leakage LinearRange LocalMetric Naming Participation PathLength
        PermutationTest RandomNull Realism Reconstruction Remark Separability apply_calibrations
        attribute_dependency calibrate calibration_curves compare_banks compare_methods
        compare_subspaces cosine_matrix dci disentanglement_scores edit_consistency
        edit_path_length editing_accuracy effective_dimension effects_of entanglement_sweep
        face_features factorvae_score find_geodesic frechet_mean geodesic_between
        principal_geodesics identity_preservation level_edits linear_ranges linear_separability
        lipschitz lpips_distance lpips_features measure_curves measure_distinguishability
        measure_effects measure_realism measure_separability mutual_information name_by_text
        name_directions nearest_phrases perceptual_path_length permuted_labels pixel_features
        plots principal_angles pullback_metric random_directions random_null
        reconstruction_quality remarks_on shift_edits stylespace_dci write_report InversionQuality
        KeptEdits LatentConsistency kept_edits latent_consistency measure_inversion
    """,
}


@pytest.mark.parametrize("package", PINNED)
def test_every_pinned_name_is_public(package: str) -> None:
    module = importlib.import_module(package)
    assert set(PINNED[package].split()) <= set(module.__all__)


@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package in PINNED for name in PINNED[package].split()]
)
def test_a_pinned_name_is_what_it_says(package: str, name: str) -> None:
    found = getattr(importlib.import_module(package), name)
    if callable(found):
        assert found.__name__ == name


@pytest.mark.parametrize("package", PINNED)
def test_every_public_name_resolves_and_is_listed_once(package: str) -> None:
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        getattr(module, name)
    assert set(module.__all__) <= set(dir(module))


def test_every_registered_method_is_public() -> None:
    import discovery

    classes = {entry.location.partition(":")[2] for entry in discovery.METHODS.values()}
    assert classes <= set(discovery.__all__)
