"""The state of one explorer and its verbs: messages in, answers out.

A host, which is a page behind a websocket or a widget in a notebook, hands every message to
`handle` and sends what it returns. What takes longer than a picture (scores, effects, the code of a
photograph) is a `Job`: the host runs it on another thread when no message waits, and hands the
result back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from directions.bank import DirectionBank
from directions.classifiers.base import Attribute, Classifier, check_classifier
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.paths import CurvedPath
from discovery.supervised.teach import Teach
from discovery.teaching.kept import AnswerFolder
from latdir.explorer import export, messages
from latdir.explorer.background import Background
from latdir.explorer.history import History, Shelf
from latdir.explorer.jobs import Answer, Job, failed, guarded
from latdir.explorer.locks import Locks, check_locks
from latdir.explorer.measuring import Measured
from latdir.explorer.photos import Found, inverted
from latdir.explorer.pictures import Studio, encoded
from latdir.explorer.sliders import find, sliders_of
from latdir.explorer.state import State
from latdir.explorer.teaching import Teaching

__all__ = ["Answer", "Job", "Session"]

MOST_SLIDERS = 200


class Session:
    """One explorer: a bank's directions under sliders, and the picture they make.

    Args:
        bank: Directions of one space.
        generator: Makes the images; the bank belongs to it.
        classifier: Scores them; without one there are no scores and no locks.
        paths: Curved paths of the same space.
        beside: Another session of the same models, whose measured effects are shared.
        teach: How directions are taught; by default `discovery.Teach()`.
        answers: Folder that keeps the answers of lessons as they are given.

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
        teach: Teach | None = None,
        answers: Path | None = None,
    ) -> None:
        self.classifier = None if classifier is None else check_classifier(classifier)
        self.state = State()
        self.history, self.shelf = History(), Shelf()
        studio = Studio(bank, generator, {path.name: path for path in paths})
        self._take(studio, Measured() if beside is None else beside.locks.measured)
        folder = None if answers is None else AnswerFolder(answers)
        self.teaching = Teaching(generator, studio.space, teach or Teach(), folder)
        self._photo: bytes | None = None

    def _take(self, studio: Studio, measured: Measured) -> None:
        """Explore these directions from now on."""
        self.studio = studio
        self.sliders = sliders_of(studio.bank, studio.paths.values())
        self.locks: Locks = Locks(studio.bank, self.sliders, measured)
        self.background: Background | None = None
        if self.classifier is not None:
            self.background = Background(
                studio, self.classifier, self.locks, lambda: self.state, self._in_place
            )
        # What the last picture shows, its media type and its bytes.
        self._drawn: tuple[Any, str, bytes] | None = None

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
            answer, data = failed(error)
        return {"id": number, **answer}, data

    def job(self) -> Job | None:
        """The next work to do while no message waits; None when there is none."""
        if self._photo is not None:
            data, self._photo = self._photo, None
            return guarded(lambda: inverted(self.studio, data), self._inverted)
        if (job := self.teaching.job()) is not None:
            return job
        return None if self.background is None else self.background.job()

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
        self._drawn = None
        answer, data = self._show(self.state, step=True, solved=True)
        studio, shape = self.studio, self.studio.generator.image_shape
        return {
            **answer,
            **self._listed(),
            "verb": "open",
            "notice": notice,
            "state": self.state.plain(),
            "generator": studio.generator.name,
            "size": [shape[2], shape[1]],
            "attributes": [{"name": a.name, "unit": a.unit} for a in self.attributes],
            "layers": studio.layers,
            "channels": studio.channels,
            "steps": [step.as_dict() for step in self.history.steps],
            "shelf": [step.as_dict() for step in self.shelf.kept.values()],
        }, data

    def _listed(self) -> dict[str, Any]:
        listed = [slider.as_dict() for slider in self.sliders[:MOST_SLIDERS]]
        return {"sliders": listed, "total": len(self.sliders)}

    def _search(self, message: messages.Search, _: bytes) -> Answer:
        found = find(self.sliders, message.text, MOST_SLIDERS)
        return {"verb": "sliders", "sliders": [s.as_dict() for s in found]}, b""

    def _measure(self, message: messages.Measure, _: bytes) -> Answer:
        if self.background is None:
            raise LatdirError("no classifier here scores what directions do: name one at the start")
        self.background.sorting = True
        return self.background.strengths()

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
        state = self.state.but(layers=message.range, channels=message.channels)
        return self._show(state, step=True)

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
        kept = self.shelf.keep(self.state, *self._picture(self.state))
        return {"verb": "kept", "step": kept.as_dict()}, b""

    def _again(self, message: messages.Again, _: bytes) -> Answer:
        return self._show(self.shelf[message.number].state, step=True, solved=True)

    def _remove(self, message: messages.Remove, _: bytes) -> Answer:
        self.shelf.remove(message.number)
        return {"verb": "removed", "number": message.number}, b""

    def _export(self, message: messages.Export, _: bytes) -> Answer:
        what, name = message.what, message.name
        return export.made(self.studio, self.state, what, self.sliders, name).answer

    def _show(
        self, state: State, *, step: bool = False, solved: bool = False, notice: str = ""
    ) -> Answer:
        """Draw a state and make it the present one; a picture that is shown is not sent again.

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
        last = self._drawn
        kind, data = self._picture(state)
        before, after = self.state.plain(), state.plain()
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
        }, b"" if self._drawn is last else data

    def _picture(self, state: State) -> tuple[str, bytes]:
        """Media type and bytes of a state's picture, drawn once."""
        shown = state.source, state.layers, state.channels, tuple(state.moved.items())
        if self._drawn is None or self._drawn[0] != shown:
            self._drawn = shown, *encoded(self.studio.picture(state))
        return self._drawn[1:]

    # Teaching.

    def _teach(self, message: messages.Teaching, payload: bytes) -> Answer:
        if message.do != "add":
            return self.teaching.handle(message, payload)
        taught = self.teaching.taught().directions[0]
        name = taught.name
        self._take(self.studio.taught(taught), self.locks.measured.but(name))
        answer, data = self._show(self.state)
        return {**answer, **self._listed(), "verb": "bank", "added": name}, data

    # Results of jobs.

    def _in_place(self, state: State, solved: bool) -> Answer:
        """A state in place of the present step of the history."""
        answer, data = self._show(state, solved=solved)
        self.history.replace(self.state, *self._picture(self.state))
        return {**answer, "step": self.history.steps[self.history.at].number}, data

    def _inverted(self, found: Found) -> list[Answer]:
        state = self.state.but(photo=found.code, mix=None, amounts={}, held={})
        return [self._show(state, step=True, notice=found.remark)]
