"""Scores of the picture and effects of directions, measured aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from analysis import measure_effects
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier, check_finite
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from latdir.explorer.pictures import Studio
from latdir.explorer.state import State

__all__ = ["Effects", "Measured", "Scored", "as_rows", "measured_effects", "scored"]

CODES = 64


@dataclass(frozen=True)
class Effects:
    """Measured effects of some directions on the attributes of a classifier.

    Attributes:
        names: The attributes.
        std: Standard deviation of each.
        rows: For each direction by name, `[a]` changes per sigma in standard deviations.
        logits: The same as log-odds where an attribute is a probability, in its own unit.
    """

    names: tuple[str, ...] = ()
    std: Mapping[str, float] = field(default_factory=dict)
    rows: Mapping[str, Float[Tensor, "a"]] = field(default_factory=dict)
    logits: Mapping[str, Float[Tensor, "a"]] = field(default_factory=dict)

    def strongest(self, name: str) -> float:
        """The largest change of any attribute by a direction; 0 where it was not measured."""
        row = self.rows.get(name)
        return 0.0 if row is None else float(row.abs().max())

    def __or__(self, other: Effects) -> Effects:
        """Effects of the directions of both."""
        return Effects(
            other.names, other.std, {**self.rows, **other.rows}, {**self.logits, **other.logits}
        )


@dataclass
class Measured:
    """What was measured so far, by any session of the same models."""

    effects: Effects = field(default_factory=Effects)
    _lock: Lock = field(default_factory=Lock)

    def add(self, effects: Effects) -> None:
        """Take effects of more directions, from any thread."""
        with self._lock:
            self.effects = self.effects | effects

    def but(self, name: str) -> Measured:
        """A copy without a direction, which another of its name takes the place of."""
        effects = self.effects
        kept = [{k: v for k, v in m.items() if k != name} for m in (effects.rows, effects.logits)]
        return Measured(Effects(effects.names, effects.std, *kept))


@dataclass(frozen=True)
class Scored:
    """Scores of a picture and of the unedited one.

    Attributes:
        names: The attributes.
        now: Scores of the picture.
        start: Scores before any edit.
    """

    names: tuple[str, ...]
    now: tuple[float, ...]
    start: tuple[float, ...]

    @property
    def changes(self) -> dict[str, float]:
        """Change of each attribute since the start."""
        pairs = zip(self.names, self.now, self.start, strict=True)
        return {name: now - start for name, now, start in pairs}


def scored(
    studio: Studio, classifier: Classifier, state: State, start: Sequence[float] | None
) -> Scored:
    """Scores of a state's picture.

    Args:
        studio: Makes the picture.
        classifier: Scores it.
        state: The state.
        start: Scores of the unedited picture, where they are known.

    Raises:
        LatdirError: A score is not finite.
    """
    codes = [studio.edited(state), *([] if start is not None else [studio.start(state)])]
    with torch.inference_mode():
        scores = classifier(studio.images(torch.cat(codes), state)).float().cpu()
    check_finite(scores, names=classifier.names, classifier=classifier.name)
    rows = scores.tolist()
    first = tuple(rows[-1]) if start is None else tuple(start)
    return Scored(classifier.names, tuple(rows[0]), first)


def measured_effects(generator: Generator, classifier: Classifier, bank: DirectionBank) -> Effects:
    """Effects of a bank's directions on all attributes, quickly: on 64 codes."""
    quiet = Rendering(progress=False)
    found = measure_effects(generator, classifier, bank, count=CODES, rendering=quiet)
    std = dict(zip(found.names, found.std.tolist(), strict=True))
    standardized = found.standardized.nan_to_num().double()
    rows = dict(zip(found.directions, standardized, strict=True))
    logits = dict(zip(found.directions, found.logit.mean.double(), strict=True))
    return Effects(found.names, std, rows, logits)


def as_rows(result: Scored) -> list[dict[str, Any]]:
    """Scores for the page: name, value and change."""
    changes = result.changes
    return [
        {"name": name, "value": now, "change": changes[name]}
        for name, now in zip(result.names, result.now, strict=True)
    ]
