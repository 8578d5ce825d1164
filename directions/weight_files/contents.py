"""Contents of a checkpoint file: tensors by name, and the settings stored with them.

The bytes decide how a file is read, not its suffix; nothing in it is run. Of the several
networks that a training file holds, the averaged generator is taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from directions.errors import CheckpointError
from directions.weight_files.pickle_machine import Budget, unpickle
from directions.weight_files.pickle_objects import Array, Record, Scripted, View
from directions.weight_files.tensorflow import find_network, static_arguments, variables
from directions.weight_files.torch_files import LEGACY_MAGIC, TABLE, read_legacy, read_zip

__all__ = ["Contents", "read_contents", "read_value"]

# Averaged generators before raw ones, and wrappers before their contents.
INNER = (
    *("g_ema", "G_ema", "generator_smooth", "params_ema", "models", "state_dict", "model"),
    *("generator", "g", "G", "params"),
)
DEEPEST = 32
MOST_MODULES = 10_000
MOST_SETTINGS = 10_000
LARGEST_SETTING = 1 << 24
LARGEST_JSON = 1 << 20

Parts = dict[str, View | Array]


@dataclass(frozen=True)
class Contents:
    """One generator's part of a checkpoint file.

    Attributes:
        state: Its tensors, under the names of the project that wrote the file.
        writer: `NVIDIA`, `TensorFlow`, `TorchScript`, `torch` or `safetensors`.
        arguments: The network's constructor arguments, as far as stored.
        attributes: Settings that NVIDIA's modules keep themselves.
    """

    state: dict[str, Tensor]
    writer: str
    arguments: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


def read_contents(path: Path, *, scripted: bool = False) -> Contents:
    """The generator in a checkpoint file.

    Args:
        path: A torch file, a pickle, or safetensors with an optional JSON file next to it.
        scripted: Whether a TorchScript archive is read too: its tensors, never its code.

    Raises:
        CheckpointError: No such file, no known format, a damaged one, or one that was refused.
    """
    data = _read(path)
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return _safetensors(path, data)
    return _found(_unpickled(data, scripted=scripted), limit=len(data), beside=path)


def read_value(path: Path) -> Any:
    """Content of a torch file or a pickle: tensors, in dictionaries of any depth.

    Args:
        path: A file of `torch.save`, or a pickle.

    Returns:
        The file's value. Anything but tensors and dictionaries is plain data or an inert record.

    Raises:
        CheckpointError: No such file, another format, a damaged one, or one that was refused.
    """
    data = _read(path)
    return _made(_unpickled(data, scripted=False), [len(data)], DEEPEST)


def _unpickled(data: bytearray, *, scripted: bool) -> Any:
    budget, view = Budget(len(data)), memoryview(data)
    if data[:4] == b"PK\x03\x04":
        return read_zip(view, budget, scripted=scripted)
    if data[:1] == b"\x80" and data[2:14] == _magic()[2:14]:
        return read_legacy(view, budget)
    if data[:1] == b"\x80":
        return unpickle(view, 0, TABLE, budget)[0]
    raise CheckpointError(_unknown(data[:512]))


def _made(value: Any, left: list[int], depth: int) -> Any:
    """A value with its tensors in memory, if they take no more than the file does."""
    if type(value) is dict and depth:
        return {key: _made(item, left, depth - 1) for key, item in value.items()}
    if type(value) not in (View, Array):
        return value
    left[0] -= value.size
    if left[0] < 0:
        raise CheckpointError("its tensors together are larger than the file")
    return value.tensor()


def _found(value: Any, *, limit: int, beside: Path) -> Contents:
    network = find_network(value)
    if network is not None:
        state = _tensors(dict(variables(network)), limit=limit)
        return Contents(state, "TensorFlow", _plain(static_arguments(network)))
    parts: Parts = {}
    if type(value) is Record and value.kind.startswith(Scripted.MODULES):
        _collect_scripted(value, "", parts, DEEPEST, [0])
        return Contents(_tensors(parts, limit=limit), "TorchScript")
    record = _persistent(value)
    if record is not None:
        _collect(record, "", parts, DEEPEST, [0])
        return Contents(
            _tensors(parts, limit=limit),
            "NVIDIA",
            _plain(record.state.get("_init_kwargs", {})),
            _attributes(record),
        )
    return Contents(_tensors(_state_dict(value), limit=limit), "torch", read_json(beside))


def _state_dict(value: Any) -> Parts:
    """The state dict within a torch file's dictionaries, with a mean w stored next to it."""
    mean: dict[str, Any] = {}
    for _ in range(DEEPEST):
        if type(value) is not dict:
            raise CheckpointError(f"it holds a {_named(value)}, not a state dict")
        if type(value.get("latent_avg")) is View:
            mean = {"latent_avg": value["latent_avg"]}
        inner = next((k for k in INNER if type(value.get(k)) is dict and value[k]), None)
        if inner is None:
            break
        value = value[inner]
    parts = {k: v for k, v in value.items() if type(v) in (View, Array) and type(k) is str}
    if not parts:
        names = ", ".join(str(k)[:40] for k in list(value)[:5]) or "nothing"
        raise CheckpointError(f"it has no tensors by name: it holds {names}")
    for prefix in ("module.", "decoder."):
        stripped = {k[len(prefix) :]: v for k, v in parts.items() if k.startswith(prefix)}
        parts = stripped or parts
    return parts | mean


def _persistent(value: Any) -> Record | None:
    """The averaged generator of one of NVIDIA's torch pickles."""
    if type(value) is dict:
        chosen = (value[k] for k in ("G_ema", "G") if type(value.get(k)) is Record)
        value = next(chosen, None)
    return value if type(value) is Record and "_modules" in value.state else None


