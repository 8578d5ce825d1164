"""The network: pairs of images to a change of each convolution's weights.

Each layer has a refinement block (a narrow map, a code of it, the left factor of the layer's
change); the right factors are shared by layers of as many inputs, as HyperStyle shares the last
layers of its blocks. A change is of low rank, and begins as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.generators.base import Generator
from directions.inversion.encoders.compact import LAST, NARROW, SLOPE, CompactConfig, Trunk

__all__ = ["Changes", "Form", "WeightNetwork", "WeightNetworkConfig"]

Form = Literal["channel", "low_rank", "gradient"]
Changes = Mapping[str, Mapping[str, Tensor]]
"""By weight, the parts of a change as `directions.generators.deltas.changed` takes them, each of
a batch `[n, ...]`."""

# Numbers of a refinement block's code, and the size of changes beside the weights.
CODE, SIZE = 64, 0.1


@dataclass(frozen=True)
class WeightNetworkConfig:
    """Everything that decides the shapes of a weight network.

    Attributes:
        side: Of the images that it reads.
        widths: Channels of its maps.
        layers: Names of the weights and their shapes.
        form: `channel`: each pair of channels is scaled; `low_rank`: residual weights are added;
            `gradient`: scales along their gradient, by `GradientNetwork`.
        rank: Of the changes.
    """

    side: int
    widths: tuple[int, ...]
    layers: tuple[tuple[str, tuple[int, ...]], ...]
    form: Form = "channel"
    rank: int = 16

    @classmethod
    def of(
        cls, generator: Generator, form: Form, rank: int, *, width: int = 32, most: int = 256
    ) -> WeightNetworkConfig:
        """Of a generator's convolutions but those of one pixel, which make colors.

        Example:
            >>> from directions import load_generator
            >>> WeightNetworkConfig.of(load_generator("styleface64"), "channel", 8).layers[-1]
            ('layers.8.weight', (32, 32, 3, 3))
        """
        like = CompactConfig.of(generator, generator.default_space(), width=width, most=most)
        shapes = ((key, tuple(weight.shape)) for key, weight in generator.tunable.items())
        layers = tuple((key, s) for key, s in shapes if len(s) < 3 or s[-1] > 1)
        return cls(like.side, like.widths, layers, form, rank)

    def columns(self, shape: tuple[int, ...]) -> int:
        """Of the right factor of a weight's change."""
        return shape[1] if self.form == "channel" else math.prod(shape[1:])

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


class WeightNetwork(Trunk):
    """An image and what its code makes so far, to changes of the generator's weights.

    Attributes:
        config: As given.

    Example:
        >>> config = WeightNetworkConfig(8, (4,), (("a", (5, 3, 1, 1)),), rank=2)
        >>> made = WeightNetwork(config)(torch.zeros(2, 6, 8, 8))
        >>> made["a"]["scale"].shape
        torch.Size([2, 5, 3, 1, 1])
    """

    def __init__(
        self, config: WeightNetworkConfig, *, level: float = 0.0, contrast: float = 1.0
    ) -> None:
        super().__init__(6, config.widths, level=level, contrast=contrast)
        self.config = config
        width = config.widths[-1]
        self.blocks = nn.ModuleList(
            _Refinement(width, shape[0] * config.rank) for _, shape in config.layers
        )
        sizes = sorted({config.columns(shape) for _, shape in config.layers})
        self.right = nn.ParameterDict(
            {str(size): torch.randn(config.rank, size) / math.sqrt(config.rank) for size in sizes}
        )

    def forward(self, pairs: Float[Tensor, "n 6 h w"]) -> dict[str, dict[str, Tensor]]:
        """Changes of a batch."""
        last, made = self.maps(pairs)[-1], {}
        for block, (key, shape) in zip(self.blocks, self.config.layers, strict=True):
            right = self.right[str(self.config.columns(shape))]
            # In float32: weights are not rounded to bfloat16.
            left = SIZE * block(last).to(right).reshape(len(pairs), shape[0], self.config.rank)
            if self.config.form == "channel":
                scale = left @ right
                made[key] = {"scale": scale.reshape(*scale.shape, *[1] * (len(shape) - 2))}
            else:
                made[key] = {"left": left, "right": right.expand(len(pairs), -1, -1)}
        return made


class _Refinement(nn.Module):
    """A map, averaged to 4 × 4, to a code, to the numbers of a change: at first zeros."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width, NARROW, 1)
        self.code = nn.Linear(NARROW * LAST**2, CODE)
        self.change = nn.Linear(CODE, numbers)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.narrow(x), SLOPE)
        x = functional.adaptive_avg_pool2d(x, LAST).flatten(1)
        change: Tensor = self.change(functional.leaky_relu(self.code(x), SLOPE))
        return change
