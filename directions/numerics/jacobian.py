"""The Jacobian of a map by columns, the metric JᵀJ it induces, and its leading eigenpairs.

A code has a few hundred coordinates and an image many thousand pixels, so J is made column by
column in forward mode: d Jacobian-vector products give JᵀJ exactly, where reverse mode needs one
vector-Jacobian product a pixel (LowRankGAN, Zhu et al. 2021, arXiv:2106.04488, and ReSeFa, Zhu et
al. 2022, arXiv:2202.09649, do that). When d is large too, `leading` finds the largest eigenpairs
of JᵀJ from a few dozen products in a block Krylov space (Musco & Musco 2015, arXiv:1504.05477).
"""

from __future__ import annotations

import logging
import math
import os

import torch
from jaxtyping import Float
from torch import Tensor

from directions.devices import ieee_float32
from directions.errors import LatdirError, SpaceError
from directions.numerics.eigen import Spectrum, eigh, signed
from directions.numerics.linearized import Linearized

__all__ = ["columns", "gram", "leading", "metric", "principal", "product"]

MEMORY = 512 * 2**20
# Rows of J are widened to float64 in blocks of about this many numbers.
BLOCK = 2**22
MAX_CHUNK = 128
# Of a float32 product with JᵀJ, relative to its largest eigenvalue; and what saves 0 / 0.
ROUNDING, TINY = 1e-5, 1e-300

log = logging.getLogger(__name__)


@ieee_float32()
def columns(model: Linearized, *, chunk: int | None = None) -> Float[Tensor, "d ..."]:
    """J by columns: row i is the derivative of the output along coordinate i.

    Args:
        model: A map to first order.
        chunk: Tangents pushed at a time; by default as many as fit into 512 MB, or into a
            quarter of the memory that is free when that is less.

    Returns:
        `[d, *out]`, in the dtype of the map.

    Example:
        >>> from directions.numerics.linearized import linearize
        >>> columns(linearize(lambda x: x[:, :1] * x, torch.tensor([2.0, 3.0]))).tolist()
        [[4.0, 3.0], [0.0, 2.0]]
    """
    size = _size(model)
    made = model.value.new_empty(size, *model.value.shape)
    step = chunk or _chunk(model)
    for start in range(0, size, step):
        stop = min(start + step, size)
        basis = made.new_zeros(stop - start, size)
        basis[:, start:stop].fill_diagonal_(1)
        made[start:stop] = model.push(basis.reshape(-1, *model.shape))
    return made


