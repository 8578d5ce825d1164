"""State dicts of the public StyleGAN projects, under one set of names.

Three layouts are supported, identified by their keys: genforce's, InterFaceGAN's torch models',
and the variables of the official TensorFlow network. All are renamed to genforce's, with kernels of
upsampling layers as they act after a repetition of pixels: those that the original fuses into a
transposed convolution are turned by 180°.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from directions.errors import CheckpointError

__all__ = ["FusedScale", "State", "stylegan1_names"]

State = dict[str, Tensor]
FusedScale = bool | Literal["auto"]

FUSED_FROM = 128

_INTERFACEGAN = (
    (r"^(mapping\.dense\d+)\.linear\.weight$", r"\1.weight"),
    (r"^(mapping\.dense\d+)\.wscale\.bias$", r"\1.bias"),
    (r"\.epilogue\.style_mod\.dense\.linear\.weight$", ".style.weight"),
    (r"\.epilogue\.style_mod\.dense\.wscale\.bias$", ".style.bias"),
    (r"\.epilogue\.", "."),
    (r"\.first_layer$", ".const"),
    (r"\.conv\.weight$", ".weight"),
)
_TENSORFLOW = (
    (r"^LabelConcat/weight$", "mapping.label_weight"),
    (r"^Dense(\d+)/(weight|bias)$", r"mapping.dense\1.\2"),
    (r"^dlatent_avg$", "truncation.w_avg"),
    (r"^lod$", "synthesis.lod"),
)


def stylegan1_names(state: Mapping[str, Tensor], *, fused_scale: FusedScale = "auto") -> State:
    """Rename any of the three layouts; other names stay unchanged.

    Args:
        state: Names and tensors as the project saves them.
        fused_scale: Which upsampling layers are fused: `auto` means those of 128 pixels and
            more. InterFaceGAN's layout determines it.

    Returns:
        Float32 tensors on the CPU.

    Raises:
        LatdirError: The keys belong to none of the three.
    """
    plain = {k: v.detach().to("cpu").float() for k, v in state.items()}
    if "synthesis.layer0.first_layer" in plain:
        return _from_interfacegan(plain)
    if any(k.endswith("4x4/Const/const") for k in plain):
        plain = _from_tensorflow(plain)
    elif "synthesis.layer0.const" not in plain:
        raise CheckpointError(
            "these keys are of no StyleGAN layout this release reads "
            f"(the first is {next(iter(state), 'missing')!r}): it reads genforce's and "
            "InterFaceGAN's state dicts and the variables of the official TensorFlow network"
        )
    for key in plain:
        layer = re.fullmatch(r"synthesis\.layer(\d{1,2})\.weight", key)
        if layer and _upsamples(int(layer[1])):
            fused = _size(int(layer[1])) >= FUSED_FROM if fused_scale == "auto" else fused_scale
            plain[key] = plain[key].flip(2, 3) if fused else plain[key]
    return plain


def _from_interfacegan(state: State) -> State:
    out: State = {}
    for key, value in state.items():
        name, tensor = key, value
        if re.fullmatch(r"synthesis\.layer\d+\.weight", key):
            tensor = value.permute(3, 2, 0, 1).flip(2, 3)
        for pattern, replacement in _INTERFACEGAN:
            name = re.sub(pattern, replacement, name)
        # A network saved while it grew shows the last finished level, unblended.
        out[name] = tensor.floor() if name == "synthesis.lod" else tensor
    return out


def _from_tensorflow(state: State) -> State:
    blocks = len([k for k in state if re.search(r"ToRGB_lod\d+/weight$", k)])
    out: State = {}
    for key, value in state.items():
        name = re.sub(r"^(G_)?(mapping|synthesis)/", "", key)
        layer = re.fullmatch(r"(\d{1,4})x\1/(Const|Conv|Conv0_up|Conv1)/(.+)", name)
        noise = re.fullmatch(r"noise(\d{1,2})", name)
        rgb = re.fullmatch(r"ToRGB_lod(\d{1,2})/(weight|bias)", name)
        if layer:
            part = {
                "const": "const",
                "weight": "weight",
                "bias": "bias",
                "StyleMod/weight": "style.weight",
                "StyleMod/bias": "style.bias",
                "Noise/weight": "apply_noise.weight",
            }.get(layer[3], layer[3])
            second = layer[2] in ("Conv", "Conv1")
            name = f"synthesis.layer{2 * (int(layer[1]).bit_length() - 3) + second}.{part}"
        elif noise:
            name = f"synthesis.layer{noise[1]}.apply_noise.noise"
        elif rgb:
            name = f"synthesis.output{blocks - 1 - int(rgb[1])}.{rgb[2]}"
        else:
            for pattern, replacement in _TENSORFLOW:
                name = re.sub(pattern, replacement, name)
        if name.endswith("style.weight") or re.fullmatch(r"mapping\.dense\d+\.weight", name):
            value = value.T
        elif value.ndim == 4 and name.endswith(".weight"):
            value = value.permute(3, 2, 0, 1)
        out[name] = value
    return out


def _upsamples(layer: int) -> bool:
    return layer >= 2 and layer % 2 == 0


def _size(layer: int) -> int:
    return 4 << layer // 2
