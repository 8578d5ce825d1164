"""Symmetric eigenproblems: descending order, one sign convention, near-degenerate pairs reported.

Every method that reads directions off a matrix (PCA, SeFa, the Jacobian family) goes through
here, so that eigenvalues always come in descending order, a vector's sign does not depend on the
LAPACK build, and directions with indistinguishable eigenvalues are marked: of such a group only the
span is meaningful, each single vector is an arbitrary choice within it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import scipy.linalg
import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError

__all__ = ["Spectrum", "eigh", "generalized_eigh", "near_ties", "signed"]

TIE_TOLERANCE = 1e-3
"""Relative gap below which two neighboring eigenvalues count as equal."""

SYMMETRY_TOLERANCE = 1e-4
ROUNDING = 1e-12
PARTIAL = 0.2


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues and eigenvectors, largest first.

    Attributes:
        values: `[k]` float64, descending.
        vectors: `[k, d]` float64 rows of unit norm, signed by `signed`.
        total: Sum of all d eigenvalues, also of those left out.
        ties: Groups of indices, each of at least two, whose eigenvalues are nearly equal. A group
            may be cut by `k`: then its last index is `k - 1` and `open_end` is true.
        open_end: Whether the first eigenvalue left out is nearly equal to the last one kept.
    """

    values: Float[Tensor, "k"]
    vectors: Float[Tensor, "k d"]
    total: float
    ties: tuple[tuple[int, ...], ...] = ()
    open_end: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def evidence(self, index: int) -> dict[str, Any]:
        """Supporting statistics of eigenvector `index`, as JSON values for `Direction.evidence`.

        Returns:
            `eigenvalue`; `share` of the total; `tied_with`, the indices whose eigenvalues are
            nearly equal to it; `tied_beyond`, whether some of those were left out.
        """
        group = next((g for g in self.ties if index in g), (index,))
        share = float(self.values[index]) / self.total if self.total else 0.0
        return {
            "eigenvalue": float(self.values[index]),
            "share": share,
            "tied_with": [i for i in group if i != index],
            "tied_beyond": self.open_end and group[-1] == len(self) - 1,
        }

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "d"], dict[str, Any]]]:
        """Each eigenvector with its evidence, largest eigenvalue first."""
        return ((self.vectors[i], self.evidence(i)) for i in range(len(self)))


