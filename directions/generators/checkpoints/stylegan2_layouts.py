"""Layouts of StyleGAN2 state dicts, each renamed to NVIDIA's torch names.

rosinality's (also inside pSp, e4e and ReStyle), genforce's, and the variables of the official
TensorFlow network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from directions.errors import CheckpointError
from directions.generators.checkpoints.state_dict import State, ranked
from directions.seeds import CHECKPOINT_SEED

__all__ = ["LARGEST", "from_genforce", "from_rosinality", "from_tensorflow"]

# The largest public models make 2048 pixels.
LARGEST = 4096
FAMILY = "StyleGAN2"


def from_rosinality(state: State) -> State:
    """rosinality's: convolutions are scaled, filters carry a gain.

    Raises:
        CheckpointError: A tensor of another shape than the layout's.
    """
    out: State = {}
    for key, value in state.items():
        dense = re.fullmatch(r"style\.(\d{1,3})\.(weight|bias)", key)
        noise = re.fullmatch(r"noises\.noise_(\d{1,2})", key)
        layer = re.fullmatch(r"(?:conv1|convs\.(\d{1,2}))\.(.+)", key)
        rgb = re.fullmatch(r"(?:to_rgb1|to_rgbs\.(\d{1,2}))\.(.+)", key)
        if dense:
            out[f"mapping.fc{int(dense[1]) - 1}.{dense[2]}"] = value
        elif noise:
            out[f"{_conv(int(noise[1]))}.noise_const"] = _axes(key, value, 4)[0, 0]
        elif layer:
            name, part = _conv(0 if layer[1] is None else int(layer[1]) + 1), layer[2]
            match part:
                case "conv.weight":
                    # Scaled before demodulation, which matters for its epsilon of 1e-8.
                    kernel = _axes(key, value, 5)[0]
                    out[f"{name}.weight"] = kernel / math.sqrt(kernel[0].numel())
                case "conv.blur.kernel":
                    out[f"{name}.resample_filter"] = value
                case "noise.weight":
                    # [1]; what holds more fails as no number later.
                    out[f"{name}.noise_strength"] = value.squeeze()
                case _:
                    part = part.replace("conv.modulation", "affine").replace("activate.", "")
                    out[f"{name}.{part}"] = value
        elif rgb:
            name = f"synthesis.b{4 if rgb[1] is None else 8 << int(rgb[1])}.torgb"
            part = rgb[2].replace("conv.modulation", "affine").replace("conv.weight", "weight")
            if part == "weight":
                value = _axes(key, value, 5)[0]
            elif part == "bias":
                value = value.reshape(-1)
            if part != "upsample.kernel":
                out[f"{name}.{part}"] = value
        elif key == "input.input":
            out["synthesis.b4.const"] = _axes(key, value, 4)[0]
        elif key == "latent_avg":
            # e4e repeats it for every layer.
            out["mapping.w_avg"] = value.mean(0) if value.ndim == 2 else value
        else:
            out[key] = value
    return _with_noise(out)


def _axes(key: str, value: Tensor, count: int) -> Tensor:
    return ranked(key, value, count, family=FAMILY)


def _with_noise(state: State) -> State:
    """Noise by a fixed seed where a file is older than the project's noise buffers."""
    draw = torch.Generator().manual_seed(CHECKPOINT_SEED)
    for key in list(state):
        layer = re.fullmatch(r"(synthesis\.b(\d{1,5})\.\w+)\.noise_strength", key)
        if layer and f"{layer[1]}.noise_const" not in state and int(layer[2]) <= LARGEST:
            size = int(layer[2])
            state[f"{layer[1]}.noise_const"] = torch.randn(size, size, generator=draw)
    return state


