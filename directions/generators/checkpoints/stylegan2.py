"""State dicts of the public StyleGAN2 projects, as one canonical network.

Three layouts are known, each told by its keys: NVIDIA's (StyleGAN2-ADA and the StyleGAN2 of
the StyleGAN3 repository), rosinality's (also inside pSp, e4e and ReStyle) and genforce's. The
other two are renamed to NVIDIA's; everything but `conv_clamp` and the mapping's learning-rate
multiplier follows from the shapes. No memory is taken before all shapes are known to fit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from directions.errors import CheckpointError
from directions.generators.checkpoints.state_dict import Weights
from directions.generators.stylegan.generator import StyleGenerator
from directions.generators.stylegan.stylegan2 import StyleGAN2, StyleGAN2Config

__all__ = ["stylegan2_from_state", "stylegan2_generator"]

State = dict[str, Tensor]

# The largest public models make 2048 pixels.
LARGEST = 4096
MEAN_SAMPLES = 4096


def stylegan2_from_state(
    state: Mapping[str, Tensor],
    *,
    conv_clamp: float | None = None,
    lr_multiplier: float = 0.01,
) -> StyleGAN2:
    """Build a StyleGAN2 from a state dict of any of the three layouts.

    Args:
        state: Names and tensors as the project saves them.
        conv_clamp: Bound on activations; not stored in a state dict.
        lr_multiplier: Of the mapping network; 0.01 in every public configuration.

    Returns:
        The network in float32 on the CPU.

    Raises:
        LatdirError: An unknown layout, a missing key or one left over, named.
    """
    left = {k: v.detach().to("cpu", torch.float32) for k, v in state.items()}
    if "input.input" in left:
        left = _from_rosinality(left)
    elif "synthesis.early_layer.const" in left:
        left = _from_genforce(left)
    if "synthesis.b4.const" not in left:
        raise CheckpointError(
            "these keys are of no StyleGAN2 layout this release reads "
            f"(the first is {next(iter(state), 'missing')!r})"
        )
    return _from_nvidia(left, conv_clamp=conv_clamp, lr_multiplier=lr_multiplier)


def stylegan2_generator(
    state: Mapping[str, Tensor],
    *,
    name: str,
    conv_clamp: float | None = None,
    lr_multiplier: float = 0.01,
) -> StyleGenerator:
    """The generator around the network that `stylegan2_from_state` builds."""
    network = stylegan2_from_state(state, conv_clamp=conv_clamp, lr_multiplier=lr_multiplier)
    return StyleGenerator(network, name=name)


def _from_nvidia(state: State, *, conv_clamp: float | None, lr_multiplier: float) -> StyleGAN2:
    left = Weights(state, family="StyleGAN2")

    def scaled(key: str, gain: float = 1.0) -> Tensor:
        weight = left.take(key)
        return weight * (gain / math.sqrt(weight[0].numel()))

    depth = len([k for k in left if re.fullmatch(r"mapping\.fc\d+\.weight", k)])
    sizes = sorted(int(k.split(".")[1][1:]) for k in left if k.endswith(".conv1.weight"))
    if not depth or sizes != [4 << k for k in range(len(sizes))]:
        raise CheckpointError(f"the checkpoint has {depth} mapping layers and blocks {sizes}")
    rgbs = [s for s in sizes if f"synthesis.b{s}.torgb.weight" in left]
    resnet = f"synthesis.b{sizes[-1]}.skip.weight" in left
    widths = [left[f"mapping.fc{i}.weight"].shape[0] for i in range(depth)]
    # StyleGAN2 before ADA looks its label up without a bias, and normalizes it along with z.
    looked_up = left.pop("mapping.label_weight", None)
    if looked_up is not None:
        left["mapping.embed.weight"] = looked_up.T * math.sqrt(looked_up.shape[0])
        left["mapping.embed.bias"] = torch.zeros(looked_up.shape[1])
    embedding = left.get("mapping.embed.weight")
    embed_dim, c_dim = (0, 0) if embedding is None else embedding.shape
    if sizes[-1] > LARGEST:
        raise CheckpointError(
            f"the checkpoint makes images of {sizes[-1]} pixels, beyond {LARGEST}"
        )
    config = StyleGAN2Config(
        z_dim=left["mapping.fc0.weight"].shape[1] - embed_dim,
        w_dim=left["synthesis.b4.conv1.affine.weight"].shape[1],
        resolution=sizes[-1],
        channels=tuple(left[f"synthesis.b{s}.conv1.weight"].shape[0] for s in sizes),
        mapping=tuple(widths),
        c_dim=c_dim,
        embed_dim=embed_dim,
        image_channels=left[f"synthesis.b{sizes[-1]}.torgb.weight"].shape[0],
        architecture="skip" if rgbs == sizes else "resnet" if resnet else "orig",
        taps=_taps(left, sizes),
        conv_clamp=conv_clamp,
        noise=any(k.endswith(".noise_strength") for k in left),
        label_norm=looked_up is None,
    )
    with torch.device("meta"):
        network = StyleGAN2(config)
    made: State = {"taps": torch.tensor(config.taps), "const": left.take("synthesis.b4.const")}
    tracked = "mapping.w_avg" in left
    made["w_avg"] = left.pop("mapping.w_avg", torch.zeros(config.w_dim))
    for i in range(depth):
        made[f"dense.{i}.weight"] = scaled(f"mapping.fc{i}.weight", lr_multiplier)
        made[f"dense.{i}.bias"] = left.take(f"mapping.fc{i}.bias") * lr_multiplier
    if c_dim:
        made["embed.weight"] = scaled("mapping.embed.weight")
        made["embed.bias"] = left.take("mapping.embed.bias")
    for name in network.style_names:
        source, target = f"synthesis.{name}", network.module_path(name)
        made[f"{target}.affine.weight"] = scaled(f"{source}.affine.weight")
        parts = ["affine.bias", "weight", "bias"]
        if "torgb" not in name and config.noise:
            parts += ["noise_strength", "noise_const"]
        elif "torgb" not in name:
            size = int(name.split(".")[0][1:])
            made[f"{target}.noise_strength"] = torch.zeros(())
            made[f"{target}.noise_const"] = torch.zeros(size, size)
        made.update({f"{target}.{part}": left.take(f"{source}.{part}") for part in parts})
    if resnet:
        made.update(
            {
                f"skips.{i}.weight": scaled(f"synthesis.b{s}.skip.weight")
                for i, s in enumerate(sizes[1:])
            }
        )
    left.check_all_taken(
        known_as="StyleGAN2 of this layout",
        spare=lambda key: key.endswith(("resample_filter", "noise_const")),
    )
    try:
        network.load_state_dict(made, assign=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"the checkpoint's tensors do not fit each other, so it is damaged: {error}"
        ) from error
    if not tracked:
        network.w_avg = _mean_w(network)
    return network


def _mean_w(network: StyleGAN2) -> Tensor:
    """The mean of w over codes of a fixed seed, for networks that never tracked it."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(MEAN_SAMPLES, network.z_dim, generator=draw)
    label = None
    if network.c_dim:
        label = torch.eye(network.c_dim)[torch.arange(MEAN_SAMPLES) % network.c_dim]
    with torch.no_grad():
        return network.mapping(z, label).mean(0)


