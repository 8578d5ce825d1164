"""Checkpoints of random weights, written as the projects write them: same containers, same
module names, same layouts."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

State = dict[str, Tensor]
TRIPWIRE = "raise RuntimeError('this loader executed the source text in the file')"


class _Modules:
    """Stand-ins for the projects' modules, importable while a file is pickled."""

    NAMES = (
        *("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"),
        *("dnnlib.tflib", "dnnlib.tflib.network", "tfutil"),
    )

    def __init__(self) -> None:
        self.made = {name: types.ModuleType(name) for name in self.NAMES}

        def _reconstruct_persistent_obj(meta: Any) -> None:
            raise AssertionError

        class EasyDict(dict):  # type: ignore[type-arg]
            pass

        class Network:
            def __getstate__(self) -> dict[str, Any]:
                return self.__dict__

        class TfutilNetwork(Network):
            pass

        self.reconstruct = self._place("torch_utils.persistence", _reconstruct_persistent_obj)
        self.easy = self._place("dnnlib.util", EasyDict)
        self.network = self._place("dnnlib.tflib.network", Network)
        self.progan = self._place("tfutil", TfutilNetwork, "Network")

    def _place(self, module: str, thing: Any, name: str | None = None) -> Any:
        thing.__module__, thing.__name__ = module, name or thing.__name__
        thing.__qualname__ = thing.__name__
        setattr(self.made[module], thing.__name__, thing)
        return thing

    @contextlib.contextmanager
    def importable(self) -> Iterator[None]:
        before = {name: sys.modules.get(name) for name in self.NAMES}
        sys.modules.update(self.made)
        try:
            yield
        finally:
            for name, module in before.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module


MODULES = _Modules()


class _Persistent:
    """Pickles as a module of NVIDIA's does."""

    def __init__(self, name: str, state: dict[str, Any]) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": TRIPWIRE,
            "class_name": name,
            "state": state,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return MODULES.reconstruct, (self.meta,), None


def nvidia_module(
    state: State,
    *,
    kwargs: dict[str, Any] | None = None,
    attributes: dict[str, dict[str, Any]] | None = None,
    prefix: str = "",
) -> Any:
    """A tree of modules with the tensors of a state dict; `attributes` by module path."""
    own = {k: v for k, v in state.items() if "." not in k}
    buffers = ("resample_filter", "noise_const", "w_avg", "freqs", "phases", "transform")
    parts: dict[str, State] = {}
    for key, value in state.items():
        first, dot, rest = key.partition(".")
        if dot:
            parts.setdefault(first, {})[rest] = value
    content: dict[str, Any] = {
        "training": False,
        "_parameters": {k: nn.Parameter(v) for k, v in own.items() if k not in buffers},
        "_buffers": {k: v for k, v in own.items() if k in buffers},
        "_non_persistent_buffers_set": set(),
        "_modules": {
            k: nvidia_module(v, attributes=attributes, prefix=f"{prefix}{k}.")
            for k, v in parts.items()
        },
        "weight_gain": np.float64(0.125),
        **(attributes or {}).get(prefix.removesuffix("."), {}),
    }
    if kwargs is not None:
        content |= {"_init_args": (), "_init_kwargs": _easy(kwargs)}
    return _Persistent("Generator" if kwargs is not None else "Layer", content)


def _easy(value: Any) -> Any:
    if isinstance(value, dict):
        return MODULES.easy({k: _easy(v) for k, v in value.items()})
    return value


def dump(value: Any, path: Path, *, protocol: int = 4) -> Path:
    """Pickle with the projects' module names."""
    with MODULES.importable():
        path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def nvidia_file(module: Any, path: Path, *, other: Any = None, protocol: int = 4) -> Path:
    """A training snapshot."""
    value = {
        "training_set_kwargs": MODULES.easy(path="/data/x.zip", resolution=16),
        "G": other if other is not None else module,
        "D": None,
        "G_ema": module,
        "augment_pipe": None,
    }
    return dump(value, path, protocol=protocol)


def tensorflow_network(
    variables: dict[str, np.ndarray[Any, Any]],
    *,
    kwargs: dict[str, Any] | None = None,
    components: dict[str, Any] | None = None,
    progan: bool = False,
) -> Any:
    """A network as the official TensorFlow code pickles it."""
    network = (MODULES.progan if progan else MODULES.network)()
    network.__dict__.update(
        version=2 if progan else 4,
        name="Gs",
        static_kwargs=dict(kwargs or {}),
        build_module_src=TRIPWIRE,
        build_func_name="G_main",
        variables=list(variables.items()),
    )
    if not progan:
        network.components = dict(components or {})
    return network


