"""From scores to targets (labels, soft targets) and to a bank."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from scipy.stats import norm
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import logit
from directions.direction import Direction
from directions.errors import LatdirError, SamplesError
from directions.space import Prior
from discovery.estimators.held_out import ranks
from discovery.sampling.samples import Samples
from discovery.sampling.stored import StoredRows

__all__ = [
    "Labeled",
    "Scale",
    "Scored",
    "Threshold",
    "bank_of",
    "labeled",
    "scored",
    "warn_of_few",
]

Scale = Literal["rank", "log_odds", "raw"]
Threshold = float | Literal["median"]

log = logging.getLogger(__name__)

MIN_SAMPLES = 10
TOO_FEW = 3.0  # squared tangent of 60°


class Scored(NamedTuple):
    """Scores of K attributes as targets and labels; the codes they are of need not be in memory.

    Attributes:
        scores: `[k, n]`, as the classifier gave them.
        targets: `[k, n]`, the scores on the scale that is regressed.
        labels: `[k, n]`, +1 above the cut, −1 below, 0 for rows left out.
        cuts: `[k]`, scores that part positive from negative.
        names: Of the attributes.
    """

    scores: Tensor
    targets: Tensor
    labels: Tensor
    cuts: Tensor
    names: tuple[str, ...]

    def target(self, k: int) -> Scored:
        """One attribute."""
        part = slice(k, k + 1)
        scores, targets, labels, cuts = (t[part] for t in self[:4])
        return Scored(scores, targets, labels, cuts, self.names[part])

    @property
    def levels(self) -> Tensor:
        """The cuts on the targets' scale: half-way between the two classes."""
        found = [
            (t[label > 0].amin() + t[label < 0].amax()) / 2
            for t, label in zip(self.targets, self.labels, strict=True)
        ]
        return torch.stack(found)


class Labeled(NamedTuple):
    """Training data of the estimators of K attributes.

    Attributes:
        codes: `[n, d]`, flat.
        scores: `[k, n]`, as the classifier gave them.
        targets: `[k, n]`, the scores on the scale that is regressed.
        labels: `[k, n]`, +1 above the cut, −1 below, 0 for rows left out.
        cuts: `[k]`, scores that part positive from negative.
        names: Of the attributes.
    """

    codes: Tensor
    scores: Tensor
    targets: Tensor
    labels: Tensor
    cuts: Tensor
    names: tuple[str, ...]

    def rows(self, rows: Tensor) -> Labeled:
        """All targets on some rows."""
        scores, targets, labels = (t[:, rows] for t in self[1:4])
        return Labeled(self.codes[rows], scores, targets, labels, self.cuts, self.names)

    def target(self, k: int) -> Labeled:
        """One target, on the rows that it uses."""
        rows = self.labels[k] != 0
        scores, targets, labels = (t[k : k + 1, rows] for t in self[1:4])
        part = slice(k, k + 1)
        return Labeled(self.codes[rows], scores, targets, labels, self.cuts[part], self.names[part])


def labeled(
    samples: Samples,
    names: Sequence[str],
    *,
    scale: Scale = "rank",
    threshold: Threshold = "median",
    ambiguous: float = 0.0,
) -> Labeled:
    """Flat codes, fitting targets and labels of some attributes of samples.

    Args:
        samples: Codes of any shape with their scores.
        names: Attributes wanted.
        scale: Scale of the targets: normal quantiles of the ranks, log-odds, or raw scores.
        threshold: Score between negative and positive, or `median`.
        ambiguous: Fraction of the samples, those closest to the threshold in rank, left out.

    Raises:
        LatdirError: Too few samples, codes that are not finite, an unknown or constant
            attribute, or a single class.

    Example:
        >>> from directions.classifiers.base import Attribute
        >>> x = torch.arange(12.0)[:, None]
        >>> samples = Samples(x, x, (Attribute("a"),), "z", "g", "0" * 64, "c", "0" * 64, seed=0)
        >>> data = labeled(samples, ["a"], ambiguous=0.5)
        >>> data.labels.int().tolist()
        [[-1, -1, -1, 0, 0, 0, 0, 0, 0, 1, 1, 1]]
    """
    found = scored(samples, names, scale=scale, threshold=threshold, ambiguous=ambiguous)
    codes = samples.codes.flatten(1)
    return Labeled(codes if codes.dtype == torch.float64 else codes.float(), *found)


