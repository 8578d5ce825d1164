"""Distances between subspaces: principal angles, Grassmann distances, and their chance level.

Two methods that find "the same ten directions" rarely agree vector by vector; their spans may.
In many dimensions even random spans are never orthogonal, so every figure comes with its null:
the same figure for subspaces drawn uniformly.

Sources: A. Knyazev & M. Argentati, "Principal Angles between Subspaces in an A-Based Scalar
Product", SIAM J. Sci. Comput. 2002 (small angles from sines, large ones from cosines);
A. Edelman, T. Arias & S. Smith, arXiv:physics/9806030 (the distances); the use for latent spaces:
J. Choi et al., "Do Not Escape From the Manifold", arXiv:2106.06959.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked, checked_values
from directions.bank import DirectionBank
from directions.errors import BankError, LatdirError, SpaceError

__all__ = [
    "Distance",
    "SubspaceComparison",
    "compare_banks",
    "compare_subspaces",
    "distance",
    "pairwise_distances",
    "principal_angles",
    "random_subspaces",
    "span",
]

Distance = Literal["geodesic", "projection"]
NULL_CHUNK = 64
# Singular values below this share of the largest are taken for rounding: the span is smaller.
RANK_TOLERANCE = 1e-5


def span(vectors: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch d k"]:
    """Orthonormal bases, as columns, of the span of the rows.

    Args:
        vectors: `[..., k, d]`, rows of any length, linearly independent.

    Returns:
        `[..., d, k]`, float64.

    Raises:
        LatdirError: More rows than dimensions, values that are not finite, or rows that depend
            on each other.

    Example:
        >>> span(torch.tensor([[0.0, 2.0, 0.0]])).abs().T
        tensor([[0., 1., 0.]], dtype=torch.float64)
    """
    k, d = vectors.shape[-2:]
    if not 1 <= k <= d:
        raise LatdirError(
            f"{k} vectors of {d} coordinates: give between 1 and {d}, one per row, "
            "with directions[:k] the first k"
        )
    if not torch.isfinite(vectors).all():
        raise LatdirError("a subspace cannot be spanned by NaN or infinite coordinates")
    rows = vectors.double()
    # Lengths carry no information about a span, and unit rows make the rank test meaningful.
    rows = rows / rows.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    basis: Tensor
    basis, values, _ = torch.linalg.svd(rows.mT, full_matrices=False)
    rank = int((values > RANK_TOLERANCE * values[..., :1]).sum(-1).min())
    if rank < k:
        raise LatdirError(
            f"the {k} vectors span only {rank} dimensions: drop those that repeat others"
        )
    return basis


@checked_values
def principal_angles(
    a: Float[Tensor, "*batch d p"], b: Float[Tensor, "*batch e q"]
) -> Float[Tensor, "*batch r"]:
    """Angles between two subspaces, ascending, in radians.

    Args:
        a: Orthonormal columns, from `span`.
        b: Orthonormal columns, from `span`.

    Returns:
        `[..., min(p, q)]` in [0, π/2], accurate to rounding at both ends.

    Raises:
        LatdirError: The subspaces belong to spaces of different dimensions.

    Example:
        >>> plane = span(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        >>> line = span(torch.tensor([[0.0, 1.0, 1.0]]))
        >>> principal_angles(plane, line).rad2deg().round()
        tensor([45.], dtype=torch.float64)
    """
    if a.shape[-2] != b.shape[-2]:
        raise SpaceError(
            f"subspaces of {a.shape[-2]} and of {b.shape[-2]} dimensions have no angles: "
            "compare directions of one space"
        )
    a, b = a.double(), b.double()
    if a.shape[-1] < b.shape[-1]:
        a, b = b, a
    product = a.mT @ b
    cosines = torch.linalg.svdvals(product).clamp_max(1)
    # arccos loses half the digits near 0: small angles come from the part of b outside a.
    sines = torch.linalg.svdvals(b - a @ product).flip(-1).clamp_max(1)
    return torch.where(cosines.square() > 0.5, sines.asin(), cosines.acos())


def distance(
    angles: Float[Tensor, "*batch r"], *, kind: Distance = "geodesic"
) -> Float[Tensor, "*batch"]:
    """A Grassmann distance from principal angles.

    Args:
        angles: `[..., r]`, radians.
        kind: `geodesic` is the length ‖θ‖ of the shortest path; `projection` is ‖sin θ‖, the
            distance between the projectors divided by √2.

    Example:
        >>> distance(torch.tensor([0.0, torch.pi / 2]), kind="projection")
        tensor(1.)
    """
    lengths: Tensor = (angles if kind == "geodesic" else angles.sin()).norm(dim=-1)
    return lengths


def pairwise_distances(
    bases: Float[Tensor, "n d k"], *, kind: Distance = "geodesic"
) -> Float[Tensor, "n n"]:
    """Distances between all pairs of local subspaces, such as the local bases at `n` codes.

    Example:
        >>> pairwise_distances(random_subspaces(3, d=8, k=2, seed=0)).diagonal().max() < 1e-6
        tensor(True)
    """
    rows = [distance(principal_angles(a.expand_as(bases), bases), kind=kind) for a in bases]
    return torch.stack(rows)


def random_subspaces(n: int, *, d: int, k: int, seed: int) -> Float[Tensor, "n d k"]:
    """`n` subspaces of `k` dimensions drawn uniformly from those of a space of `d`.

    Raises:
        LatdirError: No subspace of that many dimensions, or none requested.

    Example:
        >>> random_subspaces(5, d=8, k=2, seed=0).shape
        torch.Size([5, 8, 2])
    """
    if n < 1 or not 1 <= k <= d:
        raise LatdirError(f"{n} subspaces of {k} in {d} dimensions do not exist: k is 1 … {d}")
    rng = torch.Generator().manual_seed(seed)
    basis: Tensor = torch.linalg.qr(torch.randn(n, d, k, generator=rng, dtype=torch.float64))[0]
    return basis


@dataclass(frozen=True, eq=False)
class SubspaceComparison:
    """Principal angles of two subspaces and of random ones.

    Attributes:
        angles: `[r]`, radians, ascending.
        null: `[draws, r]`, the angles of pairs of random subspaces of the same sizes.
        kind: Which distance `distance` and `p` are about.
        d: Dimensions of the space around them.
    """

    angles: Float[Tensor, "r"]
    null: Float[Tensor, "draws r"]
    kind: Distance
    d: int

    @property
    def distance(self) -> float:
        """Grassmann distance of the two."""
        return float(distance(self.angles, kind=self.kind))

    @property
    def null_distances(self) -> Float[Tensor, "draws"]:
        """Grassmann distances of the random pairs."""
        return distance(self.null, kind=self.kind)

    @property
    def overlap(self) -> float:
        """Mean squared cosine: 1 when one contains the other, `max(p, q) / d` by chance."""
        return float(self.angles.cos().square().mean())

    @property
    def p(self) -> float:
        """p-value of the distance: (1 + random pairs as close) / (1 + draws)."""
        closer = int((self.null_distances <= self.distance).sum())
        return (1 + closer) / (1 + len(self.null))

    def as_dict(self) -> dict[str, Any]:
        """The figures, as JSON values."""
        null = self.null_distances
        low, high = null.quantile(torch.tensor([0.025, 0.975], dtype=null.dtype)).tolist()
        return {
            "angles_degrees": self.angles.rad2deg().tolist(),
            "kind": self.kind,
            "distance": self.distance,
            "null_mean": float(null.mean()),
            "null_low": low,
            "null_high": high,
            "overlap": self.overlap,
            "overlap_null": float(self.null.cos().square().mean()),
            "p": self.p,
        }


@checked_values
def compare_subspaces(
    a: Float[Tensor, "p d"],
    b: Float[Tensor, "q e"],
    *,
    kind: Distance = "geodesic",
    draws: int = 1000,
    seed: int = 0,
) -> SubspaceComparison:
    """Principal angles between two spans, with the random null.

    Args:
        a: Rows that span the first.
        b: Rows that span the second.
        kind: Which distance to compare.
        draws: Number of random pairs.
        seed: Seed of the random pairs.

    Raises:
        LatdirError: `span` or `principal_angles` refuses them, or no draws.

    Example:
        >>> eye = torch.eye(20)
        >>> found = compare_subspaces(eye[:3], eye[1:4])
        >>> found.angles.rad2deg().round().tolist(), found.p < 0.01
        ([0.0, 0.0, 90.0], True)
    """
    if draws < 1:
        raise LatdirError(f"the random null needs at least 1 draw, not {draws}")
    first, second = span(a), span(b)
    angles = principal_angles(first, second)
    d = a.shape[-1]
    # A pair of random subspaces is, up to a rotation, a random one against a fixed one.
    fixed = torch.eye(d, dtype=torch.float64)[:, : a.shape[-2]]
    null = torch.cat(
        [
            principal_angles(
                fixed.expand(count, -1, -1),
                random_subspaces(count, d=d, k=b.shape[-2], seed=seed + start),
            )
            for start in range(0, draws, NULL_CHUNK)
            for count in [min(NULL_CHUNK, draws - start)]
        ]
    )
    return SubspaceComparison(angles.cpu(), null, kind, d)


@checked
def compare_banks(
    a: DirectionBank,
    b: DirectionBank,
    *,
    count: int | None = None,
    kind: Distance = "geodesic",
    draws: int = 1000,
    seed: int = 0,
) -> SubspaceComparison:
    """Principal angles between the spans of two banks of one generator.

    Args:
        a: The first bank.
        b: The second bank.
        count: Number of each bank's first directions; by default all.
        kind: Which distance to compare.
        draws: Number of random pairs.
        seed: Seed of the random pairs.

    Raises:
        LatdirError: Banks of different generators or spaces, or directions that repeat others.
    """
    if a.fingerprint != b.fingerprint:
        raise BankError(
            f"these banks belong to different generators: {a.generator} ({a.fingerprint[:12]}…) "
            f"and {b.generator} ({b.fingerprint[:12]}…)"
        )
    spaces = sorted({d.space for bank in (a, b) for d in bank.directions})
    if len(spaces) != 1:
        raise SpaceError(
            f"directions of the spaces {', '.join(spaces) or 'none'} have no angles: "
            "select those of one space first"
        )
    first, second = (bank.matrix()[:count] for bank in (a, b))
    return compare_subspaces(first, second, kind=kind, draws=draws, seed=seed)
