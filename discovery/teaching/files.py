"""Answers as a JSON file: readable, codes and steps in base64 of little-endian float32."""

from __future__ import annotations

import base64
import binascii
import json
import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from directions.errors import SamplesError
from directions.storage.atomic import atomic
from discovery.teaching.answers import Answers
from discovery.teaching.kinds import Answer, Check, Sheet, Strip

__all__ = ["dumps", "loads", "read", "write"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Array(_Entry):
    shape: list[Annotated[int, Field(ge=0)]]
    float32: str

    @classmethod
    def of(cls, value: Tensor) -> _Array:
        data = value.detach().cpu().contiguous().numpy().astype("<f4").tobytes()
        return cls(shape=list(value.shape), float32=base64.b64encode(data).decode("ascii"))

    def tensor(self) -> Tensor:
        values = np.frombuffer(base64.b64decode(self.float32, validate=True), dtype="<f4")
        if len(values) != math.prod(self.shape):
            raise ValueError(f"{len(values)} numbers have no shape {self.shape}")
        found = torch.from_numpy(values.astype(np.float32)).reshape(self.shape)
        if not torch.isfinite(found).all():
            raise ValueError("codes are not finite")
        return found


class _Sheet(_Entry):
    kind: Literal["sheet"] = "sheet"
    question: str
    has: list[int]
    codes: _Array


class _Strip(_Entry):
    kind: Literal["strip"] = "strip"
    question: str
    level: Annotated[int, Field(ge=-2, le=2)]
    step: _Array


class _Check(_Entry):
    kind: Literal["check"] = "check"
    question: str
    right: Annotated[int, Field(ge=0)]
    shown: Annotated[int, Field(ge=0)]


class _File(_Entry):
    format: Literal["latdir.answers"] = "latdir.answers"
    version: Literal[1] = 1
    name: str
    generator: str
    fingerprint: str
    space: str
    given: list[Annotated[_Sheet | _Strip | _Check, Field(discriminator="kind")]]


def dumps(answers: Answers) -> str:
    """Answers as the text of a file."""
    file = _File(
        name=answers.name,
        generator=answers.generator,
        fingerprint=answers.fingerprint,
        space=answers.space,
        given=[_entry(answer) for answer in answers.given],
    )
    return file.model_dump_json(indent=1)


def loads(text: str | bytes, source: str = "the file") -> Answers:
    """Answers of the text of a file.

    Args:
        text: What `dumps` wrote.
        source: Named in errors.

    Raises:
        SamplesError: Something else.
    """
    try:
        file = _File.model_validate(json.loads(text))
        given = tuple(_answer(entry) for entry in file.given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SamplesError(f"{source} holds no answers: {where}: {first['msg']}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SamplesError(f"{source} holds no answers: it is not JSON ({error})") from error
    except (ValueError, IndexError, binascii.Error) as error:
        raise SamplesError(f"{source} holds no answers: {error}") from error
    return Answers(file.name, file.generator, file.fingerprint, file.space, given)


def write(answers: Answers, path: Path) -> Path:
    """Write answers, replacing an older file at once."""
    with atomic(path) as target:
        target.write_text(dumps(answers), encoding="utf-8")
    return path


def read(path: Path) -> Answers:
    """Answers of a file.

    Raises:
        SamplesError: Something else is there.
    """
    try:
        return loads(path.read_bytes(), str(path))
    except OSError as error:
        raise SamplesError(f"{path} cannot be read: {error.strerror or error}") from error


def _entry(answer: Answer) -> _Sheet | _Strip | _Check:
    if isinstance(answer, Strip):
        return _Strip(question=answer.question, level=answer.level, step=_Array.of(answer.step))
    if isinstance(answer, Check):
        return _Check(question=answer.question, right=answer.right, shown=answer.shown)
    has = answer.has.nonzero()[:, 0].tolist()
    return _Sheet(question=answer.question, has=has, codes=_Array.of(answer.codes))


def _answer(entry: _Sheet | _Strip | _Check) -> Answer:
    if isinstance(entry, _Strip):
        return Strip(entry.step.tensor(), entry.level, entry.question)
    if isinstance(entry, _Check):
        if entry.right > entry.shown:
            raise ValueError(f"{entry.right} of {entry.shown} images are right")
        return Check(entry.right, entry.shown, entry.question)
    codes = entry.codes.tensor()
    has = torch.zeros(len(codes), dtype=torch.bool)
    if any(i not in range(len(codes)) for i in entry.has):
        raise ValueError(f"a sheet of {len(codes)} images has others clicked")
    has[entry.has] = True
    return Sheet(codes, has, entry.question)
