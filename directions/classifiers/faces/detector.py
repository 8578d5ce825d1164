"""Where there are faces in a picture: face-api's tiny detector.

A YOLO-style network (Redmon & Farhadi 2017, arXiv:1612.08242) of separable convolutions: every cell
of a grid proposes a box of five shapes. Ported from `tinyFaceDetector` and `tinyYolov2` of
`@vladmandic/face-api` 1.7.15 (MIT); it was trained by Vincent Mühler on boxes that enclose the
landmarks. Two differences: shrinking is antialiased, and a picture in which no face is found is
looked at again at other sizes, and with a border.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import zoo
from directions.arguments import checked
from directions.classifiers.crop import rgb_images
from directions.classifiers.faces.nets import SeparableConv, pad_same
from directions.errors import LatdirError

__all__ = ["DetectorNet", "FaceBox", "detector_net", "find_faces"]

WIDTHS = (16, 32, 64, 128, 256, 512)
# Width and height of the five shapes of boxes, in cells.
ANCHORS = (
    (1.603231, 2.094468),
    (6.041143, 7.080126),
    (2.882459, 3.518061),
    (4.266906, 5.178857),
    (9.041765, 10.66308),
)
MEAN_RGB = (117.001, 114.697, 97.404)
SLOPE = 0.1
# Of two boxes that share more of their union than this, the more certain one is kept.
OVERLAP = 0.4
# Sides, in pixels, at which a picture is looked at, and the border put around it, a fraction of it:
# the last is for faces that fill it.
LOOKS = ((416, 0.0), (224, 0.0), (800, 0.0), (416, 0.5))


@dataclass(frozen=True)
class FaceBox:
    """A face in a picture, in its pixels; the corner of the picture is (0, 0).

    Attributes:
        left, top, right, bottom: Edges of a box about the landmarks; may reach beyond the picture.
        score: Certainty in [0, 1].
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    def moved(self, step: float) -> FaceBox:
        """The same box so many pixels further right and down."""
        left, top, right, bottom = self.left, self.top, self.right, self.bottom
        return FaceBox(left + step, top + step, right + step, bottom + step, self.score)

    def overlap(self, other: FaceBox) -> float:
        """Intersection over union."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        common = max(width, 0.0) * max(height, 0.0)
        return common / (self.area + other.area - common)


class DetectorNet(nn.Module):
    """Six convolutions with pooling between, and one that answers for each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, WIDTHS[0], 3)
        pairs = pairwise(WIDTHS)
        self.separable = nn.ModuleList(SeparableConv(i, o) for i, o in pairs)
        self.conv8 = nn.Conv2d(WIDTHS[-1], 5 * len(ANCHORS), 1)

    def forward(self, images: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n cells cells 5 5"]:
        """Of each cell and shape: x, y, log width, log height, and log-odds of a face."""
        x = F.leaky_relu(self.conv0(images), SLOPE)
        for conv in self.separable:
            x = F.max_pool2d(pad_same(x, 2, 2, -torch.inf), 2, 2)
            x = F.leaky_relu(conv(x), SLOPE)
            # The last pooling keeps the resolution.
        x = F.max_pool2d(pad_same(x, 2, 1, -torch.inf), 2, 1)
        made: Tensor = self.conv8(x).permute(0, 2, 3, 1)
        return made.reshape(*made.shape[:3], len(ANCHORS), 5)


@lru_cache(maxsize=1)
def detector_net() -> DetectorNet:
    """The trained detector, on the CPU."""
    net = DetectorNet()
    weights = zoo.load("faces/detector")
    own = {key: key for key in weights}
    for number in range(1, len(WIDTHS)):
        for key in weights:
            if key.startswith(f"conv{number}."):
                own[key] = key.replace(f"conv{number}.", f"separable.{number - 1}.")
    net.load_state_dict({own[key]: tensor for key, tensor in weights.items()})
    return net.eval().requires_grad_(False)


@checked
def find_faces(image: Float[Tensor, "1 3 h w"], *, score: float = 0.5) -> list[FaceBox]:
    """The faces of a picture, largest first.

    Args:
        image: One picture of any size, in [-1, 1].
        score: Least certainty, in [0, 1].

    Raises:
        LatdirError: Not one picture, or a score outside [0, 1].

    Example:
        >>> find_faces(torch.zeros(1, 3, 64, 64))
        []
    """
    if not 0 <= score <= 1:
        raise LatdirError(f"score {score} is a certainty in [0, 1]")
    picture = rgb_images(image).detach().cpu().float()
    for side, border in LOOKS:
        margin = round(border * max(picture.shape))
        framed = F.pad(picture, (margin,) * 4, mode="replicate")
        found = _apart([box.moved(float(-margin)) for box in _boxes(framed, side, score)])
        if found:
            return sorted(found, key=lambda box: -box.area)
    return []


def _boxes(image: Float[Tensor, "1 3 h w"], side: int, score: float) -> list[FaceBox]:
    height, width = image.shape[2:]
    scale = side / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = F.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)
    levels = (small + 1) * 127.5
    # Zeros to a square at the right and bottom, then the training mean, as the original does.
    square = F.pad(levels, (0, side - levels.shape[3], 0, side - levels.shape[2]))
    seen = (square - levels.new_tensor(MEAN_RGB)[:, None, None]) / 255
    with torch.no_grad():
        [answers] = detector_net()(seen)
    cells = answers.shape[0]
    pixels = side / cells / scale
    certain = answers[..., 4].sigmoid()
    boxes = []
    for row, column, shape in (certain > score).nonzero().tolist():
        x, y, log_width, log_height, _ = answers[row, column, shape].tolist()
        center = torch.tensor([x, y]).sigmoid() + torch.tensor([column, row])
        half = torch.tensor([log_width, log_height]).exp() * torch.tensor(ANCHORS[shape]) / 2
        (left, top), (right, bottom) = (
            ((center + sign * half) * pixels).tolist() for sign in (-1, 1)
        )
        boxes.append(FaceBox(left, top, right, bottom, float(certain[row, column, shape])))
    return boxes


def _apart(boxes: list[FaceBox]) -> list[FaceBox]:
    """Non-maximum suppression."""
    kept: list[FaceBox] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if all(box.overlap(other) <= OVERLAP for other in kept):
            kept.append(box)
    return kept
