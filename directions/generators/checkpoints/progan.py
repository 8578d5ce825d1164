"""State dicts of the public PGGAN projects as the canonical network.

Three layouts are known, each identified by its keys: genforce's, InterFaceGAN's torch models',
and the variables of the official TensorFlow network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from directions.errors import CheckpointError
from directions.generators.checkpoints.families import Family
from directions.generators.checkpoints.settings import number, tensorflow_rate
from directions.generators.checkpoints.state_dict import State, Weights, floats, ranked
from directions.generators.progan import ProGAN, ProGANConfig, ProGANNetwork
from directions.generators.progressive import check_blocks, load_weights, upsampling_kernel
from directions.weight_files.contents import Contents

__all__ = ["FAMILY", "progan_from_state"]

TITLE = "PGGAN"
TENSORFLOW = "4x4/Dense/weight"


def progan_from_state(
    state: Mapping[str, Tensor],
    *,
    name: str,
    label: int | None = None,
    fused_scale: bool | None = None,
    c_dim: int = 0,
    use_wscale: bool = True,
    final_tanh: bool = False,
) -> ProGAN:
    """Build a PGGAN from a state dict of any of the known layouts.

    Args:
        state: Names and tensors as genforce or InterFaceGAN save them, or the variables of the
            official TensorFlow network.
        name: Short name of the generator.
        label: For conditional networks, the class all images belong to.
        fused_scale: In genforce's layout, whether upsampling is fused into a transposed
            convolution; by default as the shapes indicate, and not fused where they do not. The
            other layouts determine it.
        c_dim: Number of classes; a state dict does not distinguish them from coordinates of z.
        use_wscale: Whether weights are stored before their equalized scale.
        final_tanh: Whether images go through tanh.

    Returns:
        The generator in float32 on the CPU.

    Raises:
        LatdirError: An unknown layout, a missing key or one left over, named; a tensor of
            another shape; a class it does not have.
    """
    network = _network(
        state, fused_scale=fused_scale, c_dim=c_dim, scaled=use_wscale, final_tanh=final_tanh
    )
    return ProGAN(network, name=name, label=label)


def _settings(contents: Contents) -> dict[str, Any]:
    if contents.writer != "TensorFlow":
        return {}
    tensorflow_rate(contents.arguments)
    return {
        "use_wscale": bool(contents.arguments.get("use_wscale", True)),
        "c_dim": int(number(contents.arguments.get("label_size", 0), "label_size", positive=False)),
    }


FAMILY = Family(
    title=TITLE,
    keys=("layer0.weight", "layer0.conv.weight", TENSORFLOW),
    options=("label", "fused_scale", "final_tanh", "c_dim"),
    settings=_settings,
    build=progan_from_state,
)


def _network(
    state: Mapping[str, Tensor],
    *,
    fused_scale: bool | None,
    c_dim: int,
    scaled: bool,
    final_tanh: bool,
) -> ProGANNetwork:
    plain = floats(state)
    tensorflow = TENSORFLOW in plain
    if "layer0.conv.weight" in plain:
        named = _from_interfacegan(plain)
    elif tensorflow:
        named = _from_tensorflow(plain)
    elif "layer0.weight" in plain:
        named = _from_genforce(plain, fused_scale)
    else:
        raise CheckpointError(
            "these keys are of no PGGAN layout this release reads "
            f"(the first is {next(iter(state), 'missing')!r}): it reads genforce's and "
            "InterFaceGAN's state dicts and the variables of the official TensorFlow network"
        )
    left = Weights(named, family=TITLE)

    def weight(key: str, gain: float) -> Tensor:
        value = left.take(key, 4)
        return value * gain / math.sqrt(value[0].numel()) if scaled else value

    blocks = len([k for k in left if re.fullmatch(r"output\d+\.weight", k)])
    lod = left.number("lod", 0.0)
    check_blocks(blocks, lod)
    made: State = {}
    for i in range(2 * blocks):
        kernel = weight(f"layer{i}.weight", math.sqrt(2))
        if i == 0:
            # A 4×4 convolution of one pixel with padding 3 reads its kernel backwards.
            kernel = kernel.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)
        made[f"weights.{i}"] = upsampling_kernel(kernel) if i and i % 2 == 0 else kernel
        made[f"biases.{i}"] = left.take(f"layer{i}.bias", 1)
    for k in range(blocks):
        made[f"rgbs.{k}.weight"] = weight(f"output{k}.weight", 1.0)
        made[f"rgbs.{k}.bias"] = left.take(f"output{k}.bias", 1)
    config = ProGANConfig(
        z_dim=made["weights.0"].shape[1] - c_dim,
        channels=tuple(len(made[f"biases.{2 * k}"]) for k in range(blocks)),
        c_dim=c_dim,
        image_channels=len(made["rgbs.0.bias"]),
        normalize_z=not tensorflow,
        lod=lod,
        final_tanh=final_tanh,
    )
    left.check_all_taken(known_as="PGGAN of this layout")
    if config.z_dim < 1:
        raise CheckpointError(
            f"the first layer reads {config.z_dim + c_dim} coordinates: "
            f"they cannot hold a label of {c_dim} classes"
        )
    with torch.device("meta"):
        network = ProGANNetwork(config)
    load_weights(network, made)
    return network


def _from_genforce(state: State, fused_scale: bool | None) -> State:
    """Fused layers hold [inputs, outputs, 3, 3], for a transposed convolution."""
    ups = [k for k in state if re.fullmatch(r"layer\d+\.weight", k) and _upsamples(k)]
    if fused_scale is None:
        fused_scale = any(
            _kernel(k, state[k]).shape[:1] != state.get(k[:-6] + "bias", state[k]).shape[:1]
            for k in ups
        )
    fused = {k: _kernel(k, state[k]).transpose(0, 1).flip(2, 3) for k in ups if fused_scale}
    return {**state, **fused}


def _from_interfacegan(state: State) -> State:
    out: State = {}
    for key, value in state.items():
        if re.fullmatch(r"layer\d+\.weight", key):
            out[key] = _kernel(key, value).permute(3, 2, 0, 1).flip(2, 3)
        elif key == "lod":
            # A network saved while it grew shows the last finished level, unblended.
            out[key] = value.floor()
        else:
            out[re.sub(r"\.(conv|wscale)\.", ".", key)] = value
    return out


def _from_tensorflow(state: State) -> State:
    blocks = len([k for k in state if re.fullmatch(r"ToRGB_lod\d+/weight", k)])
    out: State = {}
    for key, value in state.items():
        layer = re.fullmatch(r"(\d{1,4})x\1/(Dense|Conv|Conv0|Conv0_up|Conv1)/(weight|bias)", key)
        rgb = re.fullmatch(r"ToRGB_lod(\d{1,2})/(weight|bias)", key)
        name = key
        if layer:
            second = layer[2] in ("Conv", "Conv1")
            name = f"layer{2 * (int(layer[1]).bit_length() - 3) + second}.{layer[3]}"
        elif rgb:
            name = f"output{blocks - 1 - int(rgb[1])}.{rgb[2]}"
        if layer and layer[2] == "Dense" and layer[3] == "weight":
            inputs, outputs = ranked(key, value, 2, family=TITLE).shape
            if outputs % 16:
                raise CheckpointError(f"its {key!r} makes {outputs} numbers, not maps of 4×4")
            value = value.T.reshape(-1, 4, 4, inputs).permute(0, 3, 1, 2).flip(2, 3)
        elif value.ndim == 4:
            value = value.permute(3, 2, 0, 1)
            if layer and layer[2] == "Conv0_up":
                value = value.flip(2, 3)
        out[name] = value
    return out


def _kernel(key: str, value: Tensor) -> Tensor:
    return ranked(key, value, 4, family=TITLE)


def _upsamples(key: str) -> bool:
    number = int(key.split(".")[0].removeprefix("layer"))
    return number >= 2 and number % 2 == 0
