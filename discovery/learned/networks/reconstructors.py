"""Reconstructors: networks that tell from two images which direction lies between them.

A. Voynov & A. Babenko, ICML 2020, arXiv:2002.03754, take LeNet for images of 32 and 64 pixels and
ResNet-18 for larger ones, which are reduced to 64 here; both have one head for the direction and
one for the amount. `Small`, three strided convolutions that see the difference of the images at 32
pixels, learns faster.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, max_pool2d, relu

__all__ = [
    "Kind",
    "LeNet",
    "Reconstructor",
    "ResNet18",
    "Small",
    "convolutions",
    "reconstructor",
    "reduced",
]

Kind = Literal["small", "lenet", "resnet"]
SIDE, LARGER = 32, 64


def reduced(images: Float[Tensor, "n c h w"], side: int | None) -> Float[Tensor, "n c i j"]:
    """Images averaged over areas where they are larger than a side wanted."""
    if side is None or max(images.shape[2:]) <= side:
        return images
    return interpolate(images, size=(side, side), mode="area")


class Reconstructor(nn.Module):
    """Base: from images before and after a step to logits of the direction, and the amount.

    Attributes:
        side: Side that images are reduced to, if any.
    """

    side: int | None = None

    def forward(
        self, before: Float[Tensor, "n c h w"], after: Float[Tensor, "n c h w"]
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n"]]:
        """Logits of each direction, and the amount, from reduced images."""
        raise NotImplementedError


class Small(Reconstructor):
    """Three strided convolutions of the image and its change, at 32 pixels.

    Args:
        k: Number of directions.
        shape: Of the images, [3, h, w].
        width: Channels of the first convolution.
    """

    side = SIDE

    def __init__(self, k: int, shape: tuple[int, ...], *, width: int = 24) -> None:
        super().__init__()
        self.features, size = convolutions((2 * shape[0], *shape[1:]), width=width)
        self.heads = nn.Linear(size, k + 1)

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """As `Reconstructor.forward`."""
        both = self.heads(self.features(torch.cat([before, after - before], 1)))
        return both[:, :-1], both[:, -1]


def convolutions(shape: tuple[int, ...], *, width: int = 24) -> tuple[nn.Sequential, int]:
    """Three strided convolutions of images of at most 32 pixels, and the size of their output.

    Args:
        shape: Channels, height and width of the images before they are reduced to 32 pixels.
        width: Channels of the first convolution.
    """
    layers: list[nn.Module] = []
    inputs, h, w = shape
    h, w = (h, w) if max(h, w) <= SIDE else (SIDE, SIDE)
    for outputs in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
        layers += [nn.ReLU()]
        inputs, h, w = outputs, (h + 1) // 2, (w + 1) // 2
    return nn.Sequential(*layers, nn.Flatten()), inputs * h * w


class LeNet(Reconstructor):
    """Three 5 x 5 convolutions, averaged over the image, and a layer of 42 units a width and head.

    Args:
        k: Number of directions.
        channels: Of one image.
        width: Factor of all layers' widths.
    """

    side = LARGER

    def __init__(self, k: int, *, channels: int = 3, width: int = 2) -> None:
        super().__init__()
        sizes = (2 * channels, 3 * width, 8 * width, 60 * width)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 5) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in sizes[1:])
        self.direction, self.amount = (
            nn.Sequential(
                nn.Linear(60 * width, 42 * width),
                nn.BatchNorm1d(42 * width),
                nn.ReLU(),
                nn.Linear(42 * width, outputs),
            )
            for outputs in (k, 1)
        )

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """As `Reconstructor.forward`."""
        x = torch.cat([before, after], 1)
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = relu(norm(convolution(x)))
            x = max_pool2d(x, 2) if i < 2 else x.mean((2, 3))
        return self.direction(x), self.amount(x)[:, 0]


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside the identity, or beside a strided 1 x 1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
            if stride > 1
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.downsample is None else self.downsample(x)
        x = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(x)) + beside)


class ResNet18(Reconstructor):
    """He et al., CVPR 2016, arXiv:1512.03385, with two heads; tensors are named as torchvision's.

    Args:
        k: Number of directions.
        channels: Of one image.
    """

    side = LARGER

    def __init__(self, k: int, *, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2 * channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        sizes = (64, 64, 128, 256, 512)
        for i, (a, b) in enumerate(pairwise(sizes), 1):
            self.add_module(f"layer{i}", nn.Sequential(_Block(a, b, 1 + (a < b)), _Block(b, b, 1)))
        self.type_estimator = nn.Linear(512, k)
        self.shift_estimator = nn.Linear(512, 1)

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """As `Reconstructor.forward`."""
        x = relu(self.bn1(self.conv1(torch.cat([before, after], 1))))
        x = max_pool2d(x, 3, 2, 1)
        for i in range(1, 5):
            x = self.get_submodule(f"layer{i}")(x)
        x = adaptive_avg_pool2d(x, 1).flatten(1)
        return self.type_estimator(x), self.shift_estimator(x)[:, 0]


def reconstructor(kind: Kind, k: int, shape: tuple[int, ...], *, seed: int) -> Reconstructor:
    """A fresh network.

    Args:
        kind: `small`, `lenet` or `resnet`.
        k: Number of directions.
        shape: Of the images.
        seed: Of its weights.

    Example:
        >>> network = reconstructor("small", 5, (3, 64, 64), seed=0).eval()
        >>> before, after = reduced(torch.zeros(4, 3, 64, 64), network.side).split(2)
        >>> [list(t.shape) for t in network(before, after)]
        [[2, 5], [2]]
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "small":
            return Small(k, shape)
        return LeNet(k, channels=shape[0]) if kind == "lenet" else ResNet18(k, channels=shape[0])
