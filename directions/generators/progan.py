"""PGGAN, the progressively grown generator.

Progressive Growing of GANs for Improved Quality, Stability, and Variation (Karras, Aila, Laine,
Lehtinen 2018, arXiv:1710.10196). Every layer normalizes its inputs over channels; the code is
normalized too, so that only its direction counts.

State dicts of genforce and of InterFaceGAN's torch models are read, and the variables of the
official TensorFlow network. Weights are kept as they act: the equalized learning rate's
constants are folded in, the first layer is a linear map of the code, and an upsampling layer is
one transposed convolution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.errors import CheckpointError, LatdirError, SpaceError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.generators.checkpoints.state_dict import Weights
from directions.generators.progressive import (
    check_blocks,
    faded_image,
    load_weights,
    pixel_norm,
    upconvolve,
    upsampling_kernel,
)
from directions.space import Space

__all__ = ["ProGAN", "ProGANConfig", "ProGANNetwork", "progan_from_state"]

NEGATIVE_SLOPE = 0.2

State = dict[str, Tensor]


@dataclass(frozen=True)
class ProGANConfig:
    """Shape and constants of a PGGAN generator.

    Attributes:
        z_dim: Coordinates of z.
        channels: Feature channels at 4, 8, 16, … pixels.
        c_dim: Number of classes, 0 for none.
        image_channels: Channels of its images.
        normalize_z: Whether z is normalized before the label is concatenated, as in genforce;
            otherwise only both together are.
        lod: Level of detail; above 0 for a generator saved while it grew.
        final_tanh: Whether images go through tanh.
    """

    z_dim: int
    channels: tuple[int, ...]
    c_dim: int = 0
    image_channels: int = 3
    normalize_z: bool = True
    lod: float = 0.0
    final_tanh: bool = False


class ProGANNetwork(nn.Module):
    """The weights and equations of a PGGAN generator.

    Args:
        config: Its shape; the weights are then set by `load_state_dict`.
    """

    def __init__(self, config: ProGANConfig) -> None:
        super().__init__()
        c = self.config = config
        # Each block's two layers; of the very first, the linear map to 4×4 pixels.
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.rgbs = nn.ModuleList()
        for k, width in enumerate(c.channels):
            first = (c.channels[k - 1], width, 4, 4) if k else (width * 16, c.z_dim + c.c_dim)
            self.weights.append(torch.empty(first))
            self.weights.append(torch.empty(width, width, 3, 3))
            self.biases.extend([torch.empty(width), torch.empty(width)])
            self.rgbs.append(nn.Conv2d(width, c.image_channels, 1))

    def forward(self, z: Float[Tensor, "n z"], label: Tensor | None) -> Float[Tensor, "n 3 h w"]:
        """Images of codes and, for conditional networks, one-hot labels."""
        c = self.config
        image = faded_image(
            self._features(z, label),
            lambda k, x: self.rgbs[k](pixel_norm(x)),
            count=len(c.channels),
            lod=c.lod,
        )
        return image.tanh() if c.final_tanh else image

    def _features(self, z: Tensor, label: Tensor | None) -> Iterator[Tensor]:
        """Feature maps of each block in turn."""
        x = pixel_norm(z) if self.config.normalize_z else z
        if label is not None:
            x = torch.cat([x, label], 1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = pixel_norm(x)
            if i == 0:
                x = functional.linear(x, weight).reshape(len(x), -1, 4, 4)
            elif i % 2 == 0:
                x = upconvolve(x, weight)
            else:
                x = functional.conv2d(x, weight, padding=1)
            x = functional.leaky_relu(x + bias[:, None, None], NEGATIVE_SLOPE)
            if i % 2:
                yield x


class ProGAN(Generator):
    """A PGGAN as a generator of one latent space, z.

    Args:
        network: The network; put into evaluation mode, otherwise left alone.
        name: Short name, shown and stored.
        label: For conditional networks, the class all images belong to.

    Raises:
        LatdirError: A label for an unconditional network, or one out of range.
    """

    def __init__(self, network: ProGANNetwork, *, name: str, label: int | None = None) -> None:
        c = network.config
        if label is not None and not 0 <= label < c.c_dim:
            raise LatdirError(
                f"{name} has {c.c_dim} classes, so there is no class {label}"
                + ("" if c.c_dim else ": leave the label out")
            )
        self.network = network.eval()
        self.name = name
        self.label = label
        size = 4 << len(c.channels) - 1
        self.image_shape = (c.image_channels, size, size)
        self.spaces = {"z": Space("z", (c.z_dim,))}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights, the configuration and the label."""
        config = {**asdict(self.network.config), "label": self.label}
        return fingerprint(self.network.state_dict(), config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def with_label(self, label: int) -> ProGAN:
        """The same network making images of one class."""
        return ProGAN(self.network, name=self.name, label=label)

    def synthesize(self, codes: Float[Tensor, "n ..."], space: str = "z") -> Tensor:
        """Images of codes, `[n, channels, R, R]`, nominally in [-1, 1]; their norm is ignored."""
        self.check(codes, space)
        count = self.network.config.c_dim
        label = None
        if count:
            if self.label is None:
                raise LatdirError(
                    f"{self.name} is conditional on {count} classes: "
                    "choose one with generator.with_label(0)"
                )
            label = codes.new_zeros(len(codes), count)
            label[:, self.label] = 1
        images: Tensor = self.network(codes, label)
        return images

    def style_matrices(self, layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """The linear map of the code, `[channels · 16, z_dim]`, as the only one.

        Raises:
            LatdirError: A layer other than 0.
        """
        if layers not in (None, (0,)):
            raise SpaceError(f"{self.name} has one first layer, 0, not {list(layers or ())}")
        return [self.network.weights[0][:, : self.network.config.z_dim]]


def progan_from_state(
    state: Mapping[str, Tensor],
    *,
    name: str,
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
        fused_scale: In genforce's layout, whether upsampling is fused into a transposed
            convolution; by default as the shapes indicate, and not fused where they do not. The
            other layouts determine it.
        c_dim: Number of classes; a state dict does not distinguish them from coordinates of z.
        use_wscale: Whether weights are stored before their equalized scale.
        final_tanh: Whether images go through tanh.

    Returns:
        The generator in float32 on the CPU.

    Raises:
        LatdirError: An unknown layout, a missing key or one left over, named.
    """
    try:
        network = _network(
            state,
            fused_scale=fused_scale,
            c_dim=c_dim,
            scaled=use_wscale,
            final_tanh=final_tanh,
        )
    except (IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint has a tensor of a shape that no PGGAN has: {error}"
        ) from error
    return ProGAN(network, name=name)


def _network(
    state: Mapping[str, Tensor],
    *,
    fused_scale: bool | None,
    c_dim: int,
    scaled: bool,
    final_tanh: bool,
) -> ProGANNetwork:
    plain = {k: v.detach().to("cpu").float() for k, v in state.items()}
    tensorflow = "4x4/Dense/weight" in plain
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
    left = Weights(named, family="PGGAN")

    def weight(key: str, gain: float) -> Tensor:
        value = left.take(key)
        return value * gain / math.sqrt(value[0].numel()) if scaled else value

    blocks = len([k for k in left if re.fullmatch(r"output\d+\.weight", k)])
    lod = float(left.pop("lod", torch.zeros(())))
    check_blocks(blocks, lod)
    made: State = {}
    for i in range(2 * blocks):
        kernel = weight(f"layer{i}.weight", math.sqrt(2))
        if i == 0:
            # A 4×4 convolution of one pixel with padding 3 reads its kernel backwards.
            kernel = kernel.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)
        made[f"weights.{i}"] = upsampling_kernel(kernel) if i and i % 2 == 0 else kernel
        made[f"biases.{i}"] = left.take(f"layer{i}.bias")
    for k in range(blocks):
        made[f"rgbs.{k}.weight"] = weight(f"output{k}.weight", 1.0)
        made[f"rgbs.{k}.bias"] = left.take(f"output{k}.bias")
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
            state[k].shape[0] != len(state.get(k.replace("weight", "bias"), state[k])) for k in ups
        )
    fused = {k: state[k].transpose(0, 1).flip(2, 3) for k in ups if fused_scale}
    return {**state, **fused}


def _from_interfacegan(state: State) -> State:
    out: State = {}
    for key, value in state.items():
        if re.fullmatch(r"layer\d+\.weight", key):
            out[key] = value.permute(3, 2, 0, 1).flip(2, 3)
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
            value = value.T.reshape(-1, 4, 4, len(value)).permute(0, 3, 1, 2).flip(2, 3)
        elif value.ndim == 4:
            value = value.permute(3, 2, 0, 1)
            if layer and layer[2] == "Conv0_up":
                value = value.flip(2, 3)
        out[name] = value
    return out


def _upsamples(key: str) -> bool:
    number = int(key.split(".")[0].removeprefix("layer"))
    return number >= 2 and number % 2 == 0
