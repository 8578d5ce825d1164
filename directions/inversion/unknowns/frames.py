"""Consecutive frames: one code, and the offsets from frame to frame.

Xu, Du, Xiao, Xu, Qi, He 2021: From Continuity to Editability: Inverting GANs with Consecutive
Images, arXiv:2107.13812. The images of a clip are one tall image, so that a clip is one image of a
batch. Optical flow is the caller's, where the original runs FlowNet2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.arguments import checked
from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator
from directions.inversion.unknowns.base import Joint
from directions.scoring.features import Features

__all__ = ["Frames", "flow_features"]

# Offsets from frame to frame, in standard deviations of the space.
STEP = 0.1


class Frames(Joint):
    """A generator of clips, the frames one below the other.

    Parts are `code`, that of the first frame, and `offsets`, `[n, count - 1, d]`, from each frame
    to the next, the same for all layers.

    Args:
        generator: Makes the frames.
        count: Frames of a clip.
        space: Of the codes; by default w+ where there is one.
    """

    @checked
    def __init__(self, generator: Generator, *, count: int = 5, space: str | None = None) -> None:
        whole_number(count, "count", least=2)
        self.count = count
        self.code_space = generator.space(space or generator.default_space("w+")).name
        shape = generator.space(self.code_space).shape
        config = {"count": count, "space": self.code_space}
        shapes = {"code": shape, "offsets": (count - 1, shape[-1])}
        super().__init__(generator, shapes, title=f"{count} frames", config=config)
        channels, height, width = generator.image_shape
        self.image_shape = (channels, count * height, width)

    def stacked(self, frames: Float[Tensor, "n c h w"]) -> Float[Tensor, "m c tall w"]:
        """Clips of frames that follow each other."""
        if len(frames) % self.count:
            raise LatdirError(
                f"{len(frames)} frames do not make clips of {self.count}: give a multiple of it"
            )
        clips = frames.reshape(-1, self.count, *frames.shape[1:])
        return clips.transpose(1, 2).flatten(2, 3)

    def unstacked(self, clips: Float[Tensor, "m c tall w"]) -> Float[Tensor, "n c h w"]:
        """The inverse of `stacked`."""
        return _frames(clips, self.count).flatten(0, 1)

    def frame_codes(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n frames ..."]:
        """The code of each frame, in the inner generator's space."""
        parts = self.parts(codes)
        moved = functional.pad(parts["offsets"].cumsum(1), (0, 0, 1, 0))
        first = parts["code"][:, None]
        return first + moved.reshape(*moved.shape[:2], *[1] * (first.ndim - 3), moved.shape[2])

    def drawn(self, count: int, *, seed: int) -> dict[str, Tensor]:
        """Codes of the prior, and small offsets."""
        code = self.inner.sample(count, seed=seed, space=self.code_space)
        rng = torch.Generator().manual_seed(seed)
        normal = torch.randn(count, *self.shapes["offsets"], generator=rng).to(code)
        return {"code": code, "offsets": normal * self.moments()["offsets"][1].to(code)}

    def moments(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Those of the space; offsets of a tenth of its deviations about 0."""
        prior = self.inner.prior(self.code_space)
        small = STEP * prior.deviations.square().mean().sqrt() * torch.ones(self.shapes["offsets"])
        return {"code": (prior.mean, prior.deviations), "offsets": (torch.zeros_like(small), small)}

    def made(self, parts: Mapping[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """The clips."""
        codes = self.frame_codes(self.joined(parts))
        return self.stacked(self.inner.synthesize(codes.flatten(0, 1), self.code_space))


@checked
def flow_features(
    forward: Float[Tensor, "frames 2 h w"], backward: Float[Tensor, "frames 2 h w"]
) -> Features:
    """Pixels of a clip, and its first and its later frames warped onto each other.

    The squared distance is the mean squared difference of pixels plus, for both directions, that
    of the warped frames (Xu et al. 2021, arXiv:2107.13812).

    Args:
        forward: Flow from each later frame to the first, in pixels (x, y): where in the first
            frame each pixel of the later one is.
        backward: From the first frame to each later one.

    Example:
        >>> still = torch.zeros(1, 2, 4, 4)
        >>> flow_features(still, still)(torch.zeros(3, 3, 8, 4)).shape  # two frames, 1 + 1 warped
        torch.Size([3, 192])
    """

    def features(clips: Float[Tensor, "n c tall w"]) -> Float[Tensor, "n f"]:
        frames = _frames(clips, len(forward) + 1)
        first, later = frames[:, :1].expand_as(frames[:, 1:]), frames[:, 1:]
        warped = [_warped(first, forward), _warped(later, backward)]
        rows = [part.flatten(1) for part in (frames, *warped)]
        return torch.cat([row / math.sqrt(row.shape[1]) for row in rows], 1)

    return features


def _frames(clips: Float[Tensor, "m c tall w"], count: int) -> Float[Tensor, "m frames c h w"]:
    n, channels, height, width = clips.shape
    return clips.reshape(n, channels, count, height // count, width).transpose(1, 2)


def _warped(
    frames: Float[Tensor, "n frames c h w"], flow: Float[Tensor, "frames 2 h w"]
) -> Float[Tensor, "n frames c h w"]:
    """Each frame read at each pixel's place plus its flow, bilinearly."""
    height, width = flow.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    at = torch.stack([columns, rows]).to(frames) + flow.to(frames)
    size = torch.tensor([width, height]).to(frames)
    grid = (2 * at.permute(0, 2, 3, 1) + 1) / size - 1
    many = grid.expand(len(frames), *grid.shape).flatten(0, 1)
    read = functional.grid_sample(
        frames.flatten(0, 1), many, mode="bilinear", padding_mode="border", align_corners=False
    )
    return read.reshape(frames.shape)
