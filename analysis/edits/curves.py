"""Scores of held-out codes moved along directions: what every measure of a bank starts from.

Codes of a seed that no direction was found with are moved by each amount along each direction;
the images are scored, and embedded if asked. Effects, calibration, leakage and identity are
functions of these scores, so one pass over the images serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize
from tqdm.auto import tqdm

from analysis.edits.targets import match_targets
from directions.bank import DirectionBank
from directions.classifiers.base import Attribute, Classifier, logit
from directions.direction import Direction
from directions.errors import BankError, LatdirError, SamplesError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.seeds import HELD_OUT_SEED

__all__ = [
    "AMOUNTS",
    "Curves",
    "Scale",
    "Source",
    "measure_curves",
]

AMOUNTS = (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)

Scale = Literal["score", "logit"]


@dataclass(frozen=True)
class Source:
    """What was measured on what.

    Attributes:
        generator: Name of the generator.
        fingerprint: Its sha256.
        classifier: Name of the classifier.
        classifier_fingerprint: Its sha256.
        seed: Seed of the held-out codes.
        count: Number of them.
        truncation: ψ they were drawn with.
        precision: Arithmetic of generator and classifier.
    """

    generator: str
    fingerprint: str
    classifier: str
    classifier_fingerprint: str
    seed: int
    count: int
    truncation: float = 1.0
    precision: Precision = "float32"


@dataclass(frozen=True, eq=False)
class Curves:
    """Scores of the same codes at several amounts along each direction.

    Attributes:
        directions: Names of the directions.
        attributes: What the last axis of the scores means.
        amounts: `[t]`, in sigma of each direction, ascending, 0 among them.
        scores: `[k, t, n, a]`, on the CPU; at amount 0 those of the unmoved codes.
        spaces: Name of the latent space of each direction.
        source: What was measured on what.
        targets: The attribute each direction is meant to move; some directions have none.
        scale: `score`, or `logit` when probabilities are given as log-odds.
        identity: `[k, t, n]`, cosine between the embeddings of moved and unmoved image.
        strangers: Mean cosine between embeddings of different codes' unmoved images.
    """

    directions: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    amounts: Float[Tensor, "t"]
    scores: Float[Tensor, "k t n a"]
    spaces: tuple[str, ...]
    source: Source
    targets: Mapping[str, str] = field(default_factory=dict)
    scale: Scale = "score"
    identity: Float[Tensor, "k t n"] | None = None
    strangers: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes."""
        return tuple(a.name for a in self.attributes)

    @property
    def zero(self) -> int:
        """Index of amount 0."""
        return int((self.amounts == 0).nonzero()[0])

    @property
    def baseline(self) -> Float[Tensor, "n a"]:
        """Scores of the unmoved codes."""
        return self.scores[0, self.zero]

    @cached_property
    def std(self) -> Float[Tensor, "a"]:
        """Standard deviation of each attribute over the unmoved codes; 0 for a constant one."""
        std = self.baseline.double().std(0)
        constant = self.baseline.max(0).values == self.baseline.min(0).values
        return torch.where(constant, 0.0, std).float()

    @cached_property
    def changes(self) -> Float[Tensor, "k t n a"]:
        """Scores minus those of the same code unmoved."""
        return self.scores - self.scores[:, self.zero, None]

    @cached_property
    def logit(self) -> Curves:
        """The same with probabilities as log-odds, on which saturated scores still move."""
        if self.scale == "logit":
            return self
        flat = logit(self.scores.flatten(0, 2), self.attributes)
        return replace(self, scores=flat.view_as(self.scores), scale="logit")

    def at(self, amount: float) -> int:
        """Index of an amount.

        Raises:
            LatdirError: It was not measured.
        """
        found = (self.amounts == amount).nonzero()
        if not len(found):
            raise LatdirError(
                f"amount {amount:g} was not measured: there are "
                f"{', '.join(f'{a:g}' for a in self.amounts.tolist())}"
            )
        return int(found[0])


