"""Arguments of one valid call of each public function and class of `directions.inversion`."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from directions.inversion import Blur, Gray, LevenbergMarquardt, Shrink, save_inversion
from directions.scoring.features import pixel_features
from tests.fuzzed.world import QUIET
from tests.styles import small_stylegan2


def half(images):
    return 0.5 * images


def inversions(w: SimpleNamespace) -> dict[str, dict]:
    """Arguments by name."""
    few = LevenbergMarquardt(steps=2)
    views = {"count": 2, "layers": "all", "deviation": 0.2, "mixed": False, "seed": 1}
    groups = {
        "images": w.images[:1], "without": w.images[1:3], "having": w.images[3:5], "amount": 0.5,
        "neighbors": 2,
    }  # fmt: skip
    kept = w.folder / "found.safetensors"
    save_inversion(w.found, kept)
    still = torch.zeros(1, 2, 4, 4)
    return {
        "Blur": {"sigma": 1.0},
        "Chain": {"parts": (Shrink(2), Gray())},
        "Crop": {"top": 0, "left": 1, "height": 2, "width": 3},
        "Degraded": {"function": half, "noise": 0.1},
        "Mask": {"visible": torch.ones(8, 8, dtype=torch.bool)},
        "Noise": {"noise": 0.1},
        "Shrink": {"factor": 2, "kernel": "area"},
        "transpose": {
            "degradation": Blur(1.0), "observed": w.images[:1], "shape": (3, 12, 12),
        },
        "Filter": {"kernel": w.noise(3, 3, 1, 1), "bias": w.noise(3)},
        "Best": {"count": 4},
        "Encoded": {"encoder": w.encoder},
        "Given": {"codes": w.codes},
        "Gray": {},
        "Mean": {},
        "Ridge": {"count": 64, "folder": w.folder},
        "Hybrid": {
            "steps": 2, "target": 50.0, "prior": 0.1, "evaluations": 3, "near": 40.0,
        },
        "LevenbergMarquardt": {
            "steps": 2, "target": 50.0, "prior": 0.1, "products": 4, "tolerance": 0.1,
            "explicit": 4, "near": 40.0, "damping": 0.01,
        },
        "fitted": {
            "generator": w.generator, "space": "z", "degradation": Gray(), "count": 64,
            "metric": True, "folder": None,
        },
        "psnr": {"images": w.images, "targets": w.images.flip(0)},
        "find_recipe": {"name": "creswell", "steps": 3},
        "find_solver": {"solver": "lbfgs", "steps": 3},
        "find_start": {"start": "mean"},
        "Frames": {"generator": w.generator, "count": 2, "space": "z"},
        "NoiseMaps": {"generator": small_stylegan2(), "space": "w"},
        "Paddings": {"generator": small_stylegan2(), "count": 2, "space": "w"},
        "FeatureOffsets": {"generator": w.tunable, "layer": "relu.0", "space": "z"},
        "SeveralCodes": {"generator": w.tunable, "layer": "relu.0", "count": 2, "space": "z"},
        "flow_features": {"forward": still, "backward": still},
        "generative_views": {
            "generator": w.generator, "codes": w.codes[:2], "space": "z", **views,
        },
        "ensemble_scores": {
            "found": w.found, "classifier": w.classifier, "images": w.images[:3], "weight": 0.4,
            **views,
        },
        "interpolated_features": {"features": pixel_features, **groups},
        "interpolate_features": {
            "generator": w.generator, **groups, "features": pixel_features, "space": "z",
            "solver": few, "start": "mean",
        },
        "invert_folder": {
            "generator": w.generator, "pictures": [("a", w.images[0])],
            "out": w.folder / "inverted", "space": "z", "solver": few, "start": "mean",
            "restarts": 0, "seed": 1, "rendering": QUIET,
        },
        "mimic": {
            "generator": w.generator, "images": w.images[:2], "size": 1, "rounds": 1, "steps": 1,
            "space": "z", "seed": 1, "rendering": QUIET,
        },
        "save_inversion": {"inversion": w.found, "path": w.folder / "again.safetensors"},
        "load_inversion": {"path": kept, "generator": w.generator},
    }  # fmt: skip
