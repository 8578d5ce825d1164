"""Numerical tools of discovery and analysis: eigenvectors, linearized maps, tangents.

Read `eigen` first, then `linearized`. Import the functions from here.
"""

from directions.numerics.eigen import Spectrum, eigh, generalized_eigh, near_ties, signed
from directions.numerics.linearized import (
    Linearized,
    Window,
    deconvolutions,
    linearize,
    linearize_layers,
    pushforward,
)
from directions.numerics.tangents import Directional, directional

__all__ = [
    "Directional",
    "Linearized",
    "Spectrum",
    "Window",
    "deconvolutions",
    "directional",
    "eigh",
    "generalized_eigh",
    "linearize",
    "linearize_layers",
    "near_ties",
    "pushforward",
    "signed",
]
