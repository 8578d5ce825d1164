"""Geometry of latent spaces: path lengths, separability, pullback metric, geodesics, subspaces.

Read `path_length` first. Import from here.
"""

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
from analysis.spaces.subspaces import (
    SubspaceComparison,
    compare_banks,
    compare_subspaces,
    principal_angles,
)

__all__ = [
    "FrechetMean", "Geodesic", "LocalMetric", "Participation", "PathLength", "PrincipalGeodesics",
    "Separability", "SubspaceComparison", "compare_banks", "compare_subspaces", "cosine_matrix",
    "edit_path_length", "effective_dimension", "find_geodesic", "frechet_mean", "geodesic_between",
    "linear_separability", "lipschitz", "measure_separability", "perceptual_path_length",
    "principal_angles", "principal_geodesics", "pullback_metric",
]  # fmt: skip
