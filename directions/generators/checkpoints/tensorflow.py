"""Networks pickled by the official TensorFlow code, as state dicts and settings.

Such a file holds `(G, D, Gs)`, objects of `dnnlib.tflib.Network` (StyleGAN, StyleGAN2,
StyleGAN2-ADA) or of `tfutil.Network` (PGGAN): the source text that built the network, which is
left alone, its static arguments, and its variables by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from directions.errors import CheckpointError
from directions.weight_files.pickle_objects import Array, Record

__all__ = ["find_network", "static_arguments", "stylegan2_state", "variables"]

NETWORKS = ("dnnlib.tflib.network.Network", "tfutil.Network")
DEEPEST = 8


def find_network(value: Any) -> Record | None:
    """The averaged generator of a file's networks: the last of `(G, D, Gs)`."""
    items = value if type(value) in (tuple, list) else (value,)
    networks = [v for v in items if type(v) is Record and v.kind in NETWORKS]
    return networks[-1] if networks and len(networks) == len(items) else None


def variables(network: Record, *, prefix: str = "", depth: int = 0) -> dict[str, Array]:
    """All variables of a network and of its components, whose names come before theirs.

    Raises:
        LatdirError: The record is not a network's.
    """
    own, components = network.state.get("variables"), network.state.get("components", {})
    if type(own) is not list or type(components) is not dict or depth > DEEPEST:
        raise CheckpointError("its TensorFlow network is damaged")
    found: dict[str, Array] = {}
    for item in own:
        if type(item) not in (tuple, list) or len(item) != 2 or type(item[0]) is not str:
            raise CheckpointError("its TensorFlow network has damaged variables")
        name, value = item
        if type(value) in (int, float):
            value = Array.scalar(value)
        if type(value) is not Array:
            raise CheckpointError(f"its variable {name[:80]!r} is no array")
        found[prefix + name] = value
    for name, part in components.items():
        if type(part) is not Record or type(name) is not str:
            raise CheckpointError("its TensorFlow network has damaged components")
        found |= variables(part, prefix=f"{prefix}{name}/", depth=depth + 1)
    # The whole network's level of detail is written over its synthesis network's in every call.
    if "lod" in found:
        found.pop("synthesis/lod", None)
    return found


def static_arguments(network: Record) -> dict[str, Any]:
    """The arguments the network was built with."""
    arguments = network.state.get("static_kwargs", {})
    return arguments if type(arguments) is dict else {}


def stylegan2_state(state: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """A StyleGAN2's variables under NVIDIA's torch names.

    Dense weights are transposed, kernels become [out, in, h, w], those of upsampling layers are
    turned by 180°, and style biases gain the 1 that TensorFlow adds later.

    Args:
        state: Variables as `variables` names them.
        arguments: What the network was built with.

    Raises:
        LatdirError: A variable that no StyleGAN2 has.
    """
    size = 4 << max(_level(k) for k in state)
    grown = any(k.startswith("synthesis/ToRGB_lod") for k in state)
    kernel = arguments.get("resample_kernel", [1, 3, 3, 1])
    taps = torch.tensor([1.0, 1.0] if kernel is None else [float(t) for t in kernel])
    fir = torch.outer(taps, taps) / taps.sum() ** 2
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        name = key.removeprefix("synthesis/")
        layer = re.fullmatch(r"(\d+)x\1/(Conv|Conv0_up|Conv1|ToRGB|Skip)/(\w+)", name)
        rgb = re.fullmatch(r"ToRGB_lod(\d+)/(\w+)", name)
        noise = re.fullmatch(r"noise(\d+)", name)
        mapping = re.fullmatch(r"mapping/(Dense(\d+)|LabelEmbed)/(weight|bias)", key)
        if rgb:
            # Those of lower resolutions are left over from growing.
            if rgb[1] == "0":
                _add(out, f"synthesis.b{size}.torgb", rgb[2], value, flip=False)
        elif layer:
            part = {"Conv0_up": "conv0", "ToRGB": "torgb", "Skip": "skip"}.get(layer[2], "conv1")
            flip = part in ("conv0", "skip")
            _add(out, f"synthesis.b{layer[1]}.{part}", layer[3], value, flip=flip)
        elif noise:
            n = int(noise[1])
            place = f"b{8 << (n - 1) // 2}.conv{(n - 1) % 2}" if n else "b4.conv1"
            out[f"synthesis.{place}.noise_const"] = value[0, 0]
        elif mapping:
            target = f"mapping.fc{mapping[2]}" if mapping[2] else "mapping.embed"
            out[f"{target}.{mapping[3]}"] = value.T if mapping[3] == "weight" else value
        elif name == "4x4/Const/const":
            out["synthesis.b4.const"] = value[0]
        elif key == "dlatent_avg":
            out["mapping.w_avg"] = value
        elif key == "mapping/LabelConcat/weight":
            out["mapping.label_weight"] = value
        elif name != "lod":
            raise CheckpointError(f"the file has {key!r}, which no TensorFlow StyleGAN2 has")
    out[f"synthesis.b{size}.resample_filter"] = fir
    if grown and any(k != f"synthesis.b{size}.torgb.weight" and "torgb.weight" in k for k in out):
        raise CheckpointError("the file has images of both a grown and a skip architecture")
    return out


def _add(out: dict[str, Tensor], name: str, part: str, value: Tensor, *, flip: bool) -> None:
    match part:
        case "weight":
            kernel = value.permute(3, 2, 0, 1)
            out[f"{name}.weight"] = kernel.flip(2, 3) if flip else kernel
        case "mod_weight":
            out[f"{name}.affine.weight"] = value.T
        case "mod_bias":
            out[f"{name}.affine.bias"] = value + 1
        case "bias" | "noise_strength":
            out[f"{name}.{part}"] = value
        case _:
            raise CheckpointError(f"the file has {name}/{part}, which no TensorFlow StyleGAN2 has")


def _level(key: str) -> int:
    block = re.match(r"synthesis/(\d+)x\1/Conv", key)
    return int(block[1]).bit_length() - 3 if block and len(block[1]) < 6 else 0
