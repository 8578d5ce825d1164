"""Numerical tools of discovery and analysis: eigenvectors, linearized maps, Jacobians, tangents.

Read `eigen` first, then `linearized`. Import the functions from here.
"""

from directions.numerics.eigen import Spectrum, eigh, generalized_eigh, near_ties, signed
from directions.numerics.jacobian import columns, gram, leading, metric, principal
from directions.numerics.linearized import (
    Linearized,
    Window,
    deconvolutions,
    linearize,
    linearize_layers,
)
from directions.numerics.linearized_batch import (
    LinearizedBatch,
    linearize_batch,
    linearize_layers_batch,
)
from directions.numerics.tangents import Directional, directional, pushforward

__all__ = [
    "Directional",
    "Linearized",
    "LinearizedBatch",
    "Spectrum",
    "Window",
    "columns",
    "deconvolutions",
    "directional",
    "eigh",
    "generalized_eigh",
    "gram",
    "leading",
    "linearize",
    "linearize_batch",
    "linearize_layers",
    "linearize_layers_batch",
    "metric",
    "near_ties",
    "principal",
    "pushforward",
    "signed",
]
