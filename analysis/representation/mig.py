"""Mutual information between codes and attributes, and the mutual information gap (MIG).

Ricky T. Q. Chen, Xuechen Li, Roger Grosse, David Duvenaud: Isolating Sources of Disentanglement
in Variational Autoencoders, NeurIPS 2018, arXiv:1802.04942. Per attribute, the gap between the
two codes with the most information about it, relative to its entropy:

    MIG = mean over j of (I₁(j) − I₂(j)) / H(j),

with codes cut into 20 intervals of equal width, as in disentanglement_lib (Locatello et al. 2019,
arXiv:1811.12359). That code compares one pair of columns at a time; here every attribute's joint
counts with all codes come from one pass.

Defined here, and not there: a constant attribute has no entropy and is excluded from the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from analysis.representation.rows import CLASSES, as_classes, checked_rows
from directions.arguments import checked_values
from directions.errors import LatdirError

__all__ = ["MIG", "mig", "mutual_information"]

BINS = 20
# Entries of the code table that are looked at together: 64 MB of indices.
CHUNK = 8_000_000


@dataclass(frozen=True, eq=False)
class MIG:
    """The mutual information gap and its components.

    Attributes:
        score: Mean gap over the attributes that vary, in 0 … 1.
        gaps: `[k]`, gap of each attribute over its entropy; NaN for a constant one.
        best: `[k]`, the code with the most information about each.
        information: `[d, k]`, mutual information in nats.
        entropy: `[k]`, in nats.
    """

    score: float
    gaps: Float[Tensor, "k"]
    best: Int[Tensor, "k"]
    information: Float[Tensor, "d k"]
    entropy: Float[Tensor, "k"]


def mig(
    codes: Float[Tensor, "n *shape"],
    attributes: Tensor,
    *,
    bins: int = BINS,
    classes: int = CLASSES,
) -> MIG:
    """The mutual information gap of codes about attributes.

    Args:
        codes: `[n, …]`, at least two a row.
        attributes: `[n, k]` or `[n]`; integers are classes, floating-point numbers values.
        bins: Intervals of equal width to cut each code into.
        classes: Intervals of equal counts to cut values into.

    Raises:
        LatdirError: One code only, no attribute that varies, or rows that do not fit.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(4))
        >>> mig(factors.float(), factors).score
        1.0
        >>> mig(factors.float().repeat(1, 2), factors).score
        0.0
    """
    rows, table = checked_rows(codes, attributes)
    if rows.shape[1] < 2:
        raise LatdirError("a gap is between the two best codes: give at least 2 codes, not 1")
    labels = as_classes(table, classes=classes)
    information, entropy = _information(rows, labels, bins)
    varies = entropy > 0
    if not varies.any():
        raise LatdirError("every attribute is constant: there is nothing to predict")
    top = information.topk(2, dim=0)
    gaps = (top.values[0] - top.values[1]) / torch.where(varies, entropy, torch.nan)
    score = float(gaps[varies].mean())
    return MIG(score, gaps, top.indices[0], information, entropy)


@checked_values
def mutual_information(
    codes: Float[Tensor, "n *shape"],
    attributes: Tensor,
    *,
    bins: int = BINS,
    classes: int = CLASSES,
) -> Float[Tensor, "d k"]:
    """Mutual information, in nats, of every code with every attribute.

    The arguments are those of `mig`; one code is enough. It is the plug-in estimate: with few
    rows it is too high, for useless codes by about `(bins - 1) (classes - 1) / (2 n)`.

    Example:
        >>> sides = torch.tensor([0, 1] * 8)
        >>> mutual_information(sides.float()[:, None], sides)
        tensor([[0.6931]], dtype=torch.float64)
    """
    rows, table = checked_rows(codes, attributes)
    return _information(rows, as_classes(table, classes=classes), bins)[0]


def _information(
    codes: Float[Tensor, "n d"], labels: Int[Tensor, "n k"], bins: int
) -> tuple[Float[Tensor, "d k"], Float[Tensor, "k"]]:
    if bins < 2:
        raise LatdirError(f"bins is {bins}: codes are cut into at least 2 intervals")
    n, d = codes.shape
    counts = (labels.amax(0) + 1).tolist()
    columns = labels.T.int().contiguous()
    marginals = [torch.bincount(y, minlength=c) for y, c in zip(columns, counts, strict=True)]
    entropies = torch.stack([_entropy(m, n) for m in marginals])
    parts = []
    width = max(1, CHUNK // n)
    for start in range(0, d, width):
        places = _places(codes[:, start : start + width], bins)
        own = _entropy(torch.bincount(places.flatten(), minlength=len(places) * bins), n, bins)
        joint = torch.stack(
            [
                _entropy(
                    torch.bincount((places * c + y).flatten(), minlength=len(places) * bins * c),
                    n,
                    bins * c,
                )
                for y, c in zip(columns, counts, strict=True)
            ],
            1,
        )
        # Rounding may leave a trifle below nothing.
        parts.append((own[:, None] + entropies - joint).clamp_min(0))
    return torch.cat(parts), entropies


def _places(codes: Float[Tensor, "n d"], bins: int) -> Int[Tensor, "d n"]:
    """Interval of every code, numbered on from code to code."""
    columns = codes.T.double().contiguous()
    low, high = columns.aminmax(dim=1, keepdim=True)
    step = (high - low) / bins
    edges = (low + step * torch.arange(bins + 1, device=codes.device)).flatten()
    # The division may be off by one where a code is on an edge: the edges themselves decide.
    guess = ((columns - low) / torch.where(step > 0, step, 1)).int().clamp_(0, bins - 1)
    offsets = torch.arange(len(columns), device=codes.device, dtype=torch.int32)[:, None]
    flat = (guess + (bins + 1) * offsets).flatten()
    left, right = (e.index_select(0, flat).view_as(columns) for e in (edges, edges[1:]))
    guess += (columns >= right).int() - (columns < left).int()
    return guess.clamp_(0, bins - 1).add_(bins * offsets)


def _entropy(counts: Int[Tensor, "c"], n: int, group: int | None = None) -> Tensor:
    """Entropy in nats of counts, or of each `group` of them, that sum to n."""
    shares = counts.double().reshape(-1, group) / n if group else counts.double() / n
    return -torch.xlogy(shares, shares).sum(-1)
