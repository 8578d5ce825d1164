"""The Jacobian of images with respect to codes, by columns, and the metric JᵀJ it induces.

A code has a few hundred coordinates and an image many thousand pixels, so J is made column by
column in forward mode: d Jacobian-vector products give JᵀJ exactly, where reverse mode needs one
vector-Jacobian product a pixel (LowRankGAN, Zhu et al. 2021, arXiv:2106.04488, and ReSeFa, Zhu et
al. 2022, arXiv:2202.09649, do that). When d is large too, `leading` finds the largest eigenpairs
of JᵀJ from a few dozen products in a block Krylov space (Musco & Musco 2015, arXiv:1504.05477).

`global_basis`, `local_basis` and `region` are the methods on top.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError, SpaceError
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum, eigh, signed
from directions.numerics.linearized import Linearized, linearize

__all__ = [
    "columns",
    "gram",
    "image_models",
    "leading",
    "eigen_bank",
    "map_model",
    "metric",
    "metrics",
    "natural_space",
    "principal",
]

MEMORY = 512 * 2**20
# Rows of J are widened to float64 in blocks of about this many numbers.
BLOCK = 2**22
MAX_CHUNK = 128
# Of a float32 product with JᵀJ, relative to its largest eigenvalue; and what saves 0 / 0.
ROUNDING, TINY = 1e-5, 1e-300

Features = Callable[[Tensor], Tensor]

log = logging.getLogger(__name__)


def image_models(
    generator: Generator,
    codes: Float[Tensor, "n ..."],
    *,
    space: str | None = None,
    features: Features | None = None,
) -> Iterator[Linearized]:
    """The image at each code to first order, or features of it.

    Args:
        generator: Any generator.
        codes: `[n, *shape]`.
        space: Name of the codes' space; by default the generator's first.
        features: Takes images `[n, 3, h, w]`, returns any batch; by default the image itself.
    """
    for code in codes:
        image = generator.linearize(code, space=space)
        yield image if features is None else image.then(features)


def map_model(
    generator: Generator, code: Float[Tensor, "..."], *, source: str, target: str
) -> Linearized:
    """The generator's map between two latent spaces to first order, such as ∂w/∂z."""
    return linearize(lambda codes: generator.map(codes, source, target), code)


def columns(model: Linearized, *, chunk: int | None = None) -> Float[Tensor, "d ..."]:
    """J by columns: row i is the derivative of the output along coordinate i.

    Args:
        model: A map to first order.
        chunk: Tangents pushed at a time; by default as many as fit into 512 MB, or into a
            quarter of the memory that is free when that is less.

    Returns:
        `[d, *out]`, in the dtype of the map.

    Example:
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
        weights: How much each output counts, not negative, of a shape that broadcasts to
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
    """JᵀJ exactly, in float64: how far the output moves, squared, for a small step of the code.

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


def metrics(
    generator: Generator,
    codes: Float[Tensor, "n ..."],
    *,
    space: str | None = None,
    features: Features | None = None,
    weights: Float[Tensor, "n m ..."] | None = None,
    chunk: int | None = None,
) -> Iterator[Float[Tensor, "... d d"]]:
    """`metric` at each of many codes, one after the other, so that memory stays that of one.

    Args:
        generator: Any generator.
        codes: `[n, *shape]`.
        space: Name of the codes' space; by default the generator's first.
        features: As in `image_models`.
        weights: `[n, m, ...]`, m masks for each code.
        chunk: As in `columns`.
    """
    models = image_models(generator, codes, space=space, features=features)
    bar = tqdm(models, total=len(codes), desc="Jacobians", delay=1, leave=False)
    for i, model in enumerate(bar):
        yield metric(model, weights=None if weights is None else weights[i], chunk=chunk)


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
        count: How many.
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
        raise LatdirError(f"count {count} and block {block} must lie in 1 … {size}")
    step = chunk or _chunk(model)
    rng = torch.Generator().manual_seed(seed)
    probes = torch.randn(size, block, generator=rng, dtype=torch.float64)
    q = torch.linalg.qr(probes.to(model.value.device))[0]
    basis, images = q[:, :0], q[:, :0]
    while True:
        basis, images = torch.cat([basis, q], 1), torch.cat([images, _product(model, q, step)], 1)
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


def eigen_bank(
    generator: Generator,
    spectrum: Spectrum,
    *,
    space: str,
    method: str,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    evidence: Sequence[Mapping[str, Any]] | None = None,
) -> DirectionBank:
    """A bank of eigenvectors, in their order, named after the method that made their matrix.

    Args:
        generator: Whose codes the vectors move.
        spectrum: Vectors in the coordinates of the space's codes, flattened.
        space: Name of that space.
        method: Name of the method.
        config: Its hyper-parameters.
        provenance: Which codes were used.
        evidence: More figures for each vector, beside the spectrum's own.
    """
    shape, prior = generator.space(space).shape, generator.prior(space)
    extra = evidence or [{}] * len(spectrum)
    made = [
        Direction.from_vector(
            f"{method}_{i:02d}",
            vector.float().cpu().reshape(shape),
            space=space,
            method=method,
            config=config,
            sigma=prior.sigma(vector),
            evidence={**figures, **extra[i]},
        )
        for i, (vector, figures) in enumerate(spectrum)
    ]
    return DirectionBank(tuple(made), generator.name, generator.fingerprint, provenance)


def natural_space(generator: Generator) -> str:
    """`w` where there is one, as is usual for style-based generators; otherwise the first."""
    return "w" if "w" in generator.spaces else next(iter(generator.spaces))


def _product(model: Linearized, vectors: Float[Tensor, "d k"], chunk: int) -> Tensor:
    """JᵀJ times the columns of a matrix, in float64."""
    made = []
    rows = vectors.T.to(model.value.dtype)
    for part in (rows[i : i + chunk] for i in range(0, len(rows), chunk)):
        moved = model.push(part.reshape(-1, *model.shape))
        made.append(model.pull(moved).flatten(1).double())
    return torch.cat(made).T


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
        # Not every system tells; the fixed bound holds all the same.
        return 4 * MEMORY
