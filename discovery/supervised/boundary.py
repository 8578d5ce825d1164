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
from discovery.estimators.chunks import Chunks, levels
from discovery.estimators.cones import split_half
from discovery.estimators.held_out import evidence
from discovery.sampling.samples import Samples
from discovery.supervised.extremes import extremes
from discovery.supervised.fits import Fit, differences, discriminants, regressions
from discovery.supervised.labels import (
    Scale,
    Scored,
    Threshold,
    bank_of,
    scored,
    warn_of_few,
)
from discovery.supervised.margins import Margin

__all__ = ["Boundary", "Estimator"]

Estimator = Literal[
    "ridge", "lda", "logistic", "squared_hinge", "hinge", "mean_difference", "interfacegan"
]

log = logging.getLogger(__name__)

MARGIN = ("logistic", "squared_hinge", "hinge")


@dataclass(frozen=True)
class Boundary(LabelMethod):
    """Normals of linear boundaries, one for each attribute.

    Held-out figures come from a fit that leaves `validation` of the samples out; the direction
    itself is then fitted on all of them (except `interfacegan`, reproduced exactly as published).
    Linear algebra on another number of threads sums in another order, which changes components of
    a direction by less than 1e-6.

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
        bootstrap: Replicates for the cone angle, which need no further fit (for `ridge`, eight
            times as many draws from its posterior; random halvings of the samples where the
            bootstrap flatters: for `interfacegan`, and for the others with no more rows than
            coordinates); 0 for none.
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
        if self.bootstrap < 0:
            raise LatdirError(f"bootstrap is {self.bootstrap}: 0 makes no replicates, 50 are usual")
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
        scale: Scale = self.scale if self.estimator == "ridge" else "raw"  # others fit labels
        data = scored(
            samples, names, scale=scale, threshold=self.threshold, ambiguous=self.ambiguous
        )
        chunks = samples.chunks()
        warn_of_few(data, samples.population)
        if self.estimator == "interfacegan":
            data = data._replace(labels=self._extremes(data, seed))
            held = data.labels == 0
            planes, judged, cones = self._recipe(chunks, data, seed)
        else:
            held = _held_out(data.labels, self.validation, seed)
            _check_classes(data, held)
            planes, judged, cones = self._fit(chunks, data, held[0], seed)
        source = "samples" if samples.prior is None else samples.prior_source
        if source == "samples":
            log.info(
                "the codes' prior is not known: sigma is the standard deviation of the samples"
            )
        made = []
        anywhere = held.any(0)
        level = levels(chunks, *judged, anywhere)
        for k, name in enumerate(names):
            normal = planes.weights[k]
            out = held[k, anywhere]
            figures = {
                **evidence(level[k, out], data.scores[k, held[k]], float(data.cuts[k])),
                "cone_degrees": cones[k],
                "rows": int(data.labels[k].count_nonzero()),
                "threshold": float(data.cuts[k]),
                "sigma_source": source,
            }
            made.append(
                Direction.from_vector(
                    name,
                    normal.reshape(samples.shape),
                    space=samples.space,
                    offset=float(planes.intercepts[k]),
                    sigma=samples.population.sigma(normal / normal.norm()),
                    method=self.method,
                    config={**self.config, "seed": seed},
                    evidence=figures,
                )
            )
        return bank_of(samples, made)

    def _fit(self, chunks: Chunks, data: Scored, held: Tensor, seed: int) -> Fit:
        """Hyperplanes of all targets; a label of 0 leaves a row out of that target's fit."""
        cones = {"bootstrap": self.bootstrap, "seed": seed}
        if self.estimator == "ridge":
            return regressions(chunks, data, held, penalty=self.penalty, **cones)
        if self.estimator == "lda":
            return discriminants(chunks, data, held, balanced=self.balanced, **cones)
        margin = self._margin(seed)
        if self.estimator != "mean_difference":
            return margin.fit(chunks, data, held)
        if self.bootstrap and len(held) <= chunks.size + 1:
            halves = [margin.halved_classes(chunks, data.target(k)) for k in range(len(data.names))]
            fit = differences(chunks, data, held, bootstrap=0, seed=seed)
            return fit._replace(cones=halves)
        return differences(chunks, data, held, **cones)

    def _margin(self, seed: int) -> Margin:
        assert self.estimator != "ridge"
        assert self.estimator != "lda"
        return Margin(self.estimator, self.C, self.balanced, self.bootstrap, seed)

    def _recipe(self, chunks: Chunks, data: Scored, seed: int) -> Fit:
        """InterFaceGAN's fit to its selection, and the cone by random halves of all rows."""
        margin, used = self._margin(seed), (data.labels != 0).any(0)
        planes = margin.rows(chunks.take(used), data.labels[:, used])
        if not self.bootstrap:
            return Fit(planes, planes, [None] * len(data.names))
        n, generator = chunks.count, torch.Generator().manual_seed(seed)
        found = []
        for _ in tqdm(range(self.bootstrap), desc="cones", delay=1, leave=False):
            order = torch.randperm(n, generator=generator).to(data.labels.device)
            halves = []
            for rows in (order[: n // 2], order[n // 2 :]):
                labels = torch.zeros_like(data.labels)
                labels[:, rows] = self._extremes(data, seed, rows=rows)
                chosen = (labels != 0).any(0)
                codes = chunks.take(chosen)
                halves.append(margin.rows(codes, labels[:, chosen], fast=True).weights)
            found.append(split_half(*halves))
        cones = torch.stack(found).median(0).values
        return Fit(planes, planes, cones.tolist())

    def _extremes(self, data: Scored, seed: int, *, rows: Tensor | None = None) -> Tensor:
        """Labels `[k, n]` of the recipe's selection, of all rows or of some."""
        return extremes(
            data.scores if rows is None else data.scores[:, rows],
            chosen_num_or_ratio=self.chosen_num_or_ratio,
            split_ratio=self.split_ratio,
            seed=seed,
        )


def _held_out(labels: Tensor, share: float, seed: int) -> Tensor:
    """A random part of the rows, the same for each target, `[k, n]`."""
    n = labels.shape[1]
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held = torch.zeros(n, dtype=torch.bool, device=labels.device)
    held[order[: round(share * n)].to(labels.device)] = True
    return held.expand_as(labels)


def _check_classes(data: Scored, held: Tensor) -> None:
    """Refuse a target that the rows to train on show one class of."""
    for sign, word in ((1, "above"), (-1, "below")):
        there = ((data.labels == sign) & ~held).any(1)
        if not there.all():
            raise SamplesError(
                f"no training row of {data.names[int((~there).nonzero()[0])]!r} is {word} its "
                "threshold: use threshold='median', a smaller validation share, or more samples"
            )
