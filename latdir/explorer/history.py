"""States that one can come back to: steps of the history, and the shelf."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from directions.errors import LatdirError
from latdir.explorer.state import State

__all__ = ["History", "Shelf", "Step"]

MOST_STEPS, MOST_KEPT = 200, 100


@dataclass(frozen=True)
class Step:
    """A state with its picture.

    Attributes:
        number: Its number, never used twice.
        state: The state.
        kind: Media type of the picture.
        picture: The picture, encoded.
    """

    number: int
    state: State
    kind: str
    picture: bytes

    def as_dict(self) -> dict[str, Any]:
        """Number, amounts and picture, for the page."""
        data = base64.b64encode(self.picture).decode()
        return {
            "number": self.number,
            "moved": self.state.moved,
            "picture": f"data:{self.kind};base64,{data}",
        }


@dataclass
class History:
    """Steps one after another, with a place among them.

    Attributes:
        steps: The steps, oldest first.
        at: Index of the present one.

    Example:
        >>> history = History()
        >>> for seed in (1, 2, 3):
        ...     _ = history.add(State(seed=seed), "", b"")
        >>> history.move(-1).state.seed, history.move(-9).state.seed, history.move(1).state.seed
        (2, 1, 2)
        >>> _ = history.add(State(seed=9), "", b"")
        >>> [step.state.seed for step in history.steps]
        [1, 2, 9]
    """

    steps: list[Step] = field(default_factory=list)
    at: int = -1
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, state: State, kind: str, picture: bytes) -> bool:
        """Add a step after the present one, which the later ones give way to.

        Returns:
            Whether the state differs from the present one.
        """
        if self.steps and self.steps[self.at].state == state:
            return False
        self.steps = [*self.steps[: self.at + 1], Step(next(self._numbers), state, kind, picture)]
        self.steps = self.steps[-MOST_STEPS:]
        self.at = len(self.steps) - 1
        return True

    def replace(self, state: State, kind: str, picture: bytes) -> None:
        """Put another state in place of the present one."""
        if not self.steps:
            self.add(state, kind, picture)
        self.steps[self.at] = Step(self.steps[self.at].number, state, kind, picture)

    def move(self, by: int) -> Step:
        """Go back or forth, as far as there are steps."""
        self.at = min(max(self.at + by, 0), len(self.steps) - 1)
        return self.steps[self.at]

    def go(self, number: int) -> Step:
        """Go to a step by its number.

        Raises:
            LatdirError: There is none of that number.
        """
        for place, step in enumerate(self.steps):
            if step.number == number:
                self.at = place
                return step
        raise LatdirError(f"there is no step {number} in the history")


@dataclass
class Shelf:
    """Kept states, in the order they were kept."""

    kept: dict[int, Step] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def keep(self, state: State, kind: str, picture: bytes) -> Step:
        """Keep a state.

        Raises:
            LatdirError: There are a hundred.
        """
        if len(self.kept) >= MOST_KEPT:
            raise LatdirError(f"the shelf holds {MOST_KEPT} pictures: take one off first")
        step = Step(next(self._numbers), state, kind, picture)
        self.kept[step.number] = step
        return step

    def __getitem__(self, number: int) -> Step:
        if number not in self.kept:
            raise LatdirError(f"there is no picture {number} on the shelf")
        return self.kept[number]

    def remove(self, number: int) -> None:
        """Take a picture off the shelf."""
        del self.kept[self[number].number]
