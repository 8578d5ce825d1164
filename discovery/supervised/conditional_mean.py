"""Conditional means: how the mean code changes with one attribute while the others hold still.

A boundary's normal is the way along which an attribute can be told from the codes; where the
codes' coordinates are correlated, as in w, it leads off the sheet on which they lie. This method
regresses the other way round, codes x on the standardized targets c of the chosen attributes:

    x = m + B c + e,   B = argmin Σᵢ ‖xᵢ − m − B cᵢ‖²

Column k of B is the change of the mean code E[x | c] with cₖ at fixed other attributes, so that
each direction holds the others by construction. Everything that is not named may change with it.

R. D. Cook: Fisher lecture: dimension reduction in regression, Statistical Science 22(1), 2007
(inverse regression); S. Haufe et al.: On the interpretation of weight vectors of linear models in
multivariate neuroimaging, NeuroImage 87, 2014 (patterns against filters).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError, SamplesError
from discovery.base import LabelMethod
from discovery.estimators.chunks import Chunks, InMemory, levels
from discovery.estimators.held_out import spearman
from discovery.estimators.linear import EXACT
from discovery.estimators.sums import block_sums
from discovery.sampling.samples import Samples
from discovery.supervised.labels import Scale, bank_of, scored, warn_of_few

__all__ = ["ConditionalMean", "InverseRegression", "inverse_regression", "refuse_collinear"]

# Share of an attribute that the others leave; below it least squares cannot tell them apart.
LEAST_LEFT = 1e-4
# Coefficient, in standard deviations, from which an attribute counts as part of a combination.
PART = 0.05
DRAWS, LEVEL = 200, 0.95


class InverseRegression(NamedTuple):
    """Least squares of codes on K standardized targets.

    Attributes:
        slopes: `[k, d]`, change of the mean code by a standard deviation of each target.
        inflation: `[k]`, factor by which the other targets raise each slope's variance.
        explained: `[k]`, share of the codes' variance that each target adds to the others'.
        rest: `[b, d]`, residuals of the codes, summed over blocks of rows.
        freedom: Rows beyond those that the fit determines.
    """

    slopes: Float[Tensor, "k d"]
    inflation: Float[Tensor, "k"]
    explained: Float[Tensor, "k"]
    rest: Float[Tensor, "b d"]
    freedom: int

    def cones(self, *, seed: int) -> list[float]:
        """Degrees within which the true direction of each slope lies, at 95 %."""
        n = self.freedom + len(self.slopes) + 1
        rng = torch.Generator().manual_seed(seed)
        # Random sums of residuals have the covariance of the slopes' errors, never written out.
        weights = torch.randn(DRAWS, len(self.rest), generator=rng).to(self.rest)
        errors = weights @ self.rest / (self.freedom * n) ** 0.5
        found = []
        for slope, factor in zip(self.slopes, self.inflation.sqrt(), strict=True):
            cosines = cosine_similarity(slope + factor * errors, slope[None])
            found.append(float(cosines.clamp(-1, 1).arccos().quantile(LEVEL).rad2deg()))
        return found


def inverse_regression(
    codes: Float[Tensor, "n d"],
    targets: Float[Tensor, "k n"],
    *,
    names: Sequence[str],
) -> InverseRegression:
    """Regress codes on targets, in float64.

    Args:
        codes: `[n, d]`.
        targets: `[k, n]`, on any scale, none constant.
        names: Of the targets, for messages.

    Raises:
        LatdirError: Collinear targets, or no more rows than targets and intercept.

    Example:
        >>> c = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
        >>> codes = c.T @ torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
        >>> slopes = inverse_regression(codes, c, names=["a", "b"]).slopes
        >>> torch.nn.functional.normalize(slopes).round(decimals=3).abs().tolist()
        [[1.0, 0.0, 0.0], [0.707, 0.707, 0.0]]
    """
    rows = torch.ones(1, codes.shape[0], dtype=torch.bool, device=codes.device)
    return _regressions(InMemory(codes), targets, rows, names)[0]


def _regressions(
    chunks: Chunks, targets: Tensor, parts: Bool[Tensor, "p n"], names: Sequence[str]
) -> list[InverseRegression]:
    """The regressions of several parts of the rows, from sums of one pass."""
    k, n = targets.shape
    if int(parts.sum(1).amin()) <= k + 1:
        raise SamplesError(
            f"{n} samples do not determine mean codes given {k} attributes: label at least "
            f"{k + 2}, or name fewer attributes"
        )
    c = targets.double() if targets.numel() <= EXACT else targets
    columns = torch.cat([c.new_ones(1, n), c - c.mean(1, keepdim=True)])
    found = block_sums(chunks, torch.cat([columns * part for part in parts]), parts)
    shape = (len(parts), k + 1)
    weights = found.weights.reshape(*shape, -1)
    codes = found.codes.reshape(*shape, -1, chunks.size)
    return [
        _regression(columns[:, part], weights[p], codes[p], float(found.squares[p]), names)
        for p, part in enumerate(parts)
    ]


def _regression(
    columns: Tensor, weights: Tensor, codes: Tensor, squares: float, names: Sequence[str]
) -> InverseRegression:
    """The regression of rows with these columns (1, targets) and sums over their blocks."""
    k, n = len(columns) - 1, columns.shape[1]
    columns = columns.double()
    mean, level = codes[0].sum(0) / n, columns[1:].mean(1)
    deviation = (columns[1:] - level[:, None]).square().mean(1).sqrt()
    c = (columns[1:] - level[:, None]) / deviation[:, None]
    gram = c @ c.T / n
    refuse_collinear(gram, names)
    inverse = torch.linalg.inv(gram)
    inflation = inverse.diagonal()
    # Σ (c − level)(x − mean), from sums that were taken before either was known.
    cross = (codes[1:].sum(1) - n * level[:, None] * mean) / deviation[:, None]
    slopes = inverse @ cross / n
    standard = (weights[1:] - level[:, None] * weights[0]) / deviation[:, None]
    rest = codes[0] - weights[0][:, None] * mean - standard.T @ slopes
    total = max(squares - n * float(mean.square().sum()), torch.finfo(torch.float64).tiny)
    explained = n * slopes.square().sum(1) / inflation / total
    return InverseRegression(slopes, inflation, explained, rest, n - k - 1)


@dataclass(frozen=True)
class ConditionalMean(LabelMethod):
    """Changes of the mean code with one attribute, the other chosen ones held.

    Held are the attributes that directions are made for: name all that are to hold still.
    Evidence: `rank_correlation` of scores with held-out codes along the direction, `explained`
    and `inflation` of `InverseRegression`, `cone_degrees`, `per_deviation` (latent units the mean
    code moves for a standard deviation of the attribute), `rows`.

    Attributes:
        scale: What codes are regressed on: normal quantiles of the ranks, log-odds, or raw scores.
        validation: Share of the samples held out for the rank correlation; 0 for none. The
            direction itself is fitted on all.

    Example:
        >>> from directions.classifiers.base import Attribute
        >>> rng = torch.Generator().manual_seed(0)
        >>> codes = torch.randn(2000, 4, generator=rng)
        >>> scores = codes[:, :2] @ torch.tensor([[1.0, 1.0], [0.0, 1.0]])
        >>> samples = Samples(codes, scores, (Attribute("a"), Attribute("b")), "z", "toy", "0" * 64,
        ...                   "exact", "0" * 64, seed=0)
        >>> bank = ConditionalMean(scale="raw").discover(samples)
        >>> ((bank["a"].vector @ torch.tensor([1.0, 1.0, 0.0, 0.0])).abs() < 0.05).item()
        True
    """

    method: ClassVar[str] = "conditional_mean"

    scale: Scale = "rank"
    validation: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.validation < 1:
            raise LatdirError(f"validation is a fraction in [0, 1), not {self.validation}")

    def discover(
        self, samples: Samples, *, attributes: Sequence[str] | None = None, seed: int = 0
    ) -> DirectionBank:
        """One direction for each attribute, positive toward high scores.

        Args:
            samples: Codes of any shape with their scores.
            attributes: Names of those that change, and hold while another changes; by default all.
            seed: Of the split and of the cones; written into each direction's config.

        Raises:
            LatdirError: Unknown, constant or collinear attributes, or too few samples.
        """
        names = list(samples.names if attributes is None else attributes)
        if not names:
            raise LatdirError(f"name at least one attribute of {', '.join(samples.names)}")
        data = scored(samples, names, scale=self.scale)
        warn_of_few(data, samples.population)
        n, chunks = len(samples), samples.chunks()
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        out = torch.zeros(n, dtype=torch.bool)
        out[order[: round(self.validation * n)]] = True
        out = out.to(data.targets.device)
        parts = torch.stack([torch.ones_like(out), ~out] if out.any() else [~out])
        fits = _regressions(chunks, data.targets, parts, names)
        fit, judged = fits[0], fits[-1]
        along = levels(chunks, judged.slopes, judged.slopes.new_zeros(len(names)), out)
        held = int(out.sum())
        made, cones = [], fit.cones(seed=seed)
        for k, (name, slope) in enumerate(zip(names, fit.slopes, strict=True)):
            length = float(slope.norm())
            if not length > 0:
                raise SamplesError(f"the mean code does not depend on {name!r}: leave it out")
            figures = {
                **({"rank_correlation": spearman(along[k], data.scores[k, out])} if held else {}),
                "held_out": held,
                "explained": float(fit.explained[k]),
                "inflation": float(fit.inflation[k]),
                "cone_degrees": cones[k],
                "per_deviation": length,
                "rows": n,
            }
            made.append(
                Direction.from_vector(
                    name,
                    slope.to(chunks.dtype).reshape(samples.shape),
                    space=samples.space,
                    sigma=samples.population.sigma((slope / length).to(chunks.dtype)),
                    method=self.method,
                    config={**self.config, "seed": seed},
                    evidence=figures,
                )
            )
        return bank_of(samples, made)


def refuse_collinear(gram: Tensor, names: Sequence[str]) -> None:
    """Name the attributes of the combination that is closest to constant, if it is one.

    Args:
        gram: `[k, k]`, correlations.
        names: Of the attributes.
    """
    values, vectors = torch.linalg.eigh(gram)
    if values[0] >= LEAST_LEFT:
        return
    weights = vectors[:, 0] / vectors[:, 0].abs().max()
    parts = [name for name, w in zip(names, weights.tolist(), strict=True) if abs(w) > PART]
    raise SamplesError(
        f"{', '.join(parts[:-1])} and {parts[-1]} are collinear (their combination of least "
        f"variance has {float(values[0].clamp_min(0)):.1g} of a standard one's): no code changes "
        "one while the others hold; leave one of them out with attributes=[…]"
    )
