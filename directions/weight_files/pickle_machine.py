"""A restricted unpickler that executes nothing: opcodes in, plain values and inert records out.

It supports the opcodes of protocols 2 to 5 that checkpoints use. A global is looked up in
a fixed table (`directions.weight_files.pickle_objects`) and is mapped to one of this package's own
functions; any other name is refused, no attribute is ever fetched and no object of the file is
ever called. Memory is bounded by a small multiple of the file's size: every opcode is charged
for the objects it creates, byte strings are views of the file, and lengths are checked before use.

Why not `pickle.Unpickler` with a list of allowed names, or `torch.load(weights_only=True)`?

* Memory: either allocates what a file requests. A pickle of 100 bytes can request gigabytes; here
  it is refused once it passes a few times its own size.
* Inert records: NVIDIA's and TensorFlow's checkpoints are pickles of the project's own classes,
  which neither can load without that project's code. Here they become names with attributes.
* Nothing of a file is called: both fetch real functions and call them with the file's arguments,
  so that each allowed name has to be proved harmless. Here only this package's functions are.

Source: PEP 307, PEP 574, PEP 3154 and the opcode list of the standard library's `pickletools`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, no_type_check

from directions.errors import CheckpointError, LatdirError

__all__ = ["Budget", "Call", "Global", "Table", "unpickle"]

FLOOR = 16 << 20
FACTOR = 4
MOST_STEPS = 20_000_000
LONGEST_NAME = 256

# Bytes that CPython allocates for an opcode's result, rounded up.
REFERENCE, NUMBER, MARKER, ENTRY, OBJECT = 8, 40, 128, 128, 256

Call = Callable[["Budget", tuple[Any, ...]], Any]


@no_type_check
class Budget:
    """Memory budget of the values of one file.

    Args:
        size: Bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self.left = FLOOR + FACTOR * size
        self.steps = MOST_STEPS
        self.nesting = False

    def charge(self, amount: int) -> None:
        """Take one step and `amount` bytes.

        Raises:
            LatdirError: Nothing is left.
        """
        self.left -= amount
        self.steps -= 1
        if self.left < 0 or self.steps < 0:
            raise CheckpointError("its pickle unpacks to far more than the file's own size")


@dataclass(frozen=True)
class Global:
    """A name that a pickle may use.

    Attributes:
        name: Its full name.
        call: Its function of arguments; None where it is only an argument itself.
        value: Its value as an argument.
    """

    name: str
    call: Call | None = None
    value: Any = None


Table = Mapping[str, Global]


def unpickle(
    data: memoryview,
    start: int,
    table: Table,
    budget: Budget,
    *,
    persistent: Callable[[Any], Any] | None = None,
) -> tuple[Any, int]:
    """The value that one pickle describes, and where the pickle ends.

    Args:
        data: The whole file.
        start: Where the pickle begins.
        table: Names it may use.
        budget: Memory it may use; shared by all pickles of a file.
        persistent: Meaning of a persistent identifier; None refuses them.

    Raises:
        LatdirError: A name that is not in the table, an unknown opcode, a truncated or damaged
            pickle, or one that would take much more memory than the file.

    Example:
        >>> import pickle
        >>> data = memoryview(pickle.dumps({"size": (64, 64)}))
        >>> unpickle(data, 0, {}, Budget(len(data)))[0]
        {'size': (64, 64)}
        >>> data = memoryview(pickle.dumps(print))
        >>> unpickle(data, 0, {}, Budget(len(data)))
        Traceback (most recent call last):
        ...
        directions.errors.CheckpointError: it asks for 'builtins.print', which no checkpoint needs:
        it was refused and nothing in the file was run
    """
    machine = _Machine(data, start, table, budget, persistent)
    try:
        return machine.run(), machine.at
    except LatdirError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise CheckpointError(f"its pickle is damaged near byte {machine.at}") from error


