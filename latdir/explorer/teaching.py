"""Teaching on the page: a lesson that asks, is answered, and says how much it knows.

Nothing that takes longer than a picture is done while the user waits: the next question is drawn
while this one is looked at, and what is known is computed after the answer. Until the images behind
the leading directions have been looked at, sheets are asked, which need none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import LatdirError, SamplesError
from directions.generators.base import Generator
from directions.images.tensors import resize, to_pil
from directions.seeds import PICTURE_SEED
from discovery.supervised.teach import Teach
from discovery.teaching.answers import Answers
from discovery.teaching.files import dumps, loads
from discovery.teaching.kept import AnswerFolder
from discovery.teaching.lesson import Lesson, Question
from latdir.explorer.export import Made, bank_file
from latdir.explorer.jobs import Answer, Job, guarded
from latdir.explorer.messages import Teaching as Message
from latdir.explorer.pictures import encoded

__all__ = ["Teaching", "tiled"]

# Images looked at between two answers, about half a second on one core.
PIECE = 128
# Longest side of an image of a question, by its kind, and of the preview, in pixels.
SIDES = {"sheet": 96, "strip": 160, "check": 128}
PREVIEWED, AMOUNT = 5, 2.0
MOST_KEPT = 8


@dataclass
class Teaching:
    """The lesson of a session.

    Attributes:
        generator: Makes the images.
        space: Space of the codes, as of the bank that the direction is for.
        teach: The method.
        folder: Keeps the answers of each lesson as they are given; None: only a saved file does.
        lesson: What is taught; None before the first.
        question: What is on the page.
    """

    generator: Generator
    space: str
    teach: Teach
    folder: AnswerFolder | None = None
    lesson: Lesson | None = None
    question: Question | None = None
    _looking: Iterator[float] | None = None
    _ready: bool = False
    _drawn: dict[str, tuple[str, bytes]] | None = None
    _known: Answers | None = None

    def handle(self, message: Message, payload: bytes) -> Answer:
        """Answer a message, but for that which changes the bank of the page.

        Raises:
            LatdirError: An answer that does not fit, or a file that holds none.
        """
        if message.do == "start":
            return self._start(message.name, payload)
        if message.do == "show":
            return self._show(self.question)
        lesson = self._begun()
        if message.do == "save":
            name, text = f"{lesson.answers.name}-answers.json", dumps(lesson.answers)
            return Made(name, "application/json", text.encode()).answer
        if message.do == "bank":
            taught = self.taught()
            return bank_file(taught, taught.directions[0].name).answer
        if message.do == "undo":
            return self._changed(lesson.undo)
        if message.do == "check":
            if not self._ready:
                raise SamplesError(
                    "the generator's images are still being looked at: wait a moment"
                )
            return self._show(lesson.check())
        if self.question is None or message.question != self.question.name:
            raise SamplesError("this question was answered before: answer the one on the page")
        level = self.question.kind == "strip"
        given = message.level if level else message.clicked
        if given is None:
            raise SamplesError(f"a {self.question.kind} has no such answer")
        asked = self.question
        return self._changed(lambda: lesson.answer(asked, given))

    def taught(self) -> DirectionBank:
        """The direction so far, in a bank of its own.

        Raises:
            LatdirError: The answers tell nothing yet.
        """
        return self.teach.discover(self._begun().answers, generator=self.generator)

    def job(self) -> Job | None:
        """The next work while no message waits; None when there is none."""
        lesson = self.lesson
        if lesson is None:
            return None
        if self.question is not None and (ahead := self._after(self.question)) is not None:
            return guarded(lambda: self._draw(ahead), lambda drawn: self._keep(ahead.name, drawn))
        if not self._ready:
            return guarded(self._look, self._looked)
        if lesson.answers is not self._known:
            self._known, now = lesson.answers, copy(lesson)
            return guarded(lambda: self._judge(now), lambda told: self._tell(now, told))
        return None

    # What is asked.

    def _start(self, name: str | None, payload: bytes) -> Answer:
        given: Answers | str = loads(payload, "the file") if payload else (name or "").strip()
        notice = ""
        if isinstance(given, str) and self.folder and (kept := self.folder.load(given)):
            given = kept
            notice = f"Going on with answers of {self.folder.file(kept.name)}"
        lesson = Lesson(given, self.generator, teach=self.teach, space=self.space)
        if lesson.answers.space != self.space:
            raise SamplesError(
                f"these answers are about codes of {lesson.answers.space}, and the directions here "
                f"move those of {self.space}: open the explorer with a bank of that space"
            )
        self.lesson, self._known, self._drawn = lesson, None, {}
        if self._looking is None:
            self._looking = self.teach.looking(self.generator, self.space, piece=PIECE)
        return self._show(self._next(), notice)

    def _changed(self, change: Callable[[], None]) -> Answer:
        """The question after a change of the answers, which are kept at once."""
        lesson, notice = self._begun(), ""
        before = lesson.answers
        change()
        try:
            if self.folder:
                self.folder.keep(lesson.answers)
        except SamplesError:
            lesson.answers = before
            raise
        except LatdirError as error:
            notice = f"{error}. This answer is on the page only: save the answers by their button"
        return self._show(self._next(), notice)

    def _begun(self) -> Lesson:
        if self.lesson is None:
            raise SamplesError("name what you want to teach first")
        return self.lesson

    def _next(self, lesson: Lesson | None = None) -> Question:
        lesson = lesson or self._begun()
        return lesson.ask() if self._ready else lesson.sheet()

    def _after(self, question: Question) -> Question | None:
        """The question after this one, whatever its answer; None if it is drawn already."""
        ahead = copy(self._begun())
        ahead.answer(question, 0 if question.kind == "strip" else [])
        found = self._next(ahead)
        return None if found.name in self._pictures else found

    @property
    def _pictures(self) -> dict[str, tuple[str, bytes]]:
        if self._drawn is None:
            self._drawn = {}
        return self._drawn

    def _draw(self, question: Question) -> tuple[str, bytes]:
        images = self.generator.inference(space=self.space)(question.codes)
        return encoded(tiled(images, question.columns, SIDES[question.kind]))

    def _keep(self, name: str, drawn: tuple[str, bytes]) -> list[Answer]:
        self._pictures[name] = drawn
        return []

    def _show(self, question: Question | None, notice: str = "") -> Answer:
        """A question, and how many answers there are."""
        self.question = question
        kept = self.folder.names()[:MOST_KEPT] if self.folder else []
        if question is None or self.lesson is None:
            return {"verb": "question", "question": None, "kept": kept}, b""
        if question.name not in self._pictures:
            self._pictures[question.name] = self._draw(question)
        kind, data = self._pictures[question.name]
        # Undo may ask for the last one again; older ones are drawn anew.
        self._drawn = dict(list(self._pictures.items())[-3:])
        answers = self.lesson.answers
        right, shown = answers.confirmed
        return {
            "verb": "question",
            "kind": kind,
            "question": {
                "name": question.name, "kind": question.kind, "text": question.text,
                "count": len(question.codes), "columns": question.columns,
            },
            "name": answers.name,
            "answers": len(answers.given), "clicks": answers.clicks,
            "strips": len(answers.strips), "sheets": len(answers.sheets),
            "right": right, "shown": shown,
            "ready": self._ready, "kept": kept, "notice": notice,
        }, data  # fmt: skip

    # What is known.

    def _look(self) -> float | None:
        assert self._looking is not None
        return next(self._looking, None)

    def _looked(self, fraction: float | None) -> list[Answer]:
        self._ready = fraction is None
        # After the last image the regression is still to come.
        shown = 1.0 if fraction is None else min(fraction, 0.99)
        return [({"verb": "looked", "fraction": shown}, b"")]

    def _judge(self, lesson: Lesson) -> tuple[dict[str, Any], tuple[str, bytes]]:
        """Angles of a lesson, and its direction on a few images."""
        found: dict[str, Any] = {"angle": lesson.angle, "cone": lesson.posterior.cone()}
        found |= lesson.gain()._asdict()
        try:
            direction = lesson.direction()
        except LatdirError as error:
            return {**found, "text": str(error) if lesson.answers.given else ""}, ("", b"")
        codes = self.generator.sample(PREVIEWED, seed=PICTURE_SEED, space=self.space)
        moved = torch.cat([direction.shift(codes, amount) for amount in (-AMOUNT, AMOUNT)])
        images = self.generator.inference(space=self.space)(moved)
        return {**found, "text": ""}, encoded(tiled(images, PREVIEWED, SIDES["sheet"]))

    def _tell(self, lesson: Lesson, told: tuple[dict[str, Any], tuple[str, bytes]]) -> list[Answer]:
        if self.lesson is None or lesson.answers is not self.lesson.answers:
            return []
        figures, (kind, data) = told
        rounded = {k: round(v, 1) if isinstance(v, float) else v for k, v in figures.items()}
        return [({"verb": "known", "kind": kind, **rounded}, data)]


def tiled(images: Float[Tensor, "n 3 h w"], columns: int, side: int) -> Image.Image:
    """Images row by row in one picture without gaps, none shown larger than `side`.

    Example:
        >>> tiled(torch.zeros(8, 3, 64, 64), 4, 32).size
        (128, 64)
    """
    height, width = images.shape[2:]
    scale = min(1.0, side / max(height, width))
    small = resize(images.float(), (math.ceil(height * scale), math.ceil(width * scale)))
    rows = [torch.cat(list(small[k : k + columns]), 2) for k in range(0, len(small), columns)]
    return to_pil(torch.cat(rows, 1))