def from_genforce(state: State) -> State:
    """genforce's: odd kernels are flipped, style biases lack their 1.

    Raises:
        CheckpointError: A tensor of another shape than the layout's.
    """
    out: State = {}
    for key, value in state.items():
        layer = re.fullmatch(r"synthesis\.layer(\d{1,2})\.(.+)", key)
        output = re.fullmatch(r"synthesis\.output(\d{1,2})\.(.+)", key)
        if layer:
            target, part = _conv(int(layer[1])), layer[2]
        elif output:
            target, part = f"synthesis.b{4 << int(output[1])}.torgb", output[2]
        else:
            renamed = re.sub(r"^mapping\.dense", "mapping.fc", key)
            renamed = renamed.replace("mapping.LabelEmbed.", "mapping.embed.")
            renamed = {
                "truncation.w_avg": "mapping.w_avg",
                "synthesis.early_layer.const": "synthesis.b4.const",
            }.get(renamed, renamed)
            if renamed == "synthesis.b4.const":
                value = _axes(key, value, 4)[0]
            if renamed != "synthesis.upsample.kernel":
                out[renamed] = value
            continue
        match part:
            case "weight" if layer:
                kernel = _axes(key, value, 4)
                flipped = kernel.flip(2, 3) if int(layer[1]) % 2 else kernel
                out[f"{target}.weight"] = flipped / math.sqrt(kernel[0].numel())
            case "style.weight":
                out[f"{target}.affine.weight"] = value
            case "style.bias":
                out[f"{target}.affine.bias"] = value + 1
            case "noise":
                out[f"{target}.noise_const"] = _axes(key, value, 4)[0, 0]
            case "filter.kernel":
                out[f"{target}.resample_filter"] = _axes(key, value, 4)[0, 0]
            case _:
                out[f"{target}.{part}"] = value
    return out


def _conv(index: int) -> str:
    """NVIDIA's name of the n-th convolution."""
    if index == 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{8 << (index - 1) // 2}.conv{(index - 1) % 2}"


def from_tensorflow(state: State, *, taps: Sequence[float] | None) -> State:
    """The official variables.

    Dense weights are transposed, kernels become [out, in, h, w], those of upsampling layers are
    turned by 180°, and style biases gain the 1 that TensorFlow adds later.

    Args:
        state: Variables as `directions.weight_files.tensorflow` names them.
        taps: Of the resampling filter, which is no variable; None for a filter of two equal taps.

    Raises:
        CheckpointError: A variable that no StyleGAN2 has, or one of another shape.
    """
    size = 4 << max(_level(k) for k in state)
    grown = any(k.startswith("synthesis/ToRGB_lod") for k in state)
    out: State = {}
    for key, value in state.items():
        name = key.removeprefix("synthesis/")
        layer = re.fullmatch(r"(\d{1,5})x\1/(Conv|Conv0_up|Conv1|ToRGB|Skip)/(\w+)", name)
        rgb = re.fullmatch(r"ToRGB_lod(\d{1,2})/(\w+)", name)
        noise = re.fullmatch(r"noise(\d{1,2})", name)
        dense = re.fullmatch(r"mapping/(Dense(\d{1,3})|LabelEmbed)/(weight|bias)", key)
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
            out[f"synthesis.{place}.noise_const"] = _axes(key, value, 4)[0, 0]
        elif dense:
            target = f"mapping.fc{dense[2]}" if dense[2] else "mapping.embed"
            turned = _axes(key, value, 2).T if dense[3] == "weight" else value
            out[f"{target}.{dense[3]}"] = turned
        elif name == "4x4/Const/const":
            out["synthesis.b4.const"] = _axes(key, value, 4)[0]
        elif key == "dlatent_avg":
            out["mapping.w_avg"] = value
        elif key == "mapping/LabelConcat/weight":
            out["mapping.label_weight"] = value
        elif name != "lod":
            raise CheckpointError(f"the file has {key!r}, which no TensorFlow StyleGAN2 has")
    filter = torch.tensor([1.0, 1.0] if taps is None else list(taps))
    out[f"synthesis.b{size}.resample_filter"] = torch.outer(filter, filter) / filter.sum() ** 2
    if grown and any(k != f"synthesis.b{size}.torgb.weight" and "torgb.weight" in k for k in out):
        raise CheckpointError("the file has images of both a grown and a skip architecture")
    return out


def _add(out: State, name: str, part: str, value: Tensor, *, flip: bool) -> None:
    match part:
        case "weight":
            kernel = _axes(f"{name}/weight", value, 4).permute(3, 2, 0, 1)
            out[f"{name}.weight"] = kernel.flip(2, 3) if flip else kernel
        case "mod_weight":
            out[f"{name}.affine.weight"] = _axes(f"{name}/mod_weight", value, 2).T
        case "mod_bias":
            out[f"{name}.affine.bias"] = value + 1
        case "bias" | "noise_strength":
            out[f"{name}.{part}"] = value
        case _:
            raise CheckpointError(f"the file has {name}/{part}, which no TensorFlow StyleGAN2 has")


def _level(key: str) -> int:
    block = re.match(r"synthesis/(\d+)x\1/Conv", key)
    return int(block[1]).bit_length() - 3 if block and len(block[1]) < 6 else 0
