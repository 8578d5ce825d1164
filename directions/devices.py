"""Devices by name, and models moved to them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import cached_property
from types import MethodType
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from directions.errors import LatdirError, described

__all__ = [
    "Device", "InDtype", "Movable", "available_devices", "device_name", "ieee_float32", "moved",
    "resolve_device", "sent",
]  # fmt: skip

M = TypeVar("M")

Device = str | torch.device
"""`auto`, `cpu`, `cuda`, `cuda:1`, `mps`, or a torch device."""


def available_devices() -> tuple[str, ...]:
    """Names of the devices of this machine.

    Example:
        >>> available_devices()[0]
        'cpu'
    """
    cards = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    return ("cpu", *cards, *(("mps",) if torch.backends.mps.is_available() else ()))


def resolve_device(device: Device) -> torch.device:
    """The device of a name.

    Args:
        device: `auto` is the current CUDA device where there is one, otherwise the CPU; `mps`,
            which has no float64, has to be named.

    Raises:
        LatdirError: No device of that name on this machine.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
        >>> resolve_device("gpu")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: no device 'gpu': a device is auto, cpu, cuda, cuda:1 or mps
    """
    if not isinstance(device, str | torch.device):
        raise LatdirError(
            f"device is {described(device)}: a device is auto, cpu, cuda, cuda:1 or mps"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise LatdirError(
            f"no device {device!r}: a device is auto, cpu, cuda, cuda:1 or mps"
        ) from error
    if wanted.type == "cuda" and torch.cuda.is_available():
        index = torch.cuda.current_device() if wanted.index is None else wanted.index
        wanted = torch.device("cuda", index)
    if wanted.type not in ("cuda", "mps"):
        return wanted  # without a look at the machine's cards
    known = available_devices()
    if str(wanted) not in known:
        built = torch.version.cuda is not None or wanted.type != "cuda"
        raise LatdirError(
            f"there is no device {str(wanted)!r} here: there is {', '.join(known)}"
            + ("" if built else "; this PyTorch was built without CUDA")
        )
    return wanted


def device_name(device: torch.device) -> str:
    """The name of a device for records, with the model of a CUDA card.

    Example:
        >>> device_name(torch.device("cpu"))
        'cpu'
    """
    card = device.type == "cuda" and torch.cuda.is_available()
    return f"{device} ({torch.cuda.get_device_name(device)})" if card else str(device)


class Movable:
    """A model with weights that can be moved.

    Values that are computed from the weights and kept are moved with them or computed again.
    """

    # Independent of device and dtype of the weights: kept as they are.
    _stays: ClassVar[tuple[str, ...]] = ("fingerprint", "_priors")

    def to(self: M, device: Device | None = None, dtype: torch.dtype | None = None) -> M:
        """The model on a device, its weights in a dtype.

        As a tensor's `to`, it returns the model itself where nothing changes, and otherwise a
        moved copy; the model itself stays where it is.

        Args:
            device: As for `resolve_device`; by default its own.
            dtype: Floating point, in which the weights are kept; by default their own. The name,
                the fingerprint and the dtype of the results do not change.

        Raises:
            LatdirError: No such device on this machine, or no floating-point dtype.

        Example:
            >>> from directions.generators.dcgan import digiface64
            >>> generator = digiface64()
            >>> generator.to("cpu") is generator
            True
            >>> half = generator.to(dtype=torch.bfloat16)
            >>> half.fingerprint == generator.fingerprint
            True
        """
        made: M = moved(self, device, dtype)
        return made


def moved(value: Any, device: Device | None = None, dtype: torch.dtype | None = None) -> Any:
    """A module or any other holder of tensors, moved as by `Movable.to`.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> moved(layer, dtype=torch.float64).weight.dtype, layer.weight.dtype
        (torch.float64, torch.float32)
    """
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise LatdirError(f"weights are floating point, not {dtype}: such as torch.float32")
    return _Move(None if device is None else resolve_device(device), dtype)(value)


class _Move:
    """Everything that a model holds on another device, each tensor and module once."""

    def __init__(self, device: torch.device | None, dtype: torch.dtype | None) -> None:
        self.device, self.dtype = device, dtype
        # By id; the originals are held, so that no other object takes their ids.
        self.made: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        """The value moved; itself where nothing changes."""
        if isinstance(value, torch.device):
            return value if self.device in (None, value) else self.device
        if id(value) not in self.made:
            self.made[id(value)] = (value, self._moved(value))
        return self.made[id(value)][1]

    def _moved(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, nn.Module):
            return self._module(value)
        if isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
            owner = self(value.__self__)
            return value if owner is value.__self__ else MethodType(value.__func__, owner)
        if isinstance(value, dict):
            made = {key: self(item) for key, item in value.items()}
            return value if all(made[key] is value[key] for key in value) else made
        if type(value) in (list, tuple):
            items = [self(item) for item in value]
            same = all(a is b for a, b in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if isinstance(value, Movable):
            # A part that moves in its own way, such as one that follows its inputs.
            own = type(value).to is not Movable.to
            return value.to(self.device, self.dtype) if own else self._object(value)
        return self._object(value) if is_dataclass(value) else value

    def _tensor(self, tensor: Tensor) -> Tensor:
        dtype = self.dtype if tensor.is_floating_point() else None
        device = self.device or tensor.device
        if device == tensor.device and dtype in (None, tensor.dtype):
            return tensor
        moved = sent(tensor.detach(), device).to(dtype or tensor.dtype)
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(moved, requires_grad=tensor.requires_grad)
        return moved

    def _module(self, module: nn.Module) -> nn.Module:
        tensors = [*module.parameters(), *module.buffers()]
        moved = {id(tensor): self(tensor) for tensor in tensors}
        if all(moved[id(tensor)] is tensor for tensor in tensors):
            return module
        return copy.deepcopy(module, moved)

    def _object(self, value: Any) -> Any:
        kept, held = _caches(type(value)), dict(vars(value))
        stays = getattr(value, "_stays", ())
        changed = {
            name: made
            for name, item in held.items()
            if name not in kept and name not in stays and (made := self(item)) is not item
        }
        if not changed:
            return value
        if self.dtype is not None and "fingerprint" in kept:
            # Of the weights as they were: another dtype makes no other model.
            held["fingerprint"] = value.fingerprint
        twin = object.__new__(type(value))
        vars(twin).update({k: v for k, v in held.items() if k not in kept or k in stays})
        vars(twin).update(changed)
        return twin


def _caches(kind: type) -> set[str]:
    """Names of a class's cached properties."""
    return {
        name
        for base in kind.__mro__
        for name, value in vars(base).items()
        if isinstance(value, cached_property)
    }


