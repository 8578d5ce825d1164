"""Fields of a valid object of each public class, and arguments of each figure."""

from __future__ import annotations

from types import SimpleNamespace

import torch

import analysis
from analysis.comparison import Row
from analysis.edits.sweeps import ScoredSweep
from analysis.intervals.half_samples import Score
from analysis.intervals.mean import Estimate
from analysis.representation import EntanglementSweep
from analysis.spaces.geodesic_statistics import FrechetMean
from analysis.spaces.subspaces import SubspaceComparison
from tests.fuzzed.world import NAMES, QUIET


def classes(w: SimpleNamespace) -> dict[str, dict[str, dict]]:
    """Fields of a valid object of each class."""
    table = {"directions": NAMES, "attributes": w.classifier.attributes}
    n = w.noise
    interval = (-1.0, 1.0)
    mean = {"code": n(2), "curves": n(3, 4, 2), "distances": n(3), "energies": (2.0, 1.0),
            "converged": True}  # fmt: skip
    row = {"x": n(3, 2), "xa": n(3, 2, 3)}
    return {
        "directions": {
            "Attribute": {"name": "a", "kind": "value", "unit": "u", "description": "d"},
            "Calibration": {"attribute": "a", "unit": "u", "per_sigma": 1.0, "low": -1.0,
                            "high": 1.0},
            "Direction": {
                "name": "a", "vector": w.bank["age"].vector, "space": "z", "method": "m",
                "config": {}, "layers": (0,), "offset": 0.5, "sigma": 2.0, "evidence": {},
                "fingerprint": "0" * 64,
            },
            "DirectionBank": {"directions": w.bank.directions, "generator": "g",
                              "fingerprint": w.bank.fingerprint, "provenance": {}},
            "Level": {"value": 50.0, "unit": "years"},
            "Processes": {"workers": 2, "devices": ("cpu",)},
            "Ray": {"address": "auto", "workers": 2, "num_cpus": 1.0, "num_gpus": 0.5},
            "Prior": {"mean": torch.zeros(3), "covariance": torch.eye(3)},
            "Rendering": {"truncation": 0.7, "precision": "float32", "batch_size": 4,
                          "compile": False, "progress": False},
            "WeightDirection": {
                "name": "a", "vector": w.weight_bank["a"].vector, "method": "m", "config": {},
                "space": w.weight_bank["a"].space, "basis": w.weight_bank["a"].basis,
                "sigma": 1.0, "evidence": {}, "fingerprint": "0" * 64,
            },
            "Space": {"name": "z", "shape": (4, 2), "layers": ((0, 2), (2, 4))},
        },
        "discovery": {
            "Answers": {
                "name": "a", "generator": "g", "fingerprint": "0" * 64, "space": "z",
                "given": w.answers.given,
            },
            "Lesson": {"name": "a", "generator": w.generator, "space": "z", "seed": 3},
            "Auto": {"cone": 10.0, "max_samples": 100},
            "Samples": {
                "codes": w.samples.codes, "scores": w.samples.scores,
                "attributes": w.classifier.attributes, "space": "z", "generator": "g",
                "fingerprint": "0" * 64, "classifier": "c", "classifier_fingerprint": "1" * 64,
                "seed": 3, "start": 0, "prior": w.prior,
            },
        },
        "analysis": {
            "Accuracy": {"goal": "change", **table, "asked": n(3, 2), "reached": n(3, 2, 9),
                         "std": torch.ones(3)},
            "Cost": {"seconds": 1.0, "images": 3, "labels": 4},
            "DCI": {"disentanglement": 0.5, "completeness": 0.5, "informativeness": 0.5,
                    "importance": n(4, 3), "accuracy": n(3), "train_accuracy": n(3),
                    "left_out": torch.zeros(3, dtype=torch.bool)},
            "Distinguishability": {
                "directions": NAMES, "accuracy": 0.9, "low": 0.8, "high": 1.0, "random": 0.5,
                "random_low": 0.4, "random_high": 0.6, "chance": 0.25, "half": 0.85,
                "random_half": 0.45, "confusion": n(3, 3),
                "moves": 9,
            },
            "EqualEffect": {"change": 1.0, "amounts": (0.5, 1.0), "level": 0.9},
            "Evaluation": {"bank": w.bank, "effects": w.effects, "null": w.null, "results": {}},
            "FrechetMean": mean,
            "PrincipalGeodesics": {"mean": FrechetMean(**mean), "variances": n(2), "total": 1.0,
                                   "bank": w.bank},
            "Geodesic": {"codes": n(5, 2), "energies": (2.0, 1.0), "length": 4.0,
                         "straight_length": 5.0, "steps": n(4), "straight_steps": n(4),
                         "converged": True},
            "Identity": {"directions": NAMES, "targets": NAMES, "changes": n(2),
                         "amounts": row["x"], "kept": row["x"], "low": row["x"],
                         "high": row["x"], "baseline": 0.2},
            "InversionQuality": {
                "count": 3, "space": "z", "psnr": 40.0, "ssim": 0.9, "ms_ssim": None,
                "perceptual": 0.1, "identity": 0.9, "distance": 1.0, "kept": 0.9,
                "edit_error": 0.1, "leakage": 0.3, "native_leakage": 0.3,
                "edited_identity": 0.9, "seconds": 0.2,
            },
            "KeptEdits": {
                "directions": NAMES, "targets": NAMES, "amount": 2.0,
                **{k: n(3) for k in ("effect", "kept", "low", "high", "error", "native_leakage",
                                     "leakage", "identity")},
                "unedited_identity": 0.5,
            },
            "LatentConsistency": {"directions": NAMES, "distances": n(3, 4)},
            "LinearRange": {"direction": "a", "attribute": "b", "slope": 1.0, "low": -1.0,
                            "high": 1.0, "low_interval": interval, "high_interval": interval,
                            "measured": interval, "tolerance": 0.1},
            "LocalMetric": {"values": n(3).abs(), "vectors": torch.eye(3), "trace": 4.0, "d": 3},
            "PathLength": {"mean": 1.0, "standard_error": 0.1, "values": n(4), "kept": 4,
                           "space": "z", "sampling": "full", "derivative": "exact",
                           "distance": "d", "precision": "float32"},
            "PermutationTest": {"observed": 0.5, "null": n(5), "vectors": n(5, 3)},
            "RandomNull": {"effects": w.effects, "level": 0.9, "kind": "prior"},
            "Reconstruction": {"mse": n(3), "psnr": n(3), "ssim": n(3), "ms_ssim": None,
                               "perceptual": None},
            "Remark": {"kind": "note", "text": "t", "direction": "d"},
            "Separability": {"score": 1.0, "low": 0.5, "high": 2.0, "entropy": n(2),
                             "accuracy": n(2), "one_sided": torch.zeros(2, dtype=torch.bool),
                             "scored_on": "x"},
        },
    }  # fmt: skip


