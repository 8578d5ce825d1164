"""A small encoder for one's own generator: a few residual convolutions, and a head for each code.

Its heads are those of the published encoders at any size: one code; or a code for each layer, read
from coarse, middle and fine maps (pSp), or as one code and an offset a layer (e4e); of images, or
of pairs of an image and what its code makes so far (ReStyle, Wei). Codes are predicted in
standardized coordinates along the principal axes of the generator's prior, so that all of them
are of one size. There is no batch normalization: an image's code does not depend on its batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.arguments import checked_fields
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.inversion.encoders.networks import COARSE, MIDDLE

__all__ = ["CompactConfig", "CompactEncoder", "Stages", "Trunk", "principal_axes"]

# Side of the last maps, and the channels of a layer's own head.
LAST, NARROW = 4, 32
SLOPE = 0.2
# Axes of the prior, by their standard deviation relative to the largest, that are left out.
FLOOR = 1e-3


@checked_fields
@dataclass(frozen=True)
class CompactConfig:
    """Everything that decides the shapes of a compact encoder.

    Attributes:
        side: Of the images that it reads, 8, 16, 32, ….
        code: Shape of its codes.
        widths: Channels of the maps of side / 2, side / 4, … 4.
        blocks: Residual units at each of these sizes but the first.
        pairs: Whether it reads pairs of images.
        deltas: Whether the first style is the code of every layer and the others are offsets.
        stages: Networks that predict one after another, each looking at what the last made.
        parts: Sizes of the parts of a code of one axis that have heads of their own, as the
            styles of s; none for one head.
    """

    side: int
    code: tuple[int, ...]
    widths: tuple[int, ...]
    blocks: int = 1
    pairs: bool = False
    deltas: bool = False
    stages: int = 1
    parts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        halvings = math.log2(self.side / LAST)
        if halvings != len(self.widths) or not self.widths:
            raise LatdirError(
                f"an encoder of images of side {self.side} has a width for each of "
                f"{self.side // 2}, … {LAST}, not {len(self.widths)} widths"
            )
        if len(self.code) not in (1, 2):
            raise LatdirError(f"codes have one axis, or layers before it, not {list(self.code)}")
        if self.parts and (sum(self.parts),) != self.code:
            raise LatdirError(f"parts of {sum(self.parts)} numbers are not a code of {self.code}")

    @classmethod
    def of(
        cls, generator: Generator, space: str, *, width: int = 32, most: int = 256
    ) -> CompactConfig:
        """Of a generator's images, at 64 pixels at most: widths double up to `most`.

        Example:
            >>> from directions.planted.world import planted
            >>> CompactConfig.of(planted(dim=8), "z", width=8).widths
            (8, 16)
        """
        side = min(64, max(8, 2 ** round(math.log2(generator.image_shape[-1]))))
        count = round(math.log2(side / LAST))
        widths = tuple(min(most, width * 2**i) for i in range(count))
        target = generator.space(space)
        layers = target.layers if len(target.shape) == 1 else ()
        parts = tuple(stop - start for start, stop in layers)
        return cls(side, tuple(target.shape), widths, parts=parts if len(parts) > 1 else ())


class Trunk(nn.Module):
    """Images to maps of half their side, a quarter, … 4.

    Args:
        channels: Of the images: 3, or 6 of pairs.
        widths: Channels of the maps.
        blocks: Residual units at each size but the first.
        level, contrast: Mean and standard deviation of the images' pixels, which are standardized.
    """

    level: Tensor
    contrast: Tensor

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...],
        *,
        blocks: int = 1,
        level: float = 0.0,
        contrast: float = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("level", torch.tensor(level))
        self.register_buffer("contrast", torch.tensor(contrast))
        self.stem = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths))
        self.units = nn.ModuleList(
            nn.Sequential(*(_Unit(b) for _ in range(blocks))) for b in widths[1:] or widths
        )

    def maps(self, images: Float[Tensor, "n c h w"]) -> list[Tensor]:
        """Maps, the largest first."""
        x = functional.pixel_unshuffle((images - self.level) / self.contrast, 2)
        x = functional.leaky_relu(self.stem(x), SLOPE)
        if not self.down:
            return [self.units[0](x)]
        maps = [x]
        for down, units in zip(self.down, self.units, strict=True):
            maps.append(units(functional.leaky_relu(down(maps[-1]), SLOPE)))
        return maps


class CompactEncoder(Trunk):
    """Images to codes, as offsets from the prior's mean.

    Attributes:
        config: As given.
        axes: `[k, d]`, of the prior, each as long as the standard deviation along it; of codes
            in parts `[1, d]`, the coordinates' deviations.
        joined: Layers after the first whose offsets count, of a network with `deltas`; all but
            in training.

    Example:
        >>> config = CompactConfig(16, (3, 5), (4, 8))
        >>> CompactEncoder(config, torch.eye(5))(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 3, 5])
    """

    axes: Tensor

    def __init__(
        self,
        config: CompactConfig,
        axes: Float[Tensor, "k d"],
        *,
        level: float = 0.0,
        contrast: float = 1.0,
    ) -> None:
        channels, widths = 6 if config.pairs else 3, config.widths
        super().__init__(channels, widths, blocks=config.blocks, level=level, contrast=contrast)
        self.config = config
        self.register_buffer("axes", axes)
        self.layers = len(config.parts) or (1 if len(config.code) == 1 else config.code[0])
        sizes = config.parts or (len(axes),) * self.layers
        if self.layers == 1:
            self.heads = nn.ModuleList([_Head(widths[-1], widths[-1], len(axes))])
        else:
            self.heads = nn.ModuleList(
                _Head(widths[-1 - min(_level(i), len(widths) - 1)], NARROW, size)
                for i, size in enumerate(sizes)
            )
        self.joined = self.layers - 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one code."""
        return self.config.code

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n ..."]:
        """Offsets of codes from the mean, `[n, *shape]`."""
        maps = self.maps(images)
        made = [
            head(maps[-1 - min(_level(i), len(maps) - 1)] if self.layers > 1 else maps[-1])
            for i, head in enumerate(self.heads)
        ]
        if self.config.deltas:
            kept = [0.0 if i > self.joined else 1.0 for i in range(1, self.layers)]
            made[1:] = [made[0] + k * part for k, part in zip(kept, made[1:], strict=True)]
        # In the dtype of the axes: codes are not rounded to bfloat16.
        if self.config.parts:
            return torch.cat(made, 1).to(self.axes) * self.axes[0]
        offsets: Tensor = torch.stack(made, 1).to(self.axes) @ self.axes
        return offsets.reshape(len(images), *self.shape)


