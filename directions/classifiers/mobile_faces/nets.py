"""Three small face networks of separate origins, as plain differentiable modules.

All ship with the npm package `@vladmandic/human` (MIT) as TensorFlow.js graphs:

- `MeshNet`: MediaPipe's face mesh (Kartynnik et al. 2019, arXiv:1907.06724);
- `ExpressionNet`: Arriaga's mini-Xception (Arriaga et al. 2017, arXiv:1710.07557);
- `AgeGenderNet`: Savchenko's MobileNet (2019, doi:10.7717/peerj-cs.197).

The card, `directions/zoo/mobile-faces/README.md`, has their licenses and training data.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import zoo
from directions.classifiers.faces.nets import SameConv, SeparableConv, pad_same

__all__ = [
    "EXPRESSIONS",
    "AgeGender",
    "AgeGenderNet",
    "ExpressionNet",
    "MeshNet",
    "age_gender_net",
    "expression_net",
    "mesh_net",
    "narrowed",
]

EXPRESSIONS = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")
# MobileNet's pairs of convolutions: channels of the output, stride.
MOBILE = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)
# Layers of its first pair: in bfloat16 they alone would quadruple the scores' error.
WIDE = 4
M = TypeVar("M", bound=nn.Module)


class XceptionBlock(nn.Module):
    """Two separable convolutions and a max pool, beside a strided 1×1 convolution."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.separable0 = SeparableConv(channels, out)
        self.separable1 = SeparableConv(out, out)
        self.expansion = SameConv(channels, out, 1, 2)

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """`[n, channels, h, w]` to `[n, out, h / 2, w / 2]`; `branch` is `x`, rectified or not."""
        branch = self.separable1(self.separable0(branch).relu())
        summed: Tensor = F.max_pool2d(pad_same(branch, 3, 2, -torch.inf), 3, 2) + self.expansion(x)
        return summed


class ExpressionNet(nn.Module):
    """A small Xception: gray faces to seven expressions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(1, 32, 3, 2)
        self.conv1 = nn.Conv2d(32, 64, 3)
        self.block0 = XceptionBlock(64, 128)
        self.block1 = XceptionBlock(128, 256)
        self.head = SameConv(256, len(EXPRESSIONS), 3)

    def forward(self, gray: Float[Tensor, "n 1 64 64"]) -> Float[Tensor, "n 7"]:
        """Logits of `EXPRESSIONS` of luma in [-1, 1]."""
        gray = gray.to(self.conv0.weight.dtype)
        x = self.conv1(self.conv0(gray).relu()).relu()
        x = self.block0(x, x)
        logits: Tensor = self.head(self.block1(x, x.relu())).mean((2, 3))
        return logits


class MeshBlock(nn.Module):
    """A separable convolution added to its input; at stride 2 to the input's max pool."""

    def __init__(self, channels: int, out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.separable = SeparableConv(channels, out, stride=stride)
        self.prelu = nn.PReLU(out)
        self.stride, self.more = stride, out - channels

    def forward(self, x: Tensor) -> Tensor:
        """`[n, channels, h, w]` to `[n, out, h / stride, w / stride]`."""
        kept = x if self.stride == 1 else F.max_pool2d(x, 2)
        # New channels start from zero.
        summed: Tensor = self.prelu(self.separable(x) + F.pad(kept, (0, 0, 0, 0, 0, self.more)))
        return summed


class MeshNet(nn.Module):
    """MediaPipe's face mesh: 468 points in three dimensions, and whether there is a face."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = SameConv(3, 16, 3, 2)
        self.prelu0 = nn.PReLU(16)
        widths = (16, 32, 64, 128, 128)
        blocks = [MeshBlock(16, 16), MeshBlock(16, 16)]
        for channels, out in pairwise(widths):
            blocks += [MeshBlock(channels, out, stride=2), MeshBlock(out, out), MeshBlock(out, out)]
        self.trunk = nn.Sequential(*blocks)
        self.mesh = nn.Sequential(
            MeshBlock(128, 128, stride=2),
            *(MeshBlock(128, 128), MeshBlock(128, 128)),
            *(nn.Conv2d(128, 32, 1), nn.PReLU(32)),
            *(MeshBlock(32, 32), nn.Conv2d(32, 3 * 468, 3)),
        )
        self.flag = nn.Sequential(
            MeshBlock(128, 128, stride=2),
            *(nn.Conv2d(128, 32, 1), nn.PReLU(32)),
            *(MeshBlock(32, 32), nn.Conv2d(32, 1, 3)),
        )

    def forward(self, images: Float[Tensor, "n 3 192 192"]) -> tuple[Tensor, Tensor]:
        """Points and log-odds of a face, of RGB in [0, 1].

        Returns:
            `[n, 468, 3]`, x to the right and y down in pixels, z away from the viewer on their
            scale; and `[n]`.
        """
        shared = self.trunk(self.prelu0(self.conv0(images)))
        return self.mesh(shared).reshape(-1, 468, 3), self.flag(shared).reshape(-1)


class AgeGender(NamedTuple):
    """Logits of the ages 1 … 100 `[n, 100]`, and log-odds of male `[n]`."""

    age: Tensor
    male: Tensor


class AgeGenderNet(nn.Module):
    """A MobileNet (Howard et al. 2017, arXiv:1704.04861) with two linear layers at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = SameConv(3, 32, 3, 2)
        pairs, channels = [], 32
        for out, stride in MOBILE:
            depthwise = SameConv(channels, channels, 3, stride, groups=channels)
            pairs += [depthwise, nn.ReLU6(), nn.Conv2d(channels, out, 1), nn.ReLU6()]
            channels = out
        self.pairs = nn.Sequential(*pairs)
        self.features = nn.Linear(channels, 256)
        self.age = nn.Linear(256, 100)
        self.male = nn.Linear(256, 1)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> AgeGender:
        """Answers for blue, green and red in 0 … 255 minus their means; trained at 224 × 224."""
        x = self.pairs[:WIDE](F.relu6(self.conv0(images)))
        x = self.pairs[WIDE:](x.to(self.pairs[WIDE].weight.dtype))
        x = self.features(x.mean((2, 3), dtype=torch.float32)).relu()
        return AgeGender(self.age(x), self.male(x).squeeze(1))


def narrowed(net: nn.Module) -> nn.Module:
    """A network but the mesh, changed in place, with most of its layers in bfloat16."""
    (net.pairs[WIDE:] if isinstance(net, AgeGenderNet) else net).bfloat16()
    return net


def _loaded(net: M, name: str) -> M:
    net.load_state_dict(zoo.load(f"mobile-faces/{name}"))
    return net.eval().requires_grad_(False)


def expression_net() -> ExpressionNet:
    """The trained expression net."""
    return _loaded(ExpressionNet(), "expression")


def mesh_net() -> MeshNet:
    """The trained mesh net."""
    return _loaded(MeshNet(), "mesh")


def age_gender_net() -> AgeGenderNet:
    """The trained age and gender net."""
    return _loaded(AgeGenderNet(), "age_gender")