def measure_curves(
    generator: Generator,
    classifier: Classifier,
    bank: DirectionBank,
    *,
    amounts: Sequence[float] = AMOUNTS,
    attributes: Sequence[str] | None = None,
    targets: Mapping[str, str] | None = None,
    count: int = 256,
    seed: int = HELD_OUT_SEED,
    truncation: float = 1.0,
    precision: Precision = "float32",
    batch: int = 128,
    embed: Callable[[Tensor], Tensor] | None = None,
) -> Curves:
    """Move held-out codes along every direction by every amount, and score the images.

    The unmoved codes are scored once, whatever the number of directions. Codes are drawn in the
    space of each direction, from the same codes of the generator's first space.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        bank: Directions of that generator.
        amounts: In sigma of each direction; 0 is added.
        attributes: Attributes to score; by default all of the classifier's.
        targets: Direction name to the attribute it is meant to move, where the names differ.
        count: Number of held-out codes, at least 2.
        seed: Seed of the codes. Not that of the samples the directions were found with.
        truncation: ψ of the codes.
        precision: Arithmetic of generator and classifier.
        batch: Images at a time.
        embed: Images `[n, 3, H, W]` to embeddings `[n, e]`, for identity preservation.

    Returns:
        Scores `[directions, amounts, codes, attributes]`, on the CPU.

    Raises:
        LatdirError: A bank that is empty or of another generator, an unknown attribute, too few
            codes, codes that the bank was found with, or scores that are not finite.
    """
    steps = torch.tensor(sorted({0.0, *map(float, amounts)}), dtype=torch.float64)
    _check(generator, bank, count=count, seed=seed, steps=steps, batch=batch)
    names = tuple(classifier.names if attributes is None else attributes)
    kept = tuple(classifier.attributes[c] for c in classifier.columns(names))
    aims = match_targets(bank, names, targets)
    score = classifier.inference(precision=precision, names=names)
    describe = embed or _no_embedding

    spaces = tuple(d.space for d in bank.directions)
    scores = torch.empty(len(bank), len(steps), count, len(names))
    identity = torch.ones(scores.shape[:3])
    strangers = None
    zero = int((steps == 0).nonzero()[0])
    with tqdm(total=scores[..., 0].numel(), desc="moving codes", unit="image", delay=1) as bar:
        moved_in = [d.acts_in(generator.spaces) for d in bank.directions]
        for space in dict.fromkeys(moved_in):
            mine = [k for k, own in enumerate(moved_in) if own == space]
            codes = generator.sample(count, seed=seed, space=space, truncation=truncation)
            render = generator.inference(precision=precision, space=space)
            images = [render(part) for part in torch.split(codes, batch)]
            unmoved = torch.cat([describe(part) for part in images])
            scores[mine, zero] = torch.cat([score(part) for part in images]).float().cpu()
            strangers = strangers or _mean_cosine(unmoved)
            bar.update(len(mine) * count)
            for k, t, rows, moved in _moves(bank.directions, mine, codes, steps, batch):
                image = render(moved)
                scores[k, t, rows] = score(image).float().cpu()
                similar = cosine_similarity(describe(image), unmoved[rows.to(unmoved.device)])
                identity[k, t, rows] = similar.float().cpu()
                bar.update(len(rows))

    _check_scores(scores, names, classifier)
    source = Source(
        generator.name,
        generator.fingerprint,
        classifier.name,
        classifier.fingerprint,
        seed,
        count,
        truncation,
        precision,
    )
    measured = Curves(tuple(bank), kept, steps.float(), scores, spaces, source, aims)
    return measured if embed is None else replace(measured, identity=identity, strangers=strangers)


def _moves(
    directions: Sequence[Direction], mine: list[int], codes: Tensor, steps: Tensor, batch: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Full batches of moved codes across directions and amounts, with where each belongs."""
    n = len(codes)
    jobs = torch.cartesian_prod(torch.tensor(mine), steps.nonzero()[:, 0], torch.arange(n))
    for part in torch.split(jobs, batch):
        moved = [
            directions[k].shift(codes[rows.to(codes.device)], steps[t])
            for k in sorted(set(part[:, 0].tolist()))
            for t, rows in [part[part[:, 0] == k, 1:].T]
        ]
        yield part[:, 0], part[:, 1], part[:, 2], torch.cat(moved)


def _no_embedding(images: Tensor) -> Tensor:
    return images.new_zeros(len(images), 1)


def _mean_cosine(embeddings: Tensor) -> float:
    """Mean cosine over all pairs of different rows."""
    unit = normalize(embeddings.double(), dim=1)
    n = len(unit)
    return float((unit.sum(0).square().sum() - unit.square().sum()) / (n * (n - 1)))


def _check(
    generator: Generator,
    bank: DirectionBank,
    *,
    count: int,
    seed: int,
    steps: Tensor,
    batch: int,
) -> None:
    bank.check(generator)
    if not len(bank):
        raise BankError("the bank is empty: there is nothing to measure")
    if count < 2 or batch < 1:
        raise LatdirError(
            f"count {count} must be at least 2 and batch {batch} at least 1: "
            "512 codes give useful intervals"
        )
    if len(steps) < 2 or not torch.isfinite(steps).all():
        raise LatdirError(
            f"amounts {steps.tolist()} move nothing: give finite amounts in sigma, such as (-2, 2)"
        )
    if bank.provenance.get("seed") == seed:
        raise LatdirError(
            f"the bank was found with codes of seed {seed}: measured on the same codes it would "
            "look better than it is; choose another seed"
        )


def _check_scores(scores: Tensor, names: Sequence[str], classifier: Classifier) -> None:
    bad = ~torch.isfinite(scores)
    if bad.any():
        column = int(bad.flatten(0, 2).any(0).nonzero()[0])
        raise SamplesError(
            f"{int(bad[..., column].sum())} scores of {names[column]!r} are NaN or infinite: "
            f"mend the classifier {classifier.name}, or leave that attribute out"
        )
