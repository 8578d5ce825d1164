"""Bayesian linear regression under several priors at once, each weighted by its evidence.

The model is y = H w + e with e ~ N(0, s diag v) and w ~ N(0, s t C), where C is one of several
covariances, t one of several sizes, and s, near 1 beforehand (inverse gamma), is what the values
say of the noise (Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", chapter 2;
O'Hagan & Forster 2004, "Bayesian Inference", chapter 11). All is computed from the rows' Gram
matrices, so that a few hundred rows cost milliseconds whatever the size of w; more rows than
coordinates are compressed first, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError
from discovery.estimators.cones import angles

__all__ = ["Covariance", "Observations", "Posterior", "posterior"]

# Covariances and sizes of less weight do not change the mean.
NEGLIGIBLE = 1e-9


class Covariance(NamedTuple):
    """C = a F Fᵀ + b I, of trace 1, without the `[d, d]` matrix.

    Attributes:
        factor: F, `[d, k]`, with ‖F‖² = 1; no columns for none.
        share: a, the fraction of the variance within F's columns; b is (1 − a) / d.

    Example:
        >>> prior = Covariance(torch.tensor([[1.0], [0.0]]), 0.5)
        >>> prior.times(torch.eye(2))
        tensor([[0.7500, 0.0000],
                [0.0000, 0.2500]])
    """

    factor: Float[Tensor, "d k"]
    share: float

    @property
    def rest(self) -> float:
        """b, the variance of each coordinate outside F."""
        return (1 - self.share) / len(self.factor)

    def times(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Rows multiplied by C."""
        return self.share * (rows @ self.factor) @ self.factor.T + self.rest * rows

    def draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "count d"]:
        """Draws from N(0, C), float64."""
        d, k = self.factor.shape
        inner = torch.randn(count, k, generator=generator, dtype=torch.float64)
        outer = torch.randn(count, d, generator=generator, dtype=torch.float64)
        return math.sqrt(self.share) * inner @ self.factor.T + math.sqrt(self.rest) * outer


class Observations(NamedTuple):
    """What is known of w: `values` is `rows · w` up to noise.

    Attributes:
        rows: H, `[n, d]`, float64.
        values: y, `[n]`.
        noise: v, `[n]`, variances above 0.
    """

    rows: Float[Tensor, "n d"]
    values: Float[Tensor, "n"]
    noise: Float[Tensor, "n"]

    def joined(self, other: Observations) -> Observations:
        """Both together."""
        return Observations(*(torch.cat(pair) for pair in zip(self, other, strict=True)))

    def compressed(self) -> Observations:
        """At most d + 1 rows with the same posterior under every prior, and noise 1.

        The likelihood depends on H, y and v only through R of the QR factorization of
        v^(−1/2) [H y].
        """
        n, d = self.rows.shape
        if n <= d + 1:
            return self
        scale = self.noise.rsqrt()[:, None]
        R = torch.linalg.qr(scale * torch.cat([self.rows, self.values[:, None]], 1), mode="r")[1]
        return Observations(R[:, :-1], R[:, -1], R.new_ones(len(R)))


