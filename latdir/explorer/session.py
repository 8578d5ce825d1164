"""The state of one explorer and its verbs: messages in, answers out.

A host, which is a page behind a websocket or a widget in a notebook, hands every message to
`handle` and sends what it returns. What takes longer than a picture (scores, effects, the code of a
photograph) is a `Job`: the host runs it on another thread when no message waits, and hands the
result back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from directions.bank import DirectionBank
from directions.classifiers.base import Attribute, Classifier, check_classifier
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.paths import CurvedPath
from latdir.explorer import export, messages
from latdir.explorer.history import History, Shelf
from latdir.explorer.locks import (
    CLOSE,
    Effects,
    Locks,
    Measured,
    check_locks,
    settled,
    unheld,
)
from latdir.explorer.measuring import Scored, as_rows, measured_effects, scored
from latdir.explorer.photos import Found, inverted
from latdir.explorer.pictures import Studio, encoded
from latdir.explorer.sliders import find, sliders_of
from latdir.explorer.state import State

__all__ = ["Answer", "Job", "Session"]

Answer = tuple[dict[str, Any], bytes]
"""What the page is told, as JSON values, and a picture or file."""

MOST_SLIDERS = 200
# Directions measured at a time, between which a score or a photograph can have its turn.
TOGETHER = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Work that may take longer than a picture.

    Attributes:
        run: Does it, on any thread, and changes nothing.
        finish: Takes its result, on the thread of `handle`; returns answers.
    """

    run: Callable[[], Any]
    finish: Callable[[Any], list[Answer]]


