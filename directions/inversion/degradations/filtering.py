"""Filters that mix pixels and channels alike everywhere in an image, and what they are known by."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.arguments import checked_fields
from directions.arguments.shapes import check_finite_values
from directions.errors import LatdirError, whole_number
from directions.inversion.objective import Degradation

__all__ = ["Filter", "check_filter_size"]

# Of the mean square of what is regressed on: how firmly a filter that is fitted stays where it was.
FIRMNESS = 1e-6
# Pixels of all images that a filter is fitted to, at most.
PIXELS = 200_000
# Images transformed at a time, and eigenvalues, relative to the largest, that count as 0.
BATCH, SMALLEST = 16, 1e-9


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
        check_filter_size(self.size)

    @property
    def size(self) -> int:
        """Side of the kernel in pixels."""
        return self.kernel.shape[-1]

    @classmethod
    def identity(cls, size: int) -> Filter:
        """The one that changes nothing."""
        kernel = torch.zeros(3, 3, size, size)
        kernel[range(3), range(3), size // 2, size // 2] = 1
        return cls(kernel, torch.zeros(3))

    @classmethod
    def matching(
        cls, images: Float[Tensor, "m 3 h w"], observed: Float[Tensor, "n 3 h w"], size: int
    ) -> Filter:
        """The symmetric filter after which images have the statistics of others that were observed.

        Mean colors agree, and in each band of spatial frequencies the covariance of the channels:
        the optimal transport of one Gaussian distribution to the other. No image needs a partner.
        """
        mean, own = _moments(images)
        seen_mean, seen = _moments(observed)
        height, width = images.shape[2:]
        across, along = (torch.fft.fftfreq(n, device=images.device) for n in (height, width))
        radius = (across[:, None].square() + along.square()).sqrt()
        bands = (radius * min(height, width)).round().long()
        members = functional.one_hot(bands.flatten()).to(own)
        own, seen = (torch.einsum("fb,fcd->bcd", members, s.flatten(0, 1)) for s in (own, seen))
        # A real and even transfer function, so the kernel is real and symmetric.
        response = torch.fft.ifft2(_transport(own, seen)[bands], dim=(0, 1)).real
        near = torch.arange(-(size // 2), size // 2 + 1, device=images.device)
        kernel = response[near % height][:, near % width].permute(2, 3, 0, 1)
        return cls(kernel.float().contiguous(), (seen_mean - kernel.sum((2, 3)) @ mean).float())

    @classmethod
    def fit(
        cls, images: Float[Tensor, "n 3 h w"], observed: Float[Tensor, "n 3 h w"], size: int
    ) -> Filter:
        """The filter that brings images nearest to what was observed of each."""
        step = -(-images[:, 0].numel() // PIXELS)
        start = cls.identity(size)
        rows = start.regressors(images).flatten(0, 1)[::step].double()
        seen = observed.flatten(2).transpose(1, 2).flatten(0, 1)[::step].double()
        gram = rows.T @ rows
        gram.diagonal().add_(FIRMNESS * gram.diagonal().mean())
        known = start.weights.to(rows)
        return cls.of(known + torch.linalg.solve(gram, rows.T @ (seen - rows @ known.T)).T)

    @classmethod
    def of(cls, weights: Float[Tensor, "3 f"]) -> Filter:
        """The filter of the weights of what an output channel is a sum of."""
        size = round(((weights.shape[1] - 1) / 3) ** 0.5)
        kernel = weights[:, :-1].reshape(3, 3, size, size)
        return cls(kernel.float().contiguous(), weights[:, -1].float())

    @property
    def weights(self) -> Float[Tensor, "3 f"]:
        """Kernel and bias, one row an output channel."""
        return torch.cat([self.kernel.flatten(1), self.bias[:, None]], 1)

    def regressors(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n p f"]:
        """The numbers whose sums by `weights` make a pixel: its surroundings, and 1."""
        rows = functional.unfold(self._padded(images), self.size).transpose(1, 2)
        return torch.cat([rows, rows.new_ones(*rows.shape[:2], 1)], 2)

    def __call__(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """The filtered images."""
        return functional.conv2d(self._padded(images), self.kernel.to(images), self.bias.to(images))

    @property
    def config(self) -> dict[str, Any]:
        """Kernel and bias by their digest."""
        numbers = torch.cat([self.kernel.flatten(), self.bias]).cpu().numpy().tobytes()
        return {"kind": "filter", "size": self.size, "sha256": sha256(numbers).hexdigest()}

    def _padded(self, images: Tensor) -> Tensor:
        return functional.pad(images, (self.size // 2,) * 4, mode="replicate")


def check_filter_size(size: int) -> None:
    """Refuse a side that has no pixel in the middle.

    Raises:
        LatdirError: An even size, or one below 1.
    """
    if whole_number(size, "size", least=1) % 2 == 0:
        raise LatdirError(f"size {size} of a filter must be odd: it has a pixel in the middle")


def _moments(images: Tensor) -> tuple[Float[Tensor, "3"], Float[Tensor, "h w 3 3"]]:
    """Mean color, and the covariance of the channels at each frequency, of windowed images."""
    mean = images.double().mean((0, 2, 3))
    # Opposite borders differ; a window keeps that out of the high frequencies.
    across, along = (
        torch.hann_window(n + 2, periodic=False, dtype=mean.dtype, device=images.device)[1:-1]
        for n in images.shape[2:]
    )
    total = torch.zeros((), dtype=mean.dtype, device=images.device)
    for part in torch.split(images, BATCH):
        spectra = torch.fft.fft2((part - mean[:, None, None]) * across[:, None] * along)
        total = total + torch.einsum("nchw,ndhw->hwcd", spectra, spectra.conj()).real
    return mean, total / len(images)


def _transport(own: Float[Tensor, "b 3 3"], seen: Float[Tensor, "b 3 3"]) -> Tensor:
    """Symmetric A with A S A = O: S^(−½) (S^(½) O S^(½))^(½) S^(−½)."""
    root, inverse = _powers(own)
    return inverse @ _powers(root @ seen @ root)[0] @ inverse


def _powers(matrices: Float[Tensor, "b 3 3"]) -> tuple[Tensor, Tensor]:
    """Square roots of symmetric matrices, and the pseudoinverses of these."""
    values, axes = torch.linalg.eigh(matrices)
    kept = values > SMALLEST * values.amax(-1, keepdim=True).clamp_min(1e-30)
    roots = torch.where(kept, values, 0.0).sqrt()
    inverses = torch.where(kept, values, 1.0).rsqrt() * kept
    return (axes * roots[:, None]) @ axes.mT, (axes * inverses[:, None]) @ axes.mT
