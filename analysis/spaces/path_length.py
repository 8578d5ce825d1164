"""Smoothness of images along codes: path length of interpolations and edits.

Perceptual path length (PPL): Tero Karras, Samuli Laine, Timo Aila: A Style-Based Generator
Architecture for Generative Adversarial Networks, CVPR 2019, arXiv:1812.04948, section 4.1. With γ
an interpolation between two random codes, great circles in z and straight lines in w, and d a
perceptual distance that is a squared length,

    PPL = E[ d(G(γ(t)), G(γ(t + ε))) / ε² ],   ε = 1e-4,

t uniform in [0, 1] (`full`) or 0 (`end`), without the lowest and the highest 1 % of the values.
With d(a, b) = ‖φ(a) − φ(b)‖² the limit for ε → 0 is ‖∂φ(G(γ(t))) / ∂t‖², which forward-mode
differentiation through generator and network gives exactly: the default here. Finite differences
in float32 carry the rounding errors of φ divided by ε; in bfloat16 they are nothing else. The exact
limit may convolve its tangents in bfloat16, with values in float32 still: rounding those, too,
would be faster still, but gave a mean 6 % off on digiface64, and single values up to 40 %.

Differences from the official code: great circles have the radius √d that codes of a normal prior
have, where the official code's have radius 1. StyleGAN's mapping normalizes its input, so that it
does not notice; other generators do. Both of its successors' croppings are there, by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from analysis.intervals.mean import Interval, mean_interval
from directions.arguments import checked, checked_fields, checked_values, returned
from directions.direction import Direction
from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.numerics.tangents import directional
from directions.progress import tqdm
from directions.scoring.features import Features, face_crop, face_features
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED

__all__ = [
    "PathLength",
    "edit_path_length",
    "lerp",
    "lipschitz",
    "perceptual_path_length",
    "slerp",
]

# The whole image, shrunk to about 256 pixels.
WHOLE: Callable[[Tensor], Tensor] = partial(face_crop, crop=False)
TRIM = 0.01
# Two codes this close to one line have no one great circle: cosines of random codes are far off.
PARALLEL = 1e-6

Derivative = Literal["exact", "finite"]
Sampling = Literal["full", "end"]


@checked_fields
@dataclass(frozen=True, eq=False)
class PathLength:
    """A perceptual path length.

    Attributes:
        mean: Mean of the values kept: the PPL.
        standard_error: Of that mean.
        values: `[n]`, of every pair of codes, trimmed or not.
        kept: Number of values that the mean is of.
        space: Space of the interpolations.
        sampling: Where on them.
        derivative: Method of differentiation.
        distance: Name of the distance.
        precision: Of the convolutions of tangents.
    """

    mean: float
    standard_error: float
    values: Float[Tensor, "n"]
    kept: int
    space: str
    sampling: Sampling
    derivative: Derivative
    distance: str
    precision: Precision = "float32"

    def __str__(self) -> str:
        return (
            f"PPL {self.mean:.4g} ± {self.standard_error:.2g} "
            f"({self.space}, {self.sampling}, {len(self.values)} pairs, {self.distance})"
        )


@checked
def perceptual_path_length(
    generator: Generator,
    *,
    space: str = "z",
    sampling: Sampling = "full",
    features: Features | None = None,
    epsilon: float | None = None,
    view: Callable[[Tensor], Tensor] = WHOLE,
    count: int = 1000,
    seed: int = HELD_OUT_SEED,
    trim: float = TRIM,
    rendering: Rendering = Rendering(progress=False),
) -> PathLength:
    """Perceptual path length of a generator.

    Args:
        generator: Differentiable; its noise must be the same from call to call.
        space: Great circles in `z`, straight lines in every other space.
        sampling: `full`, anywhere between the two codes; `end`, at the first.
        features: φ of the distance ‖φ(a) − φ(b)‖². By default `face_features()`, whose figures
            compare generators of faces with each other; `lpips_features()` gives published ones.
        epsilon: ε of finite differences, 1e-4 as published; None takes the exact limit.
        view: Compared part of images, [n, c, h, w] to the same; by default all of it, shrunk
            to about 256 pixels. `face_crop` looks at the middle of a face only, as published for
            FFHQ.
        count: Number of pairs; 50,000 were published.
        seed: Seed of the codes and of t.
        trim: Fraction of the values left out at either end.
        rendering: Truncation, pairs at a time, by default 16, and the precision of the tangents'
            convolutions in the exact limit, by default float32; values, squares and sums are in
            float32 or higher always. `bfloat16` is faster on processors with such arithmetic and
            moves single values by less than 1 %, the mean by far less.

    Raises:
        LatdirError: An unknown space, fewer than two pairs, ε not positive, a fraction to trim that
            leaves nothing, features that are not vectors, or bfloat16 for finite differences.

    Example:
        >>> from directions.scoring.features import pixel_features
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> found = perceptual_path_length(world, features=pixel_features, count=64)
        >>> print(found)
        PPL 0.0058... ± 0.0003... (z, full, 64 pairs, pixel_features)
    """
    generator.space(space)
    precision, batch_size = rendering.precision or "float32", rendering.batch_size or 16
    if count < 2 or not (epsilon is None or epsilon > 0) or not 0 <= trim < 0.5:
        raise LatdirError(
            f"count {count} must be at least 2, epsilon {epsilon} positive and trim {trim} in "
            "0 … 0.5, such as 1000, 1e-4 and 0.01"
        )
    if precision != "float32" and epsilon is not None:
        raise LatdirError(
            f"finite differences at epsilon {epsilon} cannot be taken in {precision}: its rounding "
            "is larger than the differences; use epsilon=None, the exact limit, or float32"
        )
    perceive = face_features(device=generator.device) if features is None else features
    truncation = rendering.psi
    codes = generator.sample(2 * count, seed=seed, space=space, truncation=truncation)
    pairs = codes.reshape(count, 2, *codes.shape[1:])
    rng = torch.Generator().manual_seed(seed)
    times = torch.rand(count, generator=rng) * (sampling == "full")
    between = slerp if space == "z" else lerp
    values = []
    for start in tqdm(
        range(0, count, batch_size), desc="path length", disable=not rendering.progress
    ):
        t = times[start : start + batch_size].to(codes)
        first, second = pairs[start : start + batch_size].unbind(1)

        def seen(t: Tensor, first: Tensor = first, second: Tensor = second) -> Tensor:
            images = generator.synthesize(between(first, second, t), space)
            return _vectors(perceive(view(images)))

        with torch.no_grad():
            if epsilon is None:
                speed = directional(seen, t, torch.ones_like(t), precision=precision).derivative
            else:
                speed = (seen(t + epsilon) - seen(t)) / epsilon
        values.append(speed.double().square().sum(1))
    found = _finite(torch.cat(values))
    kept = _trimmed(found, trim)
    named = "face_features" if features is None else getattr(features, "__qualname__", "given")
    return PathLength(
        mean=float(kept.mean()),
        standard_error=float(kept.std()) / math.sqrt(len(kept)),
        values=found,
        kept=len(kept),
        space=space,
        sampling=sampling,
        derivative="exact" if epsilon is None else "finite",
        distance=named.split(".")[0],
        precision=precision,
    )


def slerp(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], t: Float[Tensor, "n"]
) -> Float[Tensor, "n d"]:
    """Points on the great circles from `a` to `b` on the sphere of radius √d.

    Example:
        >>> a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 2.0]])
        >>> slerp(a, b, torch.tensor([0.5])).round(decimals=3)
        tensor([[1., 1.]])
    """
    a, b = (x / x.norm(dim=1, keepdim=True) for x in (a, b))
    cosine = (a * b).sum(1, keepdim=True)
    if bool((cosine.detach().abs() > 1 - PARALLEL).any()):
        raise LatdirError("two codes on one line through the origin have no one great circle")
    aside = b - cosine * a
    aside = aside / aside.norm(dim=1, keepdim=True)
    angle = t[:, None] * cosine.acos()
    point: Tensor = (a * angle.cos() + aside * angle.sin()) * math.sqrt(a.shape[1])
    return point


def lerp(
    a: Float[Tensor, "n *shape"], b: Float[Tensor, "n *shape"], t: Float[Tensor, "n"]
) -> Float[Tensor, "n *shape"]:
    """Points on the straight lines from `a` to `b`.

    Example:
        >>> lerp(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([0.25]))
        tensor([[0.2500, 0.2500]])
    """
    point: Tensor = a + t.reshape(-1, *[1] * (a.ndim - 1)) * (b - a)
    return point


@dataclass(frozen=True, eq=False)
class EditPath:
    """Path length of images along a direction.

    Attributes:
        amounts: `[m]`, in sigma.
        steps: `[n, m - 1]`, distance ‖φ(b) − φ(a)‖ from each amount to the next.
        length: Mean over the codes of the sum of the steps, with its interval.
        straightness: `[n]`, distance of the ends over the sum of the steps: 1 where the images
            go straight in feature space, less where they wander.
        unevenness: `[n]`, standard deviation of the steps per sigma over their mean: 0 where an
            edit changes the image as much everywhere.
    """

    amounts: Float[Tensor, "m"]
    steps: Float[Tensor, "n m1"]
    length: Interval
    straightness: Float[Tensor, "n"]
    unevenness: Float[Tensor, "n"]


@checked_values
def edit_path_length(
    generator: Generator,
    direction: Direction,
    *,
    amounts: Float[Tensor, "m"] | None = None,
    features: Features | None = None,
    count: int = 64,
    seed: int = HELD_OUT_SEED,
    level: float = 0.95,
    batch_size: int = 32,
) -> EditPath:
    """Path length of the images of held-out codes along a direction.

    Args:
        generator: Makes the images.
        direction: The direction to sweep along.
        amounts: Ascending, in sigma; by default -3, -2.5, … 3.
        features: φ of the distance; by default `face_features()`.
        count: Number of held-out codes.
        seed: Of the codes.
        level: Share of them inside the interval.
        batch_size: Images at a time.

    Raises:
        LatdirError: Amounts that do not ascend, or images that do not change at all.
    """
    places = torch.linspace(-3, 3, 13) if amounts is None else amounts
    if len(places) < 2 or bool((places.diff() <= 0).any()):
        raise LatdirError(f"amounts ascend, at least two of them, not {places.tolist()}")
    perceive = face_features(device=generator.device) if features is None else features
    space = direction.acts_in(generator.spaces)
    codes = generator.sample(count, seed=seed, space=space)
    moved = torch.stack([direction.shift(codes, float(a)) for a in places], 1)
    steps, ends = [], []
    scorer = Scorer(generator, space=space, embed=lambda images: _vectors(perceive(images)))
    for part in torch.split(moved, max(1, batch_size // len(places))):
        seen = scorer.embed(part.flatten(0, 1)).reshape(*part.shape[:2], -1)
        steps.append((seen[:, 1:] - seen[:, :-1]).norm(dim=2))
        ends.append((seen[:, -1] - seen[:, 0]).norm(dim=1))
    found = torch.cat(steps)
    total = found.sum(1)
    if not bool((total > 0).all()):
        raise LatdirError(f"sweeping {direction.name!r} leaves some images unchanged")
    pace = found / places.diff().to(found)
    return EditPath(
        amounts=places,
        steps=found,
        length=mean_interval(total, level=level),
        straightness=torch.cat(ends) / total,
        unevenness=pace.std(1, correction=0) / pace.mean(1),
    )


@checked
def lipschitz(
    generator: Generator,
    direction: Direction,
    *,
    features: Features | None = None,
    count: int = 64,
    seed: int = HELD_OUT_SEED,
    batch_size: int = 16,
) -> Float[Tensor, "n"]:
    """Local Lipschitz constant along a direction at held-out codes: ‖∂φ(G(z + s v)) / ∂s‖.

    Args:
        generator: Differentiable.
        direction: A straight one; s is in its sigma.
        features: φ; by default `face_features()`.
        count: Number of held-out codes.
        seed: Of the codes.
        batch_size: Codes at a time.

    Returns:
        `[count]`, change of φ per sigma. Its maximum is the constant over these codes, its spread
        measures how unevenly the direction acts.
    """
    if count < 1:
        raise LatdirError(f"count {count} must be at least 1: 64 codes show the spread")
    perceive = face_features(device=generator.device) if features is None else features
    space = direction.acts_in(generator.spaces)
    codes = generator.sample(count, seed=seed, space=space)
    speeds = []
    for part in torch.split(codes, batch_size):
        tangent = direction.shift(part, 1.0) - part
        function = _through(generator, perceive, space)
        with torch.no_grad():
            speeds.append(directional(function, part, tangent).derivative.norm(dim=1))
    return _finite(torch.cat(speeds))


def _finite(speeds: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    if not torch.isfinite(speeds).all():
        raise LatdirError(
            f"{int((~torch.isfinite(speeds)).sum())} of {len(speeds)} path lengths are NaN or "
            "infinite: check the images and the features"
        )
    return speeds


def _through(generator: Generator, features: Features, space: str) -> Callable[[Tensor], Tensor]:
    return lambda codes: _vectors(features(generator.synthesize(codes, space)))


def _vectors(features: Tensor) -> Float[Tensor, "n f"]:
    if returned(features, "features", "n *f").ndim != 2:
        raise LatdirError(
            f"features are vectors [n, f], not {list(features.shape)}: end with .flatten(1)"
        )
    return features


def _trimmed(values: Float[Tensor, "n"], trim: float) -> Float[Tensor, "m"]:
    """Values between two percentiles, both of which are values and are kept."""
    ordered = values.sort().values
    last = len(ordered) - 1
    low, high = math.floor(trim * last), math.ceil((1 - trim) * last)
    return ordered[(ordered >= ordered[low]) & (ordered <= ordered[high])]
