"""Locked attributes: amounts of free sliders that hold them while the user moves others.

While a slider moves, its amounts are targets beside the attributes: an indicator column for each
in the matrix of measured effects, so that `solve` finds the shortest move that has exactly these
amounts and, to first order, does not change what is locked. When the picture rests and its scores
say that something moved all the same, the free amounts are searched on the picture itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.editing import InfeasibleError, Level, solve
from directions.editing.response import Response
from directions.editing.search import search
from directions.errors import LatdirError
from directions.scoring.rendering import Rendering
from latdir.explorer.measuring import Effects, Measured
from latdir.explorer.pictures import Studio
from latdir.explorer.sliders import Slider
from latdir.explorer.state import State

__all__ = [
    "CLOSE", "MEASURING", "Held", "Locks", "check_locks", "hold", "settled", "unheld",
]  # fmt: skip

# Drift of a locked attribute that is left, and that is reported, in standard deviations.
CLOSE, FAR = 0.07, 0.1
# Directions of a large bank that locks make use of.
MOST_USED = 24
DIGITS = 3
MEASURING = "Measuring what the directions do"


@dataclass(frozen=True)
class Held:
    """Amounts that hold the locked attributes.

    Attributes:
        amounts: In sigma, of sliders that the user did not set.
        limited: Amounts of sliders that the user set, where less than asked was possible.
        notice: What could not be done, and why; empty where all could.
    """

    amounts: Mapping[str, float] = field(default_factory=dict)
    limited: Mapping[str, float] = field(default_factory=dict)
    notice: str = ""


def hold(
    bank: DirectionBank,
    sliders: Sequence[Slider],
    effects: Effects,
    *,
    own: Mapping[str, float],
    locks: Sequence[str],
) -> Held:
    """Amounts along free directions that keep locked attributes where they are.

    Args:
        bank: Directions of one space.
        sliders: Theirs, which end where amounts end.
        effects: Of the directions that may be used.
        own: Amounts in sigma that the user set.
        locks: The locked attributes.

    Raises:
        LatdirError: The directions depend on one another.
    """
    own = {name: amount for name, amount in own.items() if name in effects.rows}
    if not any(own.values()):
        return Held()
    used = bank.select(name for name in bank if name in effects.rows)
    measured = torch.stack([effects.rows[name] for name in used]).double()
    columns = [effects.names.index(name) for name in locks]
    chosen = torch.zeros(len(used), len(own), dtype=torch.float64)
    for column, name in enumerate(own):
        chosen[list(used).index(name), column] = 1
    ends = {s.name: (s.low, s.high) for s in sliders}
    marks = {name: f"{name} slider" for name in own}
    try:
        found = solve(
            used,
            targets={marks[name]: amount for name, amount in own.items()},
            hold=locks,
            effects=torch.cat([measured[:, columns], chosen], 1),
            attributes=[*locks, *marks.values()],
            bound={name: ends[name] for name in used},
        )
        notice, limited = "", {}
    except InfeasibleError as error:
        found = error.best
        limited = {
            name: round(float(found.amounts[name]), DIGITS)
            for name, amount in own.items()
            if abs(float(found.amounts[name]) - amount) > 10**-DIGITS
        }
        notice = _told(own, limited, locks, found.stopped[0])
    held = {name: round(float(found.amounts[name]), DIGITS) for name in used if name not in own}
    return Held({name: amount for name, amount in held.items() if amount}, limited, notice)


def check_locks(locks: Sequence[str], names: Sequence[str]) -> None:
    """Refuse locks on attributes that are not scored.

    Raises:
        LatdirError: One is not among the names, or there are none.
    """
    for name in locks:
        if name not in names:
            scored = f"it scores {', '.join(names)}" if names else "start with --classifier faces"
            raise LatdirError(f"no classifier here scores {name!r}: {scored}")


@dataclass
class Locks:
    """Locked attributes of one session.

    Attributes:
        bank: Directions of one space.
        sliders: Theirs.
        measured: Effects, which sessions of the same models may share.
        waiting: The last state that locks were asked for, if its effects were not measured then.
    """

    bank: DirectionBank
    sliders: Sequence[Slider]
    measured: Measured
    waiting: State | None = None
    # What the last search on a picture added to the linear solution, and for what edit.
    _found: tuple[State, dict[str, float]] | None = None

    @property
    def effects(self) -> Effects:
        """What was measured so far."""
        return self.measured.effects

    def unmeasured(self, state: State) -> list[str]:
        """Directions whose effects a state's locks wait for."""
        return [name for name in self.usable(state) if name not in self.effects.rows]

    def usable(self, state: State) -> list[str]:
        """Directions that may compensate, or be compensated: all of a small bank."""
        if len(self.bank) <= MOST_USED:
            return list(self.bank)
        own = [name for name in self.bank if state.amounts.get(name)]
        about = [s.name for s in self.sliders if s.attribute in state.locks and not s.curved]
        return list(dict.fromkeys([*own, *about, *self.bank]))[:MOST_USED]

    def applied(self, state: State) -> tuple[State, str]:
        """A state with the amounts that hold what it locks, and what could not be held."""
        self.waiting = None
        if not state.locks:
            return state.but(held={}), ""
        if self.unmeasured(state):
            self.waiting = state.but(held={})
            return self.waiting, f"{MEASURING}; then the locks hold."
        held = self._linear(state)
        amounts = dict(held.amounts)
        for name, more in self._offsets(state).items():
            if name not in state.amounts:
                low, high = next((s.low, s.high) for s in self.sliders if s.name == name)
                amounts[name] = round(min(max(amounts.get(name, 0.0) + more, low), high), DIGITS)
        return state.but(amounts={**state.amounts, **held.limited}, held=amounts), held.notice

    def keep(self, state: State) -> None:
        """Remember what a search found for a state, as a start for the edits that follow."""
        linear = self._linear(state).amounts
        offsets = {n: a - linear.get(n, 0.0) for n, a in state.held.items()}
        self._found = state, offsets

    def _linear(self, state: State) -> Held:
        return hold(self.bank, self.sliders, self.effects, own=state.amounts, locks=state.locks)

    def _offsets(self, state: State) -> Mapping[str, float]:
        """What was found, as much of it as the edit has of the one it was found for."""
        if self._found is None:
            return {}
        known, offsets = self._found
        if known.but(amounts={}, held={}) != state.but(amounts={}, held={}):
            return {}
        then, now = (math.hypot(*s.amounts.values()) for s in (known, state))
        part = min(1.0, now / then) if then else 0.0
        return {name: part * more for name, more in offsets.items()}


