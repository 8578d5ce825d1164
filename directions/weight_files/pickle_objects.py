"""Objects allowed in a checkpoint's pickle: tensors, arrays, and networks as inert records.

Every name here is mapped to one of this module's own functions, which check their arguments and
make plain values. A tensor is a description of a view into its storage, checked against the
storage's size; no memory is allocated for it before it is requested.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from directions.errors import CheckpointError
from directions.weight_files.pickle_machine import Budget, Global, Table

__all__ = ["Array", "Record", "Scripted", "Storage", "View", "constructors"]

STORAGES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclass
class Storage:
    """One block of numbers of a torch file.

    Attributes:
        dtype: Their type.
        count: Number of elements.
        data: Their bytes; set once the container has located them.
    """

    dtype: torch.dtype
    count: int
    data: memoryview | None = None


@dataclass(frozen=True)
class View:
    """A tensor not yet created: its location in its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * self.storage.dtype.itemsize

    def tensor(self) -> Tensor:
        """The tensor, in its own memory."""
        if self.storage.data is None:
            raise CheckpointError("a tensor's numbers are not in the file")
        if not self.size:
            return torch.empty(self.shape, dtype=self.storage.dtype)
        width = self.storage.dtype.itemsize
        steps = zip(self.shape, self.stride, strict=True)
        count = 1 + sum((n - 1) * step for n, step in steps)
        # A copy of the span alone is aligned and writable, which the file's bytes may not be.
        span = bytearray(self.storage.data[self.offset * width : (self.offset + count) * width])
        flat = torch.frombuffer(span, dtype=self.storage.dtype)
        return flat.as_strided(self.shape, self.stride).contiguous()


@dataclass
class Kind:
    """A numpy dtype: its name and byte order."""

    name: str
    order: Literal["<", ">", "=", "|"] = "="

    def set_state(self, state: Any) -> None:
        """Take the byte order from a pickled dtype's state."""
        order = state[1] if type(state) is tuple and len(state) > 1 else None
        if order not in ("<", ">", "=", "|"):
            raise CheckpointError("a numpy dtype in it is damaged")
        self.order = order

    def dtype(self) -> np.dtype[Any]:
        """The dtype, of plain numbers only."""
        if not re.fullmatch(r"[<>=|]?(f[248]|[iu][1248]|b1)", self.name):
            raise CheckpointError(f"it holds a numpy array of type {self.name[:40]!r}, not numbers")
        return np.dtype(self.name).newbyteorder(self.order)


@dataclass
class Array:
    """A numpy array that has not been made."""

    kind: Kind | None = None
    shape: tuple[int, ...] = ()
    fortran: bool = False
    data: Any = None
    axes: tuple[int, ...] | None = None

    def set_state(self, state: Any) -> None:
        """Take shape, type and numbers from a pickled array's state."""
        if type(state) is not tuple or len(state) != 5 or self.kind is not None:
            raise CheckpointError("a numpy array in it is damaged")
        _, shape, kind, fortran, data = state
        self._set(kind, shape, fortran=bool(fortran), data=data)

    def _set(self, kind: Any, shape: Any, *, fortran: bool, data: Any) -> None:
        if type(data) is str:
            data = memoryview(data.encode("latin-1"))
        if type(kind) is not Kind or type(data) is not memoryview:
            raise CheckpointError("a numpy array in it holds objects, not numbers")
        shape = _sizes(shape)
        if math.prod(shape) * kind.dtype().itemsize != len(data):
            raise CheckpointError(f"a numpy array of shape {list(shape)} has {len(data)} bytes")
        self.kind, self.shape, self.fortran, self.data = kind, shape, fortran, data

    @classmethod
    def scalar(cls, value: float) -> Array:
        """An array of one number and no axes."""
        array = cls()
        array._set(Kind("f8"), (), fortran=False, data=memoryview(np.float64(value).tobytes()))
        return array

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return 0 if self.data is None else len(self.data)

    def tensor(self) -> Tensor:
        """The array as a tensor, in its own memory."""
        if self.kind is None:
            raise CheckpointError("a numpy array's numbers are not in the file")
        flat = np.frombuffer(self.data, dtype=self.kind.dtype())
        array = flat.reshape(self.shape, order="F" if self.fortran else "C")
        if self.axes is not None:
            array = array.transpose(self.axes)
        return torch.from_numpy(array.astype(self.kind.dtype().newbyteorder("="), order="C"))


