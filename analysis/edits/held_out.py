"""Held-out codes moved along directions, in one pass over their images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from analysis.edits.curves import Curves, Source
from analysis.edits.targets import match_targets
from directions.arguments import checked
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.classifiers.panel import Panel
from directions.devices import device_name
from directions.errors import LatdirError
from directions.executors import Local
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.held_out import check_held_out, warn_of_known_judge
from directions.scoring.moved import Moves, moved_codes
from directions.scoring.remote import Judging, judged
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED

__all__ = ["AMOUNTS", "HeldOut", "measure_curves", "moves_of"]

# Batches that a card makes before the next scores are waited for.
AHEAD = 16
AMOUNTS = (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)


@checked
def measure_curves(
    generator: Generator,
    classifier: Classifier,
    bank: DirectionBank,
    *,
    amounts: Sequence[float] = AMOUNTS,
    attributes: Sequence[str] | None = None,
    count: int = 256,
    seed: int = HELD_OUT_SEED,
    embed: Callable[[Tensor], Tensor] | None = None,
    judge: Classifier | None = None,
    rendering: Rendering = Rendering(),
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
        count: Number of held-out codes, at least 2.
        seed: Seed of the codes. Not that of the samples the directions were found with.
        embed: Images `[n, 3, H, W]` to embeddings `[n, e]`, for identity preservation.
        judge: A second labeler that the bank was not found with; it scores the same images.
            Attributes are matched by name, as `directions.classifiers.panel.Panel` says.
        rendering: How images are made; by default with the truncation of the codes that the bank
            was found with.

    Returns:
        Scores `[directions, amounts, codes, attributes]`, on the CPU. A direction is meant to move
        the attribute of its name, or the one it is calibrated in; `Curves.aimed` names others.

    Raises:
        LatdirError: A bank that is empty or of another generator, an unknown attribute, too few
            codes, codes that the bank was found with, scores that are not finite, or a judge that
            is not a second labeler.
    """
    held_out = HeldOut.of(
        generator,
        classifier,
        bank,
        attributes=attributes,
        count=count,
        seed=seed,
        embed=embed,
        judge=judge,
        rendering=rendering,
    )
    [found] = held_out.curves(moves_of(bank, amounts))
    return found


def moves_of(bank: DirectionBank, amounts: Sequence[float]) -> Moves:
    """All directions of a bank by every amount, ascending, 0 among them.

    Raises:
        LatdirError: Amounts that are not finite, or 0 alone.
    """
    steps = torch.tensor(sorted({0.0, *map(float, amounts)}), dtype=torch.float64)
    if len(steps) < 2 or not torch.isfinite(steps).all():
        raise LatdirError(
            f"amounts {steps.tolist()} move nothing: give finite amounts in sigma, such as (-2, 2)"
        )
    return Moves(bank.directions, steps)


