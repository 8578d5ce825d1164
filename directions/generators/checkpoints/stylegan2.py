"""State dicts of the public StyleGAN2 projects, as one canonical network.

Four layouts are known, each identified by its keys: NVIDIA's (StyleGAN2-ADA and the StyleGAN2 of
the StyleGAN3 repository), and three that `stylegan2_layouts` renames to NVIDIA's. Everything but
`conv_clamp` and the mapping's learning-rate multiplier follows from the shapes. No memory is taken
before all shapes are known to fit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from directions.errors import CheckpointError
from directions.generators.checkpoints.families import Family
from directions.generators.checkpoints.settings import (
    bound,
    mapping,
    number,
    only_leaky,
    tensorflow_rate,
)
from directions.generators.checkpoints.state_dict import State, Weights, floats
from directions.generators.checkpoints.stylegan2_layouts import (
    LARGEST,
    from_genforce,
    from_rosinality,
    from_tensorflow,
)
from directions.generators.progressive import load_weights
from directions.generators.stylegan.stylegan2 import StyleGAN2, StyleGAN2Config
from directions.generators.stylegan.stylegan2_generator import StyleGAN2Generator
from directions.seeds import CHECKPOINT_SEED
from directions.weight_files.contents import Contents

__all__ = ["FAMILY", "stylegan2_from_state", "stylegan2_generator"]

TITLE = "StyleGAN2"
TENSORFLOW = "synthesis/4x4/Conv/mod_weight"
MEAN_SAMPLES = 4096
LABEL_NUMBERS = 2**24  # of one-hot labels held at once


def stylegan2_settings(contents: Contents) -> dict[str, Any]:
    """Settings of a file besides the tensors.

    NVIDIA's two torch repositories differ in how they take their arguments and in their defaults:
    StyleGAN2-ADA nests `synthesis_kwargs` and clamps nothing, StyleGAN3's takes them flat and
    clamps at 256.

    Raises:
        CheckpointError: A setting that is not supported.
    """
    arguments, kept = contents.arguments, contents.attributes
    if contents.writer == "TensorFlow":
        kernel = arguments.get("resample_kernel", [1, 3, 3, 1])
        if kernel is not None and not (isinstance(kernel, list) and len(kernel) > 0):
            raise CheckpointError("its resample_kernel is not a list of numbers")
        return {
            "conv_clamp": bound(arguments.get("conv_clamp")),
            "lr_multiplier": tensorflow_rate(arguments),
            "taps": kernel and [number(t, "resample_kernel", positive=False) for t in kernel],
        }
    if contents.writer not in ("NVIDIA", "safetensors"):
        return {}
    flat = bool({"channel_base", "channel_max", "num_fp16_res", "conv_clamp"} & set(arguments))
    nested, w = arguments.get("synthesis_kwargs"), mapping(arguments.get("mapping_kwargs"))
    synthesis = nested if isinstance(nested, dict) else arguments
    for where in (kept, synthesis, w):
        only_leaky(where.get("activation", "lrelu"))
    only_leaky(kept.get("mapping_activation", "lrelu"))
    clamp = synthesis.get("conv_clamp", 256.0 if flat else None)
    rate = kept.get("lr_multiplier", w.get("lr_multiplier", 0.01))
    return {
        "conv_clamp": bound(kept.get("conv_clamp", clamp)),
        "lr_multiplier": number(rate, "lr_multiplier"),
    }


def stylegan2_generator(
    state: Mapping[str, Tensor],
    *,
    name: str,
    label: int | None = None,
    noise: str | int = "const",
    conv_clamp: float | None = None,
    lr_multiplier: float = 0.01,
    taps: Sequence[float] | None = None,
) -> StyleGAN2Generator:
    """The generator around the network that `stylegan2_from_state` builds."""
    network = stylegan2_from_state(
        state, conv_clamp=conv_clamp, lr_multiplier=lr_multiplier, taps=taps
    )
    return StyleGAN2Generator(network, name=name, label=label, noise=noise)


FAMILY = Family(
    title=TITLE,
    keys=(
        *("synthesis.b4.const", "input.input", "synthesis.early_layer.const"),
        TENSORFLOW,
    ),
    options=("label", "noise", "conv_clamp", "lr_multiplier"),
    settings=stylegan2_settings,
    build=stylegan2_generator,
)


def stylegan2_from_state(
    state: Mapping[str, Tensor],
    *,
    conv_clamp: float | None = None,
    lr_multiplier: float = 0.01,
    taps: Sequence[float] | None = None,
) -> StyleGAN2:
    """Build a StyleGAN2 from a state dict of any of the four layouts.

    Args:
        state: Names and tensors as the project saves them.
        conv_clamp: Bound on activations, which a state dict does not store; infinity for none.
        lr_multiplier: Of the mapping network; 0.01 in every public configuration.
        taps: Of the resampling filter of TensorFlow's layout, which does not store it.

    Returns:
        The network in float32 on the CPU.

    Raises:
        CheckpointError: An unknown layout, a missing key or one left over, named; a tensor of
            another shape.
    """
    left = floats(state)
    if "input.input" in left:
        left = from_rosinality(left)
    elif "synthesis.early_layer.const" in left:
        left = from_genforce(left)
    elif TENSORFLOW in left:
        left = from_tensorflow(left, taps=taps)
    if "synthesis.b4.const" not in left:
        raise CheckpointError(
            "these keys are of no StyleGAN2 layout this release reads "
            f"(the first is {next(iter(state), 'missing')!r})"
        )
    return _from_nvidia(left, conv_clamp=bound(conv_clamp), lr_multiplier=lr_multiplier)


def _from_nvidia(state: State, *, conv_clamp: float | None, lr_multiplier: float) -> StyleGAN2:
    left = Weights(state, family=TITLE)

    def scaled(key: str, axes: int, gain: float = 1.0) -> Tensor:
        weight = left.take(key, axes)
        return weight * (gain / math.sqrt(weight[0].numel()))

    depth = len([k for k in left if re.fullmatch(r"mapping\.fc\d+\.weight", k)])
    convolutions = (re.fullmatch(r"synthesis\.b(\d+)\.conv1\.weight", k) for k in left)
    sizes = sorted(int(found[1]) for found in convolutions if found)
    if not depth or not sizes or sizes != [4 << k for k in range(len(sizes))]:
        raise CheckpointError(f"the checkpoint has {depth} mapping layers and blocks {sizes}")
    rgbs = [s for s in sizes if f"synthesis.b{s}.torgb.weight" in left]
    resnet = f"synthesis.b{sizes[-1]}.skip.weight" in left
    widths = [left.look(f"mapping.fc{i}.weight", 2).shape[0] for i in range(depth)]
    # StyleGAN2 before ADA looks its label up without a bias, and normalizes it together with z.
    looked_up = None
    if "mapping.label_weight" in left:
        looked_up = left.take("mapping.label_weight", 2)
        left["mapping.embed.weight"] = looked_up.T * math.sqrt(looked_up.shape[0])
        left["mapping.embed.bias"] = torch.zeros(looked_up.shape[1])
    conditional = "mapping.embed.weight" in left
    embed_dim, c_dim = left.look("mapping.embed.weight", 2).shape if conditional else (0, 0)
    if sizes[-1] > LARGEST:
        raise CheckpointError(
            f"the checkpoint makes images of {sizes[-1]} pixels, beyond {LARGEST}"
        )
    config = StyleGAN2Config(
        z_dim=left.look("mapping.fc0.weight", 2).shape[1] - embed_dim,
        w_dim=left.look("synthesis.b4.conv1.affine.weight", 2).shape[1],
        resolution=sizes[-1],
        channels=tuple(left.look(f"synthesis.b{s}.conv1.weight", 4).shape[0] for s in sizes),
        mapping=tuple(widths),
        c_dim=c_dim,
        embed_dim=embed_dim,
        image_channels=left.look(f"synthesis.b{sizes[-1]}.torgb.weight", 4).shape[0],
        architecture="skip" if rgbs == sizes else "resnet" if resnet else "orig",
        taps=_taps(left, sizes),
        conv_clamp=conv_clamp,
        noise=any(k.endswith(".noise_strength") for k in left),
        label_norm=looked_up is None,
    )
    if config.z_dim < 1 or widths[-1] != config.w_dim:
        raise CheckpointError(
            f"the mapping network reads {config.z_dim} coordinates beside {embed_dim} of a label "
            f"and makes {widths[-1]}, but a layer reads {config.w_dim}"
        )
    with torch.device("meta"):
        network = StyleGAN2(config)
    made: State = {"taps": torch.tensor(config.taps), "const": left.take("synthesis.b4.const")}
    tracked = "mapping.w_avg" in left
    made["w_avg"] = left.pop("mapping.w_avg", torch.zeros(config.w_dim))
    for i in range(depth):
        made[f"dense.{i}.weight"] = scaled(f"mapping.fc{i}.weight", 2, lr_multiplier)
        made[f"dense.{i}.bias"] = left.take(f"mapping.fc{i}.bias") * lr_multiplier
    if c_dim:
        made["embed.weight"] = scaled("mapping.embed.weight", 2)
        made["embed.bias"] = left.take("mapping.embed.bias")
    for name in network.style_names:
        source, target = f"synthesis.{name}", network.module_path(name)
        made[f"{target}.affine.weight"] = scaled(f"{source}.affine.weight", 2)
        parts = ["affine.bias", "weight", "bias"]
        if "torgb" not in name and config.noise:
            parts += ["noise_strength", "noise_const"]
        elif "torgb" not in name:
            size = int(name.split(".")[0][1:])
            made[f"{target}.noise_strength"] = torch.zeros(())
            made[f"{target}.noise_const"] = torch.zeros(size, size)
        made.update({f"{target}.{part}": left.take(f"{source}.{part}") for part in parts})
    if config.architecture == "resnet":
        for i, s in enumerate(sizes[1:]):
            made[f"skips.{i}.weight"] = scaled(f"synthesis.b{s}.skip.weight", 4)
    left.check_all_taken(
        known_as="StyleGAN2 of this layout",
        spare=lambda key: key.endswith(("resample_filter", "noise_const")),
    )
    load_weights(network, made)
    if not tracked:
        network.w_avg = _mean_w(network)
    return network


def _mean_w(network: StyleGAN2) -> Tensor:
    """The mean of w over codes of a fixed seed, for networks that never tracked it."""
    draw = torch.Generator().manual_seed(CHECKPOINT_SEED)
    z = torch.randn(MEAN_SAMPLES, network.z_dim, generator=draw)
    # In parts, so that a file that claims many classes takes no more memory than its weights.
    total, classes = torch.zeros(network.w_dim), network.c_dim
    at_once = max(1, LABEL_NUMBERS // max(1, classes))
    for rows in torch.split(torch.arange(MEAN_SAMPLES), at_once):
        label = None
        if classes:
            label = torch.zeros(len(rows), classes).scatter(1, rows[:, None] % classes, 1)
        with torch.no_grad():
            total += network.mapping(z[rows], label).sum(0)
    return total / MEAN_SAMPLES


def _taps(left: Weights, sizes: list[int]) -> tuple[float, ...]:
    """The separable filter's taps; the first block's own copy is not used by the originals."""
    for key in (
        f"synthesis.b{s}.{part}resample_filter" for s in sizes[::-1] for part in ("conv0.", "")
    ):
        if key in left:
            # Filters of eight taps and more are kept as one dimension of a separable one.
            taps = left.look(key, 1, 2)
            taps = taps.sum(0) if taps.ndim == 2 else taps
            return tuple((taps / taps.sum()).tolist())
    return StyleGAN2Config.taps
