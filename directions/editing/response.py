"""Response of attributes to a bank, and the noise of the classifier, on codes of the prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions.bank import DirectionBank
from directions.classifiers.base import Attribute, logit
from directions.disentangling.mixing import column_numbers
from directions.editing.linear import check_rows
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED

__all__ = ["SHIFTS", "Response", "ScoredEffects", "measure_response", "shifted_images"]

PROBES = 128
STEP = 1.0  # in sigma
# Of the tolerance, in standard deviations: a difference that nobody sees, and one that excuses
# no miss however noisy the classifier.
FINEST, COARSEST = 0.01, 0.1
SHIFTS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@runtime_checkable
class ScoredEffects(Protocol):
    """What `analysis.measure_effects` returns, as far as a search on images is concerned."""

    @property
    def directions(self) -> tuple[str, ...]:
        """Directions of the rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Attributes of the columns."""

    @property
    def std(self) -> Tensor:
        """`[a]`, standard deviation of each attribute."""

    @property
    def scale(self) -> str:
        """`score`, or `logit` where probabilities are given as log-odds."""

    @property
    def logit(self) -> Any:
        """The same on the scale of log-odds, whose `mean` is `[k, a]`, per sigma."""


@dataclass(frozen=True, eq=False)
class Response:
    """How attributes respond to directions, and how exactly they are measured.

    Attributes:
        attributes: The attributes.
        std: `[a]`, standard deviation over codes of the prior.
        noise: `[a]`, root mean square of the change of the score when the image is shifted by one
            pixel, in standard deviations.
        effects: `[k, a]`, change per sigma, probabilities as log-odds.
        scale: `score`, or `logit` where changes of probabilities are meant in log-odds.
    """

    attributes: tuple[Attribute, ...]
    std: Float[Tensor, "a"]
    noise: Float[Tensor, "a"]
    effects: Float[Tensor, "k a"]
    scale: str

    @property
    def tolerance(self) -> Float[Tensor, "a"]:
        """Differences within the noise count as none: it is theirs, within 0.01 … 0.1."""
        return self.noise.clamp(FINEST, COARSEST)

    def logits(self, scores: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """Scores on the unbounded scale, on which edits are nearly linear."""
        return logit(scores.double(), self.attributes)

    def values(self, scores: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """Scores on the scale that changes are meant on."""
        return self.logits(scores) if self.scale == "logit" else scores.double()


def measure_response(
    generator: Generator,
    scorer: Scorer,
    bank: DirectionBank,
    *,
    attributes: Sequence[Attribute],
    effects: ScoredEffects | None = None,
) -> Response:
    """Measure it on 128 codes, the same for every call.

    Args:
        generator: Of the codes.
        scorer: Scores the attributes, in their order.
        bank: The directions.
        attributes: The attributes.
        effects: Standard deviations and effects where they are known already.

    Raises:
        LatdirError: An attribute that is constant, or effects of others.
    """
    codes = generator.sample(
        PROBES, seed=HELD_OUT_SEED, space=scorer.space, truncation=scorer.rendering.psi
    )
    kept = tuple(attributes)
    nothing = torch.zeros(len(kept))
    known = Response(kept, nothing, nothing, nothing.repeat(len(bank), 1), "score")
    if effects is not None:
        check_rows(effects.directions, bank)
        columns = column_numbers([a.name for a in kept], effects.names)
        std, slopes = effects.std[columns].double(), effects.logit.mean[:, columns].double()
        known = Response(kept, std, known.noise, slopes, effects.scale)
    scores, changes = [], []
    for images in scorer.images(codes):
        scores.append(scorer.score_images(images))
        shifted = [known.values(scorer.score_images(shifted_images(images, *by))) for by in SHIFTS]
        changes.append(torch.stack(shifted) - known.values(scores[-1]))
    if effects is None:
        std = torch.cat(scores).double().std(0)
        known = Response(kept, std, known.noise, _slopes(scorer, bank, codes, known), "score")
    still = [a.name for a, spread in zip(kept, known.std.tolist(), strict=True) if not spread > 0]
    if still:
        raise LatdirError(
            f"{still[0]!r} has one value on {PROBES} images of {generator.name}: it cannot be "
            "reached or held; leave it out"
        )
    noise = torch.cat(changes, 1).square().mean((0, 1)).sqrt() / known.std
    return Response(kept, known.std, noise, known.effects, known.scale)


def _slopes(scorer: Scorer, bank: DirectionBank, codes: Tensor, known: Response) -> Tensor:
    rows = []
    for direction in bank.directions:
        ahead, back = (scorer.score(direction.shift(codes, by)) for by in (STEP, -STEP))
        rows.append((known.logits(ahead) - known.logits(back)).mean(0) / (2 * STEP))
    return torch.stack(rows)


def shifted_images(
    images: Float[Tensor, "n 3 h w"], down: int, right: int
) -> Float[Tensor, "n 3 h w"]:
    """Images moved by up to one pixel, their edge repeated."""
    h, w = images.shape[2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return padded[:, :, 1 - down : 1 - down + h, 1 - right : 1 - right + w]
