"""Inference forms of the networks in `nets`: the same weights, prepared for speed.

Costs of the plain form, largest first, and the remedy here:

- activations that do not fit the processor's cache: images go through in tiles of `TILE`;
- fresh memory for every activation, which the system fills with zeros page by page: the
  allocator is set to keep freed memory;
- float32 where bfloat16 gives the same labels: on request;
- copies for padding: TensorFlow's one-sided padding of a strided 3×3 kernel is the two-sided
  padding of a 4×4 kernel whose first row and column are zero, which convolutions do in place;
- fresh memory for sums and rectifiers: both work in place;
- bfloat16 rectifiers through float32: on its bits, a rectifier is a maximum with 0 of integers;
- the resize, once for all networks, with the pixel of padding that their first layer needs.

The last tile is filled up with zeros, so that every image meets the same kernels whatever the
size of the batch, and its scores are the same to the bit. A card takes each batch whole.

Public operations only: convolutions to which oneDNN appends sums and rectifiers, which PyTorch has
as private operators, were measured at 522 against 498 images a second in bfloat16 (medians of four
runs) and at no clear gain in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions.classifiers.crop import crop_matrix
from directions.classifiers.faces.nets import (
    AgeGender,
    AgeGenderNet,
    DenseBlock,
    DenseNet,
    RecognitionNet,
    ReductionBlock,
    Residual,
    SeparableConv,
    normalize,
)

__all__ = [
    "TILE",
    "Prepare",
    "fast_age_gender",
    "fast_dense",
    "fast_recognition",
    "fast_seen",
    "tiled",
]

# Measured: 8 to 16 images keep a layer's input and output in a processor's cache.
TILE = 16


@dataclass(frozen=True, eq=False)
class Step:
    """A convolution with its weight laid out for the kernel that runs it.

    Attributes:
        weight: `[out, in / groups, k, k]`, channels last.
        bias: `[out]` or None.
        stride: 1 or 2.
        padding: Zeros on every side.
        groups: As in `torch.nn.Conv2d`.
    """

    weight: Tensor
    bias: Tensor | None
    stride: int
    padding: int
    groups: int

    def __call__(self, x: Tensor, *, relu: bool = False, onto: Tensor | None = None) -> Tensor:
        """The convolution of `x`, added to `onto` in place if given, then rectified if asked."""
        made = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        total = made if onto is None else onto.add_(made)
        return _relu_(total) if relu else total


@dataclass(frozen=True)
class Prepare:
    """Layout of weights.

    Attributes:
        device: Where they run.
        dtype: In which precision.
    """

    device: torch.device
    dtype: torch.dtype

    def conv(self, conv: nn.Conv2d, *, padded: bool = False) -> Step:
        """One convolution of `face_nets`.

        Args:
            conv: Its `same` padding is the kernel's from here on.
            padded: Whether the input comes with its padding instead.
        """
        weight, stride = conv.weight.detach(), conv.stride[0]
        padding = 0 if padded else conv.kernel_size[0] // 2
        if stride == 2 and padding:
            weight = F.pad(weight, (1, 0, 1, 0))
        weight = weight.to(self.device, self.dtype)
        bias = None if conv.bias is None else conv.bias.detach().to(self.device, self.dtype)
        weight = weight.contiguous(memory_format=torch.channels_last)
        return Step(weight, bias, stride, padding, conv.groups)

    def separable(self, conv: SeparableConv) -> tuple[Step, Step]:
        """Depthwise, then pointwise."""
        return self.conv(conv.depthwise), self.conv(conv.pointwise)


def _relu(x: Tensor) -> Tensor:
    return _bits(x).clamp_min(0).view(x.dtype)


def _relu_(x: Tensor) -> Tensor:
    _bits(x).clamp_min_(0)
    return x


def _bits(x: Tensor) -> Tensor:
    """What a rectifier is a maximum with 0 of: for bfloat16 on a processor, the bits."""
    return x.view(torch.int16) if x.dtype == torch.bfloat16 and x.device.type == "cpu" else x


def fast_seen(
    images: Tensor, *, margin: float, size: int, prepare: Prepare
) -> Float[Tensor, "n 3 s s"]:
    """Images as `fast_dense` and `fast_age_gender` take them.

    Args:
        images: `[n, 3, h, w]` in [-1, 1].
        margin: As in `crop.crop`.
        size: Side of the networks' input; the result has one more row and column of zeros.
        prepare: Where and in which precision they run.
    """
    count, _, height, width = images.shape
    side = min(height, width)
    rows, columns = (
        _padded(length, side, size, margin, prepare.device) for length in (height, width)
    )
    narrow = normalize(images) @ columns.T
    # A row of pixels with its channels last is one row of the second product. Both stay in
    # float32: rounding the weights of the resize would double the scores' whole error.
    seen = rows @ narrow.permute(0, 2, 3, 1).reshape(count, height, -1)
    seen = seen.to(prepare.dtype).reshape(count, size + 1, size + 1, 3)
    return seen.permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _padded(length: int, side: int, size: int, margin: float, device: torch.device) -> Tensor:
    """`crop_matrix` with a last row of zeros, which makes the padding."""
    return F.pad(crop_matrix(length, side, size, margin), (0, 0, 0, 1)).to(device)


def fast_dense(net: DenseNet, prepare: Prepare) -> Callable[[Tensor], Tensor]:
    """The expression or landmark network.

    Args:
        net: The plain form.
        prepare: Where and in which precision to run.

    Returns:
        A function of normalized images `[n, 3, 113, 113]`, zero in the last row and column,
        channels last, to raw outputs `[n, k]`, float32.
    """
    blocks = [
        _dense_block(block, prepare) for block in (net.dense0, net.dense1, net.dense2, net.dense3)
    ]
    weight, bias = (p.detach().to(prepare.device) for p in (net.fc.weight, net.fc.bias))

    def run(images: Tensor) -> Tensor:
        x = images
        for block in blocks:
            x = block(x)
        return F.linear(x.mean((2, 3), dtype=torch.float32), weight, bias)

    return run


def _dense_block(block: DenseBlock, prepare: Prepare) -> Callable[[Tensor], Tensor]:
    enter = (
        prepare.separable(block.conv0)
        if isinstance(block.conv0, SeparableConv)
        else (prepare.conv(block.conv0, padded=True),)
    )
    *inner, last = (prepare.separable(conv) for conv in (block.conv1, block.conv2, block.conv3))

    def run(x: Tensor) -> Tensor:
        for step in enter[:-1]:
            x = step(x)
        total = rectified = enter[-1](x, relu=True)
        for depthwise, pointwise in inner:
            total = pointwise(depthwise(rectified), onto=total)
            rectified = _relu(total)
        depthwise, pointwise = last
        return pointwise(depthwise(rectified), relu=True, onto=total)

    return run


def fast_age_gender(net: AgeGenderNet, prepare: Prepare) -> Callable[[Tensor], AgeGender]:
    """The age and gender network; the function it returns takes what `fast_dense`'s takes."""
    first = prepare.conv(net.entry_flow.conv_in, padded=True)
    entry = [
        _reduction(net.entry_flow.reduction_block_0, prepare),
        _reduction(net.entry_flow.reduction_block_1, prepare),
    ]
    middle = [
        [
            prepare.separable(conv)
            for conv in (m.separable_conv0, m.separable_conv1, m.separable_conv2)
        ]
        for m in (net.middle_flow.main_block_0, net.middle_flow.main_block_1)
    ]
    leave = _reduction(net.exit_flow.reduction_block, prepare)
    depthwise, pointwise = prepare.separable(net.exit_flow.separable_conv)
    fc = [p.detach().to(prepare.device) for n in ("age", "gender") for p in net.fc[n].parameters()]

    def run(images: Tensor) -> AgeGender:
        x = first(images, relu=True)
        for reduce in entry:
            x = reduce(x)
        for *inner, (last_depthwise, last_pointwise) in middle:
            branch = _relu(x)
            for spatial, mix in inner:
                branch = mix(spatial(branch), relu=True)
            x = last_pointwise(last_depthwise(branch), onto=x)
        x = pointwise(depthwise(leave(x)), relu=True)
        pooled = x.mean((2, 3), dtype=torch.float32)
        return AgeGender(F.linear(pooled, *fc[:2]).squeeze(1), F.linear(pooled, *fc[2:]))

    return run


