"""Arguments of one valid call of each public function, fast enough to be repeated."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

import analysis
from directions.classifiers.clip.prompts import Prompt
from directions.inversion.encoders import TrainingSchedule
from directions.inversion.hypernetworks import HypernetworkRecipe
from directions.inversion.tuning import Pivotal, Rewriter, TuningStage
from directions.photographs.alignment import Similarity
from tests.directions.inversion.encoders.files import encoder_file
from tests.fuzzed.world import NAMES, QUIET


def least_squares(codes, scores):
    return torch.linalg.lstsq(codes.flatten(1), scores[:, None]).solution[:, 0]


def bent(codes):
    return torch.cat([codes, codes.square()], 1)


def apart(images, others):
    return (images - others).flatten(1).abs().mean(1)


def mean_pixel(images):
    return images.flatten(1).mean(1)


def net(codes):
    return torch.tanh(codes[:, :3, None, None]).expand(-1, 3, 8, 8)


def functions(w: SimpleNamespace) -> dict[str, dict]:
    """Arguments of a valid call of each function, by name."""
    model = {"generator": w.generator, "classifier": w.classifier}
    measured = {**model, "bank": w.bank, "rendering": QUIET}
    text = {"generator": w.generator, "clip": w.clip, "bank": w.bank, "rendering": QUIET}
    words = [Prompt(n, f"a {n}", "nothing") for n in NAMES]
    long, labels = w.samples.codes, w.samples.scores
    square = w.noise(12, 3), w.noise(12, 3)
    strip = {"codes": w.codes, "direction": w.bank["smile"]}
    ends = {"start": w.codes[:2], "end": w.codes[2:4], "fractions": [0.25, 0.5]}
    return {
        "directions": {
            "wrap": {"module": net, "latent_dim": 12, "name": "mine", "version": "1"},
            "wrap_classifier": {"function": mean_pixel, "attributes": ["gray"], "name": "mine"},
            "import_bank": {
                "path": w.folder / "bank.npy", "generator": w.generator, "space": "z", "name": "up",
            },
            "export_bank": {"bank": w.bank, "path": w.folder / "out.npz", "prior": w.prior},
            "condition": {"bank": w.bank, "on": {"smile": ["age"]}, "prior": w.prior,
                          "metric": w.prior, "rename": True, "rendering": QUIET},
            "orthonormalize": {"bank": w.bank, "order": "qr", "metric": w.prior, "prior": w.prior},
            "disentangle": {
                "bank": w.bank, "effects": torch.eye(3) + 0.1, "attributes": list(NAMES),
                "targets": {"smile": "smile"}, "hold": ["age"], "ridge": 0.1, "prior": w.prior,
            },
            "move": {
                "codes": w.codes, "bank": w.bank, "amounts": {"smile": 1.0}, "unit": "sigma",
                "generator": w.generator,
            },
            "set_level": {**strip, "level": 0.5, "unit": "latent"},
            "sweep": {**strip, "amounts": [-1.0, 1.0], "unit": "sigma"},
            "solve": {
                "bank": w.bank, "targets": {"smile": 0.5}, "effects": torch.eye(3) + 0.1,
                "attributes": list(NAMES), "hold": ["age"], "bound": 10.0,
            },
            "lerp": ends,
            "slerp": ends,
            "truncate": {"codes": w.codes, "psi": 0.7, "prior": w.prior},
            "grid": {
                "images": w.images[None, :2], "columns": ["a", "b"], "rows": ["r"], "title": "t",
                "marked": 1, "tile": 16,
            },
            "edit_grid": {
                "generator": w.generator, "codes": w.codes[:1], "what": w.bank["smile"],
                "space": "z", "amounts": [-1.0, 1.0], "unit": "sigma", "title": "t", "tile": 16,
                "rows": ["r"],
            },
            "edit_frames": {
                "generator": w.generator, "codes": w.codes[:1], "direction": w.bank["smile"],
                "low": -1.0, "high": 1.0, "count": 2, "unit": "sigma", "tile": 16,
            },
            "contact_sheet": {
                "generator": w.generator, "count": 2, "seed": 1, "start": 3, "truncation": 0.7,
                "tile": 16,
            },
            "picked": {
                "generator": w.generator, "numbers": [3, 1], "seed": 1, "space": "z",
                "truncation": 0.7,
            },
            "save_animation": {
                "frames": [Image.new("RGB", (8, 8))] * 2, "path": w.folder / "moving.gif",
                "seconds": 1.0, "back": True,
            },
            "save_png": {"picture": w.images[0], "path": w.folder / "picture.png"},
            "invert": {
                "generator": w.generator, "images": w.images[:2], "space": "z",
                "solver": "levenberg_marquardt", "start": "mean", "restarts": 0, "seed": 1,
                "rendering": QUIET,
            },
            "tune": {
                "generator": w.tunable, "images": torch.zeros(1, 3, 8, 8),
                "codes": w.tunable.sample(1, seed=2), "space": "z", "method": Pivotal(steps=1),
                "name": "mine", "seed": 1, "progress": False,
            },
            "LocalPivotal": {
                "rank": 2, "steps": 3, "rate": 1e-3, "locality": 0.5, "batch": 1, "goal": 30.0,
                "near": 0.1, "falling": False, "style_rate": 0.1, "first_block": 1, "probes": 4,
                "others": 40.0,
            },
            "Pivotal": {
                "form": "channel", "rank": 2, "steps": 3, "rate": 1e-3, "locality": 0.5,
                "others": 2, "truncation": 0.5, "away": 30.0, "batch": 1, "goal": 30.0,
                "near": 0.1, "falling": False,
            },
            "Progressive": {
                "form": "channel", "rank": 2, "stages": (TuningStage(1),), "distance": "squared",
                "prior": 0.1, "candidates": 3, "spread": 0.5,
            },
            "TuningStage": {
                "steps": 2, "blocks": 1, "rate": 1e-3, "code_rate": 1e-2, "fall": 0.5,
                "features": 0.5, "pixels": 2.0,
            },
            "rewrite": {
                "generator": w.tunable, "layer": "layers.0.weight",
                "codes": w.tunable.sample(1, seed=2), "regions": torch.ones(1, 8, 8) > 0,
                "value": w.tunable.sample(1, seed=3), "source": torch.ones(1, 8, 8) > 0,
                "space": "z", "method": Rewriter(steps=1), "name": "mine", "progress": False,
            },
            "Rewriter": {"rank": 2, "steps": 3, "rate": 0.1},
            "load_encoder": {
                "path": encoder_file(w.folder), "generator": None, "kind": "psp",
                "noise": "const", "device": "cpu",
            },
            "train_encoder": {
                "generator": w.tunable, "recipe": "compact",
                "schedule": TrainingSchedule(1, 2, width=4),
                "space": "z", "images": torch.zeros(1, 3, 8, 8), "features": None,
                "checkpoint": None, "name": "mine", "seed": 1,
            },
            "train_hypernetwork": {
                "encoder": w.encoder, "recipe": HypernetworkRecipe(passes=1, features=0.0),
                "schedule": TrainingSchedule(1, 2, width=4), "images": torch.zeros(1, 3, 8, 8),
                "features": None, "initial": None, "checkpoint": None, "name": "mine", "seed": 1,
            },
            "HypernetworkRecipe": {
                "form": "low_rank", "rank": 2, "passes": 1, "pixels": 1.0, "features": 0.5,
                "image_critic": 0.1, "mixed": 0.5, "own": 0.5,
            },
            "save_hypernetwork": {
                "hypernetwork": w.hypernetwork, "path": w.folder / "hypernetwork.safetensors",
            },
            "load_hypernetwork": {
                "path": w.folder / "kept_hypernetwork.safetensors", "encoder": w.encoder,
            },
            "save_encoder": {"encoder": w.encoder, "path": w.folder / "encoder.safetensors"},
            "EncoderRecipe": {
                "pixels": 1.0, "features": 0.5, "shown": 0.5, "codes": 0.5, "norm": 0.1,
                "offsets": 0.1, "joining": (0.1, 0.5), "code_critic": 0.1, "image_critic": 0.1,
                "passes": 2, "stages": 1,
            },
            "TrainingSchedule": {
                "steps": 2, "batch_size": 2, "rate": 1e-3, "rendered": 0.5, "width": 4,
                "most": 8, "precision": "float32",
            },
            "load_generator": {"name": "planted", "device": "cpu"},
            "load_clip": {"source": "tinyclip-faces", "device": "cpu"},
            "open_images": {
                "source": np.zeros((48, 80), np.uint8), "size": 16, "box": (0, 0, 32, 32),
                "background": 1.0,
            },
            "Photograph": {
                "picture": torch.zeros(1, 3, 48, 48), "image": torch.zeros(1, 3, 16, 16),
                "alignment": Similarity(0.5 + 0j, -4 - 4j), "name": "me.jpg",
            },
            "open_photograph": {
                "source": np.zeros((48, 80, 3), np.uint8), "generator": w.generator,
                "align": "center", "box": (0, 0, 32, 32), "face": 0,
            },
            "mix_styles": {
                "codes": w.noise(2, 3, 4), "styles": w.noise(1, 3, 4), "layers": [1, 2],
            },
            "transfer_region": {
                "generator": w.generator, "codes": w.codes[:1], "reference": w.codes[1:2],
                "region": torch.ones(w.generator.image_shape[1:]), "space": "z", "share": 0.4,
                "probes": 2, "seed": 1,
            },
            "load_classifier": {"name": "pixels", "device": "cpu"},
            "strongest_channels": {
                "bank": w.style_bank, "generator": w.styled, "count": 3, "layers": [1, 2],
            },
        },
        "latdir": {
            "explore": {**model, "bank": w.bank, "paths": []},
        },
        "discovery": {
            "find_method": {"name": "pca"},
            "sample": {
                "generator": w.generator, "classifiers": w.classifier, "count": 6, "seed": 3,
                "attributes": ["smile"], "space": "z", "start": 2, "sheets": 0, "rendering": QUIET,
            },
        },
        "analysis": {
            "apply_calibrations": {
                "bank": w.bank, "calibrations": analysis.calibration_curves(w.curves),
                "response": "monotone",
            },
            "attribute_dependency": {
                "curves": w.curves, "changes": [0.2, 0.4], "match": "mean", "level": 0.9,
            },
            "calibrate": {**measured, "targets": {"smile": "smile"}, "amounts": [-1.0, 0.0, 1.0],
                          "near": 1.0, "response": "line", "count": 8, "seed": 4},
            "calibration_curves": {
                "curves": w.curves, "near": 1.0, "tolerance": 0.2, "level": 0.9,
            },
            "compare_banks": {"a": w.bank, "b": w.bank.select(["smile", "age"]), "count": 2,
                              "kind": "geodesic", "draws": 5, "seed": 1},
            "compare_methods": {
                **model, "banks": {"a": w.bank, "b": w.bank}, "attributes": ["smile"], "count": 6,
                "seed": 4, "rendering": QUIET,
            },
            "compare_subspaces": {"a": w.noise(2, 12), "b": w.noise(3, 12), "kind": "geodesic",
                                  "draws": 5, "seed": 1},
            "cosine_matrix": {"bank": w.bank, "prior": w.prior},
            "dci": {"codes": long, "attributes": labels, "model": "trees", "bins": "auto",
                    "penalty": 0.01, "classes": 3, "seed": 1},
            "entanglement_sweep": {"levels": [0.0, 0.5], "count": 60, "metrics": ["MIG"],
                                   "model": "trees", "bins": "auto", "draws": 0, "seed": 1},
            "disentanglement_scores": {
                "codes": long, "attributes": labels, "metrics": ["MIG", "SAP"], "model": "trees",
                "bins": "auto", "classes": 4, "seed": 1,
            },
            "edit_consistency": {
                **model, "edits": analysis.shift_edits(w.bank, {"smile": 1.0, "age": 1.0}),
                "space": "z", "orders": 2, "count": 6, "seed": 4, "level": 0.9, "rendering": QUIET,
            },
            "edit_path_length": {
                "generator": w.generator, "direction": w.bank["smile"],
                "amounts": torch.tensor([-1.0, 0.0, 1.0]), "count": 4, "seed": 4, "level": 0.9,
                "batch_size": 4,
            },
            "editing_accuracy": {
                **model, "bank": analysis.apply_calibrations(
                    w.bank, analysis.calibration_curves(w.curves)
                ), "goal": "change", "asked": {"smile": [0.3]}, "count": 6, "seed": 4,
                "rendering": QUIET,
            },
            "effective_dimension": {"values": torch.rand(5)},
            "effects_of": {"curves": w.curves, "step": 1.0, "symmetric": True, "level": 0.9},
            "evaluate": {"bank": w.bank, **model, "attributes": ["smile"], "count": 8, "null": 4,
                         "measures": {}, "rendering": QUIET},
            "face_features": {"margin": 0.1, "device": "cpu"},
            "factorvae_score": {"codes": long, "attributes": labels, "batch": 4, "train": 20,
                                "test": 20, "threshold": 0.05, "classes": 3, "seed": 1},
            "find_geodesic": {"function": bent, "start": w.codes[0], "end": w.codes[1],
                              "segments": 3, "rounds": 3, "tolerance": 1e-3},
            **{name: {
                "generator": w.generator, "codes": w.codes[:3], "space": "z", "segments": 2,
                "rounds": 2, "tolerance": 1e-2, **more,
            } for name, more in (("frechet_mean", {}), ("principal_geodesics",
                                                        {"n_directions": 2}))},
            "geodesic_between": {
                "generator": w.generator, "start": w.codes[0], "end": w.codes[1], "space": "z",
                "segments": 3, "rounds": 3, "tolerance": 1e-3,
            },
            "identity_preservation": {"curves": w.curves, "changes": [0.2, 0.4], "level": 0.9},
            "judge_agreement": {"effects": analysis.measure_effects(
                **measured, count=12, judge=w.judge
            )},
            "kept_edits": {
                "inversion": w.found, "bank": w.bank, "classifier": w.classifier,
                "native": w.codes[:3], "amount": 1.0, "targets": {"smile": "smile"},
                "embed": w.embed, "rendering": QUIET,
            },
            "latent_consistency": {
                "inversion": w.found, "bank": w.bank.select(["smile"]), "invert": w.again,
                "amount": 1.0,
            },
            "measure_inversion": {
                "inversion": w.found, "images": w.images[:3], "bank": w.bank,
                "classifier": w.classifier, "native": w.codes[:3], "embed": w.embed,
                "perceptual": apart, "amount": 1.0, "rendering": QUIET,
            },
            "level_edits": {"bank": w.bank, "levels": {"smile": 1.0}},
            "linear_ranges": {"curves": w.curves, "near": 1.0, "tolerance": 0.2, "bootstrap": 5,
                              "level": 0.9, "seed": 1},
            "linear_separability": {"codes": long, "logits": labels, "keep": 0.5, "bootstrap": 5,
                                    "level": 0.9, "seed": 1},
            "lipschitz": {"generator": w.generator, "direction": w.bank["smile"], "count": 4,
                          "seed": 4, "batch_size": 4},
            "measure_curves": {**measured, "amounts": [-1.0, 0.0, 1.0], "attributes": ["smile"],
                               "judge": w.judge, "count": 6, "seed": 4},
            "measure_distinguishability": {
                "generator": w.generator, "paths": w.bank, "amount": 1.0, "count": 16, "epochs": 1,
                "seed": 4, "level": 0.9, "rendering": QUIET,
            },
            "measure_effects": {**measured, "step": 1.0, "symmetric": True, "count": 6, "seed": 4,
                                "attributes": ["smile", "age"], "judge": w.judge},
            "measure_realism": {
                "generator": w.generator, "bank": w.bank, "features": w.classifier,
                "amounts": [1.0], "count": 12, "reference": 24, "neighbors": 2, "seed": 4,
                "rendering": QUIET,
            },
            "measure_separability": {
                "generator": w.generator, "classifier": w.generator.classifier(kind="probability"),
                "spaces": ["z"], "attributes": ["smile"], "count": 40, "keep": 0.5,
                "seed": 4, "rendering": QUIET,
            },
            "mutual_information": {"codes": long, "attributes": labels, "bins": 4, "classes": 3},
            "name_by_text": {**text, "vocabulary": words, "alpha": 0.1, "step": 1.0, "null": 4,
                             "count": 6, "seed": 4},
            "name_directions": {**measured, "attributes": ["smile"], "alpha": 0.1, "step": 1.0,
                                "null": 4, "count": 6, "seed": 4},
            "nearest_phrases": {**text, "vocabulary": words, "step": 1.0, "count": 6, "seed": 4},
            "perceptual_path_length": {
                "generator": w.generator, "space": "z", "sampling": "full",
                "features": analysis.pixel_features, "epsilon": 1e-2, "count": 8, "seed": 4,
                "trim": 0.01, "rendering": QUIET,
            },
            "permuted_labels": {"codes": long, "scores": labels[:, 0], "estimator": least_squares,
                                "permutations": 3, "train": 0.7, "seed": 1, "progress": False},
            "pixel_features": {"images": w.images},
            "principal_angles": {"a": square[0], "b": square[1]},
            "pullback_metric": {"generator": w.generator, "code": w.codes[0], "space": "z",
                                "count": 3, "seed": 1},
            "random_directions": {"generator": w.generator, "space": "z", "n_directions": 3,
                                  "seed": 1, "spread": "uniform"},
            "random_null": {**model, "effects": w.effects, "space": "z", "count": 3, "seed": 1,
                            "level": 0.9, "null": "prior"},
            "reconstruction_quality": {"images": w.images, "rebuilt": w.images * 0.9,
                                       "batch_size": 4},
            "remarks_on": {"effects": w.effects, "null": w.null,
                           "calibrations": analysis.calibration_curves(w.curves)},
            "shift_edits": {"bank": w.bank, "amounts": {"smile": 1.0}, "unit": "sigma"},
            "stylespace_dci": {"codes": long, "logits": labels, "least": 0.05, "extreme": 0.1,
                               "bins": "auto", "seed": 1},
            "write_report": {
                "path": w.folder / "report.html", "bank": w.bank, "effects": w.effects,
                "generator": w.generator, "null": w.null, "amounts": [-1.0, 1.0], "samples": 1,
                "title": "t",
            },
        },
    }  # fmt: skip
