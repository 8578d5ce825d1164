"""A direction bank: an ordered, named set of directions of one generator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions import manifest as format_
from directions.direction import Calibration, Direction
from directions.errors import LatdirError

if TYPE_CHECKING:
    from directions.generators.base import Generator

__all__ = ["DirectionBank"]


@dataclass(frozen=True, eq=False)
class DirectionBank(Mapping[str, Direction]):
    """Directions of one generator, by name and in order.

    Attributes:
        directions: The directions; their names differ.
        generator: Name of the generator they belong to.
        fingerprint: Its sha256, 64 hexadecimal digits.
        provenance: What made the bank: seeds, hashes, versions.

    Raises:
        LatdirError: Two directions share a name.

    Example:
        >>> up = Direction("up", torch.tensor([0.0, 1.0]), "z")
        >>> bank = DirectionBank((up,), generator="toy", fingerprint="0" * 64)
        >>> list(bank), bank["up"].sigma
        (['up'], 1.0)
    """

    directions: tuple[Direction, ...]
    generator: str
    fingerprint: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [d.name for d in self.directions]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise LatdirError(
                f"a bank's names differ, but {', '.join(twice)} occurs twice: "
                "rename with direction.evolve(name=…)"
            )

    def __getitem__(self, name: str) -> Direction:
        for direction in self.directions:
            if direction.name == name:
                return direction
        # Mapping.get and `in` rely on KeyError; its message is what a user sees.
        raise KeyError(f"no direction {name!r} in this bank: it has {', '.join(self) or 'none'}")

    def __iter__(self) -> Iterator[str]:
        return (d.name for d in self.directions)

    def __len__(self) -> int:
        return len(self.directions)

    def select(self, names: Iterable[str]) -> DirectionBank:
        """The bank of some of the directions, in the order asked for.

        Raises:
            LatdirError: A name is not in the bank.
        """
        names = list(names)
        missing = [n for n in names if n not in self]
        if missing:
            raise LatdirError(
                f"no direction {missing[0]!r} in this bank: it has {', '.join(self) or 'none'}"
            )
        return self.replaced(self[n] for n in names)

    def replaced(self, directions: Iterable[Direction]) -> DirectionBank:
        """A bank of the same generator with other directions."""
        return DirectionBank(tuple(directions), self.generator, self.fingerprint, self.provenance)

    def merge(self, other: DirectionBank, *, prefix: str = "") -> DirectionBank:
        """This bank's directions, then the other's, whose names get `prefix`.

        Raises:
            LatdirError: The banks belong to different generators, or names collide.
        """
        if other.fingerprint != self.fingerprint:
            raise LatdirError(
                f"these banks belong to different generators: {self.generator} "
                f"({self.fingerprint[:12]}…) and {other.generator} ({other.fingerprint[:12]}…)"
            )
        added = [d.evolve(name=prefix + d.name) for d in other.directions]
        return self.replaced([*self.directions, *added])

    def matrix(self) -> Float[Tensor, "k d"]:
        """The unit vectors as rows, flattened.

        Raises:
            LatdirError: The directions live in different spaces.
        """
        spaces = sorted({d.space for d in self.directions})
        if len(spaces) != 1:
            raise LatdirError(
                f"directions of the spaces {', '.join(spaces)} make no one matrix: "
                "select those of one space first"
            )
        return torch.stack([d.vector.flatten().float().cpu() for d in self.directions])

    def check(self, generator: Generator) -> DirectionBank:
        """Return this bank if it belongs to `generator`.

        Raises:
            LatdirError: It was made for a generator with other weights.
        """
        if generator.fingerprint != self.fingerprint:
            raise LatdirError(
                f"this bank was made for {self.generator} ({self.fingerprint[:12]}…), "
                f"not for {generator.name} ({generator.fingerprint[:12]}…): on another model its "
                "directions mean nothing; if you know better, use bank.transfer(generator)"
            )
        return self

    def transfer(self, generator: Generator) -> DirectionBank:
        """The same directions, declared to belong to another generator of the same shape.

        Meant for fine-tuned copies. The former owner stays in the provenance.

        Raises:
            LatdirError: The generator has no such space, or one of another shape.
        """
        for d in self.directions:
            space = generator.space(d.space)
            if tuple(d.vector.shape) != space.shape:
                raise LatdirError(
                    f"direction {d.name!r} has shape {list(d.vector.shape)}, but space "
                    f"{space.name!r} of {generator.name} has {list(space.shape)}"
                )
        provenance = {
            **self.provenance,
            "transferred_from": {"generator": self.generator, "fingerprint": self.fingerprint},
        }
        return DirectionBank(self.directions, generator.name, generator.fingerprint, provenance)

    def save(self, path: str | Path) -> Path:
        """Write the bank to one safetensors file, whole or not at all.

        Raises:
            LatdirError: The file cannot be written.
        """
        header = format_.Manifest(
            generator=self.generator,
            fingerprint=self.fingerprint,
            directions=tuple(_entry(d) for d in self.directions),
            provenance=dict(self.provenance),
        )
        format_.write(path, header, [d.vector for d in self.directions])
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, generator: Generator | None = None) -> DirectionBank:
        """Read a bank file.

        Args:
            path: A file written by `save`.
            generator: When given, the bank is refused unless it belongs to it.

        Raises:
            LatdirError: Not a bank, broken, or of another generator.
        """
        header, vectors = format_.read(path)
        bank = cls(
            tuple(_direction(e, v) for e, v in zip(header.directions, vectors, strict=True)),
            header.generator,
            header.fingerprint,
            header.provenance,
        )
        return bank if generator is None else bank.check(generator)

    def __repr__(self) -> str:
        return f"DirectionBank({self.generator}: {', '.join(self) or 'empty'})"


def _entry(direction: Direction) -> format_.DirectionEntry:
    values = {
        name: getattr(direction, name)
        for name in format_.DirectionEntry.model_fields
        if name != "calibration"
    }
    calibration = direction.calibration and asdict(direction.calibration)
    return format_.DirectionEntry.model_validate({**values, "calibration": calibration})


def _direction(entry: format_.DirectionEntry, vector: Tensor) -> Direction:
    values = {name: getattr(entry, name) for name in format_.DirectionEntry.model_fields}
    calibration = entry.calibration and Calibration(**entry.calibration.model_dump())
    return Direction(vector=vector, **{**values, "calibration": calibration})