# Types checked at every opcode would take a hundred times as long as the opcodes.
@no_type_check
class _Machine:
    """The stack, the memo and one method for each opcode."""

    def __init__(
        self,
        data: memoryview,
        start: int,
        table: Table,
        budget: Budget,
        persistent: Callable[[Any], Any] | None,
    ) -> None:
        self.data, self.at, self.end = data, start, len(data)
        self.table, self.budget, self.persistent = table, budget, persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self.take(1)[0]) != STOP:
            step = STEPS.get(code)
            if step is None:
                raise CheckpointError(
                    f"its pickle has the opcode 0x{code:02x} at byte {self.at - 1}, "
                    "which no checkpoint needs"
                )
            step(self)
        value = self.stack.pop()
        if self.stack or self.marks:
            raise ValueError
        return value

    def take(self, count: int) -> memoryview:
        if count > self.end - self.at:
            raise CheckpointError("its pickle is cut off: download or copy the file again")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def push(self, value: Any, cost: int = REFERENCE) -> None:
        self.budget.charge(cost)
        self.stack.append(value)

    def popped(self) -> list[Any]:
        """Everything above the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def protocol(self) -> None:
        version = self.number(1)
        if not 2 <= version <= 5:
            raise CheckpointError(f"its pickle has protocol {version}; 2 to 5 can be read")

    def frame(self) -> None:
        if self.number(8) > self.end - self.at:
            raise CheckpointError("its pickle is cut off: download or copy the file again")

    def mark(self) -> None:
        self.budget.charge(MARKER)
        self.marks.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        self.budget.charge(0)
        if self.stack:
            self.stack.pop()
        else:
            self.popped()

    def text(self, size: int) -> None:
        raw = self.take(size)
        self.budget.charge(OBJECT + 4 * size)
        self.stack.append(str(raw, "utf-8", "surrogatepass"))

    def latin(self, size: int) -> None:
        raw = self.take(size)
        self.budget.charge(OBJECT + size)
        self.stack.append(str(raw, "latin-1"))

    def view(self, size: int) -> None:
        self.push(self.take(size), OBJECT)

    def long(self, size: int) -> None:
        # The longest that any checkpoint holds is torch's magic number of ten bytes.
        if size > 16:
            raise CheckpointError(f"its pickle has an integer of {size} bytes")
        self.push(int.from_bytes(self.take(size), "little", signed=True), NUMBER)

    def group(self, count: int) -> None:
        items = self.stack[-count:]
        if len(items) != count:
            raise IndexError
        del self.stack[-count:]
        self.push(tuple(items), MARKER)

    def extend(self, items: list[Any]) -> None:
        self.budget.charge(MARKER + 2 * REFERENCE * len(items))
        _exactly(self.stack[-1], list).extend(items)

    def fill(self, items: list[Any]) -> None:
        target = _exactly(self.stack[-1], dict)
        if len(items) % 2:
            raise ValueError
        self.budget.charge(OBJECT + ENTRY * len(items))
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def add(self, items: list[Any]) -> None:
        self.budget.charge(OBJECT + ENTRY * len(items))
        _exactly(self.stack[-1], set).update(map(_key, items))

    def frozen(self) -> None:
        items = self.popped()
        self.push(frozenset(map(_key, items)), OBJECT + ENTRY * len(items))

    def closed(self) -> None:
        items = self.popped()
        self.push(tuple(items), MARKER + REFERENCE * len(items))

    def put(self, index: int) -> None:
        self.budget.charge(ENTRY)
        self.memo[index] = self.stack[-1]

    def line(self) -> str:
        limit = min(self.at + LONGEST_NAME, self.end)
        for stop in range(self.at, limit):
            if self.data[stop] == 0x0A:
                return str(self.take(stop + 1 - self.at)[:-1], "utf-8")
        raise ValueError

    def named(self) -> None:
        module, name = self.line(), self.line()
        self.find(module, name)

    def stacked(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.find(_exactly(module, str), _exactly(name, str))

    def find(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in self.table:
            shown = full if len(full) <= LONGEST_NAME else full[:LONGEST_NAME] + "…"
            raise CheckpointError(
                f"it asks for {shown!r}, which no checkpoint needs: "
                "it was refused and nothing in the file was run"
            )
        self.push(self.table[full], OBJECT)

    def call(self) -> None:
        arguments, known = self.stack.pop(), self.stack.pop()
        arguments = _exactly(arguments, tuple)
        if type(known) is not Global or known.call is None:
            raise CheckpointError("its pickle calls something that is not a function")
        self.push(known.call(self.budget, arguments), OBJECT)

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        # A dictionary's own attributes, such as a state dict's versions, carry no weights.
        if type(target) is not dict:
            set_state = getattr(type(target), "set_state", None)
            if set_state is None:
                raise CheckpointError(f"its pickle sets the state of a {type(target).__name__}")
            set_state(target, state)

    def identify(self) -> None:
        if self.persistent is None:
            raise CheckpointError("its pickle refers to objects outside of it")
        self.push(self.persistent(self.stack.pop()), OBJECT)


@no_type_check
def _exactly(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


@no_type_check
def _key(value: Any) -> Any:
    """A key whose hash is cheap: nested tuples can take exponential time, long integers collide."""
    if type(value) not in (str, int, bool, type(None)):
        raise CheckpointError(f"its pickle has a {type(value).__name__} as a key")
    if type(value) is int and not -(2**63) <= value < 2**64:
        raise CheckpointError("its pickle has a very large number as a key")
    return value


STOP = ord(".")
STEPS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    0x95: _Machine.frame,
    ord("("): _Machine.mark,
    ord("0"): _Machine.pop,
    ord("1"): lambda m: (m.popped(), None)[1],
    ord("2"): lambda m: m.push(m.stack[-1]),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True), NUMBER),
    ord("K"): lambda m: m.push(m.number(1)),
    ord("M"): lambda m: m.push(m.number(2), NUMBER),
    0x8A: lambda m: m.long(m.number(1)),
    0x8B: lambda m: m.long(m.number(4)),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0], NUMBER),
    0x8C: lambda m: m.text(m.number(1)),
    ord("X"): lambda m: m.text(m.number(4)),
    0x8D: lambda m: m.text(m.number(8)),
    ord("U"): lambda m: m.latin(m.number(1)),
    ord("T"): lambda m: m.latin(m.number(4)),
    ord("C"): lambda m: m.view(m.number(1)),
    ord("B"): lambda m: m.view(m.number(4)),
    0x8E: lambda m: m.view(m.number(8)),
    0x96: lambda m: m.view(m.number(8)),
    ord(")"): lambda m: m.push(()),
    0x85: lambda m: m.group(1),
    0x86: lambda m: m.group(2),
    0x87: lambda m: m.group(3),
    ord("t"): _Machine.closed,
    ord("]"): lambda m: m.push([], MARKER),
    ord("a"): lambda m: m.extend([m.stack.pop()]),
    ord("e"): lambda m: m.extend(m.popped()),
    ord("}"): lambda m: m.push({}, MARKER),
    ord("s"): lambda m: m.fill([m.stack.pop(-2), m.stack.pop()]),
    ord("u"): lambda m: m.fill(m.popped()),
    0x8F: lambda m: m.push(set(), OBJECT),
    0x90: lambda m: m.add(m.popped()),
    0x91: _Machine.frozen,
    ord("q"): lambda m: m.put(m.number(1)),
    ord("r"): lambda m: m.put(m.number(4)),
    0x94: lambda m: m.put(len(m.memo)),
    ord("h"): lambda m: m.push(m.memo[m.number(1)]),
    ord("j"): lambda m: m.push(m.memo[m.number(4)]),
    ord("c"): _Machine.named,
    0x93: _Machine.stacked,
    ord("R"): _Machine.call,
    0x81: _Machine.call,
    ord("b"): _Machine.build,
    ord("Q"): _Machine.identify,
}
