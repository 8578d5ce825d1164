"""Directions as normals of linear boundaries between labeled codes.

Yujun Shen, Jinjin Gu, Xiaoou Tang, Bolei Zhou: "Interpreting the Latent Space of GANs for
Semantic Face Editing" (InterFaceGAN), CVPR 2020, arXiv:1907.10786, and "InterFaceGAN:
Interpreting the Disentangled Face Representation Learned by GANs", arXiv:2005.09635.

The paper takes the 2 % of the codes with the highest scores and the 2 % with the lowest and
separates 70 % of them by a linear SVM; `estimator="interfacegan"` does exactly that, its
shuffle included. It differs from the official code in that the intercept is kept and that the
SVM is solved exactly. The default differs in kind: throwing 96 % of the labels away costs far
more than their uncertainty, so it regresses the scores of all codes on them (see
`benchmarks/boundaries.py` for the table that chose it).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError, SamplesError
from directions.progress import tqdm
from discovery.base import LabelMethod
from discovery.estimators.cones import angles, cone_angle, posterior_cone, split_half
from discovery.estimators.held_out import evidence
from discovery.estimators.linear import Hyperplanes, Rotated, lda, mean_difference, ridge, rotate
from discovery.estimators.smooth_margin import smooth_margin
from discovery.estimators.svm import box, hinge_svm
from discovery.sampling.samples import Samples
from discovery.supervised.labels import (
    Labeled,
    Scale,
    Threshold,
    bank_of,
    extremes,
    labeled,
    warn_of_few,
)

__all__ = ["Boundary", "Estimator"]

Estimator = Literal[
    "ridge", "lda", "logistic", "squared_hinge", "hinge", "mean_difference", "interfacegan"
]

log = logging.getLogger(__name__)

CLOSED_FORM = ("ridge", "lda")
MARGIN = ("logistic", "squared_hinge", "hinge")
TOLERANCE = 1e-5
PARITY_TOLERANCE = 1e-8
CONE_LEVEL = 0.95
# A replicate turns by degrees, so its own optimization error of about one may be traded for time.
REPLICATE_TOLERANCE = 1e-2
RIDGE_DRAWS = 8  # draws from the posterior cost next to nothing
REPLICATE_BUDGET = 2**23  # labels held at once, of all replicates together


@dataclass(frozen=True)
class Boundary(LabelMethod):
    """Normals of linear boundaries, one for each attribute.

    Held-out figures come from a fit that leaves `validation` of the samples out; the direction
    itself is then fitted on all of them (except `interfacegan`, reproduced exactly as published).

    Attributes:
        estimator: `ridge` regresses soft scores on codes; `lda`, `logistic`, `squared_hinge`,
            `hinge` and `mean_difference` separate codes above the threshold from those below;
            `interfacegan` is the paper's recipe.
        scale: What `ridge` regresses: normal quantiles of the ranks, log-odds, or raw scores.
        threshold: Score between negative and positive, or `median`.
        C: Price of a margin violation for `logistic`, `squared_hinge`, `hinge`, `interfacegan`.
        penalty: Squared penalty of `ridge`; None chooses it by restricted maximum
            likelihood.
        ambiguous: Fraction of the samples, those closest to the threshold in rank, left out.
        balanced: Weigh the classes equally (`lda`, `logistic`, `squared_hinge`, `hinge`).
        validation: Share of the samples held out for the evidence; 0 for none.
        bootstrap: Replicates for the cone angle (for `ridge`, eight times as many draws from its
            posterior; random halvings of the samples where the bootstrap flatters: for
            `interfacegan`, and for the others with no more rows than coordinates); 0 for none.
        chosen_num_or_ratio: Samples at each end for `interfacegan`, a fraction or a number.
        split_ratio: Share of those that `interfacegan` trains on.

    Example:
        >>> from directions.classifiers.base import Attribute
        >>> codes = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
        >>> samples = Samples(codes, codes[:, :1] * 3, (Attribute("tilt", unit="degrees"),), "z",
        ...                   "toy", "0" * 64, "exact", "0" * 64, seed=0)
        >>> bank = Boundary().discover(samples)
        >>> bank["tilt"].vector.round(decimals=2).abs().tolist()
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    method: ClassVar[str] = "boundary"

    estimator: Estimator = "ridge"
    scale: Scale = "rank"
    threshold: Threshold = "median"
    C: float = 1.0
    penalty: float | None = None
    ambiguous: float = 0.0
    balanced: bool = False
    validation: float = 0.2
    bootstrap: int = 50
    chosen_num_or_ratio: float = 0.02
    split_ratio: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("ambiguous", "validation"):
            if not 0 <= getattr(self, field) < 1:
                raise LatdirError(f"{field} is a fraction in [0, 1), not {getattr(self, field)}")
        if not 0 < self.split_ratio <= 1 or not self.chosen_num_or_ratio > 0:
            raise LatdirError(
                f"split_ratio {self.split_ratio} must be in (0, 1] and chosen_num_or_ratio "
                f"{self.chosen_num_or_ratio} be positive"
            )
        if self.balanced and self.estimator not in (*MARGIN, "lda"):
            raise LatdirError(
                f"balanced does not apply to {self.estimator}: leave it out, or use one of "
                f"{', '.join(('lda', *MARGIN))}"
            )

    def discover(
        self, samples: Samples, *, attributes: Sequence[str] | None = None, seed: int = 0
    ) -> DirectionBank:
        """One direction for each attribute, positive toward high scores.

        Args:
            samples: Codes of any shape with their scores.
            attributes: Names, in the order wanted; by default all.
            seed: Of the split and of the bootstrap; written into each direction's config.

        Returns:
            Unit normals with intercept, sigma (the prior's standard deviation along them; of all
            samples where the samples do not know their prior, which `sigma_source` says) and
            evidence: held-out accuracy at the threshold (`accuracy`) and on the
            extreme deciles (`accuracy_extremes`), `auc`, `rank_correlation`, `cone_degrees`,
            `rows`, `threshold`.

        Raises:
            LatdirError: Unknown or constant attributes, a single class, too few samples, or
                settings that do not apply.
        """
        names = list(samples.names if attributes is None else attributes)
        if not names:
            raise LatdirError(f"name at least one attribute of {', '.join(samples.names)}")
        data = labeled(
            samples, names, scale=self.scale, threshold=self.threshold, ambiguous=self.ambiguous
        )
        n = len(samples)
        warn_of_few(data, samples.population)
        if self.estimator == "interfacegan":
            fitted = self._extremes(data, seed)
            planes, cones = self._fit_with_cones(fitted, seed)
            judged = planes
            held = fitted.labels == 0
        else:
            order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
            out = order[: round(self.validation * n)].to(data.codes.device)
            held = torch.zeros_like(data.labels, dtype=torch.bool)
            held[:, out] = True
            fitted = data
            planes, cones = self._fit_with_cones(fitted, seed)
            judged = self._fit(data.rows(~held[0])) if len(out) else planes
        source = "samples" if samples.prior is None else samples.prior_source
        if source == "samples":
            log.info(
                "the codes' prior is not known: sigma is the standard deviation of the samples"
            )
        made = []
        for k, name in enumerate(names):
            normal = planes.weights[k]
            level = data.codes @ judged.weights[k] + judged.intercepts[k]
            figures = {
                **evidence(level[held[k]], data.scores[k, held[k]], float(data.cuts[k])),
                "cone_degrees": cones[k],
                "rows": int(fitted.labels[k].count_nonzero()),
                "threshold": float(data.cuts[k]),
                "sigma_source": source,
            }
            made.append(
                Direction.from_vector(
                    name,
                    normal.reshape(samples.codes.shape[1:]),
                    space=samples.space,
                    offset=float(planes.intercepts[k]),
                    sigma=samples.population.sigma(normal / normal.norm()),
                    method=self.method,
                    config={**self.config, "seed": seed},
                    evidence=figures,
                )
            )
        return bank_of(samples, made)

    def _fit(
        self, data: Labeled, *, weights: Tensor | None = None, fast: bool = False
    ) -> Hyperplanes:
        """Hyperplanes of all targets; a label of 0 leaves a row out of that target's fit."""
        codes, labels = data.codes, data.labels
        self._check_classes(data)
        if self.estimator == "mean_difference":
            return mean_difference(codes, labels, weights)
        if self.estimator in ("hinge", "interfacegan"):
            tolerance = REPLICATE_TOLERANCE if fast else TOLERANCE
            if self.estimator == "interfacegan" and not fast:
                # Few rows, whose normal the optimum fixes only loosely: parity needs the digits.
                codes, tolerance = codes.double(), PARITY_TOLERANCE
            fit = hinge_svm(
                codes,
                labels,
                weights=weights,
                C=self.C,
                balanced=self.balanced,
                tolerance=tolerance,
            )
            return Hyperplanes(fit.weights.to(data.codes), fit.intercepts.to(data.codes))
        if self.estimator in ("logistic", "squared_hinge"):
            bounds = box(labels, weights, C=self.C, balanced=self.balanced)
            return smooth_margin(codes, labels, bounds, loss=self.estimator)
        return self._closed_form(data)[0]

    def _fit_with_cones(self, data: Labeled, seed: int) -> tuple[Hyperplanes, list[float | None]]:
        """Hyperplanes and their cone angles in degrees; None where no bootstrap was requested."""
        if self.bootstrap == 0:
            return self._fit(data), [None] * len(data.labels)
        if self.estimator in CLOSED_FORM:
            self._check_classes(data)
            planes, cones = self._closed_form(data, seed=seed)
            return planes, list(cones)
        planes = self._fit(data)
        return planes, list(self._cones(data, planes, seed))

    def _closed_form(
        self, data: Labeled, *, seed: int | None = None
    ) -> tuple[Hyperplanes, list[float]]:
        """Hyperplanes, and with a seed their cones: the codes are factorized once."""
        whole = not (data.labels == 0).any()
        planes, cones = [], []
        for part in [data] if whole else [data.target(k) for k in range(len(data.labels))]:
            turned = rotate(part.codes, exact=True)
            if self.estimator == "lda":
                plane = lda(part.codes, part.labels, balanced=self.balanced, turned=turned)
            else:
                plane = ridge(part.codes, part.targets, penalty=self.penalty, turned=turned)
                plane = Hyperplanes(plane.weights, plane.intercepts - part.levels)
            planes.append(plane)
            if seed is not None:
                cones += self._cone(part, turned, seed).tolist()
        return Hyperplanes(*(torch.cat(values) for values in zip(*planes, strict=True))), cones

    def _cones(self, data: Labeled, planes: Hyperplanes, seed: int) -> list[float]:
        """Cone angles of the estimators that are fitted step by step."""
        K, n = data.labels.shape
        generator = torch.Generator().manual_seed(seed)
        if self.estimator != "interfacegan" and n <= data.codes.shape[1] + 1:
            targets = tqdm(range(K), desc="cones", unit="attribute", delay=1, leave=False)
            return [self._halved_classes(data.target(k), generator) for k in targets]
        if self.estimator == "interfacegan":
            draws = tqdm(range(self.bootstrap), desc="cones", delay=1, leave=False)
            found = [self._halved(data, generator, seed) for _ in draws]
            return [float(angle) for angle in torch.stack(found).median(0).values]
        # The Bayesian bootstrap (Rubin 1981) never loses a class; replicates are more targets.
        batch = max(1, REPLICATE_BUDGET // (K * n))
        turned = []
        starts = range(0, self.bootstrap, batch)
        for start in tqdm(starts, desc="cones", unit="batch", delay=1, leave=False):
            count = min(batch, self.bootstrap - start)
            weights = torch.empty(count, n).exponential_(generator=generator).to(data.codes)
            many = data._replace(labels=data.labels.repeat(count, 1))
            again = self._fit(many, weights=weights.repeat_interleave(K, 0), fast=True)
            turned.append(angles(again.weights.reshape(count, K, -1), planes.weights))
        return [float(q) for q in torch.cat(turned).quantile(CONE_LEVEL, dim=0)]

    def _cone(self, data: Labeled, turned: Rotated, seed: int) -> Tensor:
        """Cone angles of the estimators in closed form."""
        if self.estimator == "ridge":
            draws = RIDGE_DRAWS * self.bootstrap
            return posterior_cone(data.codes, data.targets, draws=draws, seed=seed, turned=turned)
        return cone_angle(
            data.codes, data.labels, resamples=self.bootstrap, seed=seed, turned=turned
        )

    def _check_classes(self, data: Labeled) -> None:
        for sign, word in ((1, "above"), (-1, "below")):
            if not (data.labels == sign).any(1).all():
                k = int((~(data.labels == sign).any(1)).nonzero()[0])
                name = data.names[k % len(data.names)]  # replicates repeat the targets
                raise SamplesError(
                    f"no training row of {name!r} is {word} its threshold: use "
                    "threshold='median', a smaller validation share, or more samples"
                )

    def _halved(self, data: Labeled, generator: torch.Generator, seed: int) -> Tensor:
        """Split-half angle of the recipe, its selection repeated in each half."""
        n = len(data.codes)
        order = torch.randperm(n, generator=generator).to(data.codes.device)
        halves = [
            self._fit(self._extremes(data.rows(rows), seed), fast=True).weights
            for rows in (order[: n // 2], order[n // 2 :])
        ]
        return split_half(*halves)

    def _halved_classes(self, data: Labeled, generator: torch.Generator) -> float:
        """Split-half angle of one target, each class halved; 90 where a class has one row."""
        classes = [(data.labels[0] == sign).nonzero()[:, 0] for sign in (1, -1)]
        if min(map(len, classes)) < 2:
            return 90.0
        found = []
        for _ in range(self.bootstrap):
            mixed = [
                rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
                for rows in classes
            ]
            near, far = (torch.cat([rows[first::2] for rows in mixed]) for first in (0, 1))
            halves = [self._fit(data.rows(rows), fast=True).weights for rows in (near, far)]
            found.append(split_half(*halves))
        return float(torch.cat(found).median())

    def _extremes(self, data: Labeled, seed: int) -> Labeled:
        return extremes(
            data,
            chosen_num_or_ratio=self.chosen_num_or_ratio,
            split_ratio=self.split_ratio,
            seed=seed,
        )
