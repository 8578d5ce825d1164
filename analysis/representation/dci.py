"""Disentanglement, completeness and informativeness (DCI), also for StyleSpace channels.

Cian Eastwood, Christopher K. I. Williams: A Framework for the Quantitative Evaluation of
Disentangled Representations, ICLR 2018. With R[i, j] ≥ 0 the importance of code i for predicting
attribute j, P its rows and Q its columns scaled to sum to 1, and H_b the entropy to base b,

    disentanglement  = Σ_i ρ_i (1 − H_K(P_i)),   ρ_i = Σ_j R_ij / Σ R,
    completeness     = Σ_j ρ_j (1 − H_D(Q_j)),   ρ_j = Σ_i R_ij / Σ R,
    informativeness  = mean test accuracy over the attributes,

for D codes and K attributes. Importances are those of gradient boosted trees, as in
disentanglement_lib (Locatello et al. 2019, arXiv:1811.12359), or the absolute weights of logistic
regression with an L1 penalty, the paper's lasso for classes.

Defined here, and NaN or an error there: with one attribute no code can mix attributes, and with
one code none can be spread over codes; disentanglement or completeness is then NaN. Dead codes
have importance 0. A constant attribute is `left_out` of the means.

`stylespace_dci` is the protocol of Zongze Wu, Dani Lischinski, Eli Shechtman: StyleSpace
Analysis, CVPR 2021, arXiv:2011.12799: binary attributes only, each on the codes where its
classifier is surest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from analysis.representation.rows import CLASSES, HeldOut, checked_rows, split_rows
from analysis.representation.sparse_logistic import sparse_logistic
from analysis.representation.trees.boosting import Binned, boost
from directions.arguments import checked_fields, checked_values
from directions.errors import LatdirError
from directions.progress import tqdm

__all__ = ["DCI", "Model", "completeness", "dci", "disentanglement", "stylespace_dci"]

Model = Literal["trees", "logistic"]
BINS = 255
# Trees that overfit part single rows from the rest, which no bin of 40 rows can; up to this many
# entries of the codes, 10,000 rows of 1,000 codes, every distinct value is a bin.
EXACT_UP_TO = 10_000_000
PENALTY = 0.01
# Added to importances, as in disentanglement_lib, for rows and columns of zeros.
EPS = 1e-11


@checked_fields
@dataclass(frozen=True, eq=False)
class DCI:
    """Disentanglement, completeness, informativeness, and their components.

    Attributes:
        disentanglement: Dependence of codes on one attribute only, 0 … 1; NaN for one attribute.
        completeness: Dependence of attributes on one code only, 0 … 1; NaN for one code.
        informativeness: Mean test accuracy.
        importance: `[d, k]`, each column summing to 1 unless no code was of use.
        accuracy: `[k]`, test accuracy of each attribute.
        train_accuracy: `[k]`, accuracy on the rows learned from.
        left_out: `[k]`, attributes that do not vary, or that a protocol left out.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Float[Tensor, "d k"]
    accuracy: Float[Tensor, "k"]
    train_accuracy: Float[Tensor, "k"]
    left_out: Bool[Tensor, "k"]


@checked_values
def dci(
    codes: Float[Tensor, "n *shape"],
    attributes: Tensor,
    *,
    held_out: HeldOut | None = None,
    model: Model = "trees",
    bins: int | Literal["auto", "exact"] = "auto",
    penalty: float = PENALTY,
    classes: int = CLASSES,
    seed: int = 0,
    progress: bool = False,
) -> DCI:
    """Disentanglement, completeness and informativeness of codes about attributes.

    Args:
        codes: `[n, …]`.
        attributes: `[n, k]` or `[n]`; integers are classes, floating-point numbers values.
        held_out: Other rows to test on; by default every second row is held out.
        model: `trees` is the published one; `logistic` is many times faster and sees only what
            is linear in the codes.
        bins: For trees, number of bins of a code; `exact` gives each distinct value its
            own, as scikit-learn's trees have it; `auto` is exact up to 10 million entries of the
            codes, else 255. With 255 figures move by up to 0.02.
        penalty: For logistic regression, the weight of the L1 norm relative to the mean loss.
        classes: Intervals of equal counts to cut values into.
        seed: Of the choice between codes that are equally good, such as copies of each other.
        progress: Whether to show a bar over the attributes.

    Raises:
        LatdirError: No attribute that varies, or rows that do not fit.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(3), torch.arange(3)).repeat(20, 1)
        >>> found = dci(factors.double(), factors)
        >>> round(found.disentanglement, 3), round(found.completeness, 3), found.informativeness
        (1.0, 1.0, 1.0)
    """
    split = split_rows(codes, attributes, held_out=held_out, classes=classes)
    labels, truth = split.classes.cpu().numpy(), split.test_classes.cpu().numpy()
    names = range(labels.shape[1])
    if model == "logistic":
        found = sparse_logistic(split.codes, split.classes, split.test_codes, penalty=penalty)
        columns = [(f.importance, f.fitted, f.predicted) for f in found]
    else:
        codes_in, codes_out = (t.double().cpu().numpy() for t in (split.codes, split.test_codes))
        binned = Binned.of(codes_in, codes_out, bins=_bins(bins, codes_in.size))
        columns = []
        for j in tqdm(names, desc="attributes", disable=not progress):
            one = boost(binned, labels[:, j], seed=seed + j)
            columns.append((one.importance, one.fitted, one.predicted))
    constant = [bool((labels[:, j] == labels[0, j]).all()) for j in names]
    return _scored(
        importance=np.stack([c[0] for c in columns], 1),
        accuracy=[float(np.mean(c[2] == truth[:, j])) for j, c in enumerate(columns)],
        train_accuracy=[float(np.mean(c[1] == labels[:, j])) for j, c in enumerate(columns)],
        left_out=constant,
        device=split.codes.device,
    )