class InDtype:
    """A module in other dtypes than its own, each copied once.

    Args:
        module: Whose weights they are; later changes in place do not reach the copies.

    Example:
        >>> InDtype(nn.Linear(2, 2))(torch.float64).weight.dtype
        torch.float64
    """

    def __init__(self, module: nn.Module) -> None:
        self._own = next(t.dtype for t in module.parameters() if t.is_floating_point())
        self._made: Mapping[torch.dtype, nn.Module] = {self._own: module}

    def __call__(self, dtype: torch.dtype) -> Any:
        """The module in that dtype."""
        if dtype not in self._made:
            # Kept beyond a call in inference mode, for calls that want gradients.
            with torch.inference_mode(False), torch.no_grad():
                made = moved(self._made[self._own], dtype=dtype)
            self._made = {**self._made, dtype: made}
        return self._made[dtype]


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; to CUDA through page-locked memory, without waiting for it.

    Example:
        >>> sent(torch.zeros(2), torch.device("cpu"))
        tensor([0., 0.])
    """
    if device.type == "cuda" and tensor.device.type == "cpu" and torch.cuda.is_available():
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Products and convolutions of float32 as IEEE 754 has them, where a card would round to TF32.

    By default PyTorch rounds the inputs of a card's convolutions to the 10 bits of TF32, and
    `torch.set_float32_matmul_precision("high")` those of its matrix products. Images and scores
    are made as PyTorch is set; Jacobians, covariances and support vector machines, whose small
    eigenvalues and margins would be lost, are computed inside this, also as a decorator. The
    settings are the process's and are put back at the end.

    Example:
        >>> before = torch.backends.cudnn.conv.fp32_precision
        >>> with ieee_float32():
        ...     torch.backends.cudnn.conv.fp32_precision
        'ieee'
        >>> torch.backends.cudnn.conv.fp32_precision == before
        True
    """
    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    # From PyTorch 2.9 on; reading old and new settings together is an error.
    exact: str | bool
    if hasattr(cudnn, "conv"):
        owners, name, exact = (products, cudnn.conv), "fp32_precision", "ieee"
    else:
        owners, name, exact = (products, cudnn), "allow_tf32", False
    before = [getattr(owner, name) for owner in owners]
    try:
        for owner in owners:
            setattr(owner, name, exact)
        yield
    finally:
        for owner, value in zip(owners, before, strict=True):
            setattr(owner, name, value)
