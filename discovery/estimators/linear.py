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
from discovery.decomposition.covariance import column_gram

__all__ = [
    "EXACT",
    "Axes",
    "Hyperplanes",
    "Regression",
    "RidgeLikelihood",
    "Rotated",
    "axes_of",
    "check_invertible",
    "check_penalty",
    "lda",
    "mean_difference",
    "ridge",
    "rotate",
]

# Penalties tried, relative to the mean eigenvalue of the codes' scatter.
PENALTIES = torch.logspace(-6, 4, 61, dtype=torch.float64)
# Up to this many numbers (half a gigabyte) codes are rotated in float64.
EXACT = 2**26


class Hyperplanes(NamedTuple):
    """`weights · code + intercepts` for K targets: `[k, d]` and `[k]`."""

    weights: Float[Tensor, "k d"]
    intercepts: Float[Tensor, "k"]


class Axes(NamedTuple):
    """The eigenbasis of the codes' scatter matrix.

    Attributes:
        mean: `[d]`, subtracted from the codes.
        basis: `[d, r]`, eigenvectors with eigenvalues above rounding, descending.
        spectrum: `[r]`, those eigenvalues.
    """

    mean: Tensor
    basis: Tensor
    spectrum: Tensor

    def planes(self, w: Tensor, level: Tensor, dtype: torch.dtype) -> Hyperplanes:
        """Hyperplanes of coefficients `[k, r]` whose value at the mean code is `level`."""
        weights = w.to(self.basis) @ self.basis.T
        return Hyperplanes(weights.to(dtype), (level.to(weights) - weights @ self.mean).to(dtype))


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

    @property
    def axes(self) -> Axes:
        """The basis without the codes."""
        return Axes(*self[:3])

    def planes(self, w: Tensor, level: Tensor, dtype: torch.dtype) -> Hyperplanes:
        """Hyperplanes of coefficients `[k, r]` whose value at the mean code is `level`."""
        return self.axes.planes(w, level, dtype)


def rotate(codes: Float[Tensor, "n d"], *, exact: bool = False) -> Rotated:
    """Center codes and turn them into the eigenbasis of their scatter matrix.

    A penalized linear fit is in the span of the centered codes, so null directions are
    dropped, and with fewer rows than coordinates only as many as the rows' rank are left.

    Args:
        codes: Of any floating dtype; half precision is computed in float32.
        exact: Compute in float64, as a least-squares fit needs, in which the smallest
            eigenvalues weigh most; codes of more than `EXACT` numbers keep their precision.
    """
    n, d = codes.shape
    codes = codes.to(_working(codes))
    if exact and codes.numel() <= EXACT:
        codes = codes.double()
    mean = codes.mean(0)
    centered = codes - mean
    if n >= d:
        axes = axes_of(column_gram(centered), mean, n)
    else:
        spectrum, left = torch.linalg.eigh(centered @ centered.T)
        basis = centered.T @ (left / spectrum.clamp_min(torch.finfo(codes.dtype).tiny).sqrt())
        axes = _kept(mean, basis, spectrum, n)
    return Rotated(*axes, axes.basis.T @ centered.T)


def axes_of(scatter: Float[Tensor, "d d"], mean: Float[Tensor, "d"], count: int) -> Axes:
    """The eigenbasis of a scatter matrix of `count` rows.

    Example:
        >>> axes_of(torch.diag(torch.tensor([1.0, 9.0])), torch.zeros(2), 20).spectrum
        tensor([9., 1.])
    """
    spectrum, basis = torch.linalg.eigh(scatter)
    return _kept(mean, basis, spectrum, min(count, len(mean)))


def _kept(mean: Tensor, basis: Tensor, spectrum: Tensor, rank: int) -> Axes:
    """The axes above rounding, descending."""
    kept = spectrum > spectrum[-1].clamp_min(0) * rank * torch.finfo(spectrum.dtype).eps
    return Axes(mean, basis[:, kept].flip(1), spectrum[kept].flip(0))


def _working(codes: Tensor) -> torch.dtype:
    return torch.promote_types(codes.dtype, torch.float32)


class RidgeLikelihood(NamedTuple):
    """The restricted likelihood of K ridge regressions over a grid of penalties, in float64.

    The model is tᵢ = b + xᵢᵀw + eᵢ with w ~ N(0, σ²/λ) and e ~ N(0, σ²), λ being the penalty.

    Attributes:
        spectrum: `[r]`, eigenvalues s of the codes' scatter.
        signal: `[k, r]`, z = Uᵀt: targets on the left singular vectors of the codes.
        penalties: `[p]`, the λ tried.
        misfit: `[k, p]`, Q(λ) = ‖t − Xw‖² + λ‖w‖² at its minimum; σ² is Q / (n − 1).
        deviance: `[k, p]`, −2 log likelihood, up to a constant.
    """

    spectrum: Tensor
    signal: Tensor
    penalties: Tensor
    misfit: Tensor
    deviance: Tensor

    @property
    def best(self) -> Tensor:
        """Penalties of highest likelihood, `[k, 1]`."""
        return self.penalties[self.deviance.argmin(1)][:, None]

    def coefficients(self, penalty: Tensor, target: int | None = None) -> Tensor:
        """Coefficients in the eigenbasis, `[k, r]`, for penalties `[k, 1]` or `[1]`.

        Those of one target are `[p, r]` for penalties `[p, 1]`.
        """
        signal = self.signal if target is None else self.signal[target]
        return signal * self.spectrum.sqrt() / (self.spectrum + penalty)


