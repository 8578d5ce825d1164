"""A StyleGAN2's TensorFlow variables under NVIDIA's torch names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from directions.errors import CheckpointError

__all__ = ["stylegan2_state"]


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
