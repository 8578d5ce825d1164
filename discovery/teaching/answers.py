"""Answers about one attribute: sheets of images that have it or not, and strips of moved images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from directions.arguments import checked, checked_fields
from directions.errors import BankError, SamplesError
from directions.generators.base import Generator
from discovery.sampling.own_labels import of_arrays, of_frame

__all__ = ["LEVELS", "Answers", "Sheet", "Strip", "level_of"]

LEVELS = ("much less", "less", "the same", "more", "much more")
"""Answers to a strip, from -2 to 2: how the second row has the attribute, beside the first."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """Images that have the attribute or not.

    Attributes:
        codes: `[n, *shape]`, float32.
        has: `[n]`.
        question: What `Lesson` asked, such as `sheet 3`; empty for labels from elsewhere.
    """

    codes: Float[Tensor, "n ..."]
    has: Bool[Tensor, "n"]
    question: str = ""

    @property
    def clicks(self) -> int:
        """Images clicked: those that have it."""
        return int(self.has.sum())


@dataclass(frozen=True, eq=False)
class Strip:
    """Images moved one way and the other.

    Attributes:
        step: `[*shape]`, from each code of the first row to that of the second.
        level: -2 … 2, what the second row has, in the order of `LEVELS`.
        question: What `Lesson` asked, such as `strip 3`.
    """

    step: Float[Tensor, "..."]
    level: int
    question: str = ""

    clicks = 1


@checked_fields
@dataclass(frozen=True, eq=False)
class Answers:
    """Answers about one attribute of a generator's images.

    Attributes:
        name: The attribute.
        generator: Name of the generator.
        fingerprint: Its sha256.
        space: Space of the codes.
        given: In the order they were given.
        confirmed: Of images shown because they should have it, how many do, and how many were
            shown; nothing is learned from them.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> codes = world.sample(64, seed=0)
        >>> answers = Answers.from_arrays(codes, world.factors(codes)[:, 0] > 0, "smile",
        ...                               generator=world)
        >>> answers
        Answers(smile, planted: 64 images, 0 strips, 31 clicks)
    """

    name: str
    generator: str
    fingerprint: str
    space: str
    given: tuple[Sheet | Strip, ...] = ()
    confirmed: tuple[int, int] = (0, 0)

    @classmethod
    @checked
    def of(cls, name: str, generator: Generator, *, space: str | None = None) -> Answers:
        """No answers yet.

        Args:
            name: The attribute.
            generator: Makes the images.
            space: Space of the codes; by default w where there is one, else the first.

        Raises:
            LatdirError: An empty name, or no such space.
        """
        if not name.strip():
            raise SamplesError("name the attribute to teach, such as 'glasses'")
        found = generator.space(space or generator.default_space("w"))
        return cls(name, generator.name, generator.fingerprint, found.name)

    @classmethod
    @checked
    def from_arrays(
        cls,
        codes: Any,
        has: Any,
        name: str,
        *,
        generator: Generator,
        space: str | None = None,
        seed: int | None = None,
        index: Any = None,
    ) -> Answers:
        """Labels of 0 and 1, of codes or of places in a seed's sequence.

        Args:
            codes: `[n, *shape]`; None with a `seed`.
            has: `[n]`, 0 and 1.
            name: The attribute.
            generator: Made the images.
            space: Space of the codes; by default the generator's first.
            seed: Draws the codes, where none are given.
            index: `[n]`, their places in the seed's sequence; by default 0 … n - 1.

        Raises:
            LatdirError: Other labels, codes that do not fit, or one image labeled both ways.
        """
        found = of_arrays(
            codes, has, name, generator=generator, space=space, seeds=seed, index=index,
            truncation=1.0,
        )  # fmt: skip
        return cls._of_labels(found, generator)

    @classmethod
    @checked
    def from_frame(
        cls,
        frame: Any,
        *,
        generator: Generator,
        name: str | None = None,
        space: str | None = None,
        seed: int | None = None,
    ) -> Answers:
        """Labels of a table, as `Samples.from_frame` reads it: columns `seed` and `index`, or code.

        Args:
            frame: A pandas, polars or Arrow table, a mapping of names to columns, or the path of a
                CSV or Parquet file.
            generator: Made the images.
            name: Column of the labels; by default the only other one.
            space: Space of the codes; by default the generator's first.
            seed: Seed of the codes, where there is no column of it.

        Raises:
            LatdirError: No codes, no labels of 0 and 1, or several columns of them and no name.
        """
        if isinstance(frame, str | Path):
            from discovery.sampling.arrays import read_table

            frame = read_table(Path(frame))
        found = of_frame(
            frame, generator=generator, names=name, space=space, seed=seed, truncation=1.0
        )
        return cls._of_labels(found, generator)

    @classmethod
    def _of_labels(cls, found: Any, generator: Generator) -> Answers:
        names = [a.name for a in found.attributes]
        if len(names) != 1:
            raise SamplesError(f"there are labels of {', '.join(names)}: choose one with name=…")
        labels = found.labels[:, 0]
        if not ((labels == 0) | (labels == 1)).all():
            raise SamplesError(
                f"answers of {names[0]!r} are 0 and 1, not {labels.min():g} … {labels.max():g}: "
                "for values use discovery.Boundary with Samples.from_arrays"
            )
        if not torch.isfinite(found.codes).all():
            raise SamplesError("some codes are NaN or infinite: leave their images out")
        _check_consistent(found.codes, labels)
        sheet = Sheet(found.codes.float(), labels.bool())
        return cls(names[0], generator.name, generator.fingerprint, found.space, (sheet,))

    def with_sheet(
        self, codes: Tensor, clicked: Sequence[int] | Tensor, *, question: str = ""
    ) -> Answers:
        """These and a sheet more; one of the same question takes the older one's place.

        Args:
            codes: `[n, *shape]`.
            clicked: Numbers from 0 of the images that have the attribute, or a mask `[n]`.
            question: As of `Sheet`.

        Raises:
            LatdirError: A number beyond the sheet.
        """
        numbers = torch.as_tensor(clicked)
        if numbers.dtype == torch.bool and numbers.shape == (len(codes),):
            has = numbers.clone()
        else:
            wrong = [n for n in numbers.flatten().tolist() if n not in range(len(codes))]
            if wrong:
                raise SamplesError(
                    f"image {wrong[0]} was clicked, and the sheet has images 0 … {len(codes) - 1}"
                )
            has = torch.zeros(len(codes), dtype=torch.bool)
            has[numbers.long().flatten()] = True
        return self._with(Sheet(codes.detach().cpu().float(), has, question))

    def with_strip(self, step: Tensor, level: int | str, *, question: str = "") -> Answers:
        """These and a strip more; one of the same question takes the older one's place.

        Args:
            step: `[*shape]`, from the codes of the first row to those of the second.
            level: -2 … 2, or one of `LEVELS`.
            question: As of `Strip`.

        Raises:
            LatdirError: Another level.
        """
        return self._with(Strip(step.detach().cpu().float(), level_of(level), question))

    def _with(self, answer: Sheet | Strip) -> Answers:
        kept = [a for a in self.given if not (answer.question and a.question == answer.question)]
        return replace(self, given=(*kept, answer))

    def undone(self) -> Answers:
        """These without the last one.

        Raises:
            LatdirError: There is none.
        """
        if not self.given:
            raise SamplesError("there is no answer to take back")
        return replace(self, given=self.given[:-1])

    @property
    def sheets(self) -> tuple[Sheet, ...]:
        """The sheets among them."""
        return tuple(a for a in self.given if isinstance(a, Sheet))

    @property
    def strips(self) -> tuple[Strip, ...]:
        """The strips among them."""
        return tuple(a for a in self.given if isinstance(a, Strip))

    @property
    def clicks(self) -> int:
        """What a person clicked: the images that have it, and one a strip."""
        return sum(a.clicks for a in self.given)

    def check(self, generator: Generator) -> Answers:
        """These answers, if they are about images of `generator`.

        Raises:
            BankError: They are about another's.
        """
        if self.fingerprint != generator.fingerprint:
            raise BankError(
                f"the answers about {self.name!r} are of images of {self.generator} "
                f"({self.fingerprint[:12]}…), not of {generator.name} "
                f"({generator.fingerprint[:12]}…): load that generator, or ask again"
            )
        return self

    def save(self, path: str | Path) -> Path:
        """Write them as one JSON file, which replaces an older one at once."""
        from discovery.teaching.files import write

        return write(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Answers:
        """Answers of a file that `save` wrote.

        Raises:
            SamplesError: Something else is there.
        """
        from discovery.teaching.files import read

        return read(Path(path))

    def __repr__(self) -> str:
        images = sum(len(sheet.codes) for sheet in self.sheets)
        return (
            f"Answers({self.name}, {self.generator}: {images} images, {len(self.strips)} strips, "
            f"{self.clicks} clicks)"
        )


def level_of(answer: int | str) -> int:
    """A strip's answer as a number from -2 to 2.

    Raises:
        SamplesError: It is none of the five.

    Example:
        >>> level_of("much more"), level_of(-1)
        (2, -1)
    """
    if isinstance(answer, str) and (word := " ".join(answer.lower().split())) in LEVELS:
        return LEVELS.index(word) - 2
    try:
        if (number := int(answer)) == float(answer) and -2 <= number <= 2:
            return number
    except (TypeError, ValueError):
        pass
    raise SamplesError(
        f"a strip is answered by one of {', '.join(LEVELS)} (-2 … 2), not {answer!r:.40}"
    )


def _check_consistent(codes: Tensor, labels: Tensor) -> None:
    """Refuse one code that is labeled both ways."""
    same = torch.from_numpy(
        np.unique(codes.flatten(1).numpy(), axis=0, return_inverse=True)[1].reshape(-1)
    )
    count = int(same.max()) + 1
    yes = torch.zeros(count).index_add_(0, same, labels)
    total = torch.zeros(count).index_add_(0, same, torch.ones(len(labels)))
    both = ((yes > 0) & (yes < total)).nonzero()
    if len(both):
        rows = (same == both[0]).nonzero()[:, 0].tolist()
        raise SamplesError(
            f"rows {rows[0]} and {next(r for r in rows if labels[r] != labels[rows[0]])} are one "
            "image, once with and once without the attribute: keep the right one"
        )