class Regression(NamedTuple):
    """All that a penalized least-squares fit of K targets needs of the rows, in float64.

    Attributes:
        axes: The codes' eigenbasis.
        n: Number of rows.
        level: `[k]`, means of the targets.
        signal: `[k, r]`, z = Uᵀt: targets on the left singular vectors of the codes.
        squares: `[k]`, Σ (t − level)².
    """

    axes: Axes
    n: int
    level: Tensor
    signal: Tensor
    squares: Tensor

    @classmethod
    def of_rows(cls, turned: Rotated, targets: Float[Tensor, "k n"]) -> Regression:
        """Of rows in memory."""
        level = targets.double().mean(1)
        residual = targets.double() - level[:, None]
        signal = residual @ turned.codes.T.double() / turned.spectrum.double().sqrt()
        return cls(turned.axes, targets.shape[1], level, signal, residual.square().sum(1))

    def likelihood(self) -> RidgeLikelihood:
        """Restricted likelihood of the ridge penalty for each target.

        Every term is a sum of positive numbers, so that it holds in any precision and with fewer
        rows than coordinates, where generalized cross-validation divides by the square of almost
        nothing. (Patterson & Thompson 1971, Biometrika 58(3); Reiss & Ogden 2009, J. R. Stat. Soc.
        B 71(2), compare the two criteria.)
        """
        n, s, z = self.n, self.axes.spectrum.double(), self.signal
        penalties = PENALTIES.to(s) * s.mean()
        # Rows that span as many directions as there are contrasts are fitted without a rest.
        rest = (self.squares - z.square().sum(1)).clamp_min(0) * (len(s) < n - 1)
        misfit = rest[:, None] + z.square() @ (penalties / (s[:, None] + penalties))
        volume = torch.log1p(s / penalties[:, None]).sum(1)
        tiny = torch.finfo(s.dtype).tiny
        deviance = (n - 1) * misfit.clamp_min(tiny).log() + volume
        return RidgeLikelihood(s, z, penalties, misfit, deviance)

    def ridge(self, penalty: float | None, dtype: torch.dtype) -> Hyperplanes:
        """The planes of a penalty; None chooses it for each target by its likelihood."""
        found = self.likelihood()
        chosen = found.best if penalty is None else found.penalties.new_full((1,), penalty)
        return self.axes.planes(found.coefficients(chosen), self.level, dtype)

    def lda(self, *, balanced: bool, dtype: torch.dtype) -> Hyperplanes:
        """Fisher's discriminant of targets that are labels of ±1."""
        n, share = self.n, (1 + self.level) / 2
        between = n * share * (1 - share)
        # Σ (t − level) x = 2 n p q δ, δ being the difference of the classes' means.
        delta = self.signal * self.axes.spectrum.double().sqrt() / (2 * between[:, None])
        # Total scatter = within scatter + n p q δδᵀ, so Sherman–Morrison turns one into the other.
        total = delta / self.axes.spectrum.double()
        # Classes that a plane parts without a rest leave no scatter within them along it.
        left = (1 - between * (total * delta).sum(1)).clamp_min(torch.finfo(delta.dtype).eps ** 0.5)
        w = total * (n / left)[:, None]
        # The classes' midpoint is at (½ − p) δ from the mean of all codes.
        level = -(0.5 - share) * (w * delta).sum(1)
        if not balanced:
            level += (share / (1 - share)).log()
        return self.axes.planes(w, level, dtype)


def ridge(
    codes: Float[Tensor, "n d"],
    targets: Float[Tensor, "k n"],
    *,
    penalty: float | None = None,
    turned: Rotated | None = None,
) -> Hyperplanes:
    """Least squares of each target on the codes, with an intercept and a squared penalty.

    Minimizes Σᵢ (tᵢ − xᵢᵀw − b)² + penalty ‖w‖².

    Args:
        codes: `[n, d]`, any n > 1 and d.
        targets: `[k, n]`, numbers on any scale.
        penalty: At least 0; by default chosen for each target by restricted maximum likelihood
            (`Regression.likelihood`), which costs nothing here.
        turned: `rotate(codes, exact=True)`, where it is known.

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
    check_penalty(penalty, *codes.shape)
    turned = turned or rotate(codes, exact=True)
    return Regression.of_rows(turned, targets).ridge(penalty, _working(codes))


def check_penalty(penalty: float | None, n: int, d: int) -> None:
    """Refuse a negative penalty, and none where rows do not determine the fit."""
    if penalty is not None and not penalty >= 0:
        raise LatdirError(f"penalty must not be negative, not {penalty}")
    if penalty == 0 and n <= d:
        raise LatdirError(
            f"{n} rows do not determine {d} coordinates without a penalty: leave penalty at "
            "None, which chooses one, or label more samples"
        )


def lda(
    codes: Float[Tensor, "n d"],
    labels: Float[Tensor, "k n"],
    *,
    balanced: bool = False,
    turned: Rotated | None = None,
) -> Hyperplanes:
    """Fisher's linear discriminant of two classes with a common covariance.

    Args:
        codes: `[n, d]`, with n > d + 2.
        labels: `[k, n]`, +1 or −1, both present.
        balanced: Place the plane for equally frequent classes, not for the observed ones.
        turned: `rotate(codes, exact=True)`, where it is known.

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
    check_invertible(*codes.shape)
    turned = turned or rotate(codes, exact=True)
    regression = Regression.of_rows(turned, labels)
    return regression.lda(balanced=balanced, dtype=_working(codes))


def check_invertible(n: int, d: int) -> None:
    """Refuse rows that do not determine the covariance of d coordinates."""
    if n <= d + 2:
        raise LatdirError(
            f"lda inverts a covariance of {d} coordinates, which {n} rows do not determine: "
            'label more samples, or use estimator="ridge"'
        )


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
