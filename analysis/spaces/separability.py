"""Linear separability: prediction of image attributes by hyperplanes of the codes.

Tero Karras, Samuli Laine, Timo Aila: A Style-Based Generator Architecture for Generative
Adversarial Networks, CVPR 2019, arXiv:1812.04948, section 4.2. Per attribute, the half of the
codes whose classifier is surest is kept; a linear support vector machine predicts the label Y
from the code, and with X its prediction the score of a space is

    exp( Σ over attributes of H(Y | X) ),   in nats: 1 where every attribute is separable.

Difference from the official code: it scores the machine on the rows it was fitted to, which
flatters spaces of many dimensions. Here half of the rows kept are held out and scored on;
`as_published` does as the paper did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from sklearn.svm import LinearSVC
from torch import Tensor

from analysis.representation.rows import checked_rows
from directions.arguments import checked, checked_fields, checked_values
from directions.classifiers.base import Classifier, logit
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED

__all__ = ["Fit", "Separability", "linear_separability", "measure_separability"]

Rows = NDArray[np.float64]
Fit = Callable[[Rows, NDArray[np.bool_]], tuple[Rows, float]]
"""Codes `[n, d]` and labels `[n]` to the normal `[d]` and the intercept of a hyperplane."""


@checked_fields
@dataclass(frozen=True, eq=False)
class Separability:
    """Linear separability and its components.

    Attributes:
        score: exp of the summed conditional entropies; 1 is best.
        low: Lower end of its bootstrap interval over the rows scored on.
        high: Upper end.
        entropy: `[k]`, H(Y | X) of each attribute in nats.
        accuracy: `[k]`, of the predictions.
        one_sided: `[k]`, attributes of one class only, whose entropy is 0.
        scored_on: `held-out` or `training` rows.
    """

    score: float
    low: float
    high: float
    entropy: Float[Tensor, "k"]
    accuracy: Float[Tensor, "k"]
    one_sided: Bool[Tensor, "k"]
    scored_on: str


@checked_values
def linear_separability(
    codes: Float[Tensor, "n *shape"],
    logits: Float[Tensor, "n k"],
    *,
    keep: float = 0.5,
    as_published: bool = False,
    fit: Fit | None = None,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Separability:
    """Linear separability of codes with respect to binary attributes.

    Args:
        codes: `[n, …]`.
        logits: `[n, k]`, positive where the attribute is there, large where that is sure.
        keep: Share of the rows, the surest of each attribute; 100,000 of 200,000 were published.
        as_published: Score on the rows fitted to.
        fit: Finds the hyperplane; by default scikit-learn's `LinearSVC`, as published.
        bootstrap: Number of resamples of the rows scored on.
        level: Share of them inside the interval.
        seed: Of the resampling.

    Raises:
        LatdirError: Rows that do not fit, too few of them, attributes of one class only, or a
            share outside (0, 1].

    Example:
        >>> codes = torch.linspace(-1, 1, 200)[:, None]
        >>> linear_separability(codes, 5 * codes).score
        1.0
    """
    rows, table = checked_rows(codes, logits)
    if not table.is_floating_point():
        raise LatdirError(f"logits are floating point, not {table.dtype}: they are to be ranked")
    if not 0 < keep <= 1 or int(keep * len(rows)) < 8:
        raise LatdirError(
            f"keeping {keep} of {len(rows)} rows leaves {int(keep * len(rows))}: a fraction in "
            "0 … 1 must leave hundreds"
        )
    if bootstrap < 1 or not 0 < level < 1:
        raise LatdirError(f"bootstrap {bootstrap} must be at least 1 and level {level} in (0, 1)")
    x = rows.double().cpu().numpy()
    machine = fit or _svm
    count = int(keep * len(rows))
    tables, sides = [], []
    for column in table.T:
        # In the order of the rows, so that every second one is held out at random.
        surest = column.abs().argsort(descending=True, stable=True)[:count].sort().values
        y = (column[surest] > 0).cpu().numpy()
        chosen = x[surest.cpu().numpy()]
        train, test = (slice(None),) * 2 if as_published else (slice(0, None, 2), slice(1, None, 2))
        one_sided = bool(y[train].all() or not y[train].any())
        if one_sided:
            predicted = np.full(len(y[test]), y[train][0])
        else:
            normal, intercept = machine(chosen[train], y[train])
            predicted = chosen[test] @ normal + intercept > 0
        cells = np.bincount(2 * predicted + y[test], minlength=4).reshape(2, 2)
        tables.append(cells)
        sides.append(one_sided)
    if all(sides):
        raise LatdirError(
            "every attribute has one class only among the surest rows: give logits, positive "
            "where the attribute is there"
        )
    counts = np.stack(tables)
    rng = np.random.default_rng(seed)
    draws = np.stack([rng.multinomial(c.sum(), c.ravel() / c.sum(), bootstrap) for c in counts], 1)
    entropies = _conditional_entropy(counts)
    scores = np.exp(_conditional_entropy(draws.reshape(bootstrap, -1, 2, 2)).sum(1))
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    device = rows.device
    right = counts[:, 0, 0] + counts[:, 1, 1]
    return Separability(
        score=math.exp(entropies.sum()),
        low=float(low),
        high=float(high),
        entropy=torch.tensor(entropies, device=device),
        accuracy=torch.tensor(right / counts.sum((1, 2)), device=device),
        one_sided=torch.tensor(sides, device=device),
        scored_on="training" if as_published else "held-out",
    )


@checked
def measure_separability(
    generator: Generator,
    classifier: Classifier,
    *,
    spaces: Sequence[str] | None = None,
    attributes: Sequence[str] | None = None,
    count: int = 10_000,
    keep: float = 0.5,
    as_published: bool = False,
    fit: Fit | None = None,
    seed: int = HELD_OUT_SEED,
    rendering: Rendering = Rendering(),
) -> dict[str, Separability]:
    """Linear separability of a generator's spaces, on the same images.

    Args:
        generator: Makes the images.
        classifier: Labels them.
        spaces: Which spaces; by default the first and, where there is one, `w`.
        attributes: Which attributes, probabilities; by default all of that kind.
        count: Number of images; 200,000 were published.
        keep: Share of them that is kept for each attribute.
        as_published: Score on the rows fitted to.
        fit: Finds the hyperplanes.
        seed: Of the codes.
        rendering: How images are made.

    Returns:
        One for each space.

    Raises:
        LatdirError: No attribute is a probability, a requested one is not, or
            `linear_separability` refuses.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> found = measure_separability(
        ...     world, world.classifier(kind="probability"), count=2000
        ... )
        >>> found["z"].score < 1.1
        True
    """
    first = generator.default_space()
    wanted = spaces or list(dict.fromkeys((first, generator.default_space("w"))))
    binary = [a.name for a in classifier.attributes if a.kind == "probability"]
    names = list(attributes) if attributes else binary
    values = [n for n in names if n not in binary and classifier.columns([n])]
    if values or not names:
        raise LatdirError(
            f"linear separability is of probabilities: {classifier.name} has "
            f"{', '.join(binary) or 'none'}" + (f", and {values[0]!r} is a value" if values else "")
        )
    kinds = [classifier.attributes[c] for c in classifier.columns(names)]
    psi = rendering.psi
    codes = generator.sample(count, seed=seed, space=first, truncation=psi)
    scorer = Scorer(generator, classifier, space=first, names=names, rendering=rendering, n=count)
    logits = logit(scorer.score(codes), kinds)
    return {
        space: linear_separability(
            generator.sample(count, seed=seed, space=space, truncation=psi),
            logits,
            keep=keep,
            as_published=as_published,
            fit=fit,
        )
        for space in wanted
    }


def _svm(codes: Rows, labels: NDArray[np.bool_]) -> tuple[Rows, float]:
    # The primal problem where rows are many: the same optimum, sooner and without a seed.
    machine = LinearSVC(dual=len(codes) < codes.shape[1], max_iter=10_000, random_state=0)
    machine.fit(codes, labels)
    normal: Rows = machine.coef_[0]
    return normal, float(machine.intercept_[0])


def _conditional_entropy(counts: NDArray[np.int64]) -> Rows:
    """H(Y | X) in nats of tables `[…, x, y]`."""
    shares = counts / counts.sum((-2, -1), keepdims=True)
    seen = shares.sum(-1, keepdims=True)
    # xlogy of a cell over its row; empty cells contribute nothing.
    ratio = np.divide(shares, seen, out=np.ones_like(shares), where=shares > 0)
    entropy: Rows = -(shares * np.log(ratio)).sum((-2, -1))
    return np.maximum(entropy, 0.0)
