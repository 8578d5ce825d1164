"""Explicitness: linear prediction of each attribute from all codes.

Karl Ridgeway, Michael C. Mozer: Learning Deep Disentangled Embeddings with the F-Statistic Loss,
NeurIPS 2018, arXiv:1802.05312. Logistic regression from the standardized codes to the classes of
an attribute; the score is the area under the ROC curve of one class against the rest, averaged
over the classes, on rows that were not learned from, as in disentanglement_lib. 0.5 is chance.

Defined here, and an error there: a class that the rows tested on lack, or are all of, has no
curve and is left out; an attribute that has none is NaN and is left out of the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor

from analysis.representation.rows import CLASSES, HeldOut, split_rows
from directions.errors import LatdirError

__all__ = ["Explicitness", "explicitness"]

STEPS = 1000


@dataclass(frozen=True, eq=False)
class Explicitness:
    """Explicitness and its components.

    Attributes:
        score: Mean over the attributes that have one; 0.5 is chance.
        per_attribute: `[k]`, mean area under the ROC curves; NaN where there is none.
    """

    score: float
    per_attribute: Float[Tensor, "k"]


def explicitness(
    codes: Float[Tensor, "n *shape"],
    attributes: Tensor,
    *,
    held_out: HeldOut | None = None,
    classes: int = CLASSES,
) -> Explicitness:
    """Explicitness of codes about attributes.

    Args:
        codes: `[n, …]`.
        attributes: `[n, k]` or `[n]`; integers are classes, floating-point numbers values.
        held_out: Other rows to test on; by default every second row is held out.
        classes: Intervals of equal counts to cut values into.

    Raises:
        LatdirError: No attribute of two classes, or rows that do not fit.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat(10, 1)
        >>> explicitness(factors.float(), factors).score
        1.0
    """
    split = split_rows(codes, attributes, held_out=held_out, classes=classes)
    mean, spread = split.codes.double().mean(0), split.codes.double().std(0)
    scale = torch.where(spread > 0, 1 / spread, 0)
    x, test = (((t.double() - mean) * scale).cpu().numpy() for t in (split.codes, split.test_codes))
    labels, truth = split.classes.cpu().numpy(), split.test_classes.cpu().numpy()
    found = []
    for y, wanted in zip(labels.T, truth.T, strict=True):
        present = np.unique(y)
        if len(present) < 2:
            found.append(math.nan)
            continue
        model = LogisticRegression(max_iter=STEPS).fit(x, y)
        chances = model.predict_proba(test)
        areas = [
            roc_auc_score(wanted == label, chances[:, place])
            for place, label in enumerate(present)
            if 0 < (wanted == label).sum() < len(wanted)
        ]
        found.append(float(np.mean(areas)) if areas else math.nan)
    if all(map(math.isnan, found)):
        raise LatdirError("no attribute has two classes: there is nothing to predict")
    return Explicitness(
        float(np.nanmean(found)),
        torch.tensor(found, dtype=torch.float64, device=split.codes.device),
    )