@dataclass
class Record:
    """An object of an unknown class: its name and state. Nothing in it can be called.

    Attributes:
        kind: Full name of its class.
        state: Its attributes.
    """

    kind: str
    state: dict[str, Any] = field(default_factory=dict)

    def set_state(self, state: Any) -> None:
        """Take the attributes, once."""
        if type(state) is not dict or self.state:
            raise CheckpointError(f"an object {self.kind} in it is damaged")
        self.state = state


def _sizes(value: Any) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > 16:
        raise CheckpointError("a tensor in it has no proper shape")
    if any(type(n) is not int or not 0 <= n < 2**40 for n in value):
        # Not shown: the text of nested values can be endless.
        raise CheckpointError("a tensor in it has a shape, strides or offset that none can have")
    return value


def _tensor(budget: Budget, arguments: tuple[Any, ...]) -> View:
    storage, offset, shape, stride = arguments[:4]
    if type(storage) is not Storage:
        raise CheckpointError("a tensor in it has no storage")
    shape, stride, (offset,) = _sizes(shape), _sizes(stride), _sizes((offset,))
    count = math.prod(shape)
    if len(shape) != len(stride):
        raise CheckpointError(f"a tensor of shape {list(shape)} has strides {list(stride)}")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    # More elements than the storage holds would be a small file that unfolds to a large one.
    if count and (last >= storage.count or count > storage.count):
        raise CheckpointError(
            f"a tensor of shape {list(shape)} and strides {list(stride)} at {offset} "
            f"does not fit its storage of {storage.count} elements"
        )
    return View(storage, offset, shape, stride)


