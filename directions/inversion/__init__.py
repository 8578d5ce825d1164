"""Inversion: from images to codes.

Read `base` first (what a way to invert is, and what comes back), then `invert`, which chooses
spaces and starts, and `batches`, which solves, restarts and judges; `folders` keeps the results of
many pictures. `objective` is what is minimized; `degradations`, what images may have gone through
before; `encoders` predict codes in one pass; `solvers` holds a file for each solver, `recipes` the
published ways, `losses` parts of costs, `details` what codes lose of images, `unknowns` generators
of which more is unknown than a code. Import the names from here, `invert` and `load_encoder` from
`directions`.
"""

from directions.inversion.base import STATUSES, Inversion, Inverter, Solved
from directions.inversion.degradations import (
    KERNELS,
    Blur,
    Chain,
    Crop,
    Degraded,
    Filter,
    Gray,
    Mask,
    Noise,
    Shrink,
    transpose,
)
from directions.inversion.encoders import Encoded, Encoder, load_encoder
from directions.inversion.files import load_inversion, save_inversion
from directions.inversion.fitted import Fitted, fitted
from directions.inversion.folders import invert_folder
from directions.inversion.invert import invert
from directions.inversion.mimic import mimic
from directions.inversion.objective import Degradation, Objective, psnr
from directions.inversion.recipes import RECIPES, find_recipe
from directions.inversion.recipes.ensembling import ensemble_scores, generative_views
from directions.inversion.recipes.feature_interpolation import (
    interpolate_features,
    interpolated_features,
)
from directions.inversion.solvers import SOLVERS, Hybrid, LevenbergMarquardt, find_solver
from directions.inversion.starts import STARTS, Best, Given, Mean, Ridge, Start, find_start
from directions.inversion.typicality import Typicality
from directions.inversion.unknowns import (
    FeatureOffsets,
    Frames,
    NoiseMaps,
    Paddings,
    SeveralCodes,
    flow_features,
)

__all__ = [
    "KERNELS",
    "Blur",
    "Chain",
    "Crop",
    "Degraded",
    "Gray",
    "Mask",
    "Noise",
    "Shrink",
    "transpose",
    "RECIPES",
    "SOLVERS",
    "STARTS",
    "STATUSES",
    "Best",
    "Degradation",
    "Encoded",
    "Encoder",
    "FeatureOffsets",
    "Filter",
    "Fitted",
    "Frames",
    "Given",
    "Hybrid",
    "Inversion",
    "Inverter",
    "LevenbergMarquardt",
    "Mean",
    "NoiseMaps",
    "Objective",
    "Paddings",
    "Ridge",
    "SeveralCodes",
    "Solved",
    "Start",
    "Typicality",
    "ensemble_scores",
    "find_recipe",
    "find_solver",
    "find_start",
    "fitted",
    "flow_features",
    "generative_views",
    "interpolate_features",
    "interpolated_features",
    "invert",
    "invert_folder",
    "mimic",
    "load_inversion",
    "load_encoder",
    "psnr",
    "save_inversion",
]
