"""Rewriting: one layer of a generator changed so that what it makes of some places is another.

Bau, Liu, Wang, Zhu, Torralba 2020, "Rewriting a Deep Generative Model", arXiv:2007.15646. A layer
is an associative memory: it maps keys k, the features entering it at a place, to values v. The
change Λ Dᵀ C⁻¹ of its weight maps chosen keys to other values, and in the norm of C, the second
moment of the keys of the prior, it is the smallest that does: other keys are held. D are the main
directions of the chosen keys, whitened by C; Λ is found by Adam on the values, as in the paper,
over every tap of the kernel.

Unlike the official code the pasted value is the copied one at the size of each region, the step
is projected exactly (only Λ is free), and C is measured on fresh codes of the prior.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from directions.arguments import checked, checked_fields
from directions.errors import LatdirError, check_positive, whole_number
from directions.generators.base import Generator
from directions.generators.deltas import Deltas, changed
from directions.inversion.objective import psnr
from directions.progress import tqdm
from directions.seeds import TUNING_SEED

__all__ = ["Rewriter", "Rewriting", "rewrite"]

# Codes whose keys are held, and whose images are compared before and after.
KEY_CODES, HELD_OUT, BATCH = 256, 64, 32
# Added to C's diagonal, relative to its mean: keys that never occur may be mapped freely.
RIDGE = 1e-3


@checked_fields
@dataclass(frozen=True)
class Rewriter:
    """How a layer is rewritten.

    Attributes:
        rank: Directions of keys that are mapped anew.
        steps: Of Adam.
        rate: Its learning rate, relative to the weight's standard deviation.
    """

    rank: int = 1
    steps: int = 300
    rate: float = 0.05

    def __post_init__(self) -> None:
        whole_number(self.rank, "rank", least=1)
        whole_number(self.steps, "steps", least=1)
        check_positive(self.rate, "rate")


@dataclass(frozen=True, eq=False)
class Rewriting:
    """A rewritten generator, and what has changed.

    Attributes:
        generator: The rewritten copy.
        deltas: What distinguishes it from its base; without them the base is as it was.
        before: Root mean square of the values' distance from those wanted, in the regions,
            relative to their standard deviation, by the base.
        after: By the rewritten copy.
        outside: `[n]`, PSNR of the images outside the regions, the base's as truth.
        others: `[64]`, PSNR of images of held-out codes, the base's as truth.
    """

    generator: Generator
    deltas: Deltas
    before: float
    after: float
    outside: Float[Tensor, "n"]
    others: Float[Tensor, "64"]

    def __repr__(self) -> str:
        return (
            f"<{self.generator.name}: regions {self.before:.2f} -> {self.after:.2f} sd from the "
            f"value, {float(self.outside.median()):.1f} dB as before outside, other images "
            f"{float(self.others.median()):.1f} dB, {self.deltas.size / 1e6:.2f} MB>"
        )


@checked
def rewrite(
    generator: Generator,
    layer: str,
    codes: Float[Tensor, "n ..."],
    regions: Bool[Tensor, "n h w"],
    *,
    value: Float[Tensor, "1 ..."],
    source: Bool[Tensor, "1 h w"],
    space: str | None = None,
    method: Rewriter = Rewriter(),
    name: str = "rewritten",
    progress: bool = True,
) -> Rewriting:
    """Change one layer so that regions of some images, and their like in all, become another's.

    Args:
        generator: A DCGAN or a StyleGAN2; it stays as it is.
        layer: Whose weight is changed, a key of `generator.tunable`.
        codes: `[n, *space.shape]`, of images that show what is to change.
        regions: `[n, H, W]`, where it is in them, of any size; true inside.
        value: `[1, *space.shape]`, code of the image that shows what it is to become.
        source: `[1, H, W]`, where that is.
        space: Of the codes; by default w where the generator has it, else its first.
        method: How.
        name: Of the deltas, appended to the generator's.
        progress: Whether a bar is shown.

    Returns:
        The rewritten generator with its deltas, and what has changed where.

    Raises:
        LatdirError: A generator whose layers cannot be looked into, no such layer, an empty
            region, or not one for each code.

    Example:
        >>> from directions import load_generator
        >>> generator = load_generator("digiface64")
        >>> codes, top = generator.sample(3, seed=1), torch.zeros(1, 64, 64, dtype=bool)
        >>> top[:, :16] = True
        >>> made = rewrite(generator, "layers.1.weight", codes[:2], top.expand(2, -1, -1),
        ...     value=codes[2:], source=top, method=Rewriter(steps=5), progress=False)
        >>> made.after < made.before
        True
    """
    where = generator.space(space or generator.default_space("w")).name
    codes, value = (generator.check(c.detach().float(), where) for c in (codes, value))
    if not (codes.isfinite().all() and value.isfinite().all()):
        raise LatdirError("a code has NaN or infinite numbers: check how it was made")
    if not (source.any() and regions.flatten(1).any(1).all()):
        raise LatdirError("a region is empty: each has to be true somewhere")
    with torch.no_grad():
        now, copied = (generator.activations(c, layer, where) for c in (codes, value))
        keys = _within(now.inputs, regions)
        directions = _directions(_second_moment(generator, layer, where), keys, method.rank)
        inside = _at(regions, now.outputs)
        wanted = _pasted(now.outputs, inside, copied.outputs, _at(source, copied.outputs))
    weight, axis = generator.tunable[layer], now.axis
    # Λ: a value for each direction of keys, each output and each tap of the kernel.
    size = (len(directions), weight.shape[1 - axis], math.prod(weight.shape[2:]))
    free = torch.zeros(size, device=weight.device, requires_grad=True)
    adam = torch.optim.Adam([free], lr=method.rate * float(weight.std()))

    def distance(tuned: Generator) -> Tensor:
        off = tuned.activations(codes, layer, where).outputs - wanted
        return _within(off, inside).square().mean()

    with torch.no_grad():
        before = distance(generator)
    for _ in tqdm(range(method.steps), desc=f"rewrite {layer}", delay=1, disable=not progress):
        made = changed(weight, _change(directions, free, axis))
        with torch.enable_grad():
            cost = distance(generator.with_weights({layer: made}))
        [free.grad] = torch.autograd.grad(cost, [free])
        adam.step()
    change = {k: part.detach().half() for k, part in _change(directions, free, axis).items()}
    record = {**asdict(method), "layer": layer, "space": where, "images": len(codes)}
    deltas = Deltas(name, generator.name, generator.fingerprint, {layer: change}, record)
    tuned = generator.with_deltas(deltas)
    spread = max(float(now.outputs.std()), 1e-12)
    probe = generator.sample(HELD_OUT, seed=TUNING_SEED, space=where)
    with torch.no_grad():
        after = distance(tuned)
        mine, base = (_images(g, codes, where) for g in (tuned, generator))
    outside = (~_at(regions, base)).to(base)
    # Per pixel outside, as `psnr` has it per pixel.
    error = ((mine - base) * outside).square().sum((1, 2, 3)) / (3 * outside.sum((1, 2, 3)))
    return Rewriting(
        tuned,
        deltas,
        math.sqrt(float(before)) / spread,
        math.sqrt(float(after)) / spread,
        10 * (4 / error.clamp_min(1e-30)).log10(),
        psnr(_images(tuned, probe, where), _images(generator, probe, where)),
    )


def _at(regions: Bool[Tensor, "n h w"], features: Tensor) -> Bool[Tensor, "n 1 a b"]:
    """Regions at the size of features: places mostly inside, or the one most so."""
    size = (features.shape[2], features.shape[3])
    share = functional.adaptive_avg_pool2d(regions[:, None].float(), size)
    if regions.shape[1] < size[0]:
        share = functional.interpolate(regions[:, None].float(), size)
    return share >= share.amax((2, 3), keepdim=True).clamp_max(0.5)


def _within(features: Tensor, regions: Tensor) -> Float[Tensor, "m c"]:
    """Features at the places inside, one a row."""
    inside = regions if regions.ndim == 4 else _at(regions, features)
    return features.permute(0, 2, 3, 1)[inside[:, 0]]


def _second_moment(generator: Generator, layer: str, space: str) -> Float[Tensor, "i i"]:
    """C = E[k kᵀ] over places and codes of the prior, and a little on its diagonal."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for part in torch.split(generator.sample(KEY_CODES, seed=TUNING_SEED, space=space), BATCH):
        keys = generator.activations(part, layer, space).inputs
        rows = keys.permute(0, 2, 3, 1).flatten(0, 2).double()
        total, count = total.to(rows) + rows.T @ rows, count + len(rows)
    moment = total / count
    moment.diagonal().add_(RIDGE * moment.diagonal().mean())
    return moment


