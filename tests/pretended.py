"""A pretended CUDA device: tensors that say they are there, with values, and refuse to mix.

Each is a wrapper around a tensor of the CPU, which operations run on. As on a real device, an
operation that gets tensors of both devices fails unless the other is a single number. Unlike
torch's fake tensors these have values, so that whole methods run. Derivatives need the driver:
in their place stand random numbers of the right shape, dtype and device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch._dynamo  # before anything is replaced: it looks through all of torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from directions import devices

__all__ = ["CARD", "MixedDevicesError", "Pretended", "pretended_card"]

CARD = torch.device("cuda", 0)
aten = torch.ops.aten
# Operations that take tensors of two devices.
TRANSFERS = ("_to_copy", "copy_", "_copy_from")
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")


class MixedDevicesError(RuntimeError):
    """An operation got tensors of two devices."""


class Pretended(Tensor):
    """A tensor of the CPU that says it is on the card."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> Pretended:
        made = Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=CARD, requires_grad=inner.requires_grad,
        )  # fmt: skip
        made.held = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self) -> str:
        return f"Pretended({self.held!r})"


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on the tensors inside, its results where a real one would put them."""
    name = func._schema.name.split("::")[1]
    leaves, _ = tree_flatten((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    there = [t for t in tensors if isinstance(t, Pretended)]
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
        # In inference mode these arrive whole.
        with _Factories():
            return func.decompose(*args, **kwargs)
    if name == "_local_scalar_dense":
        return func(*(x.held if isinstance(x, Pretended) else x for x in args))
    asked = kwargs.get("device")
    asked = None if asked is None else torch.device(asked)
    if there and name not in (*TRANSFERS, *INDEXING):
        here = [t for t in tensors if not isinstance(t, Pretended) and t.ndim]
        if here:
            raise MixedDevicesError(f"{name}: {[(t.device.type, tuple(t.shape)) for t in tensors]}")
    if name in INDEXING and (there or tensors):
        owner = isinstance(args[0], Pretended)
        for index in args[1]:
            # A device takes indices from the CPU; the CPU takes none from a device.
            if isinstance(index, Pretended) and not owner:
                raise MixedDevicesError(f"{name}: indices on the card into a tensor of the CPU")
        values = args[2] if len(args) > 2 else None
        whole = isinstance(values, Tensor) and values.ndim > 0
        if whole and isinstance(values, Pretended) != owner:
            raise MixedDevicesError(f"{name}: values and target on two devices")
    generator = kwargs.get("generator")
    if generator is not None and asked is not None and generator.device.type != asked.type:
        raise MixedDevicesError(f"{name}: a generator of the {generator.device}")
    if generator is not None and there:
        raise MixedDevicesError(f"{name}: a generator of the CPU fills a tensor on the card")
    on_card = bool(there) if asked is None else asked.type == "cuda"
    if name == "copy_":
        on_card = isinstance(args[0], Pretended)
    if name in INDEXING:
        on_card = isinstance(args[0], Pretended)
    inside = lambda x: x.held if isinstance(x, Pretended) else x  # noqa: E731
    given = {key: tree_map(inside, value) for key, value in kwargs.items()}
    if asked is not None:
        given["device"] = torch.device("cpu")
    made = func(*tree_map(inside, args), **given)
    if name == "_to_copy" and asked is not None and isinstance(args[0], Pretended) == on_card:
        on_card = isinstance(args[0], Pretended)
    if func._schema.is_mutable and name.endswith("_") and isinstance(args[0], Tensor):
        return args[0]
    flat, shape = tree_flatten(made)
    wrap = [Pretended(x) if on_card and isinstance(x, Tensor) else x for x in flat]
    return tree_unflatten(wrap, shape)


def vmap(function: Any) -> Any:
    """One call after another in place of all at once."""

    def run_each(*rows: Tensor) -> Any:
        return torch.stack([function(*parts) for parts in zip(*rows, strict=True)])

    return run_each


def jvp(function: Any, points: Any, tangents: Any) -> Any:
    value = function(*points)
    return value, torch.randn_like(
        function(*(p + t for p, t in zip(points, tangents, strict=True)))
    )


def vjp(function: Any, point: Tensor) -> Any:
    value = function(point)

    def pull(cotangent: Tensor) -> tuple[Tensor]:
        assert cotangent.device == value.device
        return (torch.randn_like(point),)

    return value, pull


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, **options: Any) -> Any:
    made = [outputs] if isinstance(outputs, Tensor) else outputs
    given = [inputs] if isinstance(inputs, Tensor) else inputs
    assert {x.device for x in (*made, *given)} == {given[0].device}
    return tuple(torch.randn_like(x.detach()) for x in given)


def backward(tensors: Any, inputs: Any = ()) -> None:
    for x in inputs:
        x.grad = torch.randn_like(x.detach())


class _Factories(TorchDispatchMode):
    """Operations without a tensor of the card: factories and transfers to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


@contextmanager
def pretended_card(monkeypatch: Any) -> Iterator[None]:
    """A machine with one card, as far as the packages can tell."""

    def resolve(device: Any) -> torch.device:
        return CARD if "cuda" in str(device) else torch.device(str(device))

    monkeypatch.setattr(devices, "resolve_device", resolve)
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    # Looks at memory, which wrappers have none of.
    monkeypatch.setattr("directions.generators.base.readable", lambda codes: None)
    # Its kernels are chosen by the device that tensors say they are on.
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)
    free = 2**34
    for name, value in {
        "mem_get_info": (free, free), "memory_allocated": 0, "max_memory_allocated": 0,
        "reset_peak_memory_stats": None, "empty_cache": None, "synchronize": None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    # Modules are moved by replacing their parameters, not the data inside.
    conversion = torch.__future__.get_overwrite_module_params_on_conversion
    monkeypatch.setattr(torch.__future__, conversion.__name__, lambda: True)
    # Wrappers made in inference mode could not be written to.
    monkeypatch.setattr(
        torch, "inference_mode", lambda mode=True: torch.no_grad() if mode else nullcontext()
    )
    for owner, stand_ins in ((torch.func, (jvp, vjp, vmap)), (torch.autograd, (grad, backward))):
        for stand_in in stand_ins:
            monkeypatch.setattr(owner, stand_in.__name__, stand_in)
    monkeypatch.setattr(Tensor, "backward", lambda self: None)
    # Without a card, switching to it is nothing; torch's fake tensors rely on it, too.
    torch._C._ensureCUDADeviceGuardSet()
    # Numbers and lists become tensors of the CPU, which are then moved as any other.
    lifting = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with _Factories():
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(lifting)
