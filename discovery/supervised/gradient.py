"""The mean gradient of a score through the generator: a direction from a few hundred codes.

For codes z ~ N(μ, Σ) and a score s(z), Stein's lemma (C. Stein, "Estimation of the Mean of a
Multivariate Normal Distribution", Ann. Statist. 1981) says Cov(z, s) = Σ E[∇s]. The mean gradient
E[∇s] = Σ⁻¹ Cov(z, s) is therefore the direction that least squares finds from endless labels, be
the prior standard normal or not; Σ E[∇s], the difference of class means, is another direction as
soon as the prior is anisotropic. In a space whose codes are not normal (w of a StyleGAN) the two
limits differ, and only the mean gradient is estimated here. Averages of derivatives as estimators:
W. Härdle & T. Stoker, J. Am. Stat. Assoc. 1989.

A gradient gives d numbers where a label gives one. Two additions exploit it:

- Gradients of ratios (angles from landmarks) have outliers that ruin a plain mean, so their norms
  are clipped at the median; less noisy codes thereby count more.
- The scores of the same codes come for free. With r = s - s̄ - β·(z - μ) the mean of Σ⁻¹(z - μ) r
  estimates the error of β. It is added with the weight that minimizes the total variance of the
  sum, (V_g - C) / (V_g + V_v - 2C), estimated from both terms' variances and their covariance C;
  labeled samples, if there are any, are used in the same way.

It saves codes, not always time: on digiface64 a gradient of three attributes costs about forty
times a label in the fast forms, and each further attribute one more backward pass, so where
labels are that cheap, ridge on more of them gets as far sooner (`benchmarks/gradient.py`). It
pays where images are slow to make, attributes few, or codes scarce.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier, logit
from directions.direction import Direction
from directions.errors import LatdirError, SamplesError
from directions.executors import Executor
from directions.generators.base import Generator
from directions.scoring.gradients import ScoreGradients, score_gradients
from directions.space import Prior
from discovery.base import ScoreMethod, tool
from discovery.sampling.samples import Samples
from discovery.supervised.robust_means import CENTERS, Center, clipped

__all__ = ["Gradient", "estimate_direction", "half_sample_agreement"]

HALVES = 8
LEAST_FINITE = 0.9
WINSOR = 3.0  # robust standard deviations beyond which a score is pulled in
NORMAL_MAD = 1.4826  # standard deviation of a normal over its median absolute deviation


@dataclass(frozen=True)
class Gradient(ScoreMethod):
    """Mean gradient of each attribute's logit with respect to the code.

    Attributes:
        n_codes: Number of codes to take gradients at.
        center: Mean of the gradients: `clipped` at the median norm, geometric `median`,
            `median_of_means`, or the plain `mean`, which a few outliers may ruin.
        values: Whether the scores are used as well.
        space: Latent space of the codes; by default the generator's first.
        batch_size: Codes at a time; bounds the memory.
        consistency: Share of the codes on which a coordinate's gradient must have the direction's
            sign, 0.75 as in StyleMC (Kocasari et al. 2022, arXiv:2112.08493); the direction is 0
            in all others. For spaces whose coordinates mean something, such as styles.
        executor: Where gradients are taken (`directions.executors`); by default here.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=16, bend=0.5)
        >>> bank = Gradient(n_codes=200).discover(world, classifier=world.classifier())
        >>> bool((bank.matrix() * world.truth).sum(1).min() > 0.99)
        True
    """

    method: ClassVar[str] = "gradient"

    n_codes: int = 300
    center: Center = "clipped"
    values: bool = True
    space: str | None = None
    batch_size: int = 32
    consistency: float = 0.0
    executor: Executor | None = tool()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.consistency <= 1:
            raise LatdirError(
                f"consistency is a share of the codes, 0 to 1, not {self.consistency}"
            )
        if self.n_codes < 4:
            raise LatdirError(
                f"n_codes {self.n_codes} is too few to estimate an error from: give at least 4, "
                "300 for a good direction"
            )

    def discover(
        self,
        generator: Generator,
        *,
        classifier: Classifier,
        attributes: Sequence[str] | None = None,
        samples: Samples | None = None,
        seed: int = 0,
    ) -> DirectionBank:
        """One direction an attribute, pointing to higher scores.

        Args:
            generator: Makes the images, differentiably.
            classifier: Scores them, differentiably.
            attributes: Which to find; by default all of the classifier's.
            samples: Labeled codes of the same generator, classifier and space, whose scores
                are used too; gradients are then taken at other codes.
            seed: Seed of the codes.

        Returns:
            A bank in the order of `attributes`. Evidence of each direction: `split_half_angle`
            between the estimates from two halves of the codes and `expected_angle` of the whole
            to its limit (both in degrees); `agreement`, the share of codes at which a small step
            raises the score; `slope`, median change of the logit per sigma; `value_weight`, how
            much the scores counted; `spread`, largest gradient norm over the median one;
            `dropped`, codes left out because something was not finite.

        Raises:
            LatdirError: Something is not differentiable, an attribute does not respond to the
                code, samples belong to something else, or too few codes.
        """
        names = tuple(classifier.names if attributes is None else attributes)
        space = generator.space(self.space or generator.default_space())
        start = 0
        if samples is not None:
            _check_samples(samples, generator, classifier, names, space.name)
            start = samples.stop if samples.seed == seed else 0
        codes = generator.sample(self.n_codes, seed=seed, start=start, space=space.name)
        found = score_gradients(
            generator,
            classifier,
            codes,
            attributes=names,
            space=space.name,
            batch_size=self.batch_size,
            executor=self.executor,
        )
        prior = generator.prior(space.name)
        directions = []
        for j, name in enumerate(names):
            labels = None
            if samples is not None:
                column = logit(samples.scores, samples.attributes)[:, samples.names.index(name)]
                labels = (samples.codes.flatten(1).double(), column.double())
            kind = classifier.attributes[classifier.columns([name])[0]].kind
            one = _Estimate.of(name, found, j, prior, labels, self)
            directions.append(
                Direction.from_vector(
                    name,
                    one.vector.reshape(space.shape).float(),
                    space=space.name,
                    method=self.method,
                    config=self.config,
                    # Half of the probability is a boundary; a value has no such place.
                    offset=one.offset if kind == "probability" else None,
                    sigma=one.sigma,
                    evidence=one.evidence,
                )
            )
        provenance = {
            "seed": seed,
            "start": start,
            "classifier": classifier.name,
            "classifier_fingerprint": classifier.fingerprint,
        }
        return DirectionBank.of(generator, tuple(directions), provenance)


@dataclass(frozen=True, eq=False)
class _Estimate:
    """One attribute's direction and its supporting statistics."""

    vector: Tensor
    offset: float
    sigma: float
    evidence: dict[str, float | int]

    @classmethod
    def of(
        cls,
        name: str,
        found: ScoreGradients,
        column: int,
        prior: Prior,
        labels: tuple[Tensor, Tensor] | None,
        settings: Gradient,
    ) -> _Estimate:
        s, g = found.values[:, column].double(), found.gradients[:, column].double()
        finite = s.isfinite() & g.isfinite().all(1)
        z, s, g = found.codes.double()[finite], s[finite], g[finite]
        dropped = int((~finite).sum())
        if len(s) < max(LEAST_FINITE * len(finite), 4):
            raise LatdirError(
                f"the gradient of {name!r} is NaN or infinite at {dropped} of {len(finite)} codes: "
                "fix the classifier, or leave that attribute out"
            )
        if not g.any():
            raise LatdirError(
                f"the gradient of {name!r} is zero at every code: the score does not depend on "
                "the image, or is saturated; leave it out, or give the classifier exact logits"
            )
        metric = _whitener(prior, g) if settings.values else None

        def estimate(rows: Tensor) -> Tensor:
            # Halves share nothing: that with code 0 takes the even labels, the other the odd.
            odd = int(not (rows == 0).any())
            own = labels and (labels[0][odd::2], labels[1][odd::2])
            return _slope(z[rows], s[rows], g[rows], prior, metric, own, settings.center)[0]

        b, weight = _slope(z, s, g, prior, metric, labels, settings.center)
        if settings.consistency > 0:
            share = ((g.sign() == b.sign()) & (g != 0)).double().mean(0)
            left = share >= settings.consistency
            if not left.any():
                raise LatdirError(
                    f"no coordinate's gradient of {name!r} has the same sign on "
                    f"{settings.consistency:.0%} of the codes ({float(share.max()):.0%} at most): "
                    "lower consistency"
                )
            b = b * left
        unit = b / b.norm()
        along = g @ unit
        slope = along.quantile(0.5)
        sigma = prior.sigma(unit)
        norms = g.norm(dim=1)
        cosine, half, whole = half_sample_agreement(estimate, len(g))
        level = _winsorised(s).mean() / slope - (z @ unit).mean() if slope else torch.zeros(())
        evidence = {
            "codes": len(g),
            "dropped": dropped,
            **({"coordinates": int((b != 0).sum())} if settings.consistency > 0 else {}),
            "split_half_cosine": cosine,
            "split_half_angle": half,
            "expected_angle": whole,
            "agreement": float((along > 0).double().mean()),
            "slope": float(slope) * sigma,
            "value_weight": weight,
            "spread": float(norms.max() / norms.median().clamp_min(1e-300)),
        }
        return cls(unit, float(level), sigma, evidence)


