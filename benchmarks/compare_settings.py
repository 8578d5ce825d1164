"""Methods and command line of `compare.py`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

ATTRIBUTES = (
    "yaw,pitch,roll,smiling,mouth_open,eyes_open,male,age,"
    "brightness,contrast,background_brightness,warmth"
)
# Each method's settings; the space and the number of directions come from the command.
SUPERVISED: dict[str, tuple[str, dict[str, Any]]] = {
    "ridge": ("boundary", {"bootstrap": 0}),
    "conditioned": ("boundary", {"bootstrap": 0}),
    "independent": ("boundary", {"bootstrap": 0}),
    "interfacegan": ("boundary", {"estimator": "interfacegan", "bootstrap": 0}),
    "mean_difference": ("boundary", {"estimator": "mean_difference", "bootstrap": 0}),
    "conditional_mean": ("conditional_mean", {}),
    "conditional_flow": ("conditional_flow", {}),
    "plugen": ("plugen", {}),
    "grad_ctrl": ("grad_ctrl", {}),
    "latent2im": ("latent2im", {"steps": 400}),
    "gradient": ("gradient", {"n_codes": 300}),
}
UNSUPERVISED: dict[str, tuple[str, dict[str, Any]]] = {
    "pca": ("pca", {"n_codes": 20_000}),
    "ica": ("pca", {"n_codes": 20_000, "estimator": "ica"}),
    "sefa": ("sefa", {}),
    "feature_regression": ("feature_regression", {}),
    "feature_regression (faces)": ("feature_regression", {"features": "faces"}),
    "global_basis": ("global_basis", {"n_codes": 50}),
    "local_basis": ("local_basis", {}),
    "region (mouth)": ("region", {"n_codes": 20}),
    "region (eyes)": ("region", {"n_codes": 20, "region": "eyes"}),
    "orojar": ("orojar", {}),
    "hessian_penalty": ("hessian_penalty", {}),
    "transforms": ("transforms", {}),
    "walks": ("walks", {"steps": 150}),
    "voynov_babenko": ("voynov_babenko", {"steps": 500, "reach": 4.0}),
    "voynov_babenko (in sefa)": (
        "voynov_babenko",
        {"steps": 500, "reach": 4.0, "start": "sefa", "span": 30},
    ),
    "warped_gan_space": ("warped_gan_space", {"steps": 400}),
    "potential_flow": ("potential_flow", {"steps": 400}),
    "decurved": ("decurved", {"steps": 400}),
    "disco": ("disco", {"steps": 200}),
    "latent_clr": ("latent_clr", {"steps": 150, "batch_size": 4}),
    "random": ("random_directions", {}),
}
# GANSpace takes components of the first layer where the space itself has a normal prior.
LAYERS = {"digiface64": "relu.0"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space", default="z")
    parser.add_argument("--classifier", default="faces+pixels")
    parser.add_argument("--judge", default="mobile-faces", help="'' for none")
    parser.add_argument("--attributes", default=ATTRIBUTES)
    parser.add_argument("--methods", default=",".join(SUPERVISED | UNSUPERVISED))
    parser.add_argument("--labels", default="6000", help="how many to draw, or a folder of them")
    parser.add_argument("--directions", type=int, default=20, help="of each unsupervised method")
    parser.add_argument("--random", type=int, default=48, help="random directions of the null")
    parser.add_argument("--naming", type=int, default=64, help="codes to name on")
    parser.add_argument("--count", type=int, default=128, help="held-out codes to compare on")
    parser.add_argument("--identity", help="classifier with embeddings, such as faces; slow")
    parser.add_argument("--add", type=Path, help="a comparison.json whose other methods are kept")
    parser.add_argument("--out", type=Path, help="by default out/benchmarks/compare/…")
    options = parser.parse_args()
    place = f"{options.generator}-{options.space}"
    options.out = options.out or Path("out/benchmarks/compare") / place
    return options
