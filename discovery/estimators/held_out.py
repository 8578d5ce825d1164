"""Held-out evaluation of boundaries."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor

__all__ = ["auc", "evidence", "ranks", "spearman"]


def evidence(
    level: Float[Tensor, "n"], scores: Float[Tensor, "n"], cut: float
) -> dict[str, float | int | None]:
    """Figures of one boundary on held-out samples.

    Args:
        level: Signed distances to the boundary, in any unit.
        scores: The classifier's scores; positive above `cut`.
        cut: The threshold.

    Returns:
        `accuracy` at the threshold; `accuracy_extremes`, the share of the highest tenth of the
        scores on the positive side and of the lowest on the negative; `auc`;
        `rank_correlation` (Spearman); `held_out`, the number of samples. Empty for none.

    Example:
        >>> x = torch.arange(-10.0, 10.0) + 0.5
        >>> evidence(x, x**3, 0.0)["accuracy"]
        1.0
    """
    if len(level) == 0:
        return {}
    positive = scores > cut
    tenth = max(1, len(scores) // 10)
    order = scores.argsort()
    right = int((level[order[-tenth:]] > 0).sum()) + int((level[order[:tenth]] < 0).sum())
    return {
        "accuracy": float(((level > 0) == positive).double().mean()),
        "accuracy_extremes": right / (2 * tenth),
        "auc": auc(level, positive),
        "rank_correlation": spearman(level, scores),
        "held_out": len(level),
    }


def ranks(values: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Ranks 1 … n in float64, ties sharing their mean.

    Example:
        >>> ranks(torch.tensor([5.0, 1.0, 5.0])).tolist()
        [2.5, 1.0, 2.5]
    """
    return torch.from_numpy(rankdata(values.cpu().numpy())).to(values.device)


def spearman(a: Float[Tensor, "n"], b: Float[Tensor, "n"]) -> float:
    """Rank correlation; 0 when one of the two is constant.

    Example:
        >>> round(spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 10.0, 90.0])), 6)
        1.0
    """
    x, y = a.cpu().numpy(), b.cpu().numpy()
    if (x == x[0]).all() or (y == y[0]).all():
        return 0.0
    return float(spearmanr(x, y).statistic)


def auc(projection: Float[Tensor, "n"], positive: Bool[Tensor, "n"]) -> float | None:
    """Area under the ROC curve, None when one class is missing.

    Example:
        >>> auc(torch.tensor([0.1, 0.4, 0.3, 0.9]), torch.tensor([False, False, True, True]))
        0.75
    """
    truth = positive.cpu().numpy()
    if truth.all() or not truth.any():
        return None
    return float(roc_auc_score(truth, projection.cpu().numpy()))
