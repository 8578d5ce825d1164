"""PGGAN, the progressively grown generator.

Progressive Growing of GANs for Improved Quality, Stability, and Variation (Karras, Aila, Laine,
Lehtinen 2018, arXiv:1710.10196). Every layer normalizes its inputs over channels; the code is
normalized too, so that only its direction counts.

Weights are kept as they act: the equalized learning rate's constants are folded in, the first
layer is a linear map of the code, and an upsampling layer is one transposed convolution.
`checkpoints.progan` makes them of published files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.devices import InDtype
from directions.errors import LatdirError, SpaceError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.generators.progressive import NEGATIVE_SLOPE, faded_image, pixel_norm, upconvolve
from directions.space import Space

__all__ = ["ProGAN", "ProGANConfig", "ProGANNetwork"]


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
        network: The network; put into evaluation mode and frozen, otherwise unchanged.
        name: Short name, shown and stored.
        label: For conditional networks, the class all images belong to.

    Raises:
        LatdirError: A label for an unconditional network, or one out of range.
    """

    concurrent = True

    def __init__(self, network: ProGANNetwork, *, name: str, label: int | None = None) -> None:
        c = network.config
        if label is not None and not 0 <= label < c.c_dim:
            raise LatdirError(
                f"this network has {c.c_dim} classes, so there is no class {label}"
                + ("" if c.c_dim else ": leave the label out")
            )
        self.network = network.eval().requires_grad_(False)
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
        """Device of the weights."""
        return next(self.network.parameters()).device

    @cached_property
    def _networks(self) -> InDtype:
        """The network in the dtype of codes."""
        return InDtype(self.network)

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
        images: Tensor = self._networks(codes.dtype)(codes, label)
        return images

    def style_matrices(self, layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """The linear map of the code, `[channels · 16, z_dim]`, as the only one.

        Raises:
            LatdirError: A layer other than 0.
        """
        if layers not in (None, (0,)):
            raise SpaceError(f"{self.name} has one first layer, 0, not {list(layers or ())}")
        return [self.network.weights[0][:, : self.network.config.z_dim]]
