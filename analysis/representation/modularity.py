"""Modularity: dependence of each code on a single attribute.

Karl Ridgeway, Michael C. Mozer: Learning Deep Disentangled Embeddings with the F-Statistic Loss,
NeurIPS 2018, arXiv:1802.05312. With I the mutual information of code i and attribute j, and m
the attribute with which code i shares the most information,

    modularity = mean over i of 1 − Σ_{j ≠ m} I_ij² / (I_im² (K − 1)),

where a code without information counts 0, as in disentanglement_lib. With one attribute
there is nothing to be modular about: the score is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.representation.mig import BINS, mutual_information
from analysis.representation.rows import CLASSES

__all__ = ["Modularity", "modularity", "modularity_of"]


@dataclass(frozen=True, eq=False)
class Modularity:
    """Modularity and its components.

    Attributes:
        score: Mean over the codes, in 0 … 1; NaN for one attribute.
        per_code: `[d]`.
        information: `[d, k]`, mutual information in nats.
    """

    score: float
    per_code: Float[Tensor, "d"]
    information: Float[Tensor, "d k"]


def modularity(
    codes: Float[Tensor, "n *shape"],
    attributes: Tensor,
    *,
    bins: int = BINS,
    classes: int = CLASSES,
) -> Modularity:
    """Modularity of codes about attributes.

    Estimated information is above zero even for useless codes, so that many dead or useless
    codes of few rows pull the score to that of chance, which is not 0.

    Args:
        codes: `[n, …]`.
        attributes: `[n, k]` or `[n]`; integers are classes, floating-point numbers values.
        bins: Intervals of equal width to cut each code into.
        classes: Intervals of equal counts to cut values into.

    Raises:
        LatdirError: Rows that do not fit.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(4))
        >>> modularity(factors.float(), factors).score
        1.0
        >>> modularity(factors.sum(1, keepdim=True).float(), factors).score
        0.0
    """
    information = mutual_information(codes, attributes, bins=bins, classes=classes)
    return modularity_of(information)


def modularity_of(information: Float[Tensor, "d k"]) -> Modularity:
    """Modularity of a matrix of mutual information.

    Example:
        >>> modularity_of(torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 0.0]])).per_code
        tensor([0.8750, 0.0000])
    """
    k = information.shape[1]
    if k < 2:
        return Modularity(math.nan, torch.full_like(information[:, 0], math.nan), information)
    squares = information.square()
    top = squares.amax(1)
    alive = top > 0
    spread = (squares.sum(1) - top) / (torch.where(alive, top, 1) * (k - 1))
    per_code = torch.where(alive, 1 - spread, 0)
    return Modularity(float(per_code.mean()), per_code, information)
