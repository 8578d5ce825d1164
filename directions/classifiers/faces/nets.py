"""The four small face networks of face-api, as plain differentiable modules.

Ported from the TypeScript of `@vladmandic/face-api` 1.7.15 (MIT), itself the continuation of
Vincent Mühler's face-api.js; the recognition net is dlib's ResNet-34 variant (King 2009). Each
module takes RGB images that `normalize` has put on the nets' scale. TensorFlow's `same` padding
puts the odd pixel at the end, which PyTorch's own `padding=` cannot say for stride 2.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import zoo

__all__ = [
    "EXPRESSIONS",
    "AgeGenderNet",
    "DenseNet",
    "RecognitionNet",
    "age_gender_net",
    "expression_net",
    "folded",
    "landmark_net",
    "normalize",
    "recognition_net",
]

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
M = TypeVar("M", bound=nn.Module)
MEAN_RGB = (122.782, 117.001, 104.298)


def normalize(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Images in [-1, 1] on the nets' scale: (RGB in 0 … 255 − the training mean) / 255."""
    mean = torch.tensor(MEAN_RGB, dtype=images.dtype, device=images.device)
    scaled: Tensor = (images * 127.5 + (127.5 - mean)[:, None, None]) / 255
    return scaled


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pad as TensorFlow's `same` does: to ceil(size / stride) outputs, the odd pixel last."""
    margins: list[int] = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        margins += [total // 2, total - total // 2]
    return F.pad(x, margins, value=value) if any(margins) else x


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's `same` padding."""

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of `[n, in, h, w]`, `[n, out, ceil(h / stride), …]`."""
        padded = pad_same(input, self.kernel_size[0], self.stride[0])
        made: Tensor = self._conv_forward(padded, self.weight, self.bias)
        return made


class SeparableConv(nn.Sequential):
    """A depthwise 3×3 convolution, then a pointwise one that carries the bias."""

    depthwise: SameConv
    pointwise: SameConv

    def __init__(self, channels: int, out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = SameConv(channels, channels, 3, stride, groups=channels, bias=False)
        self.pointwise = SameConv(channels, out, 1)


class DenseBlock(nn.Module):
    """Halve the resolution, then three separable convolutions, each added to all before it."""

    def __init__(self, conv0: SameConv | SeparableConv, channels: int) -> None:
        super().__init__()
        self.conv0 = conv0
        self.conv1 = SeparableConv(channels, channels)
        self.conv2 = SeparableConv(channels, channels)
        self.conv3 = SeparableConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, in, h, w]` to `[n, channels, h / 2, w / 2]`."""
        total: Tensor = self.conv0(x).relu()
        for conv in (self.conv1, self.conv2, self.conv3):
            # The block's first output is rectified; the sums are kept linear, as in the original.
            total = total + conv(total.relu())
        return total.relu()


class DenseNet(nn.Module):
    """Four dense blocks and a linear layer: the expression and landmark networks.

    Args:
        outputs: Number of outputs.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.dense0 = DenseBlock(SameConv(3, 32, 3, 2), 32)
        self.dense1 = DenseBlock(SeparableConv(32, 64, stride=2), 64)
        self.dense2 = DenseBlock(SeparableConv(64, 128, stride=2), 128)
        self.dense3 = DenseBlock(SeparableConv(128, 256, stride=2), 256)
        self.fc = nn.Linear(256, outputs)

    def forward(self, images: Float[Tensor, "n 3 112 112"]) -> Float[Tensor, "n k"]:
        """Raw outputs: logits, or coordinates as fractions of the frame."""
        features = self.dense3(self.dense2(self.dense1(self.dense0(images))))
        pooled: Tensor = self.fc(features.mean((2, 3)))
        return pooled


class ReductionBlock(nn.Module):
    """Two separable convolutions and a max pool, beside a strided 1×1 convolution."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.separable_conv0 = SeparableConv(channels, out)
        self.separable_conv1 = SeparableConv(out, out)
        self.expansion_conv = SameConv(channels, out, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, channels, h, w]` to `[n, out, h / 2, w / 2]`, linear at the end."""
        branch = self.separable_conv1(self.separable_conv0(x.relu()).relu())
        pooled = F.max_pool2d(pad_same(branch, 3, 2, -torch.inf), 3, 2)
        summed: Tensor = pooled + self.expansion_conv(x)
        return summed


class MainBlock(nn.Module):
    """Three separable convolutions, each rectified before, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.separable_conv0 = SeparableConv(channels, channels)
        self.separable_conv1 = SeparableConv(channels, channels)
        self.separable_conv2 = SeparableConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape out as in."""
        branch = self.separable_conv1(self.separable_conv0(x.relu()).relu())
        summed: Tensor = self.separable_conv2(branch.relu()) + x
        return summed


class EntryFlow(nn.Module):
    """Weights of the age and gender network down to 14×14."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = SameConv(3, 32, 3, 2)
        self.reduction_block_0 = ReductionBlock(32, 64)
        self.reduction_block_1 = ReductionBlock(64, 128)


class MiddleFlow(nn.Module):
    """Weights of its two blocks at 14×14."""

    def __init__(self) -> None:
        super().__init__()
        self.main_block_0 = MainBlock(128)
        self.main_block_1 = MainBlock(128)


class ExitFlow(nn.Module):
    """Weights of its last two steps, at 7×7."""

    def __init__(self) -> None:
        super().__init__()
        self.reduction_block = ReductionBlock(128, 256)
        self.separable_conv = SeparableConv(256, 512)


class AgeGender(NamedTuple):
    """Age in years `[n]`, and the logits of male and female `[n, 2]`."""

    age: Tensor
    gender: Tensor


class AgeGenderNet(nn.Module):
    """A small Xception (Chollet 2017, arXiv:1610.02357) with a linear layer for each output."""

    def __init__(self) -> None:
        super().__init__()
        self.entry_flow = EntryFlow()
        self.middle_flow = MiddleFlow()
        self.exit_flow = ExitFlow()
        self.fc = nn.ModuleDict({"age": nn.Linear(512, 1), "gender": nn.Linear(512, 2)})

    def forward(self, images: Float[Tensor, "n 3 112 112"]) -> AgeGender:
        """Age in years, and the logits of male and female."""
        # The first block does not rectify its input, which already is.
        x = self.entry_flow.conv_in(images).relu()
        x = self.entry_flow.reduction_block_1(self.entry_flow.reduction_block_0(x))
        x = self.middle_flow.main_block_1(self.middle_flow.main_block_0(x))
        x = self.exit_flow.separable_conv(self.exit_flow.reduction_block(x)).relu()
        pooled = x.mean((2, 3))
        return AgeGender(self.fc["age"](pooled).squeeze(1), self.fc["gender"](pooled))


class Scale(nn.Module):
    """A factor and an offset for each channel: a batch norm that has been frozen."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`weight · x + bias`, channel by channel."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class ScaledConv(nn.Sequential):
    """A convolution and its scale; stride 2 has no padding."""

    conv: nn.Conv2d
    scale: Scale

    def __init__(self, channels: int, out: int, kernel: int = 3, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding=1 if stride == 1 else 0)
        self.scale = Scale(out)


class Residual(nn.Module):
    """Two convolutions added to the input, or to its average-pooled half.

    The pooled input may be one pixel larger and have half the channels: zeros make up for both,
    the pixel at the bottom and right, the channels at the end.
    """

    def __init__(self, channels: int, out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ScaledConv(channels, out, stride=stride)
        self.conv2 = ScaledConv(out, out)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """`[n, channels, h, w]` to `[n, out, …]`."""
        branch: Tensor = self.conv2(self.conv1(x).relu())
        if self.stride == 1:
            return (branch + x).relu()
        pooled = F.avg_pool2d(x, 2)
        down, right = (pooled.shape[i] - branch.shape[i] for i in (2, 3))
        missing = branch.shape[1] - pooled.shape[1]
        branch = F.pad(branch, (0, right, 0, down))
        summed: Tensor = branch + F.pad(pooled, (0, 0, 0, 0, 0, missing))
        return summed.relu()


class RecognitionNet(nn.Module):
    """A residual network whose 128 outputs are close for faces of one person."""

    def __init__(self) -> None:
        super().__init__()
        self.conv32_down = ScaledConv(3, 32, 7, stride=2)
        plan = {
            "conv32_1": (32, 32, 1),
            "conv32_2": (32, 32, 1),
            "conv32_3": (32, 32, 1),
            "conv64_down": (32, 64, 2),
            "conv64_1": (64, 64, 1),
            "conv64_2": (64, 64, 1),
            "conv64_3": (64, 64, 1),
            "conv128_down": (64, 128, 2),
            "conv128_1": (128, 128, 1),
            "conv128_2": (128, 128, 1),
            "conv256_down": (128, 256, 2),
            "conv256_1": (256, 256, 1),
            "conv256_2": (256, 256, 1),
            "conv256_down_out": (256, 256, 2),
        }
        self.blocks = nn.ModuleDict(
            {name: Residual(i, o, stride=stride) for name, (i, o, stride) in plan.items()}
        )
        self.fc = nn.Linear(256, 128, bias=False)

    def forward(self, images: Float[Tensor, "n 3 150 150"]) -> Float[Tensor, "n 128"]:
        """The embedding; faces closer than about 0.6 belong to one person, by its training."""
        x = F.max_pool2d(self.conv32_down(images).relu(), 3, 2)
        for block in self.blocks.values():
            x = block(x)
        embedding: Tensor = self.fc(x.mean((2, 3)))
        return embedding


def _loaded(net: M, weights: dict[str, Tensor]) -> M:
    net.load_state_dict(weights)
    return net.eval().requires_grad_(False)


def expression_net() -> DenseNet:
    """The trained expression net: logits of `EXPRESSIONS`."""
    return _loaded(DenseNet(len(EXPRESSIONS)), zoo.load("faces/expression"))


def landmark_net() -> DenseNet:
    """The trained landmark net: x and y of 68 points in turn, as fractions of the frame."""
    return _loaded(DenseNet(2 * 68), zoo.load("faces/landmarks"))


def age_gender_net() -> AgeGenderNet:
    """The trained age and gender net."""
    return _loaded(AgeGenderNet(), zoo.load("faces/age_gender"))


def recognition_net() -> RecognitionNet:
    """The trained recognition net."""
    weights = zoo.load("faces/recognition")
    inside = ("conv32_down.", "fc.")
    named = {k if k.startswith(inside) else f"blocks.{k}": v for k, v in weights.items()}
    return _loaded(RecognitionNet(), named)


def folded(net: RecognitionNet) -> RecognitionNet:
    """The same network, changed in place, with every scale inside the convolution before it."""
    for layer in net.modules():
        if isinstance(layer, ScaledConv):
            factor, offset = layer.scale.weight.data, layer.scale.bias.data
            assert layer.conv.bias is not None
            layer.conv.bias.data = layer.conv.bias.data * factor + offset
            layer.conv.weight.data = layer.conv.weight.data * factor[:, None, None, None]
            layer.scale = nn.Identity()  # type: ignore[assignment]
    return net