def legacy_bytes(value: Any) -> bytes:
    """What torch.save wrote before its zip format."""
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def stylegan2_state(
    *,
    channels: tuple[int, ...] = (8, 6, 5),
    z_dim: int = 7,
    w_dim: int = 9,
    layers: int = 2,
    c_dim: int = 0,
    embed: int = 6,
    hidden: int = 10,
    architecture: str = "skip",
    taps: tuple[float, ...] = (1, 3, 3, 1),
    noise: bool = True,
    image_channels: int = 3,
    seed: int = 0,
) -> State:
    """Random weights of a StyleGAN2 under NVIDIA's names."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    line = torch.tensor(taps, dtype=torch.float32)
    fir = torch.outer(line, line) / line.sum() ** 2 if len(taps) < 8 else line / line.sum()
    state: State = {"mapping.w_avg": normal(w_dim)}
    if c_dim:
        state |= {"mapping.embed.weight": normal(embed, c_dim), "mapping.embed.bias": normal(embed)}
    widths = [z_dim + (embed if c_dim else 0), *[hidden] * (layers - 1), w_dim]
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        state[f"mapping.fc{i}.weight"] = normal(outputs, inputs) * 100
        state[f"mapping.fc{i}.bias"] = normal(outputs) * 30
    state["synthesis.b4.const"] = normal(channels[0], 4, 4)
    for k, width in enumerate(channels):
        size, block = 4 << k, f"synthesis.b{4 << k}"
        state[f"{block}.resample_filter"] = fir
        for conv in ("conv0", "conv1")[k == 0 :]:
            inputs = channels[k - 1] if conv == "conv0" else width
            state |= {
                f"{block}.{conv}.weight": normal(width, inputs, 3, 3),
                f"{block}.{conv}.bias": normal(width),
                f"{block}.{conv}.affine.weight": normal(inputs, w_dim),
                f"{block}.{conv}.affine.bias": 1 + normal(inputs) / 4,
                f"{block}.{conv}.resample_filter": fir,
            }
            if noise:
                state[f"{block}.{conv}.noise_strength"] = normal()
                state[f"{block}.{conv}.noise_const"] = normal(size, size)
        if architecture == "skip" or k == len(channels) - 1:
            state |= {
                f"{block}.torgb.weight": normal(image_channels, width, 1, 1),
                f"{block}.torgb.bias": normal(image_channels),
                f"{block}.torgb.affine.weight": normal(width, w_dim),
                f"{block}.torgb.affine.bias": 1 + normal(width) / 4,
            }
        if architecture == "resnet" and k:
            state[f"{block}.skip.weight"] = normal(width, channels[k - 1], 1, 1)
    return state


def rosinality_state(state: State) -> State:
    """The same weights under rosinality's names."""
    out: State = {}
    for key, value in state.items():
        part = key.split(".")
        if part[0] == "mapping":
            if part[1].startswith("fc"):
                out[f"style.{int(part[1][2:]) + 1}.{part[2]}"] = value
            continue
        k = int(part[1][1:]).bit_length() - 3
        rest = ".".join(part[3:])
        if part[2] == "const":
            out["input.input"] = value[None]
        elif part[2] == "torgb":
            name = "to_rgb1" if k == 0 else f"to_rgbs.{k - 1}"
            out |= {
                "weight": {f"{name}.conv.weight": value[None]},
                "bias": {f"{name}.bias": value.reshape(1, -1, 1, 1)},
            }.get(rest, {f"{name}.conv.{rest.replace('affine', 'modulation')}": value})
        elif part[2] == "resample_filter" and k:
            out[f"to_rgbs.{k - 1}.upsample.kernel"] = value * 4
        elif part[2] in ("conv0", "conv1"):
            n = 2 * k - (part[2] == "conv0")
            name = "conv1" if n == 0 else f"convs.{n - 1}"
            match rest:
                case "weight":
                    out[f"{name}.conv.weight"] = value[None]
                case "bias":
                    out[f"{name}.activate.bias"] = value
                case "noise_strength":
                    out[f"{name}.noise.weight"] = value[None]
                case "noise_const":
                    out[f"noises.noise_{n}"] = value[None, None]
                case "resample_filter":
                    if part[2] == "conv0":
                        out[f"{name}.conv.blur.kernel"] = value * 4
                case _:
                    out[f"{name}.conv.{rest.replace('affine', 'modulation')}"] = value
    return out


def tensorflow_stylegan2(
    state: State, *, kwargs: dict[str, Any] | None = None, grown: bool = False
) -> Any:
    """The same weights as a TensorFlow network with its two components."""
    size = max(int(k.split(".")[1][1:]) for k in state if k.endswith("conv1.weight"))
    own: dict[str, Any] = {"lod": np.float32(0)}
    mapping: dict[str, Any] = {}
    synthesis: dict[str, Any] = {}
    for key, value in state.items():
        part, array = key.split("."), value.numpy()
        if key == "mapping.w_avg":
            own["dlatent_avg"] = array
        elif key == "mapping.label_weight":
            mapping["LabelConcat/weight"] = array
        elif part[0] == "mapping":
            name = "LabelEmbed" if part[1] == "embed" else f"Dense{part[1][2:]}"
            mapping[f"{name}/{part[2]}"] = array.T if part[2] == "weight" else array
        elif part[2] == "const":
            synthesis["4x4/Const/const"] = array[None]
        elif part[-1] == "noise_const":
            n = 2 * (int(part[1][1:]).bit_length() - 3) - (part[2] == "conv0")
            synthesis[f"noise{n}"] = array[None, None]
        elif part[-1] != "resample_filter":
            r = part[1][1:]
            conv1 = "Conv" if r == "4" else "Conv1"
            layer = {"conv0": "Conv0_up", "conv1": conv1, "torgb": "ToRGB", "skip": "Skip"}[part[2]]
            place = (
                f"ToRGB_lod{int(math.log2(size / int(r)))}"
                if grown and layer == "ToRGB"
                else (f"{r}x{r}/{layer}")
            )
            match ".".join(part[3:]):
                case "weight":
                    turned = array[:, :, ::-1, ::-1] if layer in ("Conv0_up", "Skip") else array
                    synthesis[f"{place}/weight"] = turned.transpose(2, 3, 1, 0)
                case "affine.weight":
                    synthesis[f"{place}/mod_weight"] = array.T
                case "affine.bias":
                    synthesis[f"{place}/mod_bias"] = array - 1
                case rest:
                    synthesis[f"{place}/{rest}"] = array
    parts = {
        "synthesis": tensorflow_network(synthesis),
        "mapping": tensorflow_network(mapping),
    }
    return tensorflow_network(own, kwargs=kwargs, components=parts)