def _reduction(block: ReductionBlock, prepare: Prepare) -> Callable[[Tensor], Tensor]:
    depthwise0, pointwise0 = prepare.separable(block.separable_conv0)
    depthwise1, pointwise1 = prepare.separable(block.separable_conv1)
    expansion = prepare.conv(block.expansion_conv)

    def run(x: Tensor) -> Tensor:
        branch = pointwise1(depthwise1(pointwise0(depthwise0(_relu(x)), relu=True)))
        # With an even size, ceil_mode is TensorFlow's one-sided `same` padding.
        return expansion(x, onto=F.max_pool2d(branch, 3, 2, ceil_mode=True))

    return run


def fast_recognition(net: RecognitionNet, prepare: Prepare) -> Callable[[Tensor], Tensor]:
    """The recognition network.

    Args:
        net: The plain form, its scales folded in.
        prepare: Where and in which precision to run.

    Returns:
        A function of normalized images `[n, 3, 150, 150]`, channels last, to embeddings
        `[n, 128]`, float32.
    """
    first = prepare.conv(net.conv32_down.conv, padded=True)
    blocks = [_residual(block, prepare) for block in net.blocks.values()]
    weight = net.fc.weight.detach().to(prepare.device)

    def run(images: Tensor) -> Tensor:
        x = F.max_pool2d(first(images, relu=True), 3, 2)
        for block in blocks:
            x = block(x)
        return F.linear(x.mean((2, 3), dtype=torch.float32), weight)

    return run


def _residual(block: nn.Module, prepare: Prepare) -> Callable[[Tensor], Tensor]:
    assert isinstance(block, Residual)
    halves = block.stride == 2
    first = prepare.conv(block.conv1.conv, padded=halves)
    second = prepare.conv(block.conv2.conv)

    def run(x: Tensor) -> Tensor:
        branch = first(x, relu=True)
        if not halves:
            return second(branch, relu=True, onto=x)
        branch, pooled = second(branch), F.avg_pool2d(x, 2)
        down, right = (pooled.shape[i] - branch.shape[i] for i in (2, 3))
        total = F.pad(branch, (0, right, 0, down))
        total[:, : pooled.shape[1]] += pooled
        return _relu_(total)

    return run


def tiled(run: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Run a function of images on tiles of `TILE`, the last one filled up with zeros.

    On a card, whose kernels want many images at a time, the batch is one tile.
    """
    if not len(images):
        return run(images.new_zeros(TILE, *images.shape[1:]))[:0]
    if images.device.type != "cpu":
        return run(images)
    tiles = []
    for tile in torch.split(images, TILE):
        missing = TILE - len(tile)
        whole = F.pad(tile, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else tile
        tiles.append(run(whole)[: len(tile)])
    return torch.cat(tiles)
