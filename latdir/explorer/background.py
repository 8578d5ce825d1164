"""What is computed while no message waits: scores, locks on the picture itself, effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from directions.classifiers.base import Classifier
from latdir.explorer.jobs import Answer, Job, guarded
from latdir.explorer.locks import CLOSE, MEASURING, Locks, settled, unheld
from latdir.explorer.measuring import Effects, Scored, as_rows, measured_effects, scored
from latdir.explorer.pictures import Studio
from latdir.explorer.state import State

__all__ = ["Background"]

# Directions measured at a time, between which a score or a photograph can have its turn.
TOGETHER = 4


@dataclass
class Background:
    """Keeps the scores and locks of the present state, and the effects they need, up to date.

    Attributes:
        studio: Makes the pictures.
        classifier: Scores them.
        locks: Know the effects that are measured.
        present: The state on the screen.
        replace: Puts a state in its place, the amounts of its locks as they are or solved anew.
        sorting: Whether effects are wanted of all directions.
    """

    studio: Studio
    classifier: Classifier
    locks: Locks
    present: Callable[[], State]
    replace: Callable[[State, bool], Answer]
    sorting: bool = False
    # Scores of unedited pictures, by source.
    _starts: dict[Any, tuple[float, ...]] = field(default_factory=dict)
    _scored: State | None = None
    # The edit whose locks wait for a search on its picture, and the last that had one.
    _loose: State | None = None
    _settled: State | None = None

    def job(self) -> Job | None:
        """The next work to do; None when all is up to date."""
        state = self.present()
        if self._scored != state:
            self._scored = state
            start = self._starts.get(state.source)
            return guarded(
                lambda: scored(self.studio, self.classifier, state, start),
                lambda result: self._scores(result, state),
            )
        if self._loose is not None and self._loose == state:
            self._loose = None
            names = self.classifier.names
            scores = dict(zip(names, self._starts[state.source], strict=True))
            return guarded(
                lambda: settled(self.studio, self.classifier, state, scores, self.locks),
                lambda amounts: self._held(amounts, state),
            )
        if left := self.unmeasured():
            part = self.studio.bank.select(left[:TOGETHER])
            return guarded(
                lambda: measured_effects(self.studio.generator, self.classifier, part),
                self._measured,
            )
        if self.locks.waiting == state:
            # What they waited for was measured by another session of the same models.
            return guarded(lambda: None, lambda _: [self._relocked()])
        return None

    def unmeasured(self) -> list[str]:
        """Directions whose effects are still to be measured."""
        state = self.present()
        return self.locks.unmeasured(state) if state.locks or self.sorting else []

    def strengths(self) -> Answer:
        """How much the directions measured so far do, and how many are left."""
        effects = self.locks.effects
        known = {name: round(effects.strongest(name), 3) for name in effects.rows}
        return {"verb": "strengths", "strengths": known, "left": len(self.unmeasured())}, b""

    def _scores(self, result: Scored, state: State) -> list[Answer]:
        self._starts[state.source] = result.start
        if state != self.present():
            return []
        std, changes = self.locks.effects.std, result.changes
        drift = {n: changes[n] / std[n] for n in state.locks if std.get(n)}
        loose = any(abs(d) > CLOSE for d in drift.values()) and state != self._settled
        if loose and not self.unmeasured():
            self._loose = state
        notice = "" if loose else unheld(drift)
        return [({"verb": "scores", "scores": as_rows(result), "notice": notice}, b"")]

    def _held(self, amounts: dict[str, float], state: State) -> list[Answer]:
        if state != self.present():
            return []
        self._settled = state.but(held=amounts)
        self.locks.keep(self._settled)
        return [self.replace(self._settled, True)]

    def _measured(self, effects: Effects) -> list[Answer]:
        self.locks.measured.add(effects)
        answers = [self.strengths()] if self.sorting else []
        if self.present().locks:
            left = len(self.unmeasured())
            text = f"{MEASURING}: {left} left; then the locks hold."
            answers.append(({"verb": "working", "text": text}, b"") if left else self._relocked())
        return answers

    def _relocked(self) -> Answer:
        self._scored = None
        return self.replace(self.present(), False)
