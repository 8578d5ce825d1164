"""Leaky ReLU between two low-pass filters, at a higher sampling rate than its input's.

Alias-Free Generative Adversarial Networks (Karras et al. 2021, arXiv:2106.12423), section 3 and
appendix D. The official code has a CUDA kernel for it; here resampling along an axis is a
product with a banded Toeplitz matrix. Small maps take the whole matrix, large ones take tiles of
it, so that nothing is multiplied by an inserted zero, nothing has to be interleaved, and every
step is a matrix product: fast on CPU and GPU and differentiable in both modes.

A radial filter is not the product of two one-dimensional ones, but a sum of a few: those of its
singular value decomposition that are not lost in float32 rounding, two to four of twelve.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["filtered_leaky_relu", "resample", "separable"]

# One matrix for an axis up to this many inputs; tiles of this many outputs beyond.
DENSE = 128
TILE = 64
# Elements of the fine grid held at once on a CPU, about the size of its cache.
CPU_CHUNK = 2_000_000
ROUNDING = 1e-7


def separable(
    kernel: Float[Tensor, "*t"],
) -> tuple[Float[Tensor, "rank t"], Float[Tensor, "rank t"]]:
    """Columns and rows of one-dimensional filters whose outer products sum to `kernel`.

    Args:
        kernel: `[t]`, applied along both axes, or `[t, t]`.

    Example:
        >>> columns, rows = separable(torch.ones(3, 3) / 9)
        >>> columns.shape, bool(torch.allclose(columns.T @ rows, torch.ones(3, 3) / 9))
        (torch.Size([1, 3]), True)
    """
    if kernel.ndim == 1:
        return kernel[None], kernel[None]
    u, s, vh = torch.linalg.svd(kernel.double())
    rank = int((s > ROUNDING * s[0]).sum())
    scale = s[:rank, None].sqrt()
    return (u.T[:rank] * scale).to(kernel.dtype), (vh[:rank] * scale).to(kernel.dtype)


def filtered_leaky_relu(
    x: Float[Tensor, "n c h w"],
    *,
    up_taps: Float[Tensor, "t"],
    down_columns: Float[Tensor, "rank v"],
    down_rows: Float[Tensor, "rank v"],
    up: int,
    down: int,
    before: int,
    outputs: int,
    slope: float,
    gain: float = 1.0,
    clamp: float | None = None,
) -> Float[Tensor, "n c o o"]:
    """Upsample, leaky ReLU times `gain`, clamp, downsample.

    Args:
        x: Feature maps, square, bias added.
        up_taps: Separable filter before the nonlinearity, summing to 1.
        down_columns: Vertical filters after it, as `separable` returns them.
        down_rows: The horizontal ones.
        up: Upsampling factor.
        down: Downsampling factor.
        before: Zeros before the first sample on the fine grid; negative to crop.
        outputs: Side of the result.
        slope: Of the leaky ReLU, for negative values.
        gain: Factor after it.
        clamp: Bound after that, or None.

    Example:
        >>> one = torch.ones(1)
        >>> x = torch.tensor([[[[-1.0, 3.0], [0.0, 1.0]]]])
        >>> filtered_leaky_relu(x, up_taps=one, down_columns=one[None], down_rows=one[None],
        ...     up=1, down=1, before=0, outputs=2, slope=0.5, clamp=2.0)
        tensor([[[[-0.5000,  2.0000],
                  [ 0.0000,  1.0000]]]])
    """
    fine = (outputs - 1) * down + down_rows.shape[1]
    # The leaky ReLU commutes with a positive gain, so the filter carries it.
    taps = up_taps[None] * up

    def run(maps: Tensor) -> Tensor:
        wide = resample(maps, taps * gain, up=up, before=before, outputs=fine, axis=-1)[0]
        wide = resample(wide, taps, up=up, before=before, outputs=fine, axis=-2)[0]
        wide = functional.leaky_relu(wide, slope)
        if clamp is not None:
            wide = wide.clamp(-clamp, clamp)
        parts = resample(wide, down_columns, down=down, outputs=outputs, axis=-2)
        narrow = [
            resample(part, row[None], down=down, outputs=outputs, axis=-1)[0]
            for part, row in zip(parts, down_rows, strict=True)
        ]
        return torch.stack(narrow).sum(0) if len(narrow) > 1 else narrow[0]

    maps = x.flatten(0, 1)
    size = max(1, CPU_CHUNK // fine**2) if x.device.type == "cpu" else len(maps)
    made = torch.cat([run(chunk) for chunk in torch.split(maps, size)])
    return made.reshape(*x.shape[:2], outputs, outputs)


def resample(
    x: Float[Tensor, "m h w"],
    taps: Float[Tensor, "rank t"],
    *,
    up: int = 1,
    down: int = 1,
    before: int = 0,
    outputs: int,
    axis: int,
) -> list[Float[Tensor, "m H W"]]:
    """Insert zeros, filter and keep every `down`-th sample along one axis, for each filter.

    Args:
        x: Maps.
        taps: Filters, applied as true convolutions.
        up: Each sample is followed by `up - 1` zeros.
        down: Every `down`-th result is kept.
        before: Zeros before the first sample; negative to crop. As many follow as are needed.
        outputs: Samples wanted.
        axis: -2 or -1.

    Returns:
        One result a filter.

    Example:
        >>> x = torch.tensor([[[1.0, 2.0]]])
        >>> resample(x, torch.tensor([[0.5, 1.0, 0.5]]), up=2, before=1, outputs=3, axis=-1)
        [tensor([[[1.0000, 1.5000, 2.0000]]])]
    """
    size, length = x.shape[axis], taps.shape[1]
    step = up if size > DENSE else outputs
    tile = min(-(-outputs // up) * up, -(-TILE // step) * step)
    # Output o reads the inputs i with 0 <= i * up + before - o * down < length.
    first = -(before // up)
    last = ((tile - 1) * down - before + length - 1) // up
    count, shift, window = -(-outputs // tile), tile * down // up, last - first + 1
    after = first + (count - 1) * shift + window - size
    matrices = _toeplitz(taps, up, down, before, range(first, last + 1), tile).to(x.dtype)
    if axis == -1:
        x = functional.pad(x, (-first, after))
        windows = x.unfold(-1, window, shift) if count > 1 else x[:, :, None]
        return [(windows @ m).flatten(-2)[..., :outputs] for m in matrices]
    x = functional.pad(x, (0, 0, -first, after))
    windows = x.unfold(-2, window, shift).transpose(-1, -2) if count > 1 else x[:, None]
    return [(m.T @ windows).flatten(1, 2)[:, :outputs] for m in matrices]


def _toeplitz(
    taps: Tensor, up: int, down: int, before: int, inputs: range, outputs: int
) -> Float[Tensor, "rank inputs outputs"]:
    """The matrix that takes a window of inputs to a tile of outputs."""
    i = torch.arange(inputs.start, inputs.stop, device=taps.device)[:, None]
    o = torch.arange(outputs, device=taps.device)
    tap = taps.shape[1] - 1 - (i * up + before - o * down)
    inside = (tap >= 0) & (tap < taps.shape[1])
    return torch.where(inside, taps[:, tap.clamp(0, taps.shape[1] - 1)], 0.0)