def scored(
    samples: Samples,
    names: Sequence[str],
    *,
    scale: Scale = "rank",
    threshold: Threshold = "median",
    ambiguous: float = 0.0,
) -> Scored:
    """`labeled` without the codes: from the columns of scores alone; errors as there."""
    n, chunks = len(samples), samples.chunks()
    if n < MIN_SAMPLES:
        raise SamplesError(f"{n} samples are too few for a boundary: label {MIN_SAMPLES} or more")
    if not chunks.stored:
        _check_codes(samples)
    scores = _scores(samples, names)
    cuts, labels = [], torch.empty_like(scores)
    targets = torch.empty_like(scores) if scale == "rank" else scores
    for k, (name, s) in enumerate(zip(names, scores, strict=True)):
        cut = _cut(name, s, threshold)
        label = labels[k].fill_(-1.0).masked_fill_(s > cut, 1.0)
        places = ranks(s) if scale == "rank" or ambiguous else None
        if places is not None and ambiguous:
            # Rejection is by rank, so that it takes the requested fraction whatever the scale.
            distance = (places - (float((s <= cut).sum()) + 0.5)).abs()
            label[distance.topk(int(ambiguous * n), largest=False).indices] = 0
        if not (label > 0).any() or not (label < 0).any():
            raise LatdirError(f"ambiguous={ambiguous} leaves {name!r} one class: use a smaller one")
        if places is not None and scale == "rank":
            targets[k] = torch.special.ndtri(places.sub_(0.5).div_(n))
        cuts.append(cut)
    if scale == "log_odds":
        known = [samples.attributes[samples.names.index(name)] for name in names]
        targets = logit(scores.T, known).T.to(scores)
    return Scored(scores, targets, labels, torch.stack(cuts), tuple(names))


def _scores(samples: Samples, names: Sequence[str]) -> Tensor:
    """Columns `[k, n]`, those of a folder in one pass over it."""
    chunks = samples.chunks()
    if isinstance(chunks, StoredRows) and set(names) <= set(samples.names):
        return chunks.scores(list(names)).T
    return torch.stack([samples.column(name) for name in names]).to(chunks.device, chunks.dtype)


def _check_codes(samples: Samples) -> None:
    """Refuse codes in memory that cannot be squared, or are all equal."""
    codes = samples.codes.flatten(1)
    codes = codes if codes.dtype == torch.float64 else codes.float()
    low, high = codes.aminmax()
    largest = float(torch.maximum(-low, high))
    if not codes.numel() * largest**2 < torch.finfo(codes.dtype).max:
        raise SamplesError(
            f"codes as large as {largest:.3g} cannot be squared in {codes.dtype}: are they codes "
            f"of space {samples.space!r}?"
        )
    if (codes[:2] == codes[0]).all() and (codes == codes[0]).all():
        raise SamplesError(
            f"all {len(codes)} codes are equal: nothing in them tells the labels apart"
        )


def _cut(name: str, scores: Tensor, threshold: Threshold) -> Tensor:
    """Score above which a label is positive, with both classes present."""
    low, high = scores.min(), scores.max()
    if low == high:
        raise LatdirError(
            f"attribute {name!r} is constant ({float(low):g} for all {len(scores)} samples): "
            "it has no boundary; leave it out with attributes=[…]"
        )
    if threshold == "median":
        cut = scores.median()
        # Ties may put the median at the top; the next value down still leaves both classes.
        return cut if cut < high else scores[scores < high].max()
    if low > threshold or high <= threshold:
        side = "above" if low > threshold else "at or below"
        raise SamplesError(
            f"all {len(scores)} scores of {name!r} are {side} the threshold {threshold:g} "
            f"(they span {float(low):g} … {float(high):g}): use threshold='median'"
        )
    return scores.new_tensor(threshold)


def warn_of_few(data: Labeled | Scored, population: Prior) -> None:
    """Warn of two-valued labels so few of one kind that a direction is mostly noise.

    Judged by the best case: labels that depend on one projection of normal codes, without error.
    The classes' means then differ by δ = φ(t) / p(1 − p) along it, p being the share of the rarer
    class and t its quantile, and their difference errs by d (1/m + 1/(n − m)) across it.
    """
    d = max(population.effective_size - 1, 0.0)
    for name, scores, labels in zip(data.names, data.scores, data.labels, strict=True):
        counts = [int((labels == sign).sum()) for sign in (1, -1)]
        m, n = min(counts), sum(counts)
        low, high = scores.aminmax()
        if not ((scores == low) | (scores == high)).all():
            continue
        p = m / n
        delta = norm.pdf(norm.ppf(p)) / (p * (1 - p))
        squared = d * (1 / m + 1 / (n - m)) / delta**2
        if squared > TOO_FEW:
            log.warning(
                "only %d of %d labels of %r are %s: even without errors its direction is off by "
                "about %.0f°; label about %d of them for 45°",
                m,
                n,
                name,
                "positive" if counts[0] == m else "negative",
                math.degrees(math.atan(math.sqrt(squared))),
                math.ceil(d / (1 - p) / delta**2),
            )


def bank_of(samples: Samples, directions: Sequence[Direction]) -> DirectionBank:
    """A bank of directions found from samples, with what these tell of where they come from."""
    provenance = {
        "classifier": samples.classifier,
        "samples": len(samples),
        "seed": samples.seed,
        "truncation": samples.truncation,
        **{key: samples.notes[key] for key in ("device",) if key in samples.notes},
    }
    return DirectionBank(tuple(directions), samples.generator, samples.fingerprint, provenance)