@dataclass(frozen=True, eq=False)
class Posterior:
    """w given the observations: a mixture of normals, one for each prior covariance and size.

    Attributes:
        seen: The observations, compressed.
        priors: The covariances C.
        sizes: `[t]`, the sizes.
        weights: `[p, t]`, posterior probabilities of covariance and size.
        scales: `[p, t]`, the factor s of all variances under each.
        mean: `[d]`, E w.
        spread: E ‖w − E w‖².
    """

    seen: Observations
    priors: tuple[Covariance, ...]
    sizes: Float[Tensor, "t"]
    weights: Float[Tensor, "p t"]
    scales: Float[Tensor, "p t"]
    mean: Float[Tensor, "d"]
    spread: float

    @property
    def angle(self) -> float:
        """Expected degrees between w and `mean`: atan(√spread / ‖mean‖); 90: nothing is known."""
        return math.degrees(math.atan2(math.sqrt(self.spread), float(self.mean.norm())))

    def angle_with(self, rows: Float[Tensor, "m d"], noise: float) -> float:
        """The angle to expect after observing these rows too, whatever they turn out to be.

        Under one prior the covariance does not depend on the values, and what the spread loses
        the mean gains: E ‖mean‖² + spread is constant. The most probable prior stands for all.

        Args:
            rows: `[m, d]`.
            noise: Variance of each.
        """
        p, t = divmod(int(self.weights.argmax()), len(self.sizes))
        prior, size = self.priors[p], float(self.sizes[t])
        before = _spread(self.seen.rows, self.seen.noise, prior, size)
        more = torch.cat([self.seen.rows, rows.to(self.seen.rows)])
        variances = torch.cat([self.seen.noise, self.seen.noise.new_full((len(rows),), noise)])
        left = self.spread * _spread(more, variances, prior, size) / before
        total = float(self.mean.square().sum()) + self.spread
        return math.degrees(math.acos(math.sqrt(max(0.0, 1 - left / total))))

    def draws(self, count: int, *, seed: int) -> Float[Tensor, "count d"]:
        """Draws of w, float64."""
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.multinomial(
            self.weights.flatten(), count, replacement=True, generator=generator
        )
        found = []
        for pair in sorted(set(chosen.tolist())):
            prior, size = self.priors[pair // len(self.sizes)], self.sizes[pair % len(self.sizes)]
            scale = self.scales.flatten()[pair].sqrt()
            many = int((chosen == pair).sum())
            # Matheron's rule: a draw of the prior, corrected by what it says of the rows.
            drawn = scale * size.sqrt() * prior.draws(many, generator)
            H, y, v = self.seen
            unit = torch.randn(many, len(v), generator=generator, dtype=torch.float64)
            noise = scale * v.sqrt() * unit
            gain = size * prior.times(H)
            root = torch.linalg.cholesky(gain @ H.T + v.diag())
            missed = y - drawn @ H.T - noise
            found.append(drawn + torch.cholesky_solve(missed.T, root).T @ gain)
        return torch.cat(found)

    def cone(self, *, level: float = 0.95, draws: int = 400, seed: int = 0) -> float:
        """Degrees from `mean` within which w lies with probability `level`."""
        if not (0 < level < 1 and draws > 0):
            raise LatdirError(f"level is between 0 and 1 and draws positive: {level}, {draws}")
        if not float(self.mean.norm()) > 0:
            return 90.0
        return float(angles(self.draws(draws, seed=seed)[:, None], self.mean[None]).quantile(level))


def posterior(
    seen: Observations,
    priors: Sequence[Covariance],
    *,
    sizes: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    freedom: float = 10.0,
) -> Posterior:
    """The posterior of w under equally likely covariances and sizes.

    Args:
        seen: Any number of observations, none included.
        priors: Covariances C of trace 1, at least one.
        sizes: E ‖w‖² of the prior.
        freedom: Degrees of freedom of the prior of s; with `inf` the noise is as given.

    Raises:
        LatdirError: Noise that is not positive.

    Example:
        >>> rows = torch.eye(2, dtype=torch.float64)
        >>> seen = Observations(rows, rows[0], torch.full((2,), 0.5, dtype=torch.float64))
        >>> flat = Covariance(torch.zeros(2, 0, dtype=torch.float64), 0.0)
        >>> posterior(seen, [flat], sizes=[1.0]).mean  # y / (1 + 2 v)
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    if not (seen.noise > 0).all():
        raise LatdirError("the noise of every observation is a variance above 0")
    n = len(seen.values)
    H, y, v = seen = seen.compressed()
    root = v.rsqrt()
    white, z = root[:, None] * H, root * y
    tried = []
    evidence, scales = [], []
    for prior, (gram, squared) in zip(priors, _grams(white, priors), strict=True):
        for size in sizes:
            # z ~ N(0, s L Lᵀ)
            L = torch.linalg.cholesky(size * gram + torch.eye(len(z)).to(gram))
            solved = torch.cholesky_solve(z[:, None], L)
            misfit, volume = z @ solved[:, 0], L.diagonal().log().sum()
            if math.isinf(freedom):
                evidence.append(-misfit / 2 - volume)
                scales.append(torch.ones_like(misfit))
            else:
                evidence.append(-(freedom + n) / 2 * (freedom + misfit).log() - volume)
                scales.append((freedom + misfit) / (freedom + n))
            tried.append((prior, squared, size, L, solved.T))
    weights = torch.stack(evidence).softmax(0)
    likely = (weights > NEGLIGIBLE).nonzero()[:, 0].tolist()
    centers, spreads = [], []
    for prior, squared, size, L, solved in (tried[i] for i in likely):
        centers.append(size * prior.times(solved @ white)[0])
        # tr(t C − t² C Hᵀ (L Lᵀ)⁻¹ H C) with tr C = 1.
        spreads.append(size - size**2 * torch.cholesky_inverse(L).mul(squared).sum())
    found = torch.stack(centers)
    mean = weights[likely] @ found
    apart = (found - mean).square().sum(1)
    spread = weights[likely] @ (torch.stack(scales)[likely] * torch.stack(spreads) + apart)
    return Posterior(
        seen,
        tuple(priors),
        torch.tensor(sizes, dtype=torch.float64),
        weights.reshape(len(priors), len(sizes)),
        torch.stack(scales).reshape(len(priors), len(sizes)),
        mean,
        max(float(spread), 0.0),
    )


def _grams(
    rows: Float[Tensor, "n d"], priors: Sequence[Covariance]
) -> Iterator[tuple[Float[Tensor, "n n"], Float[Tensor, "n n"]]]:
    """H C Hᵀ and H C C Hᵀ of each prior; factors that priors share are multiplied once."""
    plain = rows @ rows.T
    known: dict[int, tuple[Tensor, Tensor]] = {}
    for prior in priors:
        a, b, F = prior.share, prior.rest, prior.factor
        if id(F) not in known:
            inner = rows @ F
            known[id(F)] = inner @ inner.T, inner @ (F.T @ F) @ inner.T
        once, twice = known[id(F)]
        yield a * once + b * plain, a**2 * twice + 2 * a * b * once + b**2 * plain


def _spread(rows: Tensor, noise: Tensor, prior: Covariance, size: float) -> float:
    """E ‖w − E w‖² after observing rows, under one prior."""
    [(gram, squared)] = _grams(rows, [prior])
    root = torch.linalg.cholesky(size * gram + noise.diag())
    return size - size**2 * float(torch.cholesky_inverse(root).mul(squared).sum())
