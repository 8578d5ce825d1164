"""Linear estimators in closed form: ridge on soft scores, Fisher's discriminant, class means.

Each takes codes `[n, d]` and the targets of K attributes as rows `[k, n]`, and shares one
factorization of the codes among all of them. For standard normal codes each is consistent for
a direction β whenever the target depends on the code only through βᵀx (Brillinger 1982, "A
generalized linear model with Gaussian regressor variables"), whatever the link.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError

__all__ = ["Hyperplanes", "Rotated", "lda", "mean_difference", "ridge", "rotate"]

# Penalties tried, relative to the mean eigenvalue of the codes' scatter.
PENALTIES = torch.logspace(-6, 4, 61, dtype=torch.float64)


class Hyperplanes(NamedTuple):
    """`weights · code + intercepts` for K targets: `[k, d]` and `[k]`."""

    weights: Float[Tensor, "k d"]
    intercepts: Float[Tensor, "k"]


class Rotated(NamedTuple):
    """Centered codes in the eigenbasis of their scatter matrix.

    Attributes:
        mean: `[d]`, subtracted from the codes.
        basis: `[d, r]`, eigenvectors with eigenvalues above rounding, descending.
        spectrum: `[r]`, those eigenvalues.
        codes: `[r, n]`, the centered codes in that basis, transposed.
    """

    mean: Tensor
    basis: Tensor
    spectrum: Tensor
    codes: Tensor

    def planes(self, w: Tensor, level: Tensor) -> Hyperplanes:
        """Hyperplanes of coefficients `[k, r]` whose value at the mean code is `level`."""
        weights = w @ self.basis.T
        return Hyperplanes(weights, level - weights @ self.mean)


def rotate(codes: Float[Tensor, "n d"]) -> Rotated:
    """Center codes and turn them into the eigenbasis of their scatter matrix.

    A penalized linear fit lies in the span of the centered codes, so null directions are
    dropped, and with fewer rows than coordinates only as many as the rows' rank are left.
    """
    mean = codes.mean(0)
    centered = codes - mean
    n, d = codes.shape
    if n >= d:
        spectrum, basis = torch.linalg.eigh(centered.T @ centered)
    else:
        spectrum, left = torch.linalg.eigh(centered @ centered.T)
        basis = centered.T @ (left / spectrum.clamp_min(torch.finfo(codes.dtype).tiny).sqrt())
    kept = spectrum > spectrum[-1].clamp_min(0) * max(n, d) * torch.finfo(codes.dtype).eps
    spectrum, basis = spectrum[kept].flip(0), basis[:, kept].flip(1)
    return Rotated(mean, basis, spectrum, basis.T @ centered.T)


def ridge(
    codes: Float[Tensor, "n d"],
    targets: Float[Tensor, "k n"],
    *,
    penalty: float | None = None,
) -> Hyperplanes:
    """Least squares of each target on the codes, with an intercept and a squared penalty.

    Minimizes Σᵢ (tᵢ − xᵢᵀw − b)² + penalty ‖w‖².

    Args:
        codes: `[n, d]`, any n > 1 and d.
        targets: `[k, n]`, numbers on any scale.
        penalty: At least 0; by default chosen for each target by generalized cross-validation
            (Golub, Heath & Wahba 1979, Technometrics 21(2)), which costs nothing here.

    Returns:
        The regression planes; their zero is where the predicted target is 0.

    Raises:
        LatdirError: A negative penalty, or none with fewer rows than coordinates.

    Example:
        >>> codes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> plane = ridge(codes, codes[:, 0][None] * 3 + 1, penalty=0.0)
        >>> plane.weights.round(decimals=4), plane.intercepts.round(decimals=4)
        (tensor([[3., 0.]]), tensor([1.]))
    """
    n, d = codes.shape
    if penalty is not None and not penalty >= 0:
        raise LatdirError(f"penalty must not be negative, not {penalty}")
    if penalty == 0 and n <= d:
        raise LatdirError(
            f"{n} rows do not determine {d} coordinates without a penalty: leave penalty at "
            "None, which chooses one, or label more samples"
        )
    turned = rotate(codes)
    level = targets.mean(1)
    residual = (targets - level[:, None]).double()
    spectrum = turned.spectrum.double()
    cross = residual @ turned.codes.T.double()
    if penalty is None:
        penalties = PENALTIES.to(spectrum) * spectrum.mean()
        kept = spectrum / (spectrum + penalties[:, None])
        explained = (cross.square()[:, None] * kept * (2 - kept) / spectrum).sum(2)
        freedom = 1 - (1 + kept.sum(1)) / n
        score = (residual.square().sum(1)[:, None] - explained) / freedom.square()
        chosen = penalties[score.argmin(1)][:, None]
    else:
        chosen = torch.full_like(level[:, None], penalty, dtype=torch.float64)
    return turned.planes((cross / (spectrum + chosen)).to(codes), level)


def lda(
    codes: Float[Tensor, "n d"], labels: Float[Tensor, "k n"], *, balanced: bool = False
) -> Hyperplanes:
    """Fisher's linear discriminant of two classes with a common covariance.

    Args:
        codes: `[n, d]`, with n > d + 2.
        labels: `[k, n]`, +1 or −1, both present.
        balanced: Place the plane for equally frequent classes, not for the observed ones.

    Returns:
        The log-odds of the positive class.

    Raises:
        LatdirError: Too few rows for the covariance to be inverted.

    Example:
        >>> codes = torch.tensor([[0.0, 1], [1, 1], [0, 2], [1, 2], [2, 1], [2, 2.0]])
        >>> plane = lda(codes, torch.tensor([[-1.0, -1, 1, 1, -1, 1]]))
        >>> plane.weights[0, 0].abs() < 1e-5, plane.weights[0, 1] > 0
        (tensor(True), tensor(True))
    """
    n, d = codes.shape
    if n <= d + 2:
        raise LatdirError(
            f"lda inverts a covariance of {d} coordinates, which {n} rows do not determine: "
            'label more samples, or use estimator="ridge"'
        )
    turned = rotate(codes)
    share = (labels > 0).double().mean(1)
    difference = (labels > 0).double() / (share * n)[:, None]
    difference -= (labels < 0).double() / ((1 - share) * n)[:, None]
    delta = difference @ turned.codes.T.double()
    # Total scatter = within scatter + n p q δδᵀ, so Sherman–Morrison turns one into the other.
    total = delta / turned.spectrum.double()
    between = n * share * (1 - share)
    scale = n / (1 - between * (total * delta).sum(1))
    w = total * scale[:, None]
    # The classes' midpoint lies at (½ − p) δ from the mean of all codes.
    level = -(0.5 - share) * (w * delta).sum(1)
    if not balanced:
        level += (share / (1 - share)).log()
    return turned.planes(w.to(codes), level.to(codes))


def mean_difference(
    codes: Float[Tensor, "n d"], labels: Float[Tensor, "k n"], weights: Tensor | None = None
) -> Hyperplanes:
    """Mean code of the positives minus mean code of the negatives: attribute arithmetic.

    Args:
        codes: `[n, d]`.
        labels: `[k, n]`, +1, −1, or 0 for rows left out.
        weights: `[k, n]`, row weights, at least 0.

    Returns:
        The planes half-way between the two means.

    Example:
        >>> codes = torch.tensor([[0.0, 0.0], [0.0, 2.0], [0.0, 4.0]])
        >>> mean_difference(codes, torch.tensor([[-1.0, -1.0, 1.0]]))
        Hyperplanes(weights=tensor([[0., 3.]]), intercepts=tensor([-7.5000]))
    """
    means = []
    for sign in (1, -1):
        weight = (labels == sign).to(codes) * (1 if weights is None else weights)
        means.append(weight @ codes / weight.sum(1, keepdim=True))
    normal = means[0] - means[1]
    return Hyperplanes(normal, -(normal * (means[0] + means[1])).sum(1) / 2)
