"""Distances between images as distances between their features.

LPIPS (Zhang et al. 2018, arXiv:1801.03924) is the squared Euclidean distance between activations
of a network, each position scaled to unit length over its channels, weighted by channel, averaged
over positions and summed over layers. Written as a function φ from images to one long vector,
LPIPS(a, b) = ‖φ(a) − φ(b)‖², so that anything that needs a derivative can take φ apart from the
difference. Any differentiable function of images that returns vectors serves as such a φ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.arguments import checked
from directions.classifiers.crop import crop
from directions.classifiers.faces.nets import folded, normalize, recognition_net
from directions.devices import resolve_device
from directions.errors import LatdirError, require
from directions.weight_files.downloads import fetched

__all__ = [
    "Features",
    "Reference",
    "face_crop",
    "face_features",
    "lpips_features",
    "pixel_features",
]

Features = Callable[[Tensor], Tensor]
"""Images `[n, 3, h, w]` in [-1, 1] to vectors `[n, f]`, differentiable."""

Reference = Literal["tensorflow", "pytorch"]

VGG = "vgg16-397923af.pth"
SIZE = 150
STAGES = ("conv32_3", "conv64_3", "conv128_2", "conv256_2")
# Positions without any activation have no direction to scale.
EPSILON = 1e-10


@checked
def pixel_features(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
    """Pixels themselves: the squared distance is the mean squared difference, pixels in [-1, 1].

    Example:
        >>> a, b = pixel_features(torch.tensor([0.0, 0.5]).reshape(2, 1, 1, 1).expand(2, 3, 4, 4))
        >>> (a - b).square().sum()
        tensor(0.2500)
    """
    return images.flatten(1) / math.sqrt(math.prod(images.shape[1:]))


@checked
def face_features(*, margin: float = 0.0, device: str | torch.device = "cpu") -> Features:
    """Activations of the built-in face recognition network at four depths, as in LPIPS.

    The network was trained on faces only, and its channels have equal weights where LPIPS learned
    weights: distances compare generators of faces with each other, not with published figures.

    Args:
        margin: Padding on each side of the image's central square, as a fraction of its side.
        device: Where the images will be.

    Example:
        >>> face_features()(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 69984])
    """
    with torch.inference_mode(False):
        net = folded(recognition_net()).to(resolve_device(device))

    def features(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        x = normalize(crop(images.float(), size=SIZE, margin=margin))
        # Convolutions and the pooling are faster with a position's channels side by side.
        x = x.contiguous(memory_format=torch.channels_last)
        x = nn.functional.max_pool2d(net.conv32_down(x).relu(), 3, 2)
        found = []
        for name, block in net.blocks.items():
            x = block(x)
            if name in STAGES:
                found.append(x)
        return _joined([_unit(x) for x in found]) / math.sqrt(len(STAGES))

    return features


class _Lpips(Protocol):
    """The parts used of a network of the package `lpips`."""

    scaling_layer: Callable[[Tensor], Tensor]
    net: nn.Module
    lins: Sequence[nn.Module]


@checked
def lpips_features(network: nn.Module | None = None) -> Features:
    """LPIPS as features: the squared distance of two images is their LPIPS distance.

    Args:
        network: An `lpips.LPIPS` module. By default `lpips.LPIPS(net="vgg", spatial=False)`, whose
            backbone the package downloads unless torchvision has it already.

    Raises:
        LatdirError: The package `lpips` is not installed, or its backbone neither here nor to be
            had.
    """
    if network is None:
        package = require("lpips", "lpips")
        file = Path(torch.hub.get_dir()) / "checkpoints" / VGG
        network = fetched(
            lambda online: package.LPIPS(net="vgg", verbose=False),
            what="the weights of LPIPS's backbone",
            host="download.pytorch.org",
            remedy=f"fetch https://download.pytorch.org/models/{VGG} and put it into {file.parent}",
            file=file,
        )
    model = cast(_Lpips, network.eval().requires_grad_(False))
    weights = [cast(Tensor, cast(nn.Sequential, lin.model)[-1].weight) for lin in model.lins]

    def features(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        layers = model.net(model.scaling_layer(images))
        scaled = (
            _unit(layer) * w.to(layer).sqrt() for layer, w in zip(layers, weights, strict=True)
        )
        return _joined(list(scaled))

    return features


def face_crop(
    images: Float[Tensor, "n c h w"], *, crop: bool = True, reference: Reference = "tensorflow"
) -> Float[Tensor, "n c height width"]:
    """Images as StyleGAN's path length looks at them: the face cut out, then shrunk to about 256.

    Rows 3/8 … 7/8 and columns 2/8 … 6/8 are kept. Shrinking averages square boxes by a whole
    factor, if that is above 1.

    Args:
        images: Square, `[n, c, h, h]`.
        crop: Whether to cut the face out.
        reference: Where the factor comes from. The TensorFlow code takes the side it looks at
            over 256; the PyTorch ports the side before cutting, so that from 512 pixels on they
            look at half the resolution.

    Raises:
        LatdirError: Images that are not square.

    Example:
        >>> face_crop(torch.zeros(1, 3, 1024, 1024)).shape
        torch.Size([1, 3, 256, 256])
        >>> face_crop(torch.zeros(1, 3, 1024, 1024), reference="pytorch").shape
        torch.Size([1, 3, 128, 128])
    """
    side = images.shape[-1]
    if images.shape[-2] != side:
        raise LatdirError(f"images are {images.shape[-2]}×{side}, not square")
    if crop:
        eighth = side // 8
        images = images[:, :, 3 * eighth : 7 * eighth, 2 * eighth : 6 * eighth]
    factor = (images.shape[-1] if reference == "tensorflow" else side) // 256
    return nn.functional.avg_pool2d(images, factor) if factor > 1 else images


def _unit(layer: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Every position of unit length, and positions averaged over by a squared distance."""
    length = layer.square().sum(1, keepdim=True) + EPSILON
    return layer * length.rsqrt() / math.sqrt(layer[0, 0].numel())


def _joined(layers: list[Tensor]) -> Float[Tensor, "n f"]:
    return torch.cat([layer.flatten(1) for layer in layers], 1)
