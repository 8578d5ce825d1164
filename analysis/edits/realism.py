"""Realism of edited images: Fréchet distance, KID, density.

Edited images are compared with unedited images of *other* codes: against their own originals even
a destructive edit keeps most of its features. The score of unedited images of fresh codes on the
same reference is the floor, and an edit is realistic if it stays near it.

- Fréchet distance of features (FID, Heusel et al. 2017, arXiv:1706.08500) and kernel distance
  (KID, Bińkowski et al. 2018, arXiv:1801.01401) by torchmetrics, over any feature function; on
  other features than Inception's they are not the published figures' scale.
- Density (Naeem et al. 2020, arXiv:2002.09797): number of nearest-neighbor balls of the reference
  a point falls into, 1 on average for points of the reference's own distribution, 0 for points
  where the reference has none. For codes it shows whether an edit leaves the prior; for
  features, whether the images leave the generator's distribution.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.errors import LatdirError, require
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.held_out import check_held_out
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED

__all__ = [
    "Realism",
    "frechet_distance",
    "kernel_distance",
    "measure_realism",
    "neighbor_density",
]

AMOUNTS = (-3.0, -1.5, 1.5, 3.0)
NEIGHBORS = 5
SUBSETS = 50
# Distances of this many points at a time: bounds the memory to some tens of megabytes.
CHUNK = 1024


class _Given(nn.Module):
    """Features that are computed already, as torchmetrics wants them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.num_features = size

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(a: Float[Tensor, "n e"], b: Float[Tensor, "m e"]) -> float:
    """Fréchet distance between normal distributions fitted to two sets of features.

    Args:
        a: Features of one set.
        b: Features of the other.

    Raises:
        LatdirError: No more rows than features, where a covariance has no inverse and the
            distance is mostly noise; or torchmetrics is not installed.

    Example:
        >>> features = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
        >>> round(frechet_distance(features, features + 3.0), 3)
        36.0
    """
    return _frechet_to(a)(b)


def _frechet_to(reference: Tensor) -> Callable[[Tensor], float]:
    """Distances to one set, whose features are summed up once."""
    fid = require("torchmetrics.image.fid", "metrics")
    _check_features(reference)
    size = reference.shape[1]
    metric = fid.FrechetInceptionDistance(feature=_Given(size), reset_real_features=False)
    metric.set_dtype(torch.float64)
    metric.to(reference.device).update(reference.double(), real=True)

    def distance(features: Tensor) -> float:
        _check_features(features)
        metric.reset()
        metric.update(features.to(reference.device).double(), real=False)
        return max(0.0, float(metric.compute()))

    return distance


