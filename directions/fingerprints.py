"""What identifies a model: a hash of its weights and settings, or of all a function reaches."""

from __future__ import annotations

import dis
import hashlib
import inspect
import json
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from directions.errors import LatdirError

__all__ = [
    "CachedFingerprint",
    "Parts",
    "Precision",
    "callable_parts",
    "evaluating",
    "fingerprint",
    "module_of",
]

Precision = Literal["float32", "bfloat16"]
# Values of a tensor that a look for changes adds up.
GLANCED = 64
REMEDY = "give a version='…' that you change when the function changes"
# Functions of these places are known by their names, and so are the toolkit's decorators.
INSTALLED = (
    *(str(Path(sysconfig.get_path(key)).resolve()) for key in ("stdlib", "purelib", "platlib")),
    str(Path(__file__).resolve().parent / "arguments"),
)


def fingerprint(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    """sha256 over named tensors and a configuration, independent of device and order.

    Args:
        tensors: Weights and buffers by name.
        config: JSON values.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> fingerprint({"w": torch.zeros(2)}, {"size": 64})[:8]
        '95967ee7'
    """
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class CachedFingerprint:
    """A fingerprint that is computed again once a weight has changed, in place or not.

    Looking costs a few sums; hashing all weights may take a second.

    Example:
        >>> weights, cached = {"w": torch.zeros(2)}, CachedFingerprint()
        >>> before = cached(weights, {})
        >>> _ = weights["w"].add_(1)
        >>> cached(weights, {}) == before
        False
    """

    def __init__(self) -> None:
        self._state: object = None
        self._value = ""

    def __call__(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
        """The fingerprint of these tensors and this configuration."""
        state = (_glance(tensors), json.dumps(config, sort_keys=True))
        if state != self._state:
            self._value = fingerprint(tensors, config)
            self._state = state
        return self._value


def _glance(tensors: Mapping[str, Tensor]) -> tuple[object, ...]:
    """What changes when tensors are replaced or written to: addresses, versions, a few values.

    The values are there for writes past autograd, through `.data` or NumPy.
    """
    known, values = [], []
    for name in sorted(tensors):
        t = tensors[name].detach()
        version = 0 if t.is_inference() else t._version
        known.append((name, t.data_ptr(), version, t.dtype, tuple(t.shape)))
        values.append(t.reshape(-1)[:: max(1, t.numel() // GLANCED)].double().sum())
    if not values:
        return ()
    # Brought over together: each read of a card waits for it.
    return *known, *torch.stack([v.to(values[0].device) for v in values]).tolist()


@dataclass
class Parts:
    """Fingerprint of a function.

    Attributes:
        tensors: Weights and buffers, by the path they were reached by.
        config: JSON values, by the path they were reached by.
        modules: The modules it calls.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    modules: list[nn.Module] = field(default_factory=list)


def callable_parts(function: object, *, remedy: str = REMEDY) -> Parts:
    """All that the result of a function depends on, as far as it can be reached.

    It covers its code, defaults, closure and the globals it reads, followed
    through partials, methods, objects and other functions of the user's own. Modules and arrays
    count by their values, functions of installed packages by their names.

    Args:
        function: Any callable, or values handed to one.
        remedy: Advice of the message where something cannot be hashed.

    Raises:
        LatdirError: It reaches an object without a value, such as an open file.

    Example:
        >>> def scaled(k):
        ...     return lambda x: k * x
        >>> one, two, again = (callable_parts(scaled(k)) for k in (1, 2, 2))
        >>> one.config == two.config, two.config == again.config
        (False, True)
    """
    search = _Search(remedy)
    search.reach(function, "function")
    return search.parts


def module_of(function: object) -> nn.Module | None:
    """The module that a function is, or is a bound method of."""
    owner = function if isinstance(function, nn.Module) else getattr(function, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


@contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Evaluation mode for a while: each part of each module gets back the mode it had."""
    training = [part for module in modules for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


class _Search:
    """A walk over everything that a function reaches."""

    def __init__(self, remedy: str) -> None:
        self.parts = Parts()
        self.remedy = remedy
        # Objects met, by id; held, so that no other object takes an id.
        self.met: dict[int, tuple[object, str]] = {}

    def reach(self, value: object, at: str) -> None:
        """Add one value, reached by the path `at`."""
        plain = _plain(value)
        if plain is not None:
            self.parts.config[at] = plain
            return
        if isinstance(value, Tensor):
            self.parts.tensors[at] = value
            return
        if id(value) in self.met:
            self.parts.config[at] = f"as {self.met[id(value)][1]}"
            return
        self.met[id(value)] = (value, at)
        for part, name in self._inside(value, at):
            self.reach(part, f"{at}{name}")

    def _inside(self, value: object, at: str) -> Iterator[tuple[object, str]]:
        """The values that make up a value, and what to append to its path for each."""
        if isinstance(value, FunctionType):
            yield from self._function(value, at)
        elif isinstance(value, partial):
            yield from ((value.func, ".func"), (value.args, ".args"), (value.keywords, ".keywords"))
        elif isinstance(value, MethodType):
            yield from ((value.__func__, ".function"), (value.__self__, ".self"))
        elif isinstance(value, nn.Module):
            self.parts.modules.append(value)
            self.parts.config[at] = _name_of(type(value))
            yield from ((v, f".{k}") for k, v in value.state_dict().items())
            if not _installed(type(value)):
                yield type(value).forward, ".forward"
        elif isinstance(value, Mapping):
            self.parts.config[at] = sorted(map(repr, value))
            yield from ((value[key], f"[{key!r}]") for key in sorted(value, key=repr))
        elif isinstance(value, list | tuple | set | frozenset):
            items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            self.parts.config[at] = [type(value).__name__, len(value)]
            yield from ((item, f"[{i}]") for i, item in enumerate(items))
        elif isinstance(value, type):
            self.parts.config[at] = [_name_of(value), None if _installed(value) else _source(value)]
        elif isinstance(fingerprint := getattr(value, "fingerprint", None), str):
            self.parts.config[at] = fingerprint
        elif hasattr(value, "__dict__") and not isinstance(value, ModuleType):
            self._refuse_state(value, at)
            self.parts.config[at] = _name_of(type(value))
            yield vars(value), ".__dict__"
            if callable(value) and not _installed(type(value)):
                yield type(value).__call__, ".__call__"
        else:
            self._refuse_state(value, at, always=True)

    def _function(self, function: FunctionType, at: str) -> Iterator[tuple[object, str]]:
        self.parts.config[at] = _name_of(function)
        if _installed(function):
            # A decorator, such as torch.no_grad, has the name of what it is around.
            yield getattr(function, "__wrapped__", None), ".wrapped"
            return
        self.parts.config[f"{at}.source"] = _source(function)
        yield function.__defaults__, ".defaults"
        yield function.__kwdefaults__, ".kwdefaults"
        cells = function.__closure__ or ()
        for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
            try:
                inside = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            yield inside, f".{name}"
        for name in sorted(_globals_of(function.__code__)):
            if name in function.__globals__:
                yield function.__globals__[name], f".{name}"

    def _refuse_state(self, value: object, at: str, *, always: bool = False) -> None:
        """Refuse objects with state outside their attributes: files, random states, C objects."""
        if (
            always
            or isinstance(value, torch.Generator | np.random.Generator)
            or hasattr(value, "fileno")
        ):
            what = at.removeprefix("function").lstrip(".") or "it"
            raise LatdirError(
                f"a {type(value).__name__} that the function reads ({what}) has no value to hash: "
                f"{self.remedy}"
            )


def _plain(value: object) -> Any:
    """The JSON form of a value without parts; None for others."""
    if isinstance(value, torch.device):
        return "device"  # the device does not change the result
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return [type(value).__name__, repr(value)]
    if isinstance(value, torch.dtype | torch.Size | np.dtype | PurePath | Enum | range | slice):
        return repr(value)
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        data = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return [str(value.dtype), list(value.shape), data]
    if isinstance(value, BuiltinFunctionType | np.ufunc):
        # A method of a C object belongs to that object.
        owner = getattr(value, "__self__", None)
        if owner is None or isinstance(owner, ModuleType | type):
            return getattr(value, "__qualname__", repr(value))
    return None


def _globals_of(code: CodeType) -> set[str]:
    """Names of the globals that a code object and those inside it read."""
    names = {
        i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _globals_of(constant)
    return names


def _source(thing: FunctionType | type) -> list[str]:
    """The text of a function or class; its compiled form too where the text is not enough."""
    try:
        text = inspect.getsource(thing)
    except (OSError, TypeError):
        text = ""
    if isinstance(thing, FunctionType) and (not text or text.count("lambda") > 1):
        # Two lambdas on a line have one text.
        return [text, _compiled(thing.__code__)]
    return [text]


def _compiled(code: CodeType) -> str:
    consts = [_compiled(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code.hex(), consts, code.co_names))


def _installed(thing: FunctionType | type) -> bool:
    """Whether it comes with Python or an installed package."""
    try:
        path = inspect.getfile(thing)
    except (OSError, TypeError):
        # Classes of C, and classes of a notebook.
        return isinstance(thing, type) and thing.__module__ not in ("__main__", "__mp_main__")
    return str(Path(path).resolve()).startswith(INSTALLED)


def _name_of(thing: FunctionType | type) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"