def _parameter(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    if type(arguments[0]) is not View:
        raise CheckpointError("a parameter in it is not a tensor")
    return arguments[0]


def _bytes(value: Any) -> memoryview:
    if type(value) is str:
        return memoryview(value.encode("latin-1"))
    if type(value) is not memoryview:
        raise CheckpointError(f"it has a {type(value).__name__} where bytes are needed")
    return value


def _encode(budget: Budget, arguments: tuple[Any, ...]) -> memoryview:
    """Bytes as protocol 2 writes them: as text, to be encoded."""
    text, encoding = arguments
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise CheckpointError("it has bytes in an unknown encoding")
    budget.charge(len(text))
    return memoryview(text.encode("latin-1"))


def _buffer(budget: Budget, arguments: tuple[Any, ...]) -> memoryview:
    if not arguments:
        return memoryview(b"")
    return _encode(budget, arguments) if len(arguments) == 2 else _bytes(arguments[0])


def _dict(budget: Budget, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Dictionaries of any class; old ordered ones come with a list of pairs."""
    made: dict[Any, Any] = {}
    for item in arguments:
        if type(item) is dict:
            budget.charge(128 * len(item))
            made.update(item)
        elif type(item) is list:
            budget.charge(128 * len(item))
            for key, value in item:
                if type(key) is not str:
                    raise CheckpointError("a dictionary in it is damaged")
                made[key] = value
        elif type(item) is not Global:
            raise CheckpointError("a dictionary in it is damaged")
    return made


def _set(budget: Budget, arguments: tuple[Any, ...]) -> set[Any]:
    items = arguments[0] if arguments else []
    if type(items) is not list or any(type(i) not in (str, int) for i in items):
        raise CheckpointError("a set in it is damaged")
    budget.charge(128 * len(items))
    return set(items)


def _persistent_object(budget: Budget, arguments: tuple[Any, ...]) -> Record:
    """NVIDIA's modules: their stored source text is ignored."""
    (meta,) = arguments
    if type(meta) is not dict or type(meta.get("state")) is not dict:
        raise CheckpointError("a network in it is damaged")
    name = meta.get("class_name")
    return Record(name[:256] if type(name) is str else "network", meta["state"])


def _dtype(budget: Budget, arguments: tuple[Any, ...]) -> Kind:
    if not arguments or type(arguments[0]) is not str:
        raise CheckpointError("a numpy dtype in it is damaged")
    return Kind(arguments[0])


def _scalar(budget: Budget, arguments: tuple[Any, ...]) -> float | int | bool:
    kind, data = arguments
    array = Array()
    array._set(kind, (1,), fortran=False, data=data)
    value: float | int | bool = array.tensor().item()
    return value


def _from_buffer(budget: Budget, arguments: tuple[Any, ...]) -> Array:
    data, kind, shape, order, *rest = arguments
    axes = rest[0] if rest else None
    if axes is not None and (type(axes) is not tuple or sorted(axes) != list(range(len(shape)))):
        raise CheckpointError("a numpy array in it is damaged")
    array = Array(axes=axes if order == "K" else None)
    array._set(kind, shape, fortran=order == "F", data=data)
    return array


def _size(budget: Budget, arguments: tuple[Any, ...]) -> tuple[int, ...]:
    return _sizes(arguments[0])


def _device(budget: Budget, arguments: tuple[Any, ...]) -> str:
    return str(arguments[0])[:64] if arguments and type(arguments[0]) is str else "cpu"


def _record(kind: str) -> Global:
    return Global(kind, lambda budget, arguments: Record(kind))


def constructors(read_nested: Callable[[memoryview, Budget], Storage]) -> Table:
    """Every name that a checkpoint may use.

    Args:
        read_nested: Reads the torch file that NVIDIA's pickles keep for each tensor.

    Example:
        >>> table = constructors(lambda data, budget: Storage(torch.float32, 0))
        >>> "torch._utils._rebuild_tensor_v2" in table, "builtins.eval" in table
        (True, False)
    """

    def nested(budget: Budget, arguments: tuple[Any, ...]) -> Storage:
        (data,) = arguments
        return read_nested(_bytes(data), budget)

    calls = {
        "collections.OrderedDict": _dict,
        "collections.defaultdict": _dict,
        "collections.Counter": _dict,
        "dnnlib.util.EasyDict": _dict,
        "dnnlib.EasyDict": _dict,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch.storage._load_from_bytes": nested,
        "torch.Size": _size,
        "torch.device": _device,
        "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
        "_codecs.encode": _encode,
        "numpy.dtype": _dtype,
    }
    for builtins in ("builtins", "__builtin__"):
        calls |= {
            f"{builtins}.bytes": _buffer,
            f"{builtins}.bytearray": _buffer,
            f"{builtins}.set": _set,
            f"{builtins}.frozenset": _set,
            f"{builtins}.dict": _dict,
        }
    # numpy 2 renamed its core.
    for core in ("numpy.core", "numpy._core"):
        calls |= {
            f"{core}.multiarray._reconstruct": lambda budget, arguments: Array(),
            f"{core}.multiarray.scalar": _scalar,
            f"{core}.numeric._frombuffer": _from_buffer,
        }
    made = {name: Global(name, call) for name, call in calls.items()}
    for kind in ("argparse.Namespace", "dnnlib.tflib.network.Network", "tfutil.Network"):
        made[kind] = _record(kind)
    for module in ("torch", "torch.cuda"):
        for name, dtype in STORAGES.items():
            made[f"{module}.{name}"] = Global(f"{module}.{name}", value=dtype)
    for dtype in STORAGES.values():
        made[str(dtype)] = Global(str(dtype), value=dtype)
    made["torch.storage.UntypedStorage"] = Global("torch.storage.UntypedStorage", value=torch.uint8)
    made["numpy.ndarray"] = Global("numpy.ndarray")
    return made


class Scripted(dict[str, Global]):
    """A table that also takes the names of a TorchScript archive.

    Its modules are records of their attributes, and its typed lists are plain lists; the code
    that the archive keeps for them is in other members and is not read.
    """

    MODULES, LISTS = "__torch__.", "torch.jit._pickle."

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or str(name).startswith((self.MODULES, self.LISTS))

    def __missing__(self, name: str) -> Global:
        return _record(name) if name.startswith(self.MODULES) else Global(name, _first)


def _first(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    return arguments[0]