def estimate_direction(
    found: ScoreGradients, column: int, *, prior: Prior, settings: Gradient
) -> Float[Tensor, "d"]:
    """The slope of one score that `Gradient` finds from gradients already taken, in float64.

    Args:
        found: Scores and gradients, all finite.
        column: Which score.
        prior: Of the space of the codes.
        settings: Settings of the mean.
    """
    z, s, g = found.codes.double(), found.values[:, column].double(), found.gradients[:, column]
    metric = _whitener(prior, z) if settings.values else None
    return _slope(z, s, g.double(), prior, metric, None, settings.center)[0]


def _slope(
    z: Tensor,
    s: Tensor,
    g: Tensor,
    prior: Prior,
    metric: Tensor | None,
    labels: tuple[Tensor, Tensor] | None,
    center: Center,
) -> tuple[Float[Tensor, "d"], float]:
    """β of s ≈ s̄ + β·(z - μ), and the weight of the scores in it."""
    b = CENTERS[center](g)
    if metric is None or not b.any():
        return b, 0.0
    n = len(z)
    if labels is not None:
        z, s = torch.cat([z, labels[0].to(z)]), torch.cat([s, labels[1].to(s)])
    z = z - prior.mean.to(z)
    s = _winsorised(s)
    s = s - s.mean()
    # A robust mean has the right direction but is too short: fit its length to the scores.
    projected = z @ b
    length = (projected @ s) / projected.square().sum()
    if length <= 0:
        return b, 0.0
    c = (g if center == "mean" else clipped(g)) * length
    v = (z @ metric) * (s - length * projected)[:, None]
    deviations, errors = c - c.mean(0), v - v.mean(0)
    of_gradients = deviations.square().sum() / n**2
    of_values = errors.square().sum() / len(v) ** 2
    covariance = (deviations * errors[:n]).sum() / (n * len(v))
    denominator = of_gradients + of_values - 2 * covariance
    weight = ((of_gradients - covariance) / denominator).clamp(0, 1) if denominator > 0 else 0.0
    return b * length + weight * v.mean(0), float(weight)