def settled(
    studio: Studio,
    classifier: Classifier,
    state: State,
    start: Mapping[str, float],
    locks: Locks,
) -> dict[str, float]:
    """Amounts of free directions that hold the locked attributes of one picture.

    Args:
        studio: Makes the pictures.
        classifier: Scores them.
        state: The edit.
        start: Scores of the unedited picture.
        locks: Knows the effects.

    Raises:
        LatdirError: No direction is free.
    """
    free = [name for name in locks.usable(state) if not state.amounts.get(name)]
    if not free:
        raise LatdirError("every direction is moved by hand, so none is free to hold the locks")
    bank = studio.moving(state, free)
    effects = locks.effects
    columns = [effects.names.index(name) for name in state.locks]
    response = Response(
        tuple(classifier.attributes[c] for c in classifier.columns(state.locks)),
        torch.tensor([effects.std[name] for name in state.locks], dtype=torch.float64),
        torch.full((len(columns),), CLOSE, dtype=torch.float64),
        torch.stack([effects.logits[name][columns] for name in free]),
        "score",
    )
    found = search(
        bank,
        studio.edited(state, {n: a for n, a in state.amounts.items() if a}),
        targets={name: Level(start[name]) for name in state.locks},
        hold=(),
        effects=response,
        bound={s.name: (s.low, s.high) for s in locks.sliders if s.name in free},
        generator=studio.generator,
        classifier=classifier,
        rendering=Rendering(progress=False),
    )
    rounded = {name: round(float(amount), DIGITS) for name, amount in found.amounts.items()}
    return {name: amount for name, amount in rounded.items() if amount}


def unheld(drift: Mapping[str, float]) -> str:
    """A sentence on locked attributes that moved in spite of all corrections; else empty."""
    far = {name: d for name, d in drift.items() if abs(d) > FAR}
    said = ", ".join(f"{name} moved by {d:+.2f} standard deviations" for name, d in far.items())
    return f"Not held on this picture: {said}. Move less, or release a lock." if far else ""


def _told(
    own: Mapping[str, float], limited: Mapping[str, float], locks: Sequence[str], reason: str
) -> str:
    held = " and ".join(locks)
    said = ", ".join(f"{n} stops at {a:+.2f}σ of {own[n]:+.2f}σ" for n, a in limited.items())
    return f"With {held} locked {said or 'this is not possible'}: {reason}."
