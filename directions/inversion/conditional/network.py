"""The network: the last map of an encoder and a condition, to offsets of a code."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.inversion.encoders.compact import LAST, NARROW, SLOPE

__all__ = ["Condition", "ConditionalConfig", "ConditionalNetwork"]

Condition = Literal["value", "identity"]


@dataclass(frozen=True)
class ConditionalConfig:
    """Everything that decides what a conditional encoder is.

    Attributes:
        condition: `value`: a number, and offsets are from the image's code; `identity`: an
            embedding, and offsets are from the code of the image whose identity it is.
        width: Channels of the encoder's last map.
        numbers: Of a condition.
        axes: Of the prior, along which offsets are.
        hidden: Units of each layer.
        measured: Numbers that a second look compares, 0 for none: embedding and what stays.
    """

    condition: Condition
    width: int
    numbers: int
    axes: int
    hidden: int = 256
    measured: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


class ConditionalNetwork(nn.Module):
    """A map, averaged to 4 × 4, beside a standardized condition, through four layers to offsets.

    By identity the layers also see the change of code that would make the whole image of it, of
    which a fixed linear part is an offset too.

    Attributes:
        config: As given.
        axes: `[k, d]`, of the prior, each as long as the standard deviation along it.
        center, scale: `[numbers]`, by which conditions are standardized.
        turn: By identity, `[k, k]`, from changes to linear offsets, in coordinates.
        answer: With a second look, `[k, measured]`, from what images made measure too much.

    Example:
        >>> config = ConditionalConfig("value", width=8, numbers=1, axes=5, hidden=16)
        >>> network = ConditionalNetwork(config, torch.eye(5), torch.zeros(1), torch.ones(1))
        >>> network(torch.zeros(2, 8, 4, 4), torch.zeros(2, 1)).shape
        torch.Size([2, 5])
    """

    axes: Tensor
    center: Tensor
    scale: Tensor
    turn: Tensor
    answer: Tensor

    def __init__(
        self, config: ConditionalConfig, axes: Tensor, center: Tensor, scale: Tensor
    ) -> None:
        super().__init__()
        self.config, hidden = config, config.hidden
        for name, tensor in (("axes", axes), ("center", center), ("scale", scale)):
            self.register_buffer(name, tensor.float().clone())
        self.read = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(config.width, NARROW, 1),
            nn.LeakyReLU(SLOPE),
            nn.AdaptiveAvgPool2d(LAST),
            nn.Flatten(),
            nn.Linear(NARROW * LAST**2, hidden),
        )
        given = config.numbers + (config.axes if config.condition == "identity" else 0)
        last = nn.Linear(hidden, config.axes)
        self.mix = nn.Sequential(
            nn.Linear(hidden + given, hidden), nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, hidden), nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, hidden), nn.LeakyReLU(SLOPE), last,
        )  # fmt: skip
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        if config.condition == "identity":
            self.register_buffer("turn", torch.zeros(config.axes, config.axes))
        if config.measured:
            self.register_buffer("answer", torch.zeros(config.axes, config.measured))

    def forward(
        self,
        maps: Float[Tensor, "n c h w"],
        condition: Float[Tensor, "n k"],
        change: Float[Tensor, "n d"] | None = None,
    ) -> Tensor:
        """Offsets of one layer's codes, `[n, d]`.

        Args:
            maps: Of images.
            condition: What is asked for.
            change: By identity, the code of each image less that of whose identity is asked for.
        """
        seen = [self.read(maps), (condition - self.center) / self.scale]
        if change is None:
            coordinates: Tensor = self.mix(torch.cat(seen, 1))
        else:
            to = self.coordinates(change)
            coordinates = self.mix(torch.cat([*seen, to], 1)) + to @ self.turn.T
        return coordinates @ self.axes

    def coordinates(self, offsets: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Offsets of codes along the axes, in standard deviations."""
        return offsets @ (self.axes / self.axes.square().sum(1, keepdim=True)).T

    def answered(self, excess: Float[Tensor, "n m"]) -> Float[Tensor, "n d"]:
        """Offsets of codes by what a second look found too much."""
        offsets: Tensor = excess @ self.answer.T @ self.axes
        return offsets
