"""Answers as a JSON file: readable, codes and steps in base64 of little-endian float32."""

from __future__ import annotations

import base64
import binascii
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from directions.errors import SamplesError
from directions.storage.atomic import atomic
from discovery.teaching.answers import Answers, Sheet, Strip

__all__ = ["read", "write"]


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


class _File(_Entry):
    format: Literal["latdir.answers"] = "latdir.answers"
    version: Literal[1] = 1
    name: str
    generator: str
    fingerprint: str
    space: str
    confirmed: tuple[int, int]
    given: list[Annotated[_Sheet | _Strip, Field(discriminator="kind")]]


def write(answers: Answers, path: Path) -> Path:
    """Write answers, replacing an older file at once."""
    given: list[_Sheet | _Strip] = []
    for a in answers.given:
        if isinstance(a, Strip):
            given.append(_Strip(question=a.question, level=a.level, step=_Array.of(a.step)))
        else:
            has = a.has.nonzero()[:, 0].tolist()
            given.append(_Sheet(question=a.question, has=has, codes=_Array.of(a.codes)))
    file = _File(
        name=answers.name,
        generator=answers.generator,
        fingerprint=answers.fingerprint,
        space=answers.space,
        confirmed=answers.confirmed,
        given=given,
    )
    with atomic(path) as target:
        target.write_text(file.model_dump_json(indent=1), encoding="utf-8")
    return path


def read(path: Path) -> Answers:
    """Answers of a file.

    Raises:
        SamplesError: Something else is there.
    """
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SamplesError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SamplesError(f"{path} holds no answers: it is no JSON ({error})") from error
    try:
        file = _File.model_validate(raw)
        given = tuple(_answer(entry) for entry in file.given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SamplesError(f"{path} holds no answers: {where}: {first['msg']}") from error
    except (ValueError, IndexError, binascii.Error) as error:
        raise SamplesError(f"{path} holds no answers: {error}") from error
    return Answers(file.name, file.generator, file.fingerprint, file.space, given, file.confirmed)


def _answer(entry: _Sheet | _Strip) -> Sheet | Strip:
    if isinstance(entry, _Strip):
        return Strip(entry.step.tensor(), entry.level, entry.question)
    codes = entry.codes.tensor()
    has = torch.zeros(len(codes), dtype=torch.bool)
    if any(i not in range(len(codes)) for i in entry.has):
        raise ValueError(f"a sheet of {len(codes)} images has others clicked")
    has[entry.has] = True
    return Sheet(codes, has, entry.question)