@checked_values
def stylespace_dci(
    codes: Float[Tensor, "n *shape"],
    logits: Float[Tensor, "n k"],
    *,
    least: float = 0.05,
    extreme: float = 0.02,
    bins: int | Literal["auto", "exact"] = "auto",
    seed: int = 0,
    progress: bool = False,
) -> DCI:
    """DCI of style channels or other codes by the protocol of StyleSpace.

    Attributes one of whose signs is rarer than `least` are left out. Of each other attribute, the
    codes with the highest and the lowest `extreme` of its logits are its two classes; half of
    them are learned from and half tested on.

    Args:
        codes: `[n, …]`, such as the style channels of `generator.sample(…, space="s")`.
        logits: `[n, k]`, of binary attributes, positive where the attribute is there.
        least: Rarest share of a sign that is still kept.
        extreme: Share of all codes in each class.
        bins: As in `dci`.
        seed: Of the halves, and of the choice between equally good codes.
        progress: Whether to show a bar over the attributes.

    Returns:
        Figures of the attributes kept; those `left_out` have importances 0 and
        accuracies NaN.

    Raises:
        LatdirError: No attribute is kept, or too few codes for the extremes.
    """
    rows, table = checked_rows(codes, logits)
    if not table.is_floating_point():
        raise LatdirError(f"logits are floating point, not {table.dtype}: they are to be ranked")
    count = int(extreme * len(rows))
    if count < 4 or 2 * count > len(rows):
        raise LatdirError(
            f"the extreme {extreme:.3g} of {len(rows)} codes are {count}: take at least 4, and "
            f"at most half, such as with {math.ceil(100 / 0.02):,} codes or extreme=0.1"
        )
    positive = (table > 0).double().mean(0)
    kept = ((positive > least) & (positive < 1 - least)).tolist()
    if not any(kept):
        raise LatdirError(
            f"no attribute has more than {least:.3g} of both signs: give logits, positive where "
            "the attribute is there, or lower `least`"
        )
    d, k = rows.shape[1], table.shape[1]
    importance = np.zeros((d, k))
    accuracy, train_accuracy = [math.nan] * k, [math.nan] * k
    wanted = [j for j in range(k) if kept[j]]
    for j in tqdm(wanted, desc="attributes", disable=not progress):
        order = table[:, j].argsort(stable=True)
        picks = torch.cat([order[:count], order[-count:]])
        labels = np.repeat([0, 1], count)
        mix = np.random.default_rng([seed, j]).permutation(2 * count)
        train, test = mix[::2], mix[1::2]
        chosen = rows[picks].double().cpu().numpy()
        binned = Binned.of(chosen[train], chosen[test], bins=_bins(bins, chosen[train].size))
        found = boost(binned, labels[train], seed=seed + j)
        importance[:, j] = found.importance
        accuracy[j] = float(np.mean(found.predicted == labels[test]))
        train_accuracy[j] = float(np.mean(found.fitted == labels[train]))
    return _scored(
        importance=importance,
        accuracy=accuracy,
        train_accuracy=train_accuracy,
        left_out=[not keep for keep in kept],
        device=rows.device,
    )


def disentanglement(importance: Float[Tensor, "d k"]) -> float:
    """Disentanglement of a matrix of importances; NaN for one attribute.

    Example:
        >>> disentanglement(torch.eye(3)), disentanglement(torch.ones(3, 3))
        (1.0, 0.0)
    """
    return _concentration(importance.double())


def completeness(importance: Float[Tensor, "d k"]) -> float:
    """Completeness of a matrix of importances; NaN for one code.

    Example:
        >>> completeness(torch.tensor([[0.5, 0.0], [0.5, 0.0], [0.0, 1.0], [0.0, 0.0]]))
        0.75
    """
    return _concentration(importance.double().T)


def _concentration(importance: Float[Tensor, "r c"]) -> float:
    """Weighted mean over the rows of 1 minus their entropy, to the base of their length."""
    if importance.shape[1] < 2:
        return math.nan
    total = importance.sum()
    if not total > 0:
        return 0.0
    shares = importance + EPS
    shares = shares / shares.sum(1, keepdim=True)
    rows = 1 + torch.xlogy(shares, shares).sum(1) / math.log(importance.shape[1])
    score = float(rows @ (importance.sum(1) / total))
    return round(score, 9)


def _scored(
    *,
    importance: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    accuracy: Sequence[float],
    train_accuracy: Sequence[float],
    left_out: Sequence[bool],
    device: torch.device,
) -> DCI:
    matrix = torch.from_numpy(importance)
    varies = ~torch.tensor(left_out)
    if not varies.any():
        raise LatdirError("every attribute is constant: there is nothing that codes could predict")
    tested, fitted = (torch.tensor(a, dtype=torch.float64) for a in (accuracy, train_accuracy))
    return DCI(
        disentanglement=disentanglement(matrix[:, varies]),
        completeness=completeness(matrix[:, varies]),
        informativeness=float(tested[varies].mean()),
        importance=matrix.to(device),
        accuracy=tested.to(device),
        train_accuracy=fitted.to(device),
        left_out=(~varies).to(device),
    )


def _bins(bins: int | str, entries: int) -> int | None:
    if isinstance(bins, int) and bins >= 2:
        return bins
    if bins not in ("auto", "exact"):
        raise LatdirError(f"bins is 'auto', 'exact' or a number from 2, not {bins!r}")
    return None if bins == "exact" or entries <= EXACT_UP_TO else BINS
