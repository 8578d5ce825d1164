"""The framing of a generator's faces, and the similarity that brings another face to it.

A generator of faces makes them as large, as upright and in the same place as its training images
were. That framing is measured, not assumed: landmarks of its own samples are kept, and a face is
brought to where those of the most similar shapes lie (turned heads lie elsewhere than frontal
ones). Sides of angles aside, this is what the five-point alignment of FFHQ does for FFHQ.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions.classifiers.faces.classifier import faces
from directions.classifiers.faces.landmarks import head_pose
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.images.tensors import resize
from directions.seeds import INVERSION_SEED

__all__ = ["Framing", "Similarity"]

SAMPLES, BATCH = 512, 64
# Trust in landmarks (`head_pose`) below which they make no face.
LEAST_TRUST = 0.5
# Of a generator's samples, the fraction that must show faces.
LEAST_FACES = 0.5
# Samples of the most similar shapes whose places are averaged.
NEIGHBORS = 32
KEPT = 8

_memory: OrderedDict[str, Framing] = OrderedDict()


@dataclass(frozen=True)
class Similarity:
    """A rotation, scale and shift of the plane: z ↦ factor · z + offset, with z = x + iy.

    Attributes:
        factor: Its length is the scale, its angle the rotation.
        offset: The shift, in units of the target.

    Example:
        >>> double = Similarity(2 + 0j, 1 + 0j)
        >>> double(torch.tensor([[3.0, 4.0]])), double.inverse(torch.tensor([[7.0, 8.0]]))
        (tensor([[7., 8.]]), tensor([[3., 4.]]))
    """

    factor: complex
    offset: complex

    @classmethod
    def between(cls, source: Float[Tensor, "k 2"], target: Float[Tensor, "k 2"]) -> Similarity:
        """The one that brings points to others with the least squared distance (Umeyama 1991)."""
        a, b = (torch.view_as_complex(p.double().contiguous()) for p in (source, target))
        from_center = a - a.mean()
        power = from_center.abs().square().sum()
        factor = (from_center.conj() * (b - b.mean())).sum() / power
        return cls(complex(factor), complex(b.mean() - factor * a.mean()))

    def __call__(self, points: Float[Tensor, "... 2"]) -> Float[Tensor, "... 2"]:
        """The points' images."""
        moved = torch.view_as_complex(points.double().contiguous()) * self.factor + self.offset
        return torch.view_as_real(moved).to(points.dtype)

    def inverse(self, points: Float[Tensor, "... 2"]) -> Float[Tensor, "... 2"]:
        """The points that are brought to these."""
        moved = (torch.view_as_complex(points.double().contiguous()) - self.offset) / self.factor
        return torch.view_as_real(moved).to(points.dtype)

    def scaled(self, factor: float) -> Similarity:
        """The same with targets in a unit so many times smaller."""
        return Similarity(self.factor * factor, self.offset * factor)

    def warp(
        self, picture: Float[Tensor, "n 3 H W"], size: tuple[int, int]
    ) -> Float[Tensor, "n 3 h w"]:
        """The picture brought to the target, antialiased; beyond its edges they are repeated.

        Args:
            picture: Its pixels' centers are at 0.5, 1.5, …
            size: Height and width of the target in its pixels.
        """
        # Where it shrinks, sample finer than the target and average.
        finer = max(1, math.ceil(1 / abs(self.factor)))
        height, width = size
        fine = self.scaled(float(finer))
        rows, columns = (torch.arange(side * finer) + 0.5 for side in (height, width))
        places = fine.inverse(torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1))
        extent = torch.tensor([picture.shape[3], picture.shape[2]])
        grid = (2 * places / extent - 1).to(picture).expand(len(picture), -1, -1, -1)
        mode = "bilinear" if finer > 1 else "bicubic"
        made = F.grid_sample(picture, grid, mode=mode, padding_mode="border", align_corners=False)
        return resize(made, size).clamp(-1, 1)


@dataclass(frozen=True, eq=False)
class Framing:
    """Where a generator's faces are in its images.

    Attributes:
        points: `[n, 68, 2]`, landmarks of its samples in pixels.
    """

    points: Float[Tensor, "n 68 2"]

    @classmethod
    def of(cls, generator: Generator) -> Framing:
        """The framing of a generator, measured at the first call.

        Raises:
            LatdirError: Its samples show no faces.
        """
        key = generator.fingerprint
        if key not in _memory:
            codes = generator.sample(SAMPLES, seed=INVERSION_SEED)
            read = faces()
            space = generator.default_space()
            found: list[Tensor] = []
            with torch.no_grad():
                for part in torch.split(codes, BATCH):
                    read_points = read.landmarks(generator.synthesize(part, space).float()).cpu()
                    found.append(read_points[head_pose(read_points).trust > LEAST_TRUST])
                    if not len(found[0]):
                        # Half of the samples are to show faces; of the first batch none does.
                        break
            points = torch.cat(found)
            if len(points) < LEAST_FACES * SAMPLES:
                raise LatdirError(
                    f"{generator.name} makes no faces that photographs could be aligned to: "
                    'align="center", or box=(left, top, right, bottom)'
                )
            _memory[key] = cls(points)
            while len(_memory) > KEPT:
                _memory.popitem(last=False)
        _memory.move_to_end(key)
        return _memory[key]

    def bring(self, points: Float[Tensor, "68 2"]) -> Similarity:
        """The similarity that brings a face to where faces of its shape are.

        Args:
            points: Its landmarks in the pixels of its picture.
        """
        face = torch.view_as_complex(points.double().contiguous())
        own = torch.view_as_complex(self.points.double().contiguous())
        face = face - face.mean()
        shapes = own - own.mean(1, keepdim=True)
        # What of each sample's shape a rotation and scale of this face explains.
        common = (shapes.conj() @ face).abs() / shapes.norm(dim=1)
        nearest = common.topk(min(NEIGHBORS, len(own))).indices
        return Similarity.between(points, self.points[nearest].mean(0))
