"""Direction banks: ordered, named sets of directions of one generator."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions import table
from directions.arguments import checked, checked_fields
from directions.classifiers.base import check_unique
from directions.devices import device_name
from directions.direction import Calibration, Direction, owns
from directions.errors import (
    BankError,
    LatdirError,
    SpaceError,
    UnknownNameError,
    described,
    did_you_mean,
)
from directions.generators.base import Generator, check_generator
from directions.sharing.pretrained import Pretrained
from directions.storage.container import plain

if TYPE_CHECKING:
    from directions.storage.bank_format import BasisEntry, DirectionEntry
    from directions.weight_space import WeightBasis

__all__ = ["DirectionBank"]


@checked_fields
@dataclass(frozen=True, eq=False)
class DirectionBank(Pretrained, Mapping[str, Direction]):
    """Directions of one generator, by name and in order.

    Attributes:
        directions: The directions; their names differ.
        generator: Name of the generator they belong to.
        fingerprint: Its sha256, 64 hexadecimal digits.
        provenance: What made the bank: seeds, hashes, versions.

    Raises:
        LatdirError: Two directions share a name, two of one space differ in shape, or the
            fingerprint is not a sha256.

    Example:
        >>> up = Direction("up", torch.tensor([0.0, 1.0]), "z")
        >>> bank = DirectionBank((up,), generator="toy", fingerprint="0" * 64)
        >>> list(bank), bank["up"].sigma
        (['up'], 1.0)
        >>> bank["upp"]
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: no direction 'upp' in this bank: did you mean 'up'?
        it has up
    """

    directions: tuple[Direction, ...]
    generator: str
    fingerprint: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", tuple(self.directions))
        twice = sorted(
            n for n, times in Counter(d.name for d in self.directions).items() if times > 1
        )
        if twice:
            raise BankError(
                f"a bank's names differ, but {', '.join(twice)} occurs twice: "
                "rename with direction.evolve(name=…)"
            )
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
        for d in self.directions:
            first, shape = shapes.setdefault(d.space, (d.name, tuple(d.vector.shape)))
            if tuple(d.vector.shape) != shape:
                raise SpaceError(
                    f"directions {first!r} and {d.name!r} both live in space {d.space!r}, but "
                    f"have shapes {list(shape)} and {list(d.vector.shape)}: "
                    "they come from different generators"
                )
        if not re.fullmatch("[0-9a-f]{64}", self.fingerprint):
            raise BankError(
                f"a bank's fingerprint is 64 hexadecimal digits, not {self.fingerprint[:80]!r}: "
                "use generator.fingerprint"
            )
        # Directions know their generator, so that one alone is refused by another too.
        owned = (
            d if d.fingerprint == self.fingerprint else d.evolve(fingerprint=self.fingerprint)
            for d in self.directions
        )
        object.__setattr__(self, "directions", tuple(owned))

    @classmethod
    @checked
    def of(
        cls,
        generator: Generator,
        directions: Iterable[Direction],
        provenance: Mapping[str, Any] = MappingProxyType({}),
    ) -> DirectionBank:
        """Directions found on a generator; the provenance names its device, too.

        Example:
            >>> from directions.planted.world import planted
            >>> dict(DirectionBank.of(planted(), (), {"seed": 1}).provenance)
            {'device': 'cpu', 'seed': 1}
        """
        known = {"device": device_name(generator.device), **provenance}
        return cls(tuple(directions), generator.name, generator.fingerprint, known)

    @classmethod
    def from_argument(cls, value: Any, name: str, arguments: Mapping[str, Any]) -> DirectionBank:
        """What stands for a bank in a call: a direction or a list of them, of one generator.

        Raises:
            BankError: Something else, or directions whose generator is not known.
        """
        several = (value,) if isinstance(value, Direction) else value
        listed = isinstance(several, list | tuple) and len(several) > 0
        if listed and all(isinstance(d, Direction) for d in several):
            generator = arguments.get("generator")
            if isinstance(generator, Generator):
                return cls.of(generator, [d.check(generator) for d in several])
            owners = {d.fingerprint for d in several}
            if len(owners) == 1 and (owner := owners.pop()):
                return cls(tuple(several), f"generator {owner[:12]}", owner)
            raise BankError(
                f"{name} is {described(value)} of no one generator: write "
                "DirectionBank.of(generator, directions)"
            )
        raise BankError(
            f"{name} is {described(value)}, not a bank of directions: a method's discover(…) "
            "finds one, DirectionBank.load(path) reads one"
        )

    @cached_property
    def _by_name(self) -> dict[str, Direction]:
        return {d.name: d for d in self.directions}

    def __getitem__(self, name: str) -> Direction:
        if name in self._by_name:
            return self._by_name[name]
        raise UnknownNameError(
            f"no direction {name!r} in this bank: {did_you_mean(name, self._by_name)}"
            f"it has {_listed(self._by_name)}"
        )

    def __iter__(self) -> Iterator[str]:
        return (d.name for d in self.directions)

    def __len__(self) -> int:
        return len(self.directions)

    @checked
    def select(self, names: Iterable[str]) -> DirectionBank:
        """The bank of some of the directions, in the requested order.

        Raises:
            LatdirError: A name is not in the bank, or occurs twice.
        """
        names = tuple(names)
        check_unique(names, "the names have")
        return self.replaced(self[n] for n in names)

    def replaced(self, directions: Iterable[Direction]) -> DirectionBank:
        """A bank of the same generator with other directions."""
        return DirectionBank(tuple(directions), self.generator, self.fingerprint, self.provenance)

    @checked
    def merge(self, other: DirectionBank, *, prefix: str = "") -> DirectionBank:
        """This bank's directions, then the other's, whose names get `prefix`.

        Raises:
            LatdirError: The banks belong to different generators, or names collide.
        """
        if other.fingerprint != self.fingerprint:
            raise BankError(
                f"these banks belong to different generators: {self._owner} and {other._owner}"
            )
        added = [d.evolve(name=prefix + d.name) for d in other.directions]
        return self.replaced([*self.directions, *added])

    def __or__(self, other: DirectionBank) -> DirectionBank:
        """`merge` without a prefix."""
        return self.merge(other)

    def matrix(self) -> Float[Tensor, "k d"]:
        """The unit vectors as rows, flattened.

        Raises:
            LatdirError: The directions live in different spaces.
        """
        spaces = sorted({d.space for d in self.directions})
        if not spaces:
            raise LatdirError("an empty bank has no matrix: add directions first")
        if len(spaces) > 1:
            raise SpaceError(
                f"directions of the spaces {', '.join(spaces)} make no one matrix: "
                "select those of one space first"
            )
        return torch.stack([d.vector.flatten().float().cpu() for d in self.directions])

    @checked
    def check(self, generator: Generator) -> DirectionBank:
        """Return this bank if it belongs to `generator`.

        Raises:
            LatdirError: It was made for a generator with other weights.
        """
        check_generator(generator)
        if not owns(generator, self.fingerprint):
            raise BankError(
                f"this bank was made for {self.generator} ({self.fingerprint[:12]}…), "
                f"not for {generator.name} ({generator.fingerprint[:12]}…): on another model its "
                "directions are meaningless; to override, use bank.transfer(generator)"
            )
        return self

    @checked
    def widened(self, generator: Generator) -> Generator:
        """The generator, with codes of its weights where some directions are of these.

        Functions that take a generator and a bank do this by themselves.

        Raises:
            LatdirError: As `check`.
        """
        self.check(generator)
        if not any(hasattr(d, "basis") for d in self.directions):
            return generator
        from directions.weight_space import widened

        return widened(generator, self.directions)

    def beside(self, arguments: dict[str, Any]) -> None:
        """Let a call that takes a generator and this bank make images by its weights, too."""
        if isinstance(generator := arguments.get("generator"), Generator) and any(
            hasattr(d, "basis") for d in self.directions
        ):
            arguments["generator"] = self.widened(generator)

    @checked
    def transfer(self, generator: Generator) -> DirectionBank:
        """The same directions, declared to belong to another generator of the same shape.

        Meant for fine-tuned copies. The former owner stays in the provenance.

        Raises:
            LatdirError: The generator has no such space, or one of another shape.
        """
        from directions.weight_space import widened

        wide = widened(generator, self.directions)
        for d in self.directions:
            space = wide.space(d.space)
            if tuple(d.vector.shape) != space.shape:
                raise SpaceError(
                    f"direction {d.name!r} has shape {list(d.vector.shape)}, but space "
                    f"{space.name!r} of {generator.name} has {list(space.shape)}"
                )
        provenance = {
            **self.provenance,
            "transferred_from": {"generator": self.generator, "fingerprint": self.fingerprint},
        }
        return DirectionBank(self.directions, generator.name, generator.fingerprint, provenance)

    @checked
    def save(self, path: str | Path) -> Path:
        """Write the bank to one safetensors file, atomically.

        Vectors are stored as float32. Config, evidence and provenance are stored as JSON, so
        that tuples come back as lists.

        Raises:
            LatdirError: The file cannot be written, or evidence is not finite or not JSON.
        """
        # Here, so that banks in memory need no pydantic.
        from directions.storage import bank_format

        header = {
            "generator": self.generator,
            "fingerprint": self.fingerprint,
            "directions": [_entry(d, bank_format.PLAIN) for d in self.directions],
            "provenance": plain(self.provenance, "provenance"),
        }
        bases = {d.space: d.basis for d in self.directions if hasattr(d, "basis")}
        header |= {"bases": {name: basis.entry() for name, basis in bases.items()}} if bases else {}
        parts = {name: basis.changes for name, basis in bases.items()}
        bank_format.write(path, header, [d.vector for d in self.directions], parts)
        return Path(path)

    @classmethod
    @checked
    def load(cls, path: str | Path, generator: Generator | None = None) -> DirectionBank:
        """Read a bank file.

        Args:
            path: A file written by `save`.
            generator: When given, the bank is refused unless it belongs to it.

        Raises:
            LatdirError: Not a bank, broken, or of another generator.
        """
        from directions.storage import bank_format

        header, vectors, parts = bank_format.read(path)
        stored = zip(header.directions, vectors, strict=True)
        try:
            bases = _bases(header.bases, parts)
            made = tuple(_direction(*pair, bank_format.PLAIN, bases) for pair in stored)
            bank = cls(made, header.generator, header.fingerprint, header.provenance)
        except LatdirError as error:
            raise BankError(f"{path} is broken: {error}") from error
        return bank if generator is None else bank.check(generator)

    def summary(self) -> str:
        """The bank as a plain-text table: name, space, sigma, effect of a step, evidence."""
        return table.text(self.directions, owner=self._owner)

    def to_frame(self) -> Any:
        """One row per direction: space, sigma, calibration and every number of the evidence.

        Returns:
            A pandas data frame, or an Arrow table where pandas is not installed.
        """
        return table.frame(table.columns_of(self.directions))

    @property
    def _owner(self) -> str:
        return f"{self.generator} ({self.fingerprint[:12]}…)"

    def __repr__(self) -> str:
        return f"DirectionBank({self.generator}: {_listed(self) if self else 'empty'})"

    def _repr_html_(self) -> str:
        return table.html(self.directions, owner=self._owner)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


def _listed(names: Iterable[str]) -> str:
    """Names for a message: all of them, or the first twenty and how many more."""
    names = list(names)
    more = f", … ({len(names)} in all)" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more if names else "none"


def _entry(direction: Direction, plainly: Iterable[str]) -> dict[str, Any]:
    values = {name: getattr(direction, name) for name in plainly}
    calibration = direction.calibration and asdict(direction.calibration)
    entry: dict[str, Any] = plain(
        {**values, "calibration": calibration}, f"direction {direction.name!r}"
    )
    return entry


def _bases(
    entries: Mapping[str, BasisEntry], parts: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, WeightBasis]:
    """The changes of weights that a file holds, by the space of their codes."""
    if not entries:
        return {}
    from directions.weight_space import WeightBasis

    made = [WeightBasis(**dict(entry), changes=parts[space]) for space, entry in entries.items()]
    found = {basis.space.name: basis for basis in made}
    if wrong := sorted(set(entries) - set(found)):
        raise BankError(f"the changes of {wrong[0]!r} are not those it was saved with")
    return found


def _direction(
    entry: DirectionEntry,
    vector: Tensor,
    plainly: Iterable[str],
    bases: Mapping[str, WeightBasis],
) -> Direction:
    values = {name: getattr(entry, name) for name in plainly}
    calibration = entry.calibration and Calibration(**entry.calibration.model_dump())
    values |= {"vector": vector, "calibration": calibration}
    if entry.space in bases:
        from directions.weight_space import WeightDirection

        return WeightDirection(**values, basis=bases[entry.space])
    return Direction(**values)