class Stages(nn.Module):
    """Networks that predict one after another, each from what the codes so far make.

    Args:
        networks: Of pairs of images, of one shape.
    """

    def __init__(self, networks: list[CompactEncoder]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one code."""
        return self.at(0).shape

    def at(self, index: int) -> CompactEncoder:
        """The network of a pass."""
        network = self.networks[index]
        assert isinstance(network, CompactEncoder)
        return network


class _Unit(nn.Module):
    """A residual unit that begins as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.second(functional.leaky_relu(self.first(x), SLOPE))
        return made


class _Head(nn.Module):
    """A map, averaged to 4 × 4, as one code."""

    def __init__(self, width: int, narrow: int, numbers: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width, narrow, 1) if narrow != width else nn.Identity()
        self.linear = nn.Linear(narrow * LAST**2, numbers)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        small = functional.adaptive_avg_pool2d(functional.leaky_relu(self.narrow(x), SLOPE), LAST)
        code: Tensor = self.linear(small.flatten(1))
        return code


def principal_axes(generator: Generator, space: str) -> Float[Tensor, "k d"]:
    """Axes of the prior of one layer's codes, each as long as the standard deviation along it.

    Of codes of one axis in layers, such as s, one row: the coordinates' deviations.

    Example:
        >>> from directions.planted.world import planted
        >>> principal_axes(planted(dim=8), "z").norm(dim=1)
        tensor([1., 1., 1., 1., 1., 1., 1., 1.])
    """
    one = space.removesuffix("+")
    prior = generator.prior(one if one in generator.spaces else space)
    whole = generator.space(space)
    if len(whole.shape) == 1 and len(whole.layers) > 1:
        return prior.deviations[None].float()
    values, vectors = torch.linalg.eigh(prior.covariance.double())
    spread = values.clamp_min(0).sqrt()
    kept = spread > FLOOR * spread.max()
    axes: Tensor = (vectors[:, kept] * spread[kept]).T.flip(0)
    return axes.float().contiguous()


def _level(layer: int) -> int:
    """How many maps before the last a style is read from."""
    return 0 if layer < COARSE else 1 if layer < MIDDLE else 2