def _taps(left: State, sizes: list[int]) -> tuple[float, ...]:
    """The separable filter's taps; the first block's own copy is not used by the originals."""
    for key in (
        f"synthesis.b{s}.{part}resample_filter" for s in sizes[::-1] for part in ("conv0.", "")
    ):
        if key in left:
            # Filters of eight taps and more are kept as one dimension of a separable one.
            taps = left[key].sum(0) if left[key].ndim == 2 else left[key]
            return tuple((taps / taps.sum()).tolist())
    return StyleGAN2Config.taps


def _from_rosinality(state: State) -> State:
    """Rename to NVIDIA's keys: its convolutions are scaled, its filters carry a gain."""
    out: State = {}
    for key, value in state.items():
        dense = re.fullmatch(r"style\.(\d+)\.(weight|bias)", key)
        noise = re.fullmatch(r"noises\.noise_(\d+)", key)
        layer = re.fullmatch(r"(?:conv1|convs\.(\d+))\.(.+)", key)
        rgb = re.fullmatch(r"(?:to_rgb1|to_rgbs\.(\d+))\.(.+)", key)
        if dense:
            out[f"mapping.fc{int(dense[1]) - 1}.{dense[2]}"] = value
        elif noise:
            out[f"{_conv(int(noise[1]))}.noise_const"] = value[0, 0]
        elif layer:
            name, part = _conv(0 if layer[1] is None else int(layer[1]) + 1), layer[2]
            match part:
                case "conv.weight":
                    # Scaled before demodulation, which matters beside its epsilon of 1e-8.
                    out[f"{name}.weight"] = value[0] / math.sqrt(value[0, 0].numel())
                case "conv.blur.kernel":
                    out[f"{name}.resample_filter"] = value
                case "noise.weight":
                    out[f"{name}.noise_strength"] = value.reshape(())
                case _:
                    part = part.replace("conv.modulation", "affine").replace("activate.", "")
                    out[f"{name}.{part}"] = value
        elif rgb:
            name = f"synthesis.b{4 if rgb[1] is None else 8 << int(rgb[1])}.torgb"
            part = rgb[2].replace("conv.modulation", "affine").replace("conv.weight", "weight")
            shaped = {"weight": value[0], "bias": value.reshape(-1)}.get(part, value)
            if part != "upsample.kernel":
                out[f"{name}.{part}"] = shaped
        elif key == "input.input":
            out["synthesis.b4.const"] = value[0]
        elif key == "latent_avg":
            # e4e repeats it for every layer.
            out["mapping.w_avg"] = value.mean(0) if value.ndim == 2 else value
        else:
            out[key] = value
    return _with_noise(out)