def gram(
    tangents: Float[Tensor, "k ..."], weights: Float[Tensor, "..."] | None = None
) -> Float[Tensor, "k k"]:
    """Inner products of tangents, accumulated in float64: JᵀJ of `columns`.

    Args:
        tangents: `[k, *out]`.
        weights: Weight of each output, not negative, of a shape that broadcasts to
            `[*out]`: a mask `[h, w]` for images gives Jᵀ diag(weights) J.
    """
    flat = tangents.flatten(1)
    spread = None
    if weights is not None:
        spread = weights.to(flat.device).double().expand(tangents.shape[1:]).reshape(-1)
    total = torch.zeros(len(flat), len(flat), dtype=torch.float64, device=flat.device)
    step = max(1, BLOCK // max(1, len(flat)))
    for start in range(0, flat.shape[1], step):
        block = flat[:, start : start + step].double()
        weighted = block if spread is None else block * spread[start : start + step]
        total += weighted @ block.T
    return (total + total.T) / 2


def metric(
    model: Linearized,
    *,
    weights: Float[Tensor, "m ..."] | None = None,
    chunk: int | None = None,
) -> Float[Tensor, "... d d"]:
    """JᵀJ exactly, in float64: squared change of the output for a small step of the code.

    Args:
        model: A map to first order.
        weights: `[m, ...]`, m masks as in `gram`; by default every output counts once.
        chunk: As in `columns`.

    Returns:
        `[d, d]`, or `[m, d, d]`, one matrix a mask, from one pass.

    Raises:
        LatdirError: Weights that do not fit the output, or are negative or not finite.
    """
    if weights is None:
        return gram(columns(model, chunk=chunk))
    _check_weights(weights, model)
    tangents = columns(model, chunk=chunk)
    return torch.stack([gram(tangents, w) for w in weights])


@ieee_float32()
def product(
    model: Linearized, vectors: Float[Tensor, "d k"], *, chunk: int | None = None
) -> Float[Tensor, "d k"]:
    """JᵀJ times the columns of a matrix, in float64, without storing J.

    Args:
        model: A map to first order.
        vectors: `[d, k]`.
        chunk: As in `columns`.
    """
    rows = vectors.T.to(model.value.dtype)
    made = [
        model.pull(model.push(part.reshape(-1, *model.shape))).flatten(1).double()
        for part in torch.split(rows, chunk or _chunk(model))
    ]
    return torch.cat(made).T


def leading(
    model: Linearized,
    *,
    count: int,
    tolerance: float = 1e-2,
    block: int = 5,
    seed: int = 0,
    chunk: int | None = None,
) -> Spectrum:
    """The largest eigenpairs of JᵀJ from few products with J and Jᵀ.

    Grows an orthonormal basis Q by blocks, each the part of JᵀJ times the last block that is new,
    and solves the problem restricted to Q, until each eigenpair's residual is small. Costs
    2 · |Q| products instead of d; worth it when d is large against `count`.

    Args:
        model: A map to first order.
        count: Number of directions.
        tolerance: Largest residual ‖JᵀJ v - λ v‖ allowed, as a fraction of its λ.
        block: Vectors a round, at least the multiplicity of the eigenvalues wanted; small blocks
            need fewer products in all.
        seed: Seed of the first block.
        chunk: Tangents at a time, as in `columns`.

    Returns:
        Eigenvalues and vectors as `eigh` gives for the exact matrix. `total`, the trace of JᵀJ,
        is estimated from the first block, unless Q came to span the space.

    Raises:
        LatdirError: A count or block outside 1 … d.
    """
    size = _size(model)
    if not (1 <= count <= size and 1 <= block <= size):
        raise LatdirError(f"count {count} and block {block} must be in 1 … {size}")
    rng = torch.Generator().manual_seed(seed)
    probes = torch.randn(size, block, generator=rng, dtype=torch.float64)
    q = torch.linalg.qr(probes.to(model.value.device))[0]
    basis, images = q[:, :0], q[:, :0]
    while True:
        basis = torch.cat([basis, q], 1)
        images = torch.cat([images, product(model, q, chunk=chunk)], 1)
        projected = basis.T @ images
        spectrum = eigh((projected + projected.T) / 2, count=min(count, basis.shape[1]))
        weights = spectrum.vectors.T
        residual = (images @ weights - (basis @ weights) * spectrum.values).norm(dim=0)
        # An eigenvalue below the products' rounding has no relative error to speak of.
        scale = spectrum.values.clamp_min(ROUNDING * float(spectrum.values[0]) + TINY)
        error = float((residual / scale).amax())
        full = basis.shape[1] == size
        if full or (len(spectrum) == count and error <= tolerance):
            break
        q = _new_directions(images[:, -q.shape[1] :], basis)
    log.debug("leading: %d products, residual %.2g", 2 * basis.shape[1], error)
    # Of a random orthonormal frame the trace is seen, on average, in proportion to its size.
    first = float((basis[:, :block] * images[:, :block]).sum()) * size / block
    return Spectrum(
        values=spectrum.values,
        vectors=signed((basis @ weights).T),
        total=spectrum.total if full else max(first, spectrum.total),
        ties=spectrum.ties,
        open_end=spectrum.open_end,
    )


def principal(
    model: Linearized, *, count: int, seed: int = 0, chunk: int | None = None
) -> Spectrum:
    """The largest eigenpairs of JᵀJ, by whichever of `metric` and `leading` needs less work.

    Their vectors are the right singular vectors of J, their values its squared singular values.
    """
    # A block Krylov space of about twice the count is needed, two products for each vector.
    if _size(model) <= 4 * max(count, 10):
        return eigh(metric(model, chunk=chunk), count=count)
    return leading(model, count=count, seed=seed, chunk=chunk)


def _new_directions(vectors: Float[Tensor, "d k"], basis: Float[Tensor, "d b"]) -> Tensor:
    """An orthonormal basis of what `vectors` add to `basis`, no more than still fit."""
    q = vectors[:, : len(basis) - basis.shape[1]]
    # Once is not enough in floating point when little is new; twice is (Kahan, Parlett).
    for _ in range(2):
        q = torch.linalg.qr(q - basis @ (basis.T @ q))[0]
    return q


def _size(model: Linearized) -> int:
    return math.prod(model.shape)


def _check_weights(weights: Tensor, model: Linearized) -> None:
    shape, out = tuple(weights.shape[1:]), tuple(model.value.shape)
    tail = out[len(out) - len(shape) :]
    if len(shape) > len(out) or any(s not in (1, o) for s, o in zip(shape, tail, strict=True)):
        raise SpaceError(
            f"a mask of shape {list(shape)} does not fit outputs of shape {list(out)}: "
            f"give [m, {', '.join(map(str, out[1:]))}], m masks"
        )
    if not torch.isfinite(weights).all() or bool((weights < 0).any()):
        raise LatdirError("a mask's weights are finite and not negative: use 0 … 1")


def _chunk(model: Linearized) -> int:
    """Tangents at a time, by memory."""
    room = min(MEMORY, _free_memory(model.value.device) // 4)
    return max(1, min(MAX_CHUNK, room // max(1, model.footprint)))


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        # Not every system reports it; the fixed bound holds anyway.
        return 4 * MEMORY
