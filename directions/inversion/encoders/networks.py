"""Networks that predict style codes from images: those of pSp, e4e, ReStyle and HyperStyle.

A backbone, the IR-SE-50 of ArcFace or a ResNet-34, makes feature maps; a small map-to-style block
for each layer of the generator halves them to one pixel, which a linear layer turns into a code.
Modules are named as in the authors' state dicts, so that those load unchanged; every width follows
from a configuration, so that small encoders are of the same class.

Richardson et al. 2021 (pSp, arXiv 2008.00951), Tov et al. 2021 (e4e, 2102.02766), Alaluf et al.
2021 (ReStyle, 2104.02699), Alaluf et al. 2022 (HyperStyle's W encoder, 2111.15666).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["COARSE", "MIDDLE", "EncoderConfig", "StyleEncoder"]

Backbone = Literal["ir_se", "resnet"]
# Styles before these read the coarsest and the middle maps; the rest the finest.
COARSE, MIDDLE = 3, 7


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that decides the shapes of an encoder.

    Attributes:
        backbone: `ir_se` or `resnet`.
        in_channels: Of the images, or of pairs of images.
        widths: Channels of the four stages; the resolution is halved at the start of each, in
            `resnet` twice before the second.
        units: Residual units of each stage.
        code: Numbers of one code.
        halvings: Of the maps before each style's linear layer, a number a style; none for one
            code from averaged features.
        pyramid: Whether finer styles read finer maps; otherwise all read the coarsest.
        deltas: Whether the first style is the code of every layer and the others are offsets
            from it, as in e4e.
        reduction: Of channels within squeeze-and-excitation.
    """

    backbone: Backbone
    in_channels: int
    widths: tuple[int, int, int, int]
    units: tuple[int, int, int, int]
    code: int
    halvings: tuple[int, ...] = ()
    pyramid: bool = False
    deltas: bool = False
    reduction: int = 16


class StyleEncoder(nn.Module):
    """Images to codes, or to offsets from a mean code.

    Example:
        >>> config = EncoderConfig("ir_se", 3, (4, 4, 8, 8), (1, 1, 1, 1), 6, (2,) * 4, reduction=2)
        >>> StyleEncoder(config).eval()(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 4, 6])
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        first, widths = config.widths[0], config.widths
        ir_se = config.backbone == "ir_se"
        if ir_se:
            stem = nn.Conv2d(config.in_channels, first, 3, 1, 1, bias=False)
            self.input_layer = nn.Sequential(stem, nn.BatchNorm2d(first), nn.PReLU(first))
        else:
            self.conv1 = nn.Conv2d(config.in_channels, first, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(first)
            self.relu = nn.PReLU(first)
        units: list[nn.Module] = []
        before = first
        for stage, (width, count) in enumerate(zip(widths, config.units, strict=True)):
            for i in range(count):
                stride = 2 if i == 0 and (ir_se or stage) else 1
                units.append(
                    _Bottleneck(before, width, stride, config.reduction)
                    if ir_se
                    else _BasicBlock(before, width, stride)
                )
                before = width
        self.body = nn.Sequential(*units)
        last, code = widths[-1], config.code
        if config.halvings:
            # The maps have the channels of the last stage at every level.
            self.styles = nn.ModuleList(_MapToStyle(last, code, n) for n in config.halvings)
        else:
            self.linear = _ScaledLinear(last, code)
        if config.pyramid:
            self.latlayer1 = nn.Conv2d(widths[2], last, 1)
            self.latlayer2 = nn.Conv2d(widths[1], last, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one code."""
        config = self.config
        return (*((len(config.halvings),) if config.halvings else ()), config.code)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Tensor:
        """Codes `[n, styles, code]`, or `[n, code]` of a network with one code."""
        config = self.config
        maps = self._maps(images)
        if not config.halvings:
            pooled: Tensor = self.linear(maps[-1].mean((2, 3)))
            return pooled
        levels = [maps[-1]] * 3
        if config.pyramid:
            levels[1] = _added(levels[0], self.latlayer1(maps[-2]))
            levels[2] = _added(levels[1], self.latlayer2(maps[-3]))
        made = [
            style(levels[0 if i < COARSE else 1 if i < MIDDLE else 2])
            for i, style in enumerate(self.styles)
        ]
        if config.deltas:
            made = [made[0], *(made[0] + delta for delta in made[1:])]
        return torch.stack(made, 1)

    def _maps(self, images: Tensor) -> list[Tensor]:
        """The last map of each stage."""
        if self.config.backbone == "ir_se":
            x = self.input_layer(images)
        else:
            x = self.relu(self.bn1(self.conv1(images)))
        maps, done = [], 0
        for count in self.config.units:
            x = self.body[done : done + count](x)
            done += count
            maps.append(x)
        return maps


class _Bottleneck(nn.Module):
    """A residual unit of IR-SE: normalized before, squeezed and excited after."""

    def __init__(self, before: int, width: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = (
            nn.MaxPool2d(1, stride)
            if before == width
            else nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, width, 3, 1, 1, bias=False),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            _Excitation(width, reduction),
        )

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return made


class _Excitation(nn.Module):
    """Channels weighed by what their means say."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(width // reduction, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)
        weighed: Tensor = x * torch.sigmoid(self.fc2(functional.relu(self.fc1(means))))
        return weighed


class _BasicBlock(nn.Module):
    """A residual unit of ResNet-34."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module | None = None
        if stride > 1 or before != width:
            narrow = nn.Conv2d(before, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(narrow, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        return functional.relu(
            self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))) + kept
        )


class _MapToStyle(nn.Module):
    """A map halved to one pixel by convolutions, then a linear layer."""

    def __init__(self, channels: int, code: int, halvings: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(halvings):
            layers += [nn.Conv2d(channels if i == 0 else code, code, 3, 2, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = _ScaledLinear(code, code)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.linear(self.convs(x).flatten(1))
        return code


class _ScaledLinear(nn.Linear):
    """A linear layer with an equalized learning rate: weights are divided by √fan_in when used."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight / math.sqrt(self.in_features), self.bias)


def _added(coarse: Tensor, fine: Tensor) -> Tensor:
    """The coarse map at the size of the fine one, plus it."""
    size = fine.shape[2:]
    return functional.interpolate(coarse, size, mode="bilinear", align_corners=True) + fine