def _collect(record: Record, prefix: str, parts: Parts, depth: int, count: list[int]) -> None:
    """A module's parameters and buffers and those of its parts, named as a state dict's."""
    _count_module(depth, count)
    for group in ("_parameters", "_buffers"):
        for name, value in _mapping(record, group).items():
            if type(value) is View:
                parts[f"{prefix}{name}"] = value
    for name, part in _mapping(record, "_modules").items():
        if type(part) is Record:
            _collect(part, f"{prefix}{name}.", parts, depth - 1, count)


def _collect_scripted(
    record: Record, prefix: str, parts: Parts, depth: int, count: list[int]
) -> None:
    """The same of a scripted module, which keeps parameters and parts side by side."""
    _count_module(depth, count)
    for name, value in record.state.items():
        if type(value) is View:
            parts[f"{prefix}{name}"] = value
        elif type(value) is Record:
            _collect_scripted(value, f"{prefix}{name}.", parts, depth - 1, count)


def _count_module(depth: int, count: list[int]) -> None:
    count[0] += 1
    if not depth or count[0] > MOST_MODULES:
        raise CheckpointError("its network's modules are nested too deeply")


def _mapping(record: Record, name: str) -> dict[Any, Any]:
    value = record.state.get(name, {})
    if type(value) is not dict:
        raise CheckpointError(f"its network's {name} is damaged")
    return value


def _attributes(record: Record) -> dict[str, Any]:
    """Constants that a state dict lacks, from the modules that use them."""

    def at(*path: str) -> Mapping[str, Any]:
        module: Any = record
        for name in path:
            module = _mapping(module, "_modules").get(name)
            if type(module) is not Record:
                return {}
        state: Mapping[str, Any] = module.state
        return state

    layer, dense = at("synthesis", "b4", "conv1"), at("mapping", "fc0")
    found = {
        "conv_clamp": layer.get("conv_clamp", ...),
        "activation": layer.get("activation", ...),
        "mapping_activation": dense.get("activation", ...),
        "lr_multiplier": dense.get("bias_gain", ...),
    }
    return {k: v for k, v in found.items() if type(v) in (int, float, str, type(None))}


def _tensors(parts: Mapping[str, View | Array], *, limit: int) -> dict[str, Tensor]:
    """All parts in memory, if they take no more than the file does."""
    if sum(part.size for part in parts.values()) > limit:
        raise CheckpointError("its tensors together are larger than the file")
    state = {}
    for name, part in parts.items():
        tensor = part.tensor()
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"its tensor {name[:80]!r} has NaN or infinite numbers")
        state[name] = tensor
    return state


def _plain(value: Any) -> dict[str, Any]:
    """Settings without anything but numbers, text, lists and dictionaries."""
    made = _plainly(value, DEEPEST, [0])
    return made if type(made) is dict else {}


def _plainly(value: Any, depth: int, count: list[int]) -> Any:
    # Self-nested or shared values would be walked repeatedly.
    count[0] += 1
    if not depth or count[0] > MOST_SETTINGS:
        raise CheckpointError("its network's arguments are nested too deeply")
    if type(value) is dict:
        return {k: _plainly(v, depth - 1, count) for k, v in value.items() if type(k) is str}
    if type(value) in (list, tuple):
        return [_plainly(v, depth - 1, count) for v in value]
    if type(value) is int and abs(value) > LARGEST_SETTING:
        raise CheckpointError(f"its network was built with {value:.3g}, beyond any real setting")
    return value if type(value) in (int, float, bool, str) else None


def _safetensors(path: Path, data: bytearray) -> Contents:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(bytes(data))
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"it is a damaged safetensors file: {error}") from error
    arguments = read_json(path)
    return Contents(state, "safetensors", arguments.get("constructor", arguments))


def read_json(path: Path) -> dict[str, Any]:
    """Settings in a JSON file next to a checkpoint, if any.

    The names tried are those of the projects: `config.json`, `biggan_config.json`, and the
    checkpoint's own name with `config` in place of `pytorch_model`.
    """
    stem = path.stem
    names = (
        *("config.json", "biggan_config.json", f"{stem}.json"),
        *(f"{stem}_config.json", f"{stem}-config.json"),
        stem.replace("pytorch_model", "config") + ".json",
    )
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(names):
        file = path.with_name(name)
        if file.is_file() and file.stat().st_size <= LARGEST_JSON:
            try:
                value = json.loads(file.read_text("utf-8"))
            except (ValueError, RecursionError) as error:
                raise CheckpointError(f"{file} next to it is not JSON: {error}") from error
            if isinstance(value, dict):
                merged |= value
    return merged


def _read(path: Path) -> bytearray:
    if not path.is_file():
        raise CheckpointError("there is no such file")
    with path.open("rb") as file:
        data = bytearray(path.stat().st_size)
        read = file.readinto(data)
    return data[:read]


def _magic() -> bytes:
    return b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")


def _named(value: Any) -> str:
    return value.kind if type(value) is Record else type(value).__name__


def _unknown(head: bytes | bytearray) -> str:
    """Description of a file that is not a checkpoint."""
    if not head:
        return "it is empty: download it again"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself: run git lfs pull"
    if head.lstrip()[:1] == b"<":
        return "it is a web page, not a checkpoint: the download did not succeed"
    return (
        "it is neither a torch file, a pickle of protocol 2 to 5 nor safetensors "
        f"(it begins with {bytes(head[:8])!r})"
    )