def _winsorised(s: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Scores further than three robust standard deviations from the median, pulled in to there."""
    middle = s.quantile(0.5)
    reach = WINSOR * NORMAL_MAD * (s - middle).abs().quantile(0.5)
    return s if reach == 0 else s.clamp(middle - reach, middle + reach)


def _whitener(prior: Prior, like: Tensor) -> Float[Tensor, "d d"] | None:
    """Σ⁻¹, or None where the prior does not fill the space."""
    covariance = prior.covariance.to(like)
    lower, failed = torch.linalg.cholesky_ex(covariance)
    return None if bool(failed) else torch.cholesky_inverse(lower)


def half_sample_agreement(
    estimate: Callable[[Tensor], Tensor], n: int, *, halves: int = HALVES
) -> tuple[float, float, float]:
    """Agreement of estimates from two halves of the samples, over several random halvings.

    With independent errors in many dimensions a half's cosine to the limit is √c for a mean
    cosine c between halves, and the whole sample's is √(2c / (1 + c)) (Spearman and Brown 1910).

    Args:
        estimate: Row indices `[m]` to a vector `[d]`.
        n: Number of samples, at least 2.
        halves: Number of halvings.

    Returns:
        c, the angle of c, and the expected angle of the whole sample's estimate to its limit,
        both in degrees.

    Example:
        >>> half_sample_agreement(lambda rows: torch.tensor([0.0, 1.0]), 10)
        (1.0, 0.0, 0.0)
    """
    rng = torch.Generator().manual_seed(0)
    cosines = []
    for _ in range(halves):
        order = torch.randperm(n, generator=rng)
        a, b = (estimate(order[rows]) for rows in (slice(n // 2), slice(n // 2, None)))
        cosines.append(torch.nn.functional.cosine_similarity(a, b, dim=0))
    c = torch.stack(cosines).mean().clamp(-1, 1)
    whole = (2 * c / (1 + c)).clamp(0, 1).sqrt() if c > 0 else torch.zeros_like(c)
    return float(c), float(c.acos().rad2deg()), float(whole.acos().rad2deg())


def _check_samples(
    samples: Samples,
    generator: Generator,
    classifier: Classifier,
    names: Sequence[str],
    space: str,
) -> None:
    for what, theirs, ours in (
        ("generator", samples.fingerprint, generator.fingerprint),
        ("classifier", samples.classifier_fingerprint, classifier.fingerprint),
        ("space", samples.space, space),
        ("truncation", samples.truncation, 1.0),
    ):
        if theirs != ours:
            raise SamplesError(
                f"the samples have {what} {str(theirs)[:12]}, the gradients {str(ours)[:12]}: "
                "label codes with the same ones, or leave the samples out"
            )
    for name in names:
        samples.column(name)