def kernel_distance(
    a: Float[Tensor, "n e"],
    b: Float[Tensor, "m e"],
    *,
    subsets: int = SUBSETS,
    subset_size: int | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Kernel distance (KID, the cubic kernel) between two sets of features.

    Unlike the Fréchet distance it is not biased by the number of samples.

    Args:
        a: Features of one set.
        b: Features of the other.
        subsets: Number of random subsets it is averaged over.
        subset_size: Rows of each; by default half of the smaller set, at most 1000.
        seed: Seed of the choice of subsets.

    Returns:
        Mean over the subsets, and their standard deviation.

    Raises:
        LatdirError: A subset larger than a set, or torchmetrics is not installed.

    Example:
        >>> features = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
        >>> mean, spread = kernel_distance(features[:200], features[200:])
        >>> abs(mean) < 0.1
        True
    """
    kid = require("torchmetrics.image.kid", "metrics")
    smaller = min(len(a), len(b))
    size = min(1000, smaller // 2) if subset_size is None else subset_size
    if not 2 <= size <= smaller or subsets < 1:
        raise LatdirError(
            f"{subsets} subsets of {size} rows cannot be drawn from sets of {len(a)} and "
            f"{len(b)}: subset_size must be in 2 … {smaller}"
        )
    with warnings.catch_warnings():
        # It warns of the memory that features take, which they have taken already.
        warnings.simplefilter("ignore", UserWarning)
        metric = kid.KernelInceptionDistance(
            feature=_Given(a.shape[1]), subsets=subsets, subset_size=size
        )
    metric.set_dtype(torch.float64)
    metric.update(a.double().cpu(), real=True)
    metric.update(b.double().cpu(), real=False)
    # torchmetrics draws its subsets from the global stream: it gets a separate one.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, spread = metric.compute()
    return float(mean), float(spread)


def neighbor_density(
    points: Float[Tensor, "n *shape"],
    reference: Float[Tensor, "m *shape"],
    *,
    neighbors: int = NEIGHBORS,
) -> Float[Tensor, "n"]:
    """Density of a reference around each point, 1 on average for its own distribution.

    Args:
        points: Codes or features.
        reference: Others of the distribution to compare with.
        neighbors: The ball of a reference point reaches to its neighbor of this rank.

    Returns:
        Number of balls that hold the point, divided by `neighbors`.

    Raises:
        LatdirError: Not more reference points than neighbors, or points of another shape.

    Example:
        >>> rng = torch.Generator().manual_seed(0)
        >>> reference, near = torch.randn(1000, 3, generator=rng), torch.zeros(1, 3)
        >>> neighbor_density(torch.cat([near, near + 9]), reference).tolist()[1]
        0.0
    """
    if points.shape[1:] != reference.shape[1:] or not 1 <= neighbors < len(reference):
        raise LatdirError(
            f"{len(reference)} reference points of shape {list(reference.shape[1:])}, "
            f"{neighbors} neighbors, points of shape {list(points.shape[1:])}: the shapes must "
            "agree, and there must be more reference points than neighbors"
        )
    return _density_around(reference, neighbors)(points)


def _density_around(reference: Tensor, neighbors: int) -> Callable[[Tensor], Tensor]:
    """Densities in one reference, whose neighbors are searched once."""
    others = reference.flatten(1).float()
    # Each point is its own nearest, at distance 0.
    radii = torch.cat(
        [
            torch.cdist(part, others).kthvalue(neighbors + 1, dim=1).values
            for part in torch.split(others, CHUNK)
        ]
    )

    def density(points: Tensor) -> Tensor:
        flat = points.flatten(1).to(others)
        parts = [(torch.cdist(part, others) <= radii).sum(1) for part in torch.split(flat, CHUNK)]
        return torch.cat(parts) / neighbors

    return density


@checked_fields
@dataclass(frozen=True, eq=False)
class Realism:
    """Realism of edited images and codes at each amount along each direction.

    Attributes:
        directions: Names of the directions.
        amounts: `[t]`, in sigma, ascending, 0 among them: the unmoved codes.
        frechet: `[k, t]`, Fréchet distance of features to the reference; at 0 the floor.
        kernel: `[k, t]`, kernel distance.
        kernel_std: `[k, t]`, its standard deviation over subsets.
        feature_density: `[k, t]`, mean density of the reference's features around the images'.
        code_density: `[k, t]`, mean density of the prior's codes around the moved ones.
        count: Number of codes moved.
        reference: Number of codes of the reference.
    """

    directions: tuple[str, ...]
    amounts: Float[Tensor, "t"]
    frechet: Float[Tensor, "k t"]
    kernel: Float[Tensor, "k t"]
    kernel_std: Float[Tensor, "k t"]
    feature_density: Float[Tensor, "k t"]
    code_density: Float[Tensor, "k t"]
    count: int
    reference: int

    @property
    def excess(self) -> Float[Tensor, "k t"]:
        """Fréchet distance above that of the unmoved codes."""
        return self.frechet - self.frechet[:, self.amounts == 0]

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {
            "directions": list(self.directions),
            "count": self.count,
            "reference": self.reference,
            "amounts": self.amounts.tolist(),
            "frechet": self.frechet.tolist(),
            "kernel": self.kernel.tolist(),
            "kernel_std": self.kernel_std.tolist(),
            "feature_density": self.feature_density.tolist(),
            "code_density": self.code_density.tolist(),
        }


@checked
def measure_realism(
    generator: Generator,
    bank: DirectionBank,
    features: Callable[[Tensor], Tensor],
    *,
    amounts: Sequence[float] = AMOUNTS,
    count: int = 512,
    reference: int = 1024,
    neighbors: int = NEIGHBORS,
    seed: int = HELD_OUT_SEED,
    rendering: Rendering = Rendering(),
) -> Realism:
    """Compare edited images with the generator's own, unedited ones of other codes.

    Args:
        generator: Makes the images.
        bank: Directions of that generator.
        features: Images `[n, 3, h, w]` to features `[n, e]`, such as a face embedding.
        amounts: In sigma of each direction; 0 is added.
        count: Number of codes that are moved; more than features for a Fréchet distance.
        reference: Number of other codes, unmoved, to compare with.
        neighbors: Rank of the neighbor that the densities' balls reach to.
        seed: Seed of both sets of codes.
        rendering: How images are made.

    Returns:
        Distances and densities; at amount 0 those of unmoved codes, the floor of the others.

    Raises:
        LatdirError: Too few codes for the features, a bank of another generator, or torchmetrics
            is not installed.
    """
    check_held_out(generator, bank, count=count, seed=seed)
    if not 1 <= neighbors < reference:
        raise LatdirError(
            f"neighbors {neighbors} must be at least 1 and below reference, {reference}"
        )
    rendering = rendering.of_bank(bank.provenance)
    steps = torch.tensor(sorted({0.0, *map(float, amounts)}), dtype=torch.float64)
    figures = torch.full((5, len(bank), len(steps)), torch.nan)
    images = reference + count * (1 + len(bank) * (len(steps) - 1))
    sets, hidden = figures[0].numel(), not rendering.progress
    with tqdm(total=sets, desc="realism", unit="set", delay=1, disable=hidden) as bar:
        spaces = [d.acts_in(generator.spaces) for d in bank.directions]
        for space in dict.fromkeys(spaces):
            codes = generator.sample(
                count + reference, seed=seed, space=space, truncation=rendering.psi
            )
            moving, others = codes[:count], codes[count:]
            scorer = Scorer(generator, space=space, embed=features, rendering=rendering, n=images)
            rendering = scorer.rendering

            def describe(moved: Tensor, embed: Callable[[Tensor], Tensor] = scorer.embed) -> Tensor:
                return embed(moved).flatten(1)

            judge = _judge(describe(others), others, neighbors)
            unmoved: Tensor | None = None
            for k, direction in enumerate(bank.directions):
                if spaces[k] != space:
                    continue
                for t, step in enumerate(steps.tolist()):
                    if step == 0:
                        unmoved = judge(describe(moving), moving) if unmoved is None else unmoved
                        figures[:, k, t] = unmoved
                    else:
                        moved = direction.shift(moving, step)
                        figures[:, k, t] = judge(describe(moved), moved)
                    bar.update()
    return Realism(
        tuple(bank),
        steps.float(),
        figures[0],
        figures[1],
        figures[2],
        figures[3],
        figures[4],
        count,
        reference,
    )


def _judge(
    known: Tensor, codes: Tensor, neighbors: int
) -> Callable[[Tensor, Tensor], Float[Tensor, "5"]]:
    """Features and codes to the five figures of `Realism`, in its order."""
    frechet = _frechet_to(known)
    around_features = _density_around(known, neighbors)
    around_codes = _density_around(codes, neighbors)

    def figures(seen: Tensor, moved: Tensor) -> Tensor:
        densities = (around_features(seen).mean(), around_codes(moved).mean())
        return torch.tensor(
            [frechet(seen), *kernel_distance(known, seen), *(float(d) for d in densities)]
        )

    return figures


def _check_features(features: Tensor) -> None:
    if features.ndim != 2 or len(features) <= features.shape[1]:
        raise LatdirError(
            f"features of shape {list(features.shape)} are too few for a Fréchet distance: it "
            "needs more rows than columns, and twice as many to mean something; raise count and "
            "reference, or use fewer features"
        )
    if not torch.isfinite(features.float().square().sum()):
        raise LatdirError(
            "the features hold NaN, infinite or huge values: check the feature function"
        )
