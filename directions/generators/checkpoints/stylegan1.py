"""State dicts of the public StyleGAN projects as the canonical network.

Three layouts are supported, identified by their keys: genforce's, InterFaceGAN's torch models',
and the variables of the official TensorFlow network. All are renamed to genforce's, with kernels of
upsampling layers as they act after a repetition of pixels: those that the original fuses into a
transposed convolution are turned by 180°.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from directions.errors import CheckpointError
from directions.generators.checkpoints.families import Family
from directions.generators.checkpoints.settings import tensorflow_rate
from directions.generators.checkpoints.state_dict import State, Weights, floats, ranked
from directions.generators.progressive import check_blocks, load_weights, upsampling_kernel
from directions.generators.stylegan.generator import StyleGenerator
from directions.generators.stylegan.stylegan1 import (
    Normalization,
    StyleGAN1,
    StyleGAN1Config,
    noise_shapes,
)
from directions.weight_files.contents import Contents

__all__ = ["FAMILY", "stylegan1_from_state", "stylegan1_names"]

TITLE = "StyleGAN"
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


def stylegan1_from_state(
    state: Mapping[str, Tensor],
    *,
    name: str,
    label: int | None = None,
    noise: str | int = "const",
    fused_scale: FusedScale = "auto",
    lr_multiplier: float = 0.01,
    use_wscale: bool = True,
    normalization: Normalization = "instance",
    final_tanh: bool = False,
) -> StyleGenerator:
    """Build a StyleGAN from a state dict of any of the known layouts.

    Args:
        state: Names and tensors as genforce or InterFaceGAN save them, or the variables of the
            official TensorFlow network.
        name: Short name of the generator.
        label: For conditional networks, the class all images belong to.
        noise: `const` (the stored noise), `none`, or a seed for fresh noise.
        fused_scale: Which upsampling layers are fused; `auto` is every public model's setting.
        lr_multiplier: Of the mapping network; 0.01 in every public configuration.
        use_wscale: Whether weights are stored before their equalized scale.
        normalization: What precedes the styles; `instance` in every public model.
        final_tanh: Whether images go through tanh.

    Returns:
        The generator in float32 on the CPU. A truncation stored in InterFaceGAN's layout sets
        the number of slots that truncation acts on.

    Raises:
        LatdirError: An unknown layout, a missing key or one left over, named; a tensor of
            another shape; a class it does not have.
    """
    left = Weights(stylegan1_names(state, fused_scale=fused_scale), family=TITLE)
    # Stored by InterFaceGAN: ψ for each layer.
    pulled = left.pop("truncation.truncation", torch.ones(1))
    network = _build(
        left,
        lr_multiplier=lr_multiplier,
        scaled=use_wscale,
        normalization=normalization,
        final_tanh=final_tanh,
    )
    cutoff = int((pulled != 1).sum())
    return StyleGenerator(
        network,
        name=name,
        label=label,
        noise=noise,
        truncation_cutoff=cutoff if 0 < cutoff < network.num_ws else None,
    )


def _settings(contents: Contents) -> dict[str, Any]:
    if contents.writer != "TensorFlow":
        return {}
    arguments = contents.arguments
    instance = arguments.get("use_instance_norm", True)
    pixel = arguments.get("use_pixel_norm", False)
    if instance and pixel:
        raise CheckpointError("it normalizes both by pixel and by instance, which is not supported")
    return {
        "use_wscale": bool(arguments.get("use_wscale", True)),
        "lr_multiplier": tensorflow_rate(arguments),
        "fused_scale": arguments.get("fused_scale", "auto"),
        "normalization": "instance" if instance else "pixel" if pixel else "none",
    }


FAMILY = Family(
    title=TITLE,
    keys=(
        *("synthesis.layer0.const", "synthesis.layer0.first_layer"),
        *("synthesis/4x4/Const/const", "4x4/Const/const"),
    ),
    options=("label", "noise", "lr_multiplier", "fused_scale", "final_tanh"),
    settings=_settings,
    build=stylegan1_from_state,
)


def _build(
    left: Weights,
    *,
    lr_multiplier: float,
    scaled: bool,
    normalization: Normalization,
    final_tanh: bool,
) -> StyleGAN1:
    def weight(key: str, axes: int, gain: float) -> Tensor:
        value = left.take(key, axes)
        return value * gain / math.sqrt(value[0].numel()) if scaled else value

    config = _config(left, normalization=normalization, final_tanh=final_tanh)
    gain = math.sqrt(2)
    made: State = {
        "taps": torch.tensor(config.taps),
        "const": left.take("synthesis.layer0.const", 4)[0],
    }
    made["w_avg"] = left.take("truncation.w_avg")
    if config.c_dim:
        made["embed"] = left.take("mapping.label_weight")
    for i in range(len(config.mapping)):
        made[f"dense.{i}.weight"] = weight(f"mapping.dense{i}.weight", 2, gain) * lr_multiplier
        made[f"dense.{i}.bias"] = left.take(f"mapping.dense{i}.bias") * lr_multiplier
    for i in range(2 * len(config.channels)):
        source, target = f"synthesis.layer{i}", f"layers.{i}"
        if i:
            kernel = weight(f"{source}.weight", 4, gain)
            made[f"{target}.weight"] = kernel if i % 2 else upsampling_kernel(kernel)
        made[f"{target}.bias"] = left.take(f"{source}.bias")
        made[f"{target}.affine.weight"] = weight(f"{source}.style.weight", 2, 1.0)
        made[f"{target}.affine.bias"] = left.take(f"{source}.style.bias")
        if config.noise:
            shapes = zip(("const", "weight"), noise_shapes(config, i), strict=True)
            for part, shape in shapes:
                key = f"{source}.apply_noise.{part.replace('const', 'noise')}"
                value = left.take(key)
                # Where the numbers do not fit, the shapes are compared when the network is made.
                fits = value.numel() == math.prod(shape)
                made[f"{target}.noise_{part}"] = value.reshape(shape) if fits else value
    for k in range(len(config.channels)):
        made[f"rgbs.{k}.weight"] = weight(f"synthesis.output{k}.weight", 4, 1.0)
        made[f"rgbs.{k}.bias"] = left.take(f"synthesis.output{k}.bias")
    left.check_all_taken(
        known_as="StyleGAN of this layout",
        spare=lambda key: key.endswith("blur.kernel") or key == "synthesis.lod",
    )
    with torch.device("meta"):
        network = StyleGAN1(config)
    load_weights(network, made)
    return network


def _config(left: Weights, *, normalization: Normalization, final_tanh: bool) -> StyleGAN1Config:
    """Settings determined by the shapes."""
    depth = len([k for k in left if re.fullmatch(r"mapping\.dense\d+\.weight", k)])
    blocks = len([k for k in left if re.fullmatch(r"synthesis\.output\d+\.weight", k)])
    lod = left.number("synthesis.lod", 0.0)
    check_blocks(blocks, lod)
    needed = [f"mapping.dense{i}.weight" for i in range(depth or 1)]
    needed += [f"synthesis.layer{i}.bias" for i in range(2 * blocks)]
    needed += ["synthesis.output0.weight", "synthesis.layer0.style.weight"]
    left.need(*needed)
    classes = "mapping.label_weight"
    c_dim, embed_dim = left.look(classes, 2).shape if classes in left else (0, 0)
    noise = left.get("synthesis.layer0.apply_noise.noise")
    blur = next((k for k in left if k.endswith("blur.kernel")), None)
    config = StyleGAN1Config(
        z_dim=left.look("mapping.dense0.weight", 2).shape[1] - embed_dim,
        w_dim=left.look("synthesis.layer0.style.weight", 2).shape[1],
        channels=tuple(len(left.look(f"synthesis.layer{2 * k}.bias", 1)) for k in range(blocks)),
        mapping=tuple(len(left.look(f"mapping.dense{i}.weight", 2)) for i in range(depth)),
        c_dim=c_dim,
        embed_dim=embed_dim,
        image_channels=len(left.look("synthesis.output0.weight", 4)),
        normalization=normalization,
        taps=StyleGAN1Config.taps
        if blur is None
        else tuple(left.look(blur, 4)[0, 0].sum(0).tolist()),
        noise=None if noise is None else "spatial" if noise.shape[1:2] == (1,) else "channel",
        lod=lod,
        final_tanh=final_tanh,
    )
    if config.z_dim < 1:
        raise CheckpointError(
            f"the mapping network reads {config.z_dim + embed_dim} coordinates, {embed_dim} of "
            "them a label's: nothing is left for z"
        )
    if not config.mapping or config.mapping[-1] != config.w_dim:
        raise CheckpointError(
            f"the mapping network makes {config.mapping[-1]} coordinates, but a layer reads "
            f"{config.w_dim}: one w for each layer (repeat_w=False) is not supported"
        )
    return config


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
    plain = floats(state)
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
            plain[key] = _axes(key, plain[key], 4).flip(2, 3) if fused else plain[key]
    return plain


def _from_interfacegan(state: State) -> State:
    out: State = {}
    for key, value in state.items():
        name, tensor = key, value
        if re.fullmatch(r"synthesis\.layer\d+\.weight", key):
            tensor = _axes(key, value, 4).permute(3, 2, 0, 1).flip(2, 3)
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
            value = _axes(key, value, 2).T
        elif value.ndim == 4 and name.endswith(".weight"):
            value = value.permute(3, 2, 0, 1)
        out[name] = value
    return out


def _axes(key: str, value: Tensor, count: int) -> Tensor:
    return ranked(key, value, count, family=TITLE)


def _upsamples(layer: int) -> bool:
    return layer >= 2 and layer % 2 == 0


def _size(layer: int) -> int:
    return 4 << layer // 2