def signed(vectors: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
    """Flip each row so that its coordinate of the largest magnitude is positive.

    Of several coordinates within one part in a million of that magnitude, the first decides, so
    that rounding does not.

    Example:
        >>> signed(torch.tensor([[0.6, -0.8], [1.0, 0.0], [-0.5, 0.5]]))
        tensor([[-0.6000,  0.8000],
                [ 1.0000,  0.0000],
                [ 0.5000, -0.5000]])
    """
    magnitude = vectors.abs()
    near_largest = magnitude >= magnitude.amax(1, keepdim=True) * (1 - 1e-6)
    first = near_largest.int().argmax(1, keepdim=True)
    negative = vectors.gather(1, first) < 0
    return torch.where(negative, -vectors, vectors)


def near_ties(
    values: Float[Tensor, "k"], *, tolerance: float = TIE_TOLERANCE
) -> tuple[tuple[int, ...], ...]:
    """Groups of neighboring eigenvalues that cannot be distinguished.

    Two neighbors are tied when their gap is at most `tolerance` times the larger of them; values
    that are zero up to the rounding of the largest are tied with each other.

    Args:
        values: Descending.
        tolerance: Relative gap. For a covariance estimated from n samples the sampling error of
            an eigenvalue is √(2/n) of it (North et al. 1982), which is the natural choice.

    Returns:
        Groups of at least two indices, ascending.

    Example:
        >>> near_ties(torch.tensor([5.0, 2.0, 1.9999, 1.0, 0.0, 0.0]))
        ((1, 2), (4, 5))
    """
    listed = values.double().tolist()
    if not listed:
        return ()
    rounding = abs(listed[0]) * ROUNDING
    groups = [[0]]
    for i, (above, below) in enumerate(itertools.pairwise(listed), 1):
        if above - below <= max(tolerance * abs(above), rounding):
            groups[-1].append(i)
        else:
            groups.append([i])
    return tuple(tuple(g) for g in groups if len(g) > 1)


def eigh(matrix: Tensor, *, count: int | None = None, tolerance: float = TIE_TOLERANCE) -> Spectrum:
    """Leading eigenpairs of a symmetric matrix.

    Args:
        matrix: `[d, d]`, symmetric, of any float dtype; solved in float64 on its device.
        count: Number of eigenpairs; all by default.
        tolerance: Relative gap below which neighbors are reported as tied.

    Returns:
        Float64 values and row vectors, on the matrix's device.

    Raises:
        LatdirError: Not square, not symmetric, not finite, or a count outside 1 … d.

    Example:
        >>> spectrum = eigh(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
        >>> spectrum.values.tolist(), spectrum.vectors.tolist()
        ([3.0, 1.0], [[0.0, 1.0], [1.0, 0.0]])
    """
    exact = _symmetric(matrix)
    kept = _checked(count, len(exact))
    if exact.device.type == "cpu" and kept <= len(exact) * PARTIAL:
        values, rows = _leading(exact, kept + 1)
    else:
        ascending, columns = torch.linalg.eigh(exact)
        values, rows = ascending.flip(0), columns.T.flip(0)
    return _spectrum(values, rows, float(exact.trace()), kept, tolerance)


def generalized_eigh(
    a: Tensor,
    b: Tensor,
    *,
    ridge: float = 0.0,
    count: int | None = None,
    tolerance: float = TIE_TOLERANCE,
) -> Spectrum:
    """Leading solutions of a v = λ b v: the directions where a is large against b.

    With b = L Lᵀ the problem is the ordinary one of L⁻¹ a L⁻ᵀ, and v = L⁻ᵀ u.

    Args:
        a: `[d, d]`, symmetric.
        b: `[d, d]`, symmetric and positive definite, after the ridge.
        ridge: Added to the diagonal of b, as a fraction of its mean diagonal.
        count: Number of eigenpairs; all by default.
        tolerance: Relative gap below which neighbors are reported as tied.

    Returns:
        λ in descending order. The vectors have unit length but, unlike those of `eigh`, are
        orthogonal in the metric of b rather than to each other; `total` is the trace of b⁻¹ a.

    Raises:
        LatdirError: As for `eigh`, or b is not positive definite.

    Example:
        >>> generalized_eigh(torch.eye(2), torch.diag(torch.tensor([1.0, 4.0]))).values.tolist()
        [1.0, 0.25]
    """
    exact_a, exact_b = _symmetric(a), _symmetric(b)
    if exact_a.shape != exact_b.shape:
        raise LatdirError(f"the two matrices have shapes {list(a.shape)} and {list(b.shape)}")
    if ridge < 0:
        raise LatdirError(f"ridge is {ridge}: give 0 or a small positive number, such as 1e-4")
    lift = ridge * exact_b.diagonal().mean()
    lower, failed = torch.linalg.cholesky_ex(exact_b + lift * torch.eye(len(exact_b)).to(exact_b))
    # A pivot at the rounding error passes the factorization but makes λ meaningless.
    pivots = lower.diagonal().square()
    floor = len(pivots) * torch.finfo(torch.float64).eps * float(exact_b.diagonal().amax())
    if bool(failed) or float(pivots.amin()) <= floor:
        raise LatdirError(
            "the second matrix is not positive definite, so the ratio to it is unbounded: "
            f"give a ridge above the present {ridge:g}, such as 1e-4"
        )
    half = torch.linalg.solve_triangular(lower, exact_a, upper=False)
    whitened = torch.linalg.solve_triangular(lower, half.T, upper=False)
    values, columns = torch.linalg.eigh((whitened + whitened.T) / 2)
    vectors = torch.linalg.solve_triangular(lower.T, columns, upper=True).T
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    kept = _checked(count, len(values))
    return _spectrum(values.flip(0), vectors.flip(0), float(values.sum()), kept, tolerance)


def _leading(matrix: Float[Tensor, "d d"], count: int) -> tuple[Tensor, Tensor]:
    """Only the largest eigenpairs: a third of the time of all when few are wanted."""
    size = len(matrix)
    ascending, columns = scipy.linalg.eigh(
        matrix.numpy(), subset_by_index=(size - count, size - 1), driver="evr", check_finite=False
    )
    return torch.from_numpy(ascending).flip(0), torch.from_numpy(columns).T.flip(0)


def _checked(count: int | None, size: int) -> int:
    kept = size if count is None else count
    if not 1 <= kept <= size:
        raise LatdirError(f"count is {count}: the matrix has 1 … {size} eigenvectors")
    return kept


def _symmetric(matrix: Tensor) -> Float[Tensor, "d d"]:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise LatdirError(f"eigenvectors need a square matrix, not shape {list(matrix.shape)}")
    exact = matrix.detach().double()
    # NaN and infinity differ from themselves, so that one pass detects both.
    asymmetry = float((exact - exact.T).abs().amax())
    if asymmetry == 0:
        return exact
    if not math.isfinite(asymmetry):
        raise LatdirError("the matrix has NaN or infinite entries: check its input")
    if asymmetry > SYMMETRY_TOLERANCE * float(exact.abs().amax()):
        raise LatdirError(
            f"the matrix differs from its transpose by {asymmetry:.3g}: "
            "these methods take symmetric ones; pass (m + m.T) / 2 if that is what you mean"
        )
    return (exact + exact.T) / 2


def _spectrum(
    values: Tensor, vectors: Tensor, total: float, kept: int, tolerance: float
) -> Spectrum:
    """The first `kept` pairs; further values only show whether a tie was cut."""
    groups = near_ties(values, tolerance=tolerance)
    cut = (tuple(i for i in g if i < kept) for g in groups)
    return Spectrum(
        values=values[:kept],
        vectors=signed(vectors[:kept]),
        total=total,
        ties=tuple(g for g in cut if len(g) > 1),
        open_end=any(kept - 1 in g and kept in g for g in groups),
    )