def _directions(moment: Tensor, keys: Float[Tensor, "m i"], rank: int) -> Float[Tensor, "r i"]:
    """D C⁻¹, rows of unit length: of one key k it is C⁻¹ k."""
    values, axes = torch.linalg.eigh(moment)
    root = (axes / values.sqrt()) @ axes.T  # C^(-1/2)
    main = torch.linalg.svd(keys.double() @ root, full_matrices=False).Vh[:rank]
    return functional.normalize(main @ root, dim=1).to(keys)


def _change(directions: Tensor, free: Float[Tensor, "r o t"], axis: int) -> dict[str, Tensor]:
    """Λ Dᵀ C⁻¹ as the two factors of `Deltas`."""
    if axis == 0:
        return {"left": directions.T, "right": free.flatten(1)}
    # A kernel's taps share the directions: each has columns of its own.
    taps = torch.eye(free.shape[2]).to(free)
    right = torch.einsum("ri,tu->rtiu", directions, taps)
    return {"left": free.permute(1, 0, 2).flatten(1), "right": right.flatten(2).flatten(0, 1)}


def _pasted(outputs: Tensor, inside: Tensor, copied: Tensor, source: Tensor) -> Tensor:
    """Outputs with the copied ones, at the size of each region's box, in its place."""
    top, left, bottom, right = _box(source[0, 0])
    patch = copied[:, :, top:bottom, left:right]
    made = outputs.clone()
    for i, region in enumerate(inside[:, 0]):
        top, left, bottom, right = _box(region)
        fitted = functional.interpolate(patch, (bottom - top, right - left), mode="bilinear")[0]
        there = made[i, :, top:bottom, left:right]
        made[i, :, top:bottom, left:right] = torch.where(
            region[top:bottom, left:right], fitted, there
        )
    return made


def _box(region: Bool[Tensor, "h w"]) -> tuple[int, int, int, int]:
    rows, columns = region.nonzero().T
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def _images(generator: Generator, codes: Tensor, space: str) -> Tensor:
    with torch.no_grad():
        return torch.cat([generator.synthesize(part, space) for part in torch.split(codes, 16)])
