"""All disentanglement metrics of one representation, each with its interval.

Each metric has its own file, with its definition, source and components: `mig`,
`sap`, `dci`, `modularity`, `explicitness`, `factorvae`. They disagree by design, and no one of
them is the truth (Locatello et al. 2019, arXiv:1811.12359): read them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from analysis.intervals.half_samples import Score, half_sample_scores
from analysis.representation.dci import Model, dci
from analysis.representation.explicitness import explicitness
from analysis.representation.factorvae import factorvae_score
from analysis.representation.mig import mig
from analysis.representation.modularity import modularity
from analysis.representation.rows import CLASSES, as_classes, checked_rows
from analysis.representation.sap import sap
from directions.arguments import checked, checked_values
from directions.errors import LatdirError, UnknownNameError
from directions.planted.entangled import entangled_world

__all__ = ["METRICS", "EntanglementSweep", "disentanglement_scores", "entanglement_sweep"]

METRICS = (
    "MIG",
    "SAP",
    "disentanglement",
    "completeness",
    "informativeness",
    "modularity",
    "explicitness",
    "FactorVAE",
)
DCI_METRICS = ("disentanglement", "completeness", "informativeness")


@checked_values
def disentanglement_scores(
    codes: Float[Tensor, "n *shape"],
    attributes: Tensor,
    *,
    metrics: Sequence[str] = METRICS,
    model: Model = "trees",
    bins: int | Literal["auto", "exact"] = "auto",
    classes: int = CLASSES,
    draws: int = 0,
    level: float = 0.95,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Score]:
    """All metrics of codes about attributes.

    The metrics that test on held-out rows learn from every second row. Codes are divided by their
    standard deviations for FactorVAE, so that its threshold leaves out constant codes only.

    Args:
        codes: `[n, …]`, at least two a row.
        attributes: `[n, k]` or `[n]`; integers are classes, floating-point numbers values, cut
            into classes for every metric.
        metrics: Which of `METRICS`.
        model: Of DCI: `trees` as published, or `logistic`, many times faster.
        bins: Of the trees of DCI, as in `dci`; few are faster.
        classes: Intervals of equal counts to cut values into.
        draws: Half-samples for intervals; with 0 an interval is the score itself.
        level: Share of the half-samples inside an interval.
        seed: Of everything random.
        progress: Whether to show a bar over the half-samples.

    Raises:
        LatdirError: An unknown metric, or rows that a metric refuses.

    Example:
        >>> import torch
        >>> factors = torch.cartesian_prod(torch.arange(3), torch.arange(3)).repeat(20, 1)
        >>> scores = disentanglement_scores(factors.float(), factors, metrics=["MIG", "modularity"])
        >>> scores["MIG"].value
        1.0
    """
    unknown = [m for m in metrics if m not in METRICS]
    if unknown or not metrics:
        raise UnknownNameError(f"no metric {(*unknown, '')[0]!r}: there are {', '.join(METRICS)}")
    rows, table = checked_rows(codes, attributes)
    labels = as_classes(table, classes=classes)

    def measure(x: Tensor, y: Tensor) -> Mapping[str, float]:
        found: dict[str, float] = {}
        if any(m in DCI_METRICS for m in metrics):
            parts = dci(x, y, model=model, bins=bins, seed=seed)
            found = {m: getattr(parts, m) for m in DCI_METRICS}
        if "MIG" in metrics:
            found["MIG"] = mig(x, y).score
        if "SAP" in metrics:
            found["SAP"] = sap(x, y).score
        if "modularity" in metrics:
            found["modularity"] = modularity(x, y).score
        if "explicitness" in metrics:
            found["explicitness"] = explicitness(x, y).score
        if "FactorVAE" in metrics:
            spread = x.double().std(0).clamp_min(1e-12)
            found["FactorVAE"] = factorvae_score(x.double() / spread, y, seed=seed).score
        return {m: found[m] for m in metrics}

    if draws == 0:
        return {name: Score(v, v, v) for name, v in measure(rows, labels).items()}
    return half_sample_scores(
        measure, rows, labels, draws=draws, level=level, seed=seed, progress=progress
    )


@dataclass(frozen=True)
class EntanglementSweep:
    """Every metric at several levels of entanglement.

    Attributes:
        levels: Of entanglement, ascending.
        scores: One score a level for each metric.
    """

    levels: tuple[float, ...]
    scores: dict[str, tuple[Score, ...]]


@checked
def entanglement_sweep(
    levels: Sequence[float],
    *,
    count: int = 2000,
    metrics: Sequence[str] = METRICS,
    model: Model = "trees",
    bins: int | Literal["auto", "exact"] = "auto",
    draws: int = 0,
    seed: int = 0,
) -> EntanglementSweep:
    """Measure worlds of known entanglement with every metric.

    Args:
        levels: Of entanglement, 0 … 1.
        count: Rows of each world.
        metrics: Which of `METRICS`.
        model: Of DCI.
        bins: Of its trees.
        draws: Half-samples for intervals.
        seed: Of the worlds.
    """
    if count < 2:
        raise LatdirError(f"count {count} must be at least 2: 2000 codes give useful figures")
    found = []
    for level in levels:
        codes, attributes = entangled_world(count, level=level, seed=seed)
        found.append(
            disentanglement_scores(
                codes, attributes, metrics=metrics, model=model, bins=bins, draws=draws
            )
        )
    return EntanglementSweep(tuple(levels), {m: tuple(f[m] for f in found) for m in metrics})
