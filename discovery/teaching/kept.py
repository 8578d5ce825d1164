"""Answers kept while they are given: a folder with a file for each attribute."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from directions.errors import LatdirError, SamplesError
from directions.storage.atomic import atomic
from discovery.teaching.answers import Answers
from discovery.teaching.files import dumps, read

__all__ = ["AnswerFolder"]

SUFFIX, LONGEST = ".json", 240


@dataclass
class AnswerFolder:
    """A folder of answers, such as those of one bank's explorer; made when the first one is given.

    Attributes:
        path: The folder.

    Example:
        >>> import tempfile
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> folder = AnswerFolder(Path(tempfile.mkdtemp()) / "answers")
        >>> folder.keep(Answers.of("looks tired", world).with_strip(world.truth[0], "more"))
        >>> folder.names(), folder.load("looks tired").clicks
        (['looks tired'], 1)
    """

    path: Path
    # The last text that this object read or wrote, by name.
    _seen: dict[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Attributes that there are answers about, those answered last first."""
        files = sorted(self.path.glob(f"*{SUFFIX}"), key=lambda p: p.stat().st_mtime, reverse=True)
        return [unquote(file.name.removesuffix(SUFFIX)) for file in files]

    def file(self, name: str) -> Path:
        """The file of an attribute.

        Raises:
            SamplesError: The name is longer than file systems allow.
        """
        text = re.sub(r"[^\w -]", lambda found: quote(found[0], safe=""), name)
        if len(text.encode()) > LONGEST:
            raise SamplesError(
                f"a name of {len(name)} characters is too long: choose a shorter one"
            )
        return self.path / f"{text}{SUFFIX}"

    def load(self, name: str) -> Answers | None:
        """The answers about an attribute; None where there are none.

        Raises:
            SamplesError: The file holds something else.
        """
        file = self.file(name)
        if not file.exists():
            return None
        found = read(file)
        self._seen[name] = file.read_text(encoding="utf-8")
        return found

    def keep(self, answers: Answers) -> None:
        """Write answers in place of those that they go on from.

        Raises:
            SamplesError: Others were written meanwhile, which would be lost.
            LatdirError: The folder cannot be written to.
        """
        file, text = self.file(answers.name), dumps(answers)
        if file.exists():
            there = file.read_text(encoding="utf-8")
            if there != self._seen.get(answers.name) and not _within(dumps(read(file)), text):
                raise SamplesError(
                    f"{file} has other answers about {answers.name!r}, perhaps of another tab: "
                    f"start {answers.name!r} again to go on with those, or move the file away"
                )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LatdirError(f"cannot make folder {self.path}: {error.strerror}") from error
        with atomic(file) as target:
            target.write_text(text, encoding="utf-8")
        self._seen[answers.name] = text


def _within(some: str, all_: str) -> bool:
    """Whether all answers of one text are among those of another."""
    given, others = (json.loads(text)["given"] for text in (some, all_))
    return all(answer in others for answer in given)