def _with_noise(state: State) -> State:
    """Noise by a fixed seed where a file is older than the project's noise buffers."""
    draw = torch.Generator().manual_seed(0)
    for key in [k for k in state if k.endswith(".noise_strength")]:
        const = key.replace("strength", "const")
        size = int(key.split(".")[1][1:])
        if const not in state and size <= LARGEST:
            state[const] = torch.randn(size, size, generator=draw)
    return state


def _from_genforce(state: State) -> State:
    """Rename to NVIDIA's keys: odd kernels are flipped, style biases lack their 1."""
    out: State = {}
    for key, value in state.items():
        layer = re.fullmatch(r"synthesis\.layer(\d+)\.(.+)", key)
        output = re.fullmatch(r"synthesis\.output(\d+)\.(.+)", key)
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
            if renamed != "synthesis.upsample.kernel":
                out[renamed] = value[0] if renamed == "synthesis.b4.const" else value
            continue
        match part:
            case "weight" if layer:
                flipped = value.flip(2, 3) if int(layer[1]) % 2 else value
                out[f"{target}.weight"] = flipped / math.sqrt(value[0].numel())
            case "style.weight":
                out[f"{target}.affine.weight"] = value
            case "style.bias":
                out[f"{target}.affine.bias"] = value + 1
            case "noise":
                out[f"{target}.noise_const"] = value[0, 0]
            case "filter.kernel":
                out[f"{target}.resample_filter"] = value[0, 0]
            case _:
                out[f"{target}.{part}"] = value
    return out


def _conv(index: int) -> str:
    """NVIDIA's name of the n-th convolution."""
    if index == 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{8 << (index - 1) // 2}.conv{(index - 1) % 2}"
