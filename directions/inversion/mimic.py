"""Inversion through a degradation that is unknown: a filter is fitted along with the codes.

Anirudh, Thiagarajan, Kailkhura, Bremer 2020: MimicGAN: Robust Projection onto Image Manifolds with
Corruption Mimicking, arXiv:1912.07748. There a small network mimics the corruption and alternates
with the codes; here a convolution between the channels and a bias, which blur, shift, mix and
scale colors, fitted to all images together by least squares toward the identity. It is the same
for all images: with one image alone little is known of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.arguments import checked_fields, checked_kinds
from directions.arguments.shapes import check_finite_values
from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator, check_generator
from directions.inversion.base import Inversion
from directions.inversion.invert import invert
from directions.inversion.objective import Degradation
from directions.inversion.solvers import LevenbergMarquardt
from directions.scoring.rendering import Rendering

__all__ = ["Filter", "mimic"]

# Of the mean square of the pixels: how firmly the filter stays at the identity.
FIRMNESS = 1e-4
# Pixels of all images that the filter is fitted to, at most.
PIXELS = 200_000


@checked_fields
@dataclass(frozen=True, eq=False)
class Filter(Degradation):
    """A convolution between the channels, borders repeated, and a bias.

    Attributes:
        kernel: `[3, 3, k, k]`, k odd.
        bias: `[3]`.

    Raises:
        LatdirError: Values that are not finite, or a kernel that is not square with an odd side.

    Example:
        >>> Filter.identity(3)(torch.ones(1, 3, 4, 4)).unique()
        tensor([1.])
    """

    kernel: Float[Tensor, "3 3 k k"]
    bias: Float[Tensor, "3"]

    def __post_init__(self) -> None:
        check_finite_values(vars(self), ("kernel", "bias"))
        _check_size(self.kernel.shape[-1])

    @classmethod
    def identity(cls, size: int) -> Filter:
        """The one that changes nothing."""
        kernel = torch.zeros(3, 3, size, size)
        kernel[range(3), range(3), size // 2, size // 2] = 1
        return cls(kernel, torch.zeros(3))

    @classmethod
    def fit(
        cls, images: Float[Tensor, "n 3 h w"], observed: Float[Tensor, "n 3 h w"], size: int
    ) -> Filter:
        """The filter that brings images nearest to what was observed."""
        rows = functional.unfold(_padded(images, size), size).transpose(1, 2).flatten(0, 1)
        seen = observed.flatten(2).transpose(1, 2).flatten(0, 1)
        step = -(-len(rows) // PIXELS)
        rows, seen = rows[::step].double(), seen[::step].double()
        rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
        start = cls.identity(size)
        known = torch.cat([start.kernel.flatten(1).T, start.bias[None]]).to(rows)
        gram = rows.T @ rows
        gram.diagonal().add_(FIRMNESS * gram.diagonal().mean())
        change = torch.linalg.solve(gram, rows.T @ (seen - rows @ known))
        weight = (known + change).float()
        return cls(weight[:-1].T.reshape(3, 3, size, size).contiguous(), weight[-1])

    def __call__(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """The filtered images."""
        padded = _padded(images, self.kernel.shape[-1])
        return functional.conv2d(padded, self.kernel.to(images), self.bias.to(images))

    @property
    def config(self) -> dict[str, Any]:
        """Kernel and bias by their digest."""
        numbers = torch.cat([self.kernel.flatten(), self.bias]).cpu().numpy().tobytes()
        size = self.kernel.shape[-1]
        return {"kind": "filter", "size": size, "sha256": sha256(numbers).hexdigest()}


@checked_kinds
def mimic(
    generator: Generator,
    images: Tensor,
    *,
    size: int = 5,
    rounds: int = 8,
    steps: int = 4,
    space: str | None = None,
    seed: int = 0,
    rendering: Rendering = Rendering(progress=False),
) -> Inversion:
    """Codes of images that all went through one unknown filter, and the filter.

    Codes and filter take turns: some steps of Levenberg–Marquardt for the codes, then the filter by
    least squares. The first codes are those of the best of many samples.

    Args:
        generator: As for `invert`.
        images: `[n, 3, H, W]`, of the generator's size.
        size: Side of the filter in pixels, odd.
        rounds: Turns.
        steps: Of the codes each time; ten times as many in the last.
        space: As for `invert`.
        seed: As for `invert`.
        rendering: As for `invert`.

    Returns:
        The inversion, whose `degradation` is the filter and whose reconstructions are without it.

    Raises:
        LatdirError: As `invert`; an even size; no image that is finite.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(dim=8)
        >>> images = world.synthesize(world.sample(8, seed=1))
        >>> found = mimic(world, 0.5 * images, size=1, rounds=3)
        >>> found.degradation.kernel.shape
        torch.Size([3, 3, 1, 1])
    """
    check_generator(generator)
    whole_number(rounds, "rounds", least=1)
    _check_size(size)
    filtered = Filter.identity(size)
    settings: dict[str, Any] = {"space": space, "seed": seed, "rendering": rendering}
    found = invert(
        generator, images, solver=LevenbergMarquardt(steps=steps), start="best", restarts=0,
        degradation=filtered, **settings,
    )  # fmt: skip
    for turn in range(rounds):
        finite = found.costs.isfinite()
        if not finite.any():
            raise LatdirError("no image is finite: check how the images were read")
        filtered = Filter.fit(found.reconstruct()[finite], images.to(found.codes)[finite], size)
        last = LevenbergMarquardt(steps=10 * steps if turn == rounds - 1 else steps)
        found = invert(
            generator, images, solver=last, start=found.codes, restarts=0, degradation=filtered,
            **settings,
        )  # fmt: skip
    record = {**found.record, "mimic": {"size": size, "rounds": rounds, "steps": steps}}
    return replace(found, record=record)


def _check_size(size: int) -> None:
    if whole_number(size, "size", least=1) % 2 == 0:
        raise LatdirError(f"size {size} of a filter must be odd: it has a pixel in the middle")


def _padded(images: Tensor, size: int) -> Tensor:
    return functional.pad(images, (size // 2,) * 4, mode="replicate")