def _apart(curves: Curves, panel: Panel) -> Curves:
    """The labeler's scores, with the judge's beside them."""
    own, judged = (
        replace(
            curves,
            attributes=attributes,
            scores=scores,
            source=replace(
                curves.source, classifier=who.name, classifier_fingerprint=who.fingerprint
            ),
            targets={d: a for d, a in curves.targets.items() if a in names},
        )
        for who, attributes, scores in panel.apart(curves.attributes, curves.scores)
        for names in [[a.name for a in attributes]]
    )
    return replace(own, judged=replace(judged, identity=None, identity_baseline=None))


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out codes of a generator, to be moved.

    Attributes:
        generator: Makes the images.
        classifier: Scores them.
        names: Attributes to score.
        count: Number of codes.
        seed: Seed of the codes.
        rendering: How images are made.
        embed: Images to embeddings, for identity.
        targets: The attribute that each direction of the bank is meant to move.
        panel: The classifier's parts, where it is a labeler and a judge.
        baseline: `[n, a]`, scores of the unmoved codes where they are known already.
    """

    generator: Generator
    classifier: Classifier
    names: tuple[str, ...]
    count: int
    seed: int
    rendering: Rendering
    embed: Callable[[Tensor], Tensor] | None = None
    targets: Mapping[str, str] = field(default_factory=dict)
    panel: Panel | None = None
    baseline: Float[Tensor, "n a"] | None = None

    @classmethod
    def of(
        cls,
        generator: Generator,
        classifier: Classifier,
        bank: DirectionBank,
        *,
        attributes: Sequence[str] | None,
        count: int,
        seed: int,
        rendering: Rendering,
        embed: Callable[[Tensor], Tensor] | None = None,
        judge: Classifier | None = None,
    ) -> HeldOut:
        """Codes to measure a bank on; arguments and errors as of `measure_curves`."""
        check_held_out(generator, bank, count=count, seed=seed)
        names = tuple(classifier.names if attributes is None else attributes)
        classifier.columns(names)
        panel = None if judge is None else Panel.of(classifier, judge, names)
        if judge is not None:
            warn_of_known_judge(judge, bank)
        return cls(
            generator,
            classifier if panel is None else panel.classifier,
            names if panel is None else panel.names,
            count,
            seed,
            rendering.of_bank(bank.provenance),
            embed,
            match_targets(bank, names),
            panel,
        )

    def curves(self, *moves: Moves) -> tuple[Curves, ...]:
        """Scores of the codes moved along every direction by every amount, in one pass.

        Args:
            moves: Of the bank first, then of others, whose identity is not measured. Amounts
                ascend and have 0 among them.
        """
        spaces = [[d.acts_in(self.generator.spaces) for d in m.directions] for m in moves]
        tables = [
            torch.empty(len(m.directions), len(m.amounts), self.count, len(self.names))
            for m in moves
        ]
        start = torch.where(moves[0].amounts < 0, torch.nan, 1.0)[:, None]
        identity = start.expand(tables[0].shape[:3]).float().clone()
        identity_baseline = None
        rendering = self.rendering
        n = sum(table.shape[:3].numel() for table in tables)
        hidden = not rendering.progress
        with tqdm(total=n, desc="moving codes", unit="image", delay=1, disable=hidden) as bar:
            for space in dict.fromkeys(chain(*spaces)):
                mine = [[k for k, own in enumerate(part) if own == space] for part in spaces]
                # Settings are chosen for the bank: a null beside it does not change its figures.
                scorer = self._scorer(space, rendering, tables[0].shape[:3].numel())
                # Settings measured for the first space hold for the others.
                rendering = scorer.rendering
                codes = self.generator.sample(
                    self.count, seed=self.seed, space=space, truncation=rendering.psi
                )
                unmoved, embedded = self._unmoved(scorer, codes)
                for own, table, only in zip(moves, tables, mine, strict=True):
                    table[only, own.amounts.tolist().index(0.0)] = unmoved
                if embedded is not None and identity_baseline is None:
                    identity_baseline = _mean_cosines(embedded)
                bar.update(sum(map(len, mine)) * self.count)
                size = scorer.batch_size * (1 if codes.device.type == "cpu" else AHEAD)
                batches = moved_codes(codes, moves, batch_size=size, only=mine)
                places: deque[tuple[Tensor, Tensor]] = deque()
                found = judged(
                    self._judging(scorer),
                    scorer,
                    self._seen(batches, moves[0].amounts, places, embedded is not None),
                )
                for scores, seen in found:
                    (number, k, t, rows), ahead = places.popleft()
                    if embedded is not None and seen is not None:
                        before = embedded[rows[ahead].to(embedded.device)]
                        similar = cosine_similarity(seen, before).cpu()
                        identity[k[ahead], t[ahead], rows[ahead]] = similar
                    for i, table in enumerate(tables):
                        here = number == i
                        table[k[here], t[here], rows[here]] = scores[here]
                    bar.update(len(rows))
        source = self._source(rendering)
        first, *others = (self._curves(*pair, source) for pair in zip(moves, tables, strict=True))
        first = replace(first, targets=self.targets)
        if self.embed is not None:
            first = replace(first, identity=identity, identity_baseline=identity_baseline)
        if self.panel is not None:
            first, *others = (_apart(curves, self.panel) for curves in (first, *others))
        return first, *others

    @staticmethod
    def _seen(
        batches: Iterable[tuple[Tensor, Tensor]],
        amounts: Tensor,
        places: deque[tuple[Tensor, Tensor]],
        embedded: bool,
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Codes, and which moved ahead along the bank are to be embedded; their places are kept."""
        for moved, place in batches:
            number, _, t, _ = place
            ahead = (number == 0) & (amounts[t * (number == 0)] > 0)
            places.append((place, ahead))
            yield moved, ahead if embedded and bool(ahead.any()) else None

    def _judging(self, scorer: Scorer) -> Judging:
        """What workers need to do as the scorer does."""
        return Judging(
            self.generator,
            self.classifier,
            self.embed,
            scorer.space,
            tuple(self.names),
            replace(scorer.rendering, executor=Local(), progress=False),
        )

    def _curves(self, moves: Moves, scores: Tensor, source: Source) -> Curves:
        columns = self.classifier.columns(self.names)
        return Curves(
            directions=tuple(d.name for d in moves.directions),
            attributes=tuple(self.classifier.attributes[c] for c in columns),
            amounts=moves.amounts.float(),
            scores=scores,
            spaces=tuple(d.space for d in moves.directions),
            source=source,
        )

    def _scorer(self, space: str, rendering: Rendering, n: int) -> Scorer:
        return Scorer(
            self.generator,
            self.classifier,
            space=space,
            names=self.names,
            embed=self.embed,
            rendering=rendering,
            n=n,
        )

    def _unmoved(self, scorer: Scorer, codes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores and embeddings of the unmoved codes."""
        if self.baseline is not None and self.embed is None:
            return self.baseline, None
        if self.embed is None:
            return scorer.score(codes), None
        return scorer.score_and_embed(codes)

    def _source(self, rendering: Rendering) -> Source:
        generator, classifier = self.generator, self.classifier
        return Source(
            generator.name,
            generator.fingerprint,
            classifier.name,
            classifier.fingerprint,
            self.seed,
            self.count,
            replace(rendering, executor=Local()),  # figures are the same wherever they are made
            device_name(generator.device),
        )


def _mean_cosines(embeddings: Tensor) -> Tensor:
    """Mean cosine of each row to all other rows."""
    unit = normalize(embeddings.double(), dim=1)
    return ((unit @ unit.sum(0) - unit.square().sum(1)) / (len(unit) - 1)).float().cpu()
