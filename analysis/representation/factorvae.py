"""The FactorVAE score: consistency of the code fixed by each fixed attribute.

Hyunjik Kim, Andriy Mnih: Disentangling by Factorizing, ICML 2018, arXiv:1802.05983. Draw a batch
of rows that share the class of one attribute; vote for the code whose variance in the batch,
relative to its variance over all rows, is least. A code represents the attribute that most of the
votes for it come from; the score is the share of further votes that agree. Chance is about one in
the number of attributes.

The paper draws images of a simulator with one factor held. Here the rows are those observed: a
batch comes, with replacement, from the rows of one class, as drawn as the classes occur. With
independent factors the two are the same. Codes whose standard deviation is below a threshold
are dead and take no part, 0.05 as in disentanglement_lib's configuration for VAE codes.

A batch's variances follow from its sums of codes and of their squares, which need no copy of its
rows: in float32, of centered codes, they rule out all codes but one or a few, whose variances are
then computed in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from analysis.representation.rows import CLASSES, as_classes, checked_rows
from directions.arguments import checked_values
from directions.errors import LatdirError

__all__ = ["FactorVAEScore", "factorvae_score"]

# Entries looked at together, votes × codes: 32 MB in float32.
CHUNK = 8_000_000
# Entries of some codes of all rows that stay in a processor's cache while votes are summed.
STRIP = 500_000


@dataclass(frozen=True, eq=False)
class FactorVAEScore:
    """The score and its components.

    Attributes:
        score: Share of the votes that agree with the majorities of others, 0 … 1; 0 if all
            codes are dead.
        train_score: Share of the votes the majorities were taken from.
        votes: `[k, d]`, the votes the majorities were taken from.
        active: `[d]`, codes that were used.
    """

    score: float
    train_score: float
    votes: Int[Tensor, "k d"]
    active: Bool[Tensor, "d"]


@checked_values
def factorvae_score(
    codes: Float[Tensor, "n *shape"],
    attributes: Tensor,
    *,
    batch: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    threshold: float = 0.05,
    classes: int = CLASSES,
    seed: int = 0,
) -> FactorVAEScore:
    """The FactorVAE score of codes about attributes.

    Args:
        codes: `[n, …]`, on a scale on which `threshold` means dead.
        attributes: `[n, k]` or `[n]`; integers are classes, floating-point numbers values.
        batch: Rows a vote.
        train: Votes that majorities are taken from.
        test: Votes that are scored.
        threshold: Codes of a lower standard deviation take no part; nor do constant ones.
        classes: Intervals of equal counts to cut values into.
        seed: Of the draws.

    Raises:
        LatdirError: Fewer than two rows a vote, no votes, no attribute that varies, or rows that
            do not fit.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(4))
        >>> factorvae_score(factors.float(), factors, train=200, test=100).score
        1.0
    """
    rows, table = checked_rows(codes, attributes)
    if batch < 2 or train < 1 or test < 1:
        raise LatdirError(
            f"batch {batch}, train {train} and test {test}: a vote takes at least 2 rows, and "
            "each part at least 1 vote"
        )
    labels = as_classes(table, classes=classes)
    varies = (labels.amax(0) > 0).nonzero()[:, 0]
    if not len(varies):
        raise LatdirError("every attribute is constant: holding one holds nothing")
    spread = rows.double().std(0)
    active = (spread >= threshold) & (spread > 0)
    k, d = labels.shape[1], rows.shape[1]
    if not active.any():
        none = torch.zeros(k, d, dtype=torch.long, device=rows.device)
        return FactorVAEScore(0.0, 0.0, none, active)
    rng = torch.Generator().manual_seed(seed)
    scaled = rows[:, active].double().div_(spread[active])
    columns = active.nonzero()[:, 0]
    votes = []
    for count in (train, test):
        factor, least = _votes(scaled, labels, varies.cpu(), batch, count, rng)
        cells = factor.to(rows.device) * d + columns[least]
        votes.append(torch.bincount(cells, minlength=k * d).reshape(k, d))
    majority = votes[0].argmax(0)
    shares = [float(v.gather(0, majority[None]).sum()) / float(v.sum()) for v in votes]
    return FactorVAEScore(shares[1], shares[0], votes[0], active)


def _votes(
    scaled: Float[Tensor, "n d"],
    labels: Int[Tensor, "n k"],
    varies: Int[Tensor, "v"],
    batch: int,
    count: int,
    rng: torch.Generator,
) -> tuple[Int[Tensor, "count"], Int[Tensor, "count"]]:
    """For each vote, the attribute held and the code that varies least."""
    n = len(scaled)
    # Rows class by class, so that those of one class are a run to draw from.
    order = labels.argsort(dim=0, stable=True).cpu()
    counts = [torch.bincount(y) for y in labels.T.cpu()]
    factor = varies[torch.randint(len(varies), (count,), generator=rng)]
    leader = torch.randint(n, (count,), generator=rng)
    held = labels.cpu()[leader, factor]
    size = torch.empty(count, dtype=torch.long)
    start = torch.empty(count, dtype=torch.long)
    for j in varies.tolist():
        mine = factor == j
        size[mine] = counts[j][held[mine]]
        start[mine] = (counts[j].cumsum(0) - counts[j])[held[mine]]
    picks = torch.rand(count, batch, generator=rng, dtype=torch.float64)
    places = start[:, None] + (picks * size[:, None]).long()
    return factor, _least_varying(scaled, order[places, factor[:, None]].to(scaled.device))


def _least_varying(
    codes: Float[Tensor, "n d"], rows: Int[Tensor, "votes batch"]
) -> Int[Tensor, "votes"]:
    """For each choice of rows, the code that varies least in them; the first one of equals."""
    n, d = codes.shape
    batch = rows.shape[1]
    strips = [
        (strip - strip.mean(0)).float().contiguous()
        for strip in torch.split(codes, max(1, STRIP // n), 1)
    ]
    # Bounds the rounding of both sums, of `batch` terms each, as a fraction of the squares.
    rounding = 2 * batch * torch.finfo(torch.float32).eps
    least = []
    for chosen in torch.split(rows, max(1, CHUNK // d)):
        sums, squares = (
            torch.cat([functional.embedding_bag(chosen, x**power, mode="sum") for x in strips], 1)
            for power in (1, 2)
        )
        # Sums of squared deviations, batch - 1 times the variances, and their rounding error.
        deviations = squares - sums.square_().div_(batch)
        slack = squares.mul_(rounding)
        limit = (deviations + slack).amin(1, keepdim=True)
        vote, code = (deviations - slack <= limit).nonzero(as_tuple=True)
        pairs = zip(*(torch.split(i, max(1, CHUNK // batch)) for i in (vote, code)), strict=True)
        exact = torch.cat([codes[chosen[v], c[:, None]].var(1) for v, c in pairs])
        best = exact.new_full((len(chosen),), torch.inf).scatter_reduce_(0, vote, exact, "amin")
        least.append(
            code.new_full((len(chosen),), d).scatter_reduce_(
                0, vote, code.where(exact == best[vote], d), "amin"
            )
        )
    return torch.cat(least)
