"""Margin classifiers as boundaries, and InterFaceGAN's recipe; with their cones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from directions.progress import tqdm
from discovery.estimators.chunks import Chunks
from discovery.estimators.cones import split_half
from discovery.estimators.linear import Hyperplanes, Rotated, mean_difference, rotate
from discovery.estimators.one_step import one_step_cone
from discovery.estimators.passes import margin_passes
from discovery.estimators.smooth_margin import Loss, smooth_margin
from discovery.estimators.svm import box, hinge_svm
from discovery.supervised.fits import CONE_LEVEL, Fit
from discovery.supervised.labels import Scored

__all__ = ["Margin", "MarginEstimator"]

MarginEstimator = Literal["logistic", "squared_hinge", "hinge", "interfacegan", "mean_difference"]
TOLERANCE = 1e-5
PARITY_TOLERANCE = 1e-8
# A half turns by degrees, so its own optimization error of about one may be traded for time.
HALF_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Margin:
    """Settings of a margin classifier.

    Attributes:
        estimator: Which.
        C: Price of a margin violation.
        balanced: Weigh the classes equally.
        bootstrap: Replicates for the cone.
        seed: Of the replicates.
    """

    estimator: MarginEstimator
    C: float
    balanced: bool
    bootstrap: int
    seed: int

    def fit(self, chunks: Chunks, data: Scored, held: Bool[Tensor, "n"]) -> Fit:
        """Planes of all rows and of those not held out, with their cones."""
        turned = None
        if not chunks.stored and self.loss != "hinge":
            turned = rotate(chunks.tensor())
        planes = self._planes(chunks, data.labels, turned)
        kept = data.labels * ~held
        judged = self._planes(chunks, kept, turned) if held.any() else planes
        del turned  # as large as the codes
        return Fit(planes, judged, self._cones(chunks, data, planes))

    def _planes(self, chunks: Chunks, labels: Tensor, turned: Rotated | None) -> Hyperplanes:
        if not chunks.stored:
            return self.rows(chunks.tensor(), labels, turned=turned)
        bounds = box(labels, None, C=self.C, balanced=self.balanced)
        return margin_passes(chunks, labels, bounds, loss=self.loss)

    @property
    def loss(self) -> Loss:
        """Its loss."""
        found: Loss = "hinge"
        if self.estimator == "logistic" or self.estimator == "squared_hinge":
            found = self.estimator
        return found

    def rows(
        self, codes: Tensor, labels: Tensor, *, fast: bool = False, turned: Rotated | None = None
    ) -> Hyperplanes:
        """Planes of rows in memory; a label of 0 leaves a row out of that target's fit."""
        if self.estimator == "mean_difference":
            return mean_difference(codes, labels)
        if self.estimator in ("logistic", "squared_hinge"):
            bounds = box(labels, None, C=self.C, balanced=self.balanced)
            return smooth_margin(codes, labels, bounds, loss=self.estimator, turned=turned)
        tolerance, exact = (HALF_TOLERANCE, codes) if fast else (TOLERANCE, codes)
        if self.estimator == "interfacegan" and not fast:
            # Few rows, whose normal the optimum fixes only loosely: parity needs the digits.
            exact, tolerance = codes.double(), PARITY_TOLERANCE
        fit = hinge_svm(exact, labels, C=self.C, balanced=self.balanced, tolerance=tolerance)
        return Hyperplanes(fit.weights.to(codes), fit.intercepts.to(codes))

    def _cones(self, chunks: Chunks, data: Scored, planes: Hyperplanes) -> list[float | None]:
        K = len(data.labels)
        if not self.bootstrap:
            return [None] * K
        found: list[float | None] = []
        counts = data.labels.count_nonzero(1).tolist()
        targets = tqdm(range(K), desc="cones", unit="attribute", delay=1, leave=False)
        for k in targets:
            part = slice(k, k + 1)
            # Where rows do not outnumber coordinates a bootstrap would flatter.
            if counts[k] <= chunks.size + 1:
                found.append(self.halved_classes(chunks, data.target(k)))
                continue
            labels = data.labels[part]
            cone = one_step_cone(
                chunks,
                labels,
                box(labels, None, C=self.C, balanced=self.balanced),
                Hyperplanes(planes.weights[part], planes.intercepts[part]),
                loss=self.loss,
                replicates=self.bootstrap,
                level=CONE_LEVEL,
                seed=self.seed,
            )
            found.append(float(cone))
        return found

    def halved_classes(self, chunks: Chunks, data: Scored) -> float:
        """Split-half angle of one target, each class halved; 90 where a class has one row."""
        used = data.labels[0] != 0
        codes, labels = chunks.take(used), data.labels[:, used]
        classes = [(labels[0] == sign).nonzero()[:, 0] for sign in (1, -1)]
        if min(map(len, classes)) < 2:
            return 90.0
        generator = torch.Generator().manual_seed(self.seed)
        found = []
        for _ in range(self.bootstrap):
            mixed = [
                rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
                for rows in classes
            ]
            near, far = (torch.cat([rows[first::2] for rows in mixed]) for first in (0, 1))
            halves = [
                self.rows(codes[rows], labels[:, rows], fast=True).weights for rows in (near, far)
            ]
            found.append(split_half(*halves))
        return float(torch.cat(found).median())
