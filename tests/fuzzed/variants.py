"""What callers may write instead of a valid argument, from wrong kinds to degenerate models."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis import Curves, Effects
from directions import Direction, DirectionBank, LatdirError, Prior
from directions.classifiers import Classifier
from directions.generators.base import Generator
from directions.planted.world import PlantedGenerator
from discovery import Samples
from tests.analysis.measured import Altered


class Odd:
    """An object of no kind that anything wants, made by a class that takes anything."""

    def __init__(self, *args: Any, **given: Any) -> None:
        pass

    def __repr__(self) -> str:
        return "Odd()"


def three(*args: Any, **given: Any) -> int:
    return 3


class Same:
    """A value that means the same as the valid one: the result must be the same, too."""

    def __init__(self, value: Any) -> None:
        self.value = value


WRONG: tuple[Any, ...] = (
    None, True, "words", "", b"bytes", 3, -1, 0, 2.5, math.nan, math.inf, 1e20, [], {}, (), [None],
    ["x", "x"], {"x": 1.0}, {1: "x"}, Odd(), Odd, three, np.float32(0.5), np.zeros(3),
    np.array("x"), torch.zeros(()), torch.zeros(2, 3), torch.tensor([True]), 1 + 2j,
    np.zeros((2, 2), object),
)  # fmt: skip


def variants(value: Any, w: Any) -> Iterator[Any]:
    """What else a caller may write where `value` is right."""
    yield from WRONG
    if isinstance(value, Tensor) and value.is_floating_point():
        yield Same(value.numpy())
        yield Same(value.tolist())
        yield value.double()
        yield value.half()
        yield value.long()
        yield value.to(torch.complex64)
        yield value * 1e20
        yield value * 0
        yield value.flatten()
        yield value[None]
        yield value[:0]
        yield value[:1]
        yield value[0]
        yield value.mT if value.ndim > 1 else value.flip(0)
        yield value[:1].expand_as(value)
        for bad in (math.nan, math.inf):
            spoiled = value.clone()
            spoiled.view(-1)[0] = bad
            yield spoiled
            yield torch.full_like(value, bad)
    elif isinstance(value, DirectionBank):
        yield list(value.directions)
        yield value.directions[0]
        yield value.replaced(())
        yield DirectionBank(value.directions, "other", "f" * 64)
        yield dict(value)
        yield [value]
        yield value.directions[0].vector
    elif isinstance(value, Direction):
        yield w.bank
        yield w.bank.select([value.name])
        yield [value]
        yield value.vector
        yield value.name
    elif isinstance(value, Samples | Effects | Curves | Prior):
        yield from spoiled_records(value)
        yield vars(value)
        yield [value]
    elif isinstance(value, Generator | Classifier):
        yield from degenerate(value)
        yield [value]
    elif isinstance(value, str):
        yield value.upper()
        yield value + "x"
        yield [value]
        yield Same(np.str_(value))
    elif isinstance(value, bool):
        yield Same(np.bool_(value))
        yield "yes"
    elif isinstance(value, int):
        yield Same(np.int64(value))
        yield float(value)
        yield str(value)
        yield -value - 1
        yield 1
    elif isinstance(value, float):
        yield Same(np.float64(value))
        yield -value
        yield str(value)
        yield [value]
    elif isinstance(value, Mapping):
        if value:
            yield dict.fromkeys(value, None)
            yield dict.fromkeys(value, "x")
            yield dict.fromkeys(value, math.nan)
            yield {f"{key}x": v for key, v in value.items()}
            yield list(value)
            yield list(value.items())
    elif isinstance(value, Sequence):
        yield list(value) * 2
        yield value[:1]
        yield value[::-1]
        yield [*value, None]
        yield [*value, Odd()]
        if all(isinstance(v, float) for v in value):
            yield Same(np.array(value))
            yield Same(torch.tensor(value, dtype=torch.float64))
            yield [math.nan] * len(value)
            yield [1e20] * len(value)
    elif is_dataclass(value):
        yield {f.name: getattr(value, f.name) for f in fields(value)}
        yield [value]
        yield type(value)
    elif not callable(value):
        yield type(value)
        yield [value]


def spoiled_records(value: Any) -> Iterator[Any]:
    """Records of degenerate measurements: constant, huge, hardly any, none."""
    for field in fields(value):
        tensor = getattr(value, field.name)
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.ndim:
            same = tensor[:1].expand_as(tensor)
            for other in (tensor * 0, tensor * 1e20, same, tensor * math.nan):
                try:
                    yield replace(value, **{field.name: other})
                except LatdirError:
                    continue  # as it should be
    if isinstance(value, Samples):
        for count in (0, 1, 2, 3, 5, 20):
            yield value.rows(slice(0, count))
        hardly = torch.zeros_like(value.scores)
        hardly[0] = 1.0
        yield replace(value, scores=hardly)


def degenerate(value: Any) -> Iterator[Any]:
    """Models that see nothing, nothing but NaN, or everything out of all proportion."""
    if isinstance(value, Classifier):
        yield Altered(value, lambda scores: scores * 0 + 0.5)
        yield Altered(value, lambda scores: scores * math.nan)
        yield Altered(value, lambda scores: scores * 1e20)
        yield Altered(value, lambda scores: scores[:, :1])
    elif isinstance(value, PlantedGenerator):
        for factor in (0.0, math.nan, 1e20):
            yield Faded(value, factor)


class Faded(PlantedGenerator):
    """A generator with the same codes and fingerprint as another, and other images."""

    def __init__(self, base: PlantedGenerator, factor: float) -> None:
        self.__dict__.update(vars(base) | {"fingerprint": base.fingerprint})
        self._factor = factor

    def synthesize(self, codes: Tensor, space: str = "z") -> Tensor:
        return super().synthesize(codes, space) * self._factor
