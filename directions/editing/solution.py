"""What is asked of `solve`, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from directions.arguments import checked_fields
from directions.errors import LatdirError
from directions.table import frame, html_table

__all__ = ["BEYOND_BOUND", "NO_BETTER", "UNREACHABLE", "InfeasibleError", "Level", "Solution"]

BEYOND_BOUND = "the bound on the distance is met"
MOVED = 0.005  # without a tolerance: changes of what is held that are worth a word
NO_BETTER = "no better amounts were found near the best"
UNREACHABLE = "no amounts of these directions do it"


@checked_fields
@dataclass(frozen=True, eq=False)
class Level:
    """An attribute's own value as a target, instead of a change: age 50, smiling .9.

    Attributes:
        value: The value, or one for each code.
        unit: Its unit, which must be the attribute's (`years`, `degrees`, `probability`); not
            checked where it is left out.

    Raises:
        LatdirError: A value that is not finite.
    """

    value: float | Tensor
    unit: str = ""

    def __post_init__(self) -> None:
        if not torch.as_tensor(self.value).isfinite().all():
            raise LatdirError(f"a level is a finite number, or one for each code, not {self.value}")


@dataclass(frozen=True, eq=False)
class Solution:
    """Amounts that produce target changes of attributes.

    Attributes:
        amounts: For each direction, `[n]` amounts in sigma; as `move` takes them.
        changes: For each attribute, `[n]` changes in the units of the effects: predicted, or
            measured on the images where they were.
        distance: `[n]`, distance traveled in latent units.
        wanted: For each target, the `[n]` changes asked for; 0 for what is held.
        stopped: For each code, what kept it from its targets; empty where it reached them.
        scores: For each attribute, its `[n]` scores on the images; empty where it was predicted.
        tolerance: For each attribute, the difference that counts as none, in the units of changes.
        std: For each attribute, what one unit of change is worth on the scale of its scores.
    """

    amounts: dict[str, Float[Tensor, "n"]]
    changes: dict[str, Float[Tensor, "n"]]
    distance: Float[Tensor, "n"]
    wanted: dict[str, Float[Tensor, "n"]]
    stopped: tuple[str, ...]
    scores: dict[str, Float[Tensor, "n"]] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)
    std: Mapping[str, float] = field(default_factory=dict)

    @property
    def reached(self) -> Bool[Tensor, "n"]:
        """Codes that reached their targets, with the held attributes where they were."""
        return torch.tensor([not reason for reason in self.stopped])

    @property
    def remarks(self) -> tuple[str, ...]:
        """One sentence for each code that fell short: how far it came, and what stopped it."""
        said = []
        for row, reason in enumerate(self.stopped):
            if reason:
                came = ", ".join(
                    f"{name} {float(self.changes[name][row]):+.2g} of {float(asked[row]):+.2g}"
                    for name, asked in self.wanted.items()
                    if float(asked[row])
                    or abs(float(self.changes[name][row])) > self.tolerance.get(name, MOVED)
                )
                said.append(f"code {row}: {came}; {reason}")
        return tuple(said)

    def columns(self) -> dict[str, list[Any]]:
        """One row per code: changes wanted and made, scores, amounts, distance, what stopped it."""
        return {
            "code": list(range(len(self.stopped))),
            **{f"{n} wanted": column.tolist() for n, column in self.wanted.items()},
            **{f"{n} changed": self.changes[n].tolist() for n in self.wanted},
            **{f"{n} score": column.tolist() for n, column in self.scores.items()},
            **{f"along {n}": column.tolist() for n, column in self.amounts.items()},
            "distance": self.distance.tolist(),
            "stopped": list(self.stopped),
        }

    def to_frame(self) -> Any:
        """`columns` as a pandas data frame, or an Arrow table where pandas is not installed."""
        return frame(self.columns())

    def __repr__(self) -> str:
        reached = int(self.reached.sum())
        return f"Solution({reached} of {len(self.stopped)} codes reach {', '.join(self.wanted)})"

    def _repr_html_(self) -> str:
        columns = self.columns()
        return html_table(repr(self), tuple(columns), list(zip(*columns.values(), strict=True)))


class InfeasibleError(LatdirError):
    """Targets that cannot be reached; `best` holds the nearest solution within the rules."""

    best: Solution

    def __init__(self, message: str, best: Solution) -> None:
        super().__init__(message)
        self.best = best
