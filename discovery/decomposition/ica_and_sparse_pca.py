"""Independent and sparse components, GANSpace's two alternatives to PCA.

Both are scikit-learn's, applied here to small equivalents of the samples. ICA
gets whitened coordinates of some samples. Sparse PCA depends on the samples through their
covariance only, so it gets a root of that instead of the samples themselves.
"""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import ConvergenceError, LatdirError

__all__ = ["independent_components", "sparse_components"]

ICA_ITERATIONS = 2000
SPARSE_ITERATIONS = 2000


def independent_components(white: Float[Tensor, "n c"], *, seed: int) -> Float[Tensor, "c c"]:
    """The rotation that makes whitened coordinates as independent as possible.

    Aapo Hyvärinen: Fast and Robust Fixed-Point Algorithms for Independent Component Analysis,
    IEEE Transactions on Neural Networks 1999.

    Args:
        white: Coordinates of zero mean and unit covariance.
        seed: Of the starting rotation.

    Returns:
        Orthonormal rows, float64: `white @ rotation.T` are the sources.

    Raises:
        LatdirError: The iteration does not converge, as on Gaussian codes, where every rotation
            is as good as another.
    """
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    ica = FastICA(whiten=False, random_state=seed, max_iter=ICA_ITERATIONS, tol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            ica.fit(white.double().cpu().numpy())
        except ConvergenceWarning as error:
            raise ConvergenceError(
                f"ICA found no {white.shape[1]} independent components in "
                f"{ICA_ITERATIONS} iterations: on Gaussian codes there are none; "
                "ask for fewer components, or use estimator='pca'"
            ) from error
    rotation: Tensor = torch.from_numpy(ica.components_).to(white.device)
    return rotation


def sparse_components(
    covariance: Float[Tensor, "d d"], *, count: int, sparsity: float, seed: int
) -> Float[Tensor, "k d"]:
    """Sparse directions that still explain most of the variance.

    Hui Zou, Trevor Hastie, Robert Tibshirani: Sparse Principal Component Analysis, Journal of
    Computational and Graphical Statistics 2006, in scikit-learn's dictionary-learning form.

    Args:
        covariance: Of the samples.
        count: Number of elements.
        sparsity: Weight of the ℓ1 penalty, in units of the root of the largest eigenvalue.
        seed: Of the start.

    Returns:
        Unit rows, float64; rows that the penalty made zero are left out.

    Raises:
        LatdirError: The iteration does not converge, or the penalty leaves nothing.
    """
    from sklearn.decomposition import SparsePCA

    values, vectors = torch.linalg.eigh(covariance.double())
    scale = values[-1].sqrt()
    root = (vectors * values.clamp_min(0).sqrt()).T / scale
    # The root and its negative together have mean zero, which scikit-learn subtracts.
    rows = torch.cat([root, -root]) / 2**0.5
    model = SparsePCA(
        n_components=count, alpha=sparsity, random_state=seed, max_iter=SPARSE_ITERATIONS
    )
    model.fit(rows.cpu().numpy())
    if model.n_iter_ >= SPARSE_ITERATIONS:
        raise ConvergenceError(
            f"sparse PCA did not converge in {SPARSE_ITERATIONS} iterations: "
            "ask for fewer components or another sparsity"
        )
    found: Tensor = torch.from_numpy(model.components_).to(covariance.device)
    norms = found.norm(dim=1, keepdim=True)
    kept = norms[:, 0] > 0
    if not kept.any():
        raise LatdirError(f"a sparsity of {sparsity} leaves no coordinate: give a smaller one")
    unit: Tensor = found[kept] / norms[kept]
    return unit
