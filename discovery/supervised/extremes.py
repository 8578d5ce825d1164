"""The samples of highest and lowest score, as InterFaceGAN selects them.

Y. Shen et al.: Interpreting the Latent Space of GANs for Semantic Face Editing, CVPR 2020,
arXiv:1907.10786; `train_boundary` of the official code.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from directions.errors import LatdirError

__all__ = ["extremes", "interfacegan_rows"]


def extremes(
    scores: Tensor, *, chosen_num_or_ratio: float, split_ratio: float, seed: int
) -> Tensor:
    """Labels `[k, n]` of InterFaceGAN's selection: ±1 for training rows, 0 elsewhere.

    Raises:
        LatdirError: The selection leaves no row to train on.
    """
    labels = torch.zeros_like(scores)
    for k, row in enumerate(scores):
        positive, negative, _, _ = interfacegan_rows(
            row, chosen_num_or_ratio=chosen_num_or_ratio, split_ratio=split_ratio, seed=seed
        )
        if len(positive) == 0:
            raise LatdirError(
                f"chosen_num_or_ratio {chosen_num_or_ratio:g} of {scores.shape[1]} samples "
                "leaves nothing to train on: label more samples, or raise it"
            )
        labels[k, positive], labels[k, negative] = 1, -1
    return labels


def interfacegan_rows(
    scores: Tensor,
    *,
    chosen_num_or_ratio: float = 0.02,
    split_ratio: float = 0.7,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows that InterFaceGAN's `train_boundary` chooses after `np.random.seed(seed)`.

    Args:
        scores: `[n]`.
        chosen_num_or_ratio: Samples at each end: a fraction up to 1, a number above.
        split_ratio: Share of those to train on.
        seed: Of the legacy NumPy generator that shuffles.

    Returns:
        Positive and negative training rows, positive and negative validation rows.

    Example:
        >>> rows = interfacegan_rows(torch.arange(100.0), chosen_num_or_ratio=0.04)
        >>> [sorted(r.tolist()) for r in rows]
        [[96, 97], [1, 3], [98, 99], [0, 2]]
    """
    n = len(scores)
    # The official code sorts with NumPy's default sort and reverses; ties fall as they do there.
    order = np.argsort(scores.cpu().numpy())[::-1].copy()
    chosen = n * chosen_num_or_ratio if chosen_num_or_ratio <= 1 else chosen_num_or_ratio
    count = min(int(chosen), n // 2)
    train = int(count * split_ratio)
    shuffle = np.random.RandomState(seed)
    ends = []
    for end in (order[:count], order[n - count :]):
        index = np.arange(count)
        shuffle.shuffle(index)
        ends.append(torch.from_numpy(end[index]).to(scores.device))
    positive, negative = ends
    return positive[:train], negative[:train], positive[train:], negative[train:]
