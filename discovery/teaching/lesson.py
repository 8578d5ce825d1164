"""Questions about an attribute, and what their answers say so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.direction import Direction
from directions.errors import SamplesError
from directions.generators.base import Generator, check_generator
from directions.seeds import LESSON_SEED
from discovery.estimators.bayes_linear import Posterior
from discovery.supervised.teach import Teach
from discovery.teaching.answers import Answers
from discovery.teaching.kinds import LEVELS
from discovery.teaching.model import STRIP_NOISE, Model, sheet_noise

__all__ = ["Gain", "Lesson", "Question"]

Kind = Literal["strip", "sheet", "check"]

FACES_A_STRIP = 4
REACH = 2.0  # standard deviations to each side
SHEET = 64
SHOWN = 12
POOL = 256
# Strips tell what the leading directions do, at one click each; then sheets tell the rest.
STRIPS_FIRST = 20
STRIPS_A_SHEET = 1
MORE = 20


@dataclass(frozen=True, eq=False)
class Question:
    """Images to look at.

    Attributes:
        name: Such as `sheet 3`; an answer to the same question takes the older one's place.
        kind: A strip has two rows, the same images moved one way and the other; a sheet is clicked
            through; a check shows those that should have the attribute most.
        codes: `[n, *shape]`, row by row.
        columns: Images in a row.
        text: The question in words.
    """

    name: str
    kind: Kind
    codes: Float[Tensor, "n ..."]
    columns: int
    text: str


class Gain(NamedTuple):
    """The angle to expect, in degrees, after 20 strips more, or after a sheet more."""

    strips: float
    sheet: float


class Lesson:
    """A direction taught by looking: it asks, is answered, and says how much it knows.

    Args:
        name: The attribute, such as `glasses`; or answers given before, to go on with.
        generator: Makes the images.
        teach: The method, which says what is known before the first answer.
        space: Space of the codes; by default w where there is one, else the first.
        seed: Of the images shown; two lessons of one seed show the same.

    Attributes:
        answers: Given so far.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> lesson = Lesson("smile", world, teach=Teach(features="pixels", n_codes=256))
        >>> sheet = lesson.sheet()
        >>> has_it = world.factors(sheet.codes)[:, 0] > 0
        >>> lesson.answer(sheet, has_it.nonzero()[:, 0].tolist())
        >>> lesson.answer(lesson.strip(), "more")
        >>> lesson.answers, lesson.angle < 60
        (Answers(smile, planted: 64 images, 1 strips, 30 clicks), True)
    """

    @checked
    def __init__(
        self,
        name: str | Answers,
        generator: Generator,
        *,
        teach: Teach | None = None,
        space: str | None = None,
        seed: int = LESSON_SEED,
    ) -> None:
        self.generator, self.teach, self.seed = check_generator(generator), teach or Teach(), seed
        given = Answers.of(name, generator, space=space) if isinstance(name, str) else name
        self.answers = given.check(generator)

    @cached_property
    def model(self) -> Model:
        """What is known before the first answer; the first use looks at images of the generator."""
        return self.teach.model(self.generator, self.answers.space)

    def ask(self) -> Question:
        """The next question: 20 strips, a sheet, then a strip and a sheet in turns."""
        strips, sheets = len(self.answers.strips), len(self.answers.sheets)
        due = 0 if strips < STRIPS_FIRST else 1 + (strips - STRIPS_FIRST) // STRIPS_A_SHEET
        return self.sheet() if sheets < due or strips >= self.model.rank else self.strip()

    @checked
    def strip(self, number: int | None = None) -> Question:
        """Four images moved two standard deviations one way, above, and the other way, below.

        Args:
            number: Of the leading direction that they move along; by default the next one.

        Raises:
            LatdirError: A number below 0.
        """
        k = self._number("strip", number)
        start = self._sample(FACES_A_STRIP, 1, k)
        step = self.model.step(k % self.model.rank, REACH).reshape(start.shape[1:]).to(start)
        return Question(
            f"strip {k}",
            "strip",
            torch.cat([start - step, start + step]),
            FACES_A_STRIP,
            f"The lower row has {self.answers.name!r}, beside the upper one: {', '.join(LEVELS)}?",
        )

    @checked
    def sheet(self, number: int | None = None) -> Question:
        """Sixty-four images.

        Args:
            number: Of the sheet; by default the next one.

        Raises:
            LatdirError: A number below 0.
        """
        k = self._number("sheet", number)
        text = f"Click those that have {self.answers.name!r}."
        return Question(f"sheet {k}", "sheet", self._sample(SHEET, 0, k), 8, text)

    @checked
    def check(self, number: int | None = None) -> Question:
        """The twelve of 256 new images that should have it most: click the wrong ones.

        Args:
            number: Of the 256; by default the next ones.

        Raises:
            LatdirError: The answers tell nothing yet.
        """
        k = self._number("check", number)
        codes = self._sample(POOL, 2, k)
        level = self.model.white.coordinates(codes) @ self._known().mean
        text = f"These should have {self.answers.name!r}: click the wrong ones."
        top = level.topk(SHOWN).indices.to(codes.device)
        return Question(f"check {k}", "check", codes[top], 6, text)

    @checked
    def answer(self, question: Question, answer: int | str | Sequence[int] | Tensor) -> None:
        """Take an answer: one of `LEVELS` (or -2 … 2) for a strip, the images clicked for others.

        Args:
            question: As it was asked.
            answer: The answer; of a sheet the numbers from 0 of the images that have it, of a
                check those that do not.

        Raises:
            LatdirError: An answer that does not fit the question.
        """
        if question.kind == "strip":
            if not isinstance(answer, int | str):
                raise SamplesError(f"a strip has one answer, one of {', '.join(LEVELS)}")
            step = question.codes[question.columns] - question.codes[0]
            self.answers = self.answers.with_strip(step, answer, question=question.name)
            return
        if isinstance(answer, int | str):
            raise SamplesError(
                f"a {question.kind} is answered by the numbers of images, as [3, 17]"
            )
        if question.kind == "sheet":
            self.answers = self.answers.with_sheet(question.codes, answer, question=question.name)
            return
        shown = len(question.codes)
        self.answers = self.answers.with_check(shown, answer, question=question.name)

    def undo(self) -> None:
        """Take the last answer back.

        Raises:
            LatdirError: There is none.
        """
        self.answers = self.answers.undone()

    @property
    def posterior(self) -> Posterior:
        """What is known of the direction, in whitened coordinates."""
        if getattr(self, "_of", None) is not self.answers:
            self._posterior, self._of = self.model.posterior(self.answers), self.answers
        return self._posterior

    @property
    def angle(self) -> float:
        """Degrees between the direction so far and the one sought, as expected; 90: not known."""
        return self.posterior.angle

    def gain(self) -> Gain:
        """What more answers would bring."""
        strips = len(self.answers.strips)
        steps = [self.model.strip(k % self.model.rank, REACH) for k in range(strips, strips + MORE)]
        sheet = self.model.white.coordinates(self.sheet().codes)
        return Gain(
            self.posterior.angle_with(torch.stack(steps), STRIP_NOISE),
            self.posterior.angle_with(sheet, sheet_noise(self.answers)),
        )

    def direction(self) -> Direction:
        """The direction so far; `teach.discover` gives it with its cone.

        Raises:
            LatdirError: The answers tell nothing yet.
        """
        return self.model.direction(self.answers, self._known(), self.teach.config)

    def _known(self) -> Posterior:
        return self.model.known(self.answers, self.posterior)

    def _number(self, kind: str, number: int | None) -> int:
        if number is None:
            asked = [a.question.split() for a in self.answers.given if a.question]
            return 1 + max((int(n) for what, n in asked if what == kind), default=-1)
        if number < 0:
            raise SamplesError(f"{kind}s are numbered from 0, not {number}")
        return number

    def _sample(self, count: int, offset: int, number: int) -> Tensor:
        return self.generator.sample(
            count, seed=self.seed + offset, start=count * number, space=self.answers.space
        )