class Session:
    """One explorer: a bank's directions under sliders, and the picture they make.

    Args:
        bank: Directions of one space.
        generator: Makes the images; the bank belongs to it.
        classifier: Scores them; without one there are no scores and no locks.
        paths: Curved paths of the same space.
        beside: Another session of the same models, whose measured effects are shared.

    Raises:
        LatdirError: A bank or path of another generator or space, or two of one name.

    Example:
        >>> from directions import Direction
        >>> from directions.planted.world import planted
        >>> world = planted()
        >>> bank = DirectionBank.of(world, [Direction("up", world.truth[0], "z")])
        >>> session = Session(bank, world)
        >>> answer, picture = session.handle({"verb": "edit", "amounts": {"up": 1.5}})
        >>> answer["verb"], answer["kind"], len(picture) > 0
        ('picture', 'image/webp', True)
        >>> session.handle({"verb": "edit", "amounts": {"down": 1.5}})[0]["text"]
        "no direction 'down' in this bank: it has up"
    """

    def __init__(
        self,
        bank: DirectionBank,
        generator: Generator,
        classifier: Classifier | None = None,
        *,
        paths: Iterable[CurvedPath] = (),
        beside: Session | None = None,
    ) -> None:
        self.studio = Studio(bank, generator, {path.name: path for path in paths})
        self.classifier = None if classifier is None else check_classifier(classifier)
        self.sliders = sliders_of(bank, self.studio.paths.values())
        self.state = State()
        self.history, self.shelf = History(), Shelf()
        measured = Measured() if beside is None else beside.locks.measured
        self.locks: Locks = Locks(bank, self.sliders, measured)
        # Scores of unedited pictures, by source.
        self._starts: dict[Any, tuple[float, ...]] = {}
        self._scored: State | None = None
        # The edit whose locks wait for a search on its picture, and the last that had one.
        self._loose: State | None = None
        self._settled: State | None = None
        self._photo: bytes | None = None
        self._sorting = False

    def handle(self, message: object, payload: bytes = b"") -> Answer:
        """Answer a message of the page; a refused or failed one changes nothing.

        Args:
            message: JSON values, as in `messages`.
            payload: The bytes of a dropped file.

        Returns:
            The answer; `verb` is `error` where it was refused, and `text` says why.
        """
        number = message.get("id", 0) if isinstance(message, Mapping) else 0
        try:
            read = messages.read(message)
            answer, data = getattr(self, f"_{read.verb}")(read, payload)
        except Exception as error:
            answer, data = _failed(error)
        return {"id": number, **answer}, data

    def job(self) -> Job | None:
        """The next work to do while no message waits; None when there is none."""
        if self._photo is not None:
            data, self._photo = self._photo, None
            return _guarded(lambda: inverted(self.studio, data), self._inverted)
        if (classifier := self.classifier) is None:
            return None
        if self._scored != self.state:
            state = self._scored = self.state
            start = self._starts.get(state.source)
            return _guarded(
                lambda: scored(self.studio, classifier, state, start),
                lambda result: self._scores(result, state),
            )
        if self._loose is not None and self._loose == self.state:
            state, self._loose = self._loose, None
            scores = dict(zip(classifier.names, self._starts[state.source], strict=True))
            return _guarded(
                lambda: settled(self.studio, classifier, state, scores, self.locks),
                lambda result: self._held(result, state),
            )
        if left := self._unmeasured():
            part = self.studio.bank.select(left[:TOGETHER])
            return _guarded(
                lambda: measured_effects(self.studio.generator, classifier, part), self._measured
            )
        return None

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """What the classifier scores; empty without one."""
        return self.classifier.attributes if self.classifier else ()

    # The page as a whole.

    def _open(self, message: messages.Open, _: bytes) -> Answer:
        notice = ""
        if message.state is not None and not self.history.steps:
            try:
                self.state = self.studio.check(State.read(message.state))
            except LatdirError as error:
                notice = f"What was on the page cannot be shown again: {error}"
        answer, data = self._show(self.state, step=True, solved=True)
        studio, shape = self.studio, self.studio.generator.image_shape
        return {
            **answer,
            "verb": "open",
            "notice": notice,
            "state": _plain(self.state),
            "generator": studio.generator.name,
            "size": [shape[2], shape[1]],
            "sliders": [s.as_dict() for s in self.sliders[:MOST_SLIDERS]],
            "total": len(self.sliders),
            "attributes": [{"name": a.name, "unit": a.unit} for a in self.attributes],
            "layers": studio.layers,
            "steps": [step.as_dict() for step in self.history.steps],
            "shelf": [step.as_dict() for step in self.shelf.kept.values()],
        }, data

    def _search(self, message: messages.Search, _: bytes) -> Answer:
        found = find(self.sliders, message.text, MOST_SLIDERS)
        return {"verb": "sliders", "sliders": [s.as_dict() for s in found]}, b""

    def _measure(self, message: messages.Measure, _: bytes) -> Answer:
        check_locks(["anything"] if self.classifier is None else [], ())
        self._sorting = True
        return self._strengths()

    # The picture.

    def _edit(self, message: messages.Edit, _: bytes) -> Answer:
        return self._show(self.state.but(amounts=dict(message.amounts)), step=message.final)

    def _source(self, message: messages.Source, _: bytes) -> Answer:
        wanted = message.model_dump(exclude_none=True, include={"seed", "truncation"})
        if message.mix is not None or message.unmixed:
            wanted["mix"] = message.mix
        if message.seed is not None or message.mix is not None:
            wanted["photo"] = None
        return self._show(self.state.but(**wanted), step=message.final)

    def _lock(self, message: messages.Lock, _: bytes) -> Answer:
        check_locks(message.names, [a.name for a in self.attributes])
        state = self.state.but(locks=message.names)
        if not message.names:
            # What the locks had moved stays where it is.
            state = state.but(amounts=self.state.moved)
        return self._show(state, step=True)

    def _layers(self, message: messages.Layers, _: bytes) -> Answer:
        return self._show(self.state.but(layers=message.range), step=True)

    def _base(self, message: messages.Base, _: bytes) -> Answer:
        kind, data = encoded(self.studio.unedited(self.state))
        return {"verb": "base", "kind": kind}, data

    def _drop(self, message: messages.Drop, payload: bytes) -> Answer:
        state = export.state_of(export.opened(payload), self.studio)
        if state is not None:
            return self._show(state, step=True, solved=True, notice="Restored from the picture.")
        self._photo = payload
        return {"verb": "working", "text": "Finding the code of this photograph …"}, b""

    # Steps, shelf, files.

    def _move(self, message: messages.Move, _: bytes) -> Answer:
        return self._show(self.history.move(message.by).state, solved=True)

    def _go(self, message: messages.Go, _: bytes) -> Answer:
        return self._show(self.history.go(message.number).state, solved=True)

    def _keep(self, message: messages.Keep, _: bytes) -> Answer:
        kept = self.shelf.keep(self.state, *encoded(self.studio.picture(self.state)))
        return {"verb": "kept", "step": kept.as_dict()}, b""

    def _again(self, message: messages.Again, _: bytes) -> Answer:
        return self._show(self.shelf[message.number].state, step=True, solved=True)

    def _remove(self, message: messages.Remove, _: bytes) -> Answer:
        self.shelf.remove(message.number)
        return {"verb": "removed", "number": message.number}, b""

    def _export(self, message: messages.Export, _: bytes) -> Answer:
        made = export.made(self.studio, self.state, message.what, self.sliders, message.name)
        return {"verb": "file", "name": made.name, "kind": made.kind, "text": made.text}, made.data

    def _show(
        self, state: State, *, step: bool = False, solved: bool = False, notice: str = ""
    ) -> Answer:
        """Draw a state and make it the present one.

        Args:
            state: The state.
            step: Whether it becomes a step of the history.
            solved: Whether the amounts of its locks are there already.
            notice: What to say.
        """
        said = notice
        state = self.studio.check(state)
        if not solved:
            state, unable = self.locks.applied(state)
            said = unable or notice
        kind, data = encoded(self.studio.picture(state))
        before, after = _plain(self.state), _plain(state)
        self.state = state
        if step:
            self.history.add(state, kind, data)
        steps, at = self.history.steps, self.history.at
        return {
            "verb": "picture",
            "kind": kind,
            "state": {name: after[name] for name in after if after[name] != before[name]},
            "step": steps[at].number if steps and steps[at].state == state else None,
            "notice": said,
        }, data

    # Results of jobs.

    def _scores(self, result: Scored, state: State) -> list[Answer]:
        self._starts[state.source] = result.start
        if state != self.state:
            return []
        std, changes = self.locks.effects.std, result.changes
        drift = {n: changes[n] / std[n] for n in state.locks if std.get(n)}
        loose = any(abs(d) > CLOSE for d in drift.values()) and state != self._settled
        if loose and not self._unmeasured():
            self._loose = state
        notice = "" if loose else unheld(drift)
        return [({"verb": "scores", "scores": as_rows(result), "notice": notice}, b"")]

    def _held(self, amounts: dict[str, float], state: State) -> list[Answer]:
        if state != self.state:
            return []
        self._settled = state.but(held=amounts)
        self.locks.keep(self._settled)
        return [self._in_place(self._settled, solved=True)]

    def _measured(self, effects: Effects) -> list[Answer]:
        self.locks.measured.effects = self.locks.effects | effects
        answers = [self._strengths()] if self._sorting else []
        if self.state.locks and not self._unmeasured():
            self._scored = None
            answers.append(self._in_place(self.state))
        return answers

    def _in_place(self, state: State, *, solved: bool = False) -> Answer:
        """A state in place of the present step of the history."""
        answer, data = self._show(state, solved=solved)
        self.history.replace(self.state, answer["kind"], data)
        return {**answer, "step": self.history.steps[self.history.at].number}, data

    def _inverted(self, found: Found) -> list[Answer]:
        state = self.state.but(photo=found.code, mix=None, amounts={}, held={})
        return [self._show(state, step=True, notice=found.remark)]

    def _unmeasured(self) -> list[str]:
        if self.state.locks or self._sorting:
            return self.locks.unmeasured(self.state)
        return []

    def _strengths(self) -> Answer:
        effects = self.locks.effects
        known = {name: round(effects.strongest(name), 3) for name in effects.rows}
        left = len(self._unmeasured())
        return {"verb": "strengths", "strengths": known, "left": left}, b""


def _plain(state: State) -> dict[str, Any]:
    return state.model_dump(mode="json")


def _guarded(run: Callable[[], Any], finish: Callable[[Any], list[Answer]]) -> Job:
    """A job whose failure is an answer."""

    def tried() -> Any:
        try:
            return run()
        except Exception as error:
            return error

    def finished(result: Any) -> list[Answer]:
        try:
            return [_failed(result)] if isinstance(result, Exception) else finish(result)
        except Exception as error:
            return [_failed(error)]

    return Job(tried, finished)


def _failed(error: Exception) -> Answer:
    """One sentence about what went wrong; the trace of what is no user's mistake is logged."""
    text = " ".join(str(error).split())
    if not isinstance(error, LatdirError):
        log.error("the explorer goes on after a failure", exc_info=error)
        text = f"A model failed ({type(error).__name__}: {text[:200]}); the last picture is kept."
    return {"verb": "error", "text": text}, b""
