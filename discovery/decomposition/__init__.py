"""Linear algebra of many codes: covariances, ranges, ICA, joint diagonalization, varimax.

Read `covariance` first. Import from here; `robust_pca` has its function in the module of its
name.
"""

from discovery.decomposition.covariance import StreamingCovariance, column_gram
from discovery.decomposition.ica_and_sparse_pca import independent_components, sparse_components
from discovery.decomposition.joint_diagonalization import diagonalize, off_diagonal
from discovery.decomposition.randomized_range import Range, find_range
from discovery.decomposition.varimax import varimax

__all__ = [
    "Range", "StreamingCovariance", "column_gram", "diagonalize", "find_range",
    "independent_components", "off_diagonal", "sparse_components", "varimax",
]  # fmt: skip
