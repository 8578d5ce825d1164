"""The contract of a measure: computation, columns of tables, and parts of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from matplotlib.figure import Figure
from torch import Tensor

from analysis.edits.effects import Effects
from analysis.edits.nulls import RandomNull
from analysis.measures.remarks import Remark
from analysis.measures.tables import Cell, Table
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering

__all__ = ["Drawing", "Measure", "Part", "Scored", "Trial"]

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Scored:
    """A bank and the scores of held-out codes moved along its directions.

    Attributes:
        bank: The directions, calibrated where their curves allow it.
        effects: The effect matrix, with the curves it comes from.
        null: Effects of random directions, measured in the same way.
    """

    bank: DirectionBank
    effects: Effects
    null: RandomNull | None = None


@dataclass(frozen=True, eq=False)
class Trial:
    """Inputs of a measure that renders its own images.

    Attributes:
        bank: The calibrated directions.
        generator: Makes the images.
        classifier: Scores them.
        embed: Images to embeddings, if the classifier has one.
        amount: Value of the measure's flag.
        count: Number of codes.
        seed: Seed of codes on which the bank was neither found nor calibrated.
        rendering: How images are made.
    """

    bank: DirectionBank
    generator: Generator
    classifier: Classifier
    embed: Callable[[Tensor], Tensor] | None
    amount: int
    count: int
    seed: int
    rendering: Rendering


@dataclass(frozen=True)
class Part:
    """A measure's part of the report, beside the title, figure and caption of its entry.

    Attributes:
        text: The result in a sentence or two, or markup.
        label: Description for screen readers; by default the text.
        tables: Tables below.
    """

    text: str = ""
    label: str = ""
    tables: tuple[Table, ...] = ()


class Drawing(NamedTuple):
    """A figure about one direction, its description for screen readers, and its caption."""

    figure: Figure
    label: str
    caption: str


class Measure(Generic[Result]):
    """One measure of a bank; its entry in `analysis.registry` has its texts.

    A measure overrides one of `from_scores` and `from_edits`, and the parts it adds.
    """

    def from_scores(self, scored: Scored) -> Result | None:
        """Compute it from scores that are already measured; None where these do not suffice."""
        return None

    def from_edits(self, trial: Trial) -> Result | None:
        """Compute it from new images; None where the bank or classifier do not allow it."""
        return None

    def columns(self, found: Result) -> Mapping[str, Mapping[str, Any]]:
        """For each column of the entry, its value by direction; a missing value is empty."""
        return {}

    def summary(self, found: Result) -> Mapping[str, Mapping[str, Cell]]:
        """Columns of the report's summary: heading to the cell of each direction."""
        return {}

    def part(self, found: Result, anchors: Mapping[str, str]) -> Part | None:
        """Its part of the report.

        Args:
            found: The measured result.
            anchors: Where the name of each direction leads.
        """
        return None

    def drawing(self, found: Result, direction: str) -> Drawing | None:
        """A figure for the report's section about one direction."""
        return None

    def remarks(self, found: Result) -> list[Remark]:
        """Warnings and notes on the use of the bank."""
        return []

    def as_dict(self, found: Result) -> Mapping[str, Any] | None:
        """The result as JSON values, for `evaluation.json`."""
        return None