def figures(w: SimpleNamespace) -> dict[str, dict]:
    """Arguments of a valid call of each figure."""
    n = w.noise
    score = {name: (Score(0.9, 0.8, 1.0),) * 2 for name in NAMES}
    angles = torch.rand(3, 3, 2)
    estimate = Estimate(0.5, 0.4, 0.6)
    rows = tuple(Row(m, a, a, 1.0, *[estimate] * 5) for m in "ab" for a in NAMES)
    codes = {(r.method, r.attribute, m): n(4) for r in rows for m in ("effect", "leakage")}
    compared = analysis.Comparison(
        rows, {m: analysis.Cost(1.0) for m in "ab"}, 1.0, 4, 1, "g", "c", codes, 0.95,
        identity_baseline=0.9,
    )  # fmt: skip
    leakage = analysis.attribute_dependency(w.curves, changes=(0.2, 0.4))
    identity = analysis.identity_preservation(w.curves, changes=(0.2, 0.4))
    metric = analysis.LocalMetric(torch.tensor([3.0, 1.0, 0.1]), torch.eye(3), 4.1, 3)
    judged = analysis.measure_effects(
        w.generator, w.classifier, w.bank, count=12, judge=w.judge, rendering=QUIET
    )
    agreed = analysis.judge_agreement(judged)
    figures = [torch.rand(3, 5) for _ in range(5)]
    swept = ScoredSweep(
        "smile", torch.arange(5.0) - 2, n(2, 5, 3, 8, 8).tanh(), n(2, 5, 3),
        w.classifier.attributes,
    )  # fmt: skip
    reached = analysis.Accuracy(
        "change", NAMES, w.classifier.attributes, torch.ones(3, 2), n(3, 2, 9), torch.ones(3)
    )
    length = analysis.PathLength(1.0, 0.1, n(4), 4, "z", "full", "exact", "faces")
    pair = SubspaceComparison(angles[0, 0], angles[:, 0], "geodesic", 9)
    path = analysis.Geodesic(n(5, 2), (2.0, 1.0), 4.0, 5.0, n(4).abs(), n(4).abs(), True)
    return {
        "plot_accuracy": {"accuracy": reached},
        "plot_agreement": {"agreement": agreed},
        "plot_attribute_dependency": {"leakage": leakage},
        "plot_calibration": {"calibrations": analysis.calibration_curves(w.curves)},
        "plot_comparison": {"comparison": compared},
        "plot_comparison_heatmap": {"comparison": compared, "metrics": ["effect"]},
        "plot_convergence": {"counts": [5, 20], "angles": {"a": [40.0, 9.0]}, "goal": 10.0},
        "plot_cosines": {"cosines": torch.eye(3), "names": NAMES, "title": "t"},
        "plot_direction_effects": {"effects": w.effects, "direction": "smile", "null": w.null},
        "plot_effects": {"effects": w.effects, "null": w.null, "limit": 1.0},
        "plot_entanglement": {"sweep": EntanglementSweep((0.0, 1.0), score)},
        "plot_geodesic": {"geodesic": path},
        "plot_identity": {"identity": identity},
        "plot_importance": {"importance": torch.rand(3, 3), "attributes": NAMES, "codes": NAMES,
                            "most": 3},
        "plot_leakage": {"leakage": leakage},
        "plot_path_lengths": {"lengths": {"a": length}},
        "plot_principal_angles": {"angles": angles, "names": NAMES},
        "plot_pullback_spectra": {"metrics": [metric]},
        "plot_realism": {"realism": analysis.Realism(NAMES, torch.arange(5.0), *figures, 9, 9)},
        "plot_spectrum": {"values": {"a": [3.0, 1.0]}, "null": n(4, 2).abs(), "level": 0.9,
                          "what": "e"},
        "plot_subspace_comparisons": {"comparisons": {"a": pair}},
        "plot_subspace_distances": {"distances": angles[..., 0], "names": NAMES, "null_mean": 0.5},
        "plot_sweep": {"swept": swept},
    }  # fmt: skip
