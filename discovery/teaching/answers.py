"""Answers about one attribute, in the order they were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from directions.arguments import checked, checked_fields
from directions.errors import BankError, SamplesError
from directions.generators.base import Generator
from discovery.sampling.samples import Samples
from discovery.teaching.kinds import Answer, Check, Sheet, Strip, level_of, mask_of

__all__ = ["Answers"]


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

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> has = world.factors(world.sample(64, seed=0))[:, 0] > 0
        >>> samples = Samples.from_arrays(None, has, "smile", generator=world, seed=0)
        >>> Answers.from_samples(samples)
        Answers(smile, planted: 64 images, 0 strips, 31 clicks)
    """

    name: str
    generator: str
    fingerprint: str
    space: str
    given: tuple[Answer, ...] = ()

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
    def from_samples(cls, samples: Samples, name: str | None = None) -> Answers:
        """Labels of 0 and 1 as one sheet.

        Args:
            samples: As `Samples.from_arrays`, `from_frame` and `from_images` make them.
            name: The attribute; by default the only one.

        Raises:
            LatdirError: Several attributes and no name, other labels, or one code labeled both
                ways.
        """
        if name is None and len(samples.names) != 1:
            raise SamplesError(
                f"there are labels of {', '.join(samples.names)}: choose one with name=…"
            )
        name = name or samples.names[0]
        labels = samples.column(name).cpu()
        if not len(labels):
            raise SamplesError(f"there are no answers of {name!r}: label at least one code")
        if not ((labels == 0) | (labels == 1)).all():
            raise SamplesError(
                f"answers of {name!r} are 0 and 1, not {labels.min():g} … {labels.max():g}: "
                "values are labels for discovery.Boundary"
            )
        codes = samples.codes.detach().cpu().float()
        _check_consistent(codes, labels)
        given = (Sheet(codes, labels.bool()),)
        return cls(name, samples.generator, samples.fingerprint, samples.space, given)

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
        has = mask_of(clicked, len(codes), "sheet")
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

    def with_check(
        self, shown: int, wrong: Sequence[int] | Tensor, *, question: str = ""
    ) -> Answers:
        """These and a check more; one of the same question takes the older one's place.

        Args:
            shown: Number of images.
            wrong: Numbers from 0 of those that do not have the attribute, or a mask `[shown]`.
            question: As of `Check`.

        Raises:
            LatdirError: A number beyond the images.
        """
        right = shown - int(mask_of(wrong, shown, "check").sum())
        return self._with(Check(right, shown, question))

    def _with(self, answer: Answer) -> Answers:
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
    def confirmed(self) -> tuple[int, int]:
        """Of images shown because they should have it, how many do, and how many were shown."""
        checks = [a for a in self.given if isinstance(a, Check)]
        return sum(c.right for c in checks), sum(c.shown for c in checks)

    @property
    def clicks(self) -> int:
        """What a person clicked: images of sheets and checks, and one a strip."""
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
