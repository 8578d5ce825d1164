"""Directions that change features of images most, each of them few.

Reduced-rank regression (A. J. Izenman, Journal of Multivariate Analysis 1975) of features on codes,
then a varimax rotation (H. F. Kaiser, Psychometrika 1958). With x the whitened codes and f the
leading principal components of the features, whitened,

    B = E[x fᵀ] = U S Vᵀ,    R = varimax(V_K S_K),    directions: the columns of Σ^½ U_K R.

U_K spans the K dimensions in which codes tell most of f, and R turns them so that each moves few of
its components. Pixels alone see light and color first; whitened beside an embedding of faces, what
makes a face counts as much. No label is needed, and no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from directions.arguments import returned
from directions.bank import DirectionBank
from directions.classifiers.faces.classifier import faces
from directions.direction import Direction
from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.numerics.eigen import eigh, signed
from directions.scoring.features import Features
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from discovery.base import GeneratorMethod, tool
from discovery.decomposition.varimax import varimax

__all__ = ["FeatureRegression"]

SIDE = 8
# Components below this share of the largest are rounding.
LEAST = 1e-6


class _White(NamedTuple):
    """Rows with unit covariance, and the symmetric root of what their covariance was."""

    rows: Float[Tensor, "n m"]
    root: Float[Tensor, "d m"]


@dataclass(frozen=True)
class FeatureRegression(GeneratorMethod):
    """Directions that change features of images most, each of them few.

    Evidence: `share`, of the variance of the whitened features, told by the code along the
    direction; directions come by falling share.

    Attributes:
        n_directions: Number K of directions.
        n_codes: Codes whose images are looked at.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        features: `pixels`, reduced to 8 x 8; or `faces`, these and the embedding of the built-in
            face recognition network.
        components: Principal components of the pixels, and of the embedding, that count.
        rotate: Whether directions are turned by varimax; otherwise they come by the variance told.
        batch_size: Images at a time.
        precision: Arithmetic of the generator and the embedding.
        embed: Any features of images in the place of the face embedding, such as those of CLIP.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8, nuisances=0)
        >>> bank = FeatureRegression(n_directions=2, n_codes=400).discover(world)
        >>> bool((bank.matrix() @ world.truth.T).norm(dim=1).min() > 0.95)
        True
    """

    n_directions: int = 15
    n_codes: int = 4096
    space: str | None = None
    features: Literal["pixels", "faces"] = "pixels"
    components: int = 64
    rotate: bool = True
    batch_size: int = 64
    precision: Precision = "bfloat16"
    embed: Features | None = tool()

    method: ClassVar[str] = "feature_regression"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_codes < 2 or self.components < 1:
            raise LatdirError(
                f"n_codes is {self.n_codes} and components {self.components}: give at least 2 "
                "codes, and 1 component"
            )

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Make images of codes, and regress their features on the codes.

        Args:
            generator: Any generator.
            seed: Of the codes.

        Returns:
            Directions by falling share; fewer than wanted where features have fewer components.

        Raises:
            LatdirError: No more codes than the space has dimensions, more directions than
                dimensions, or images that are all the same.
        """
        name = self.space or generator.default_space("w")
        where, prior = generator.space(name), generator.prior(name)
        if self.n_codes <= where.size or self.n_directions > where.size:
            raise LatdirError(
                f"{name} has {where.size} dimensions: n_codes ({self.n_codes}) must be larger, and "
                f"n_directions ({self.n_directions}) no larger"
            )
        codes = generator.sample(self.n_codes, seed=seed, space=name)
        blocks: list[Features] = [_reduced]
        if self.embed is not None:
            blocks.append(_checked(self.embed))
        elif self.features == "faces":
            blocks.append(faces().embed)
        rendering = Rendering(precision=self.precision, batch_size=self.batch_size)
        seen = [
            Scorer(generator, space=name, embed=block, rendering=rendering).embed(codes)
            for block in blocks
        ]
        x = _white(codes.flatten(1), where.size)
        f = torch.cat([_white(part, self.components).rows for part in seen], 1)
        U, S, Vh = torch.linalg.svd(x.rows.T @ f / len(f), full_matrices=False)
        k = min(self.n_directions, len(S))
        loadings = Vh[:k].T * S[:k]
        R = varimax(loadings) if self.rotate else torch.eye(k).to(loadings)
        shares = (loadings @ R).square().sum(0) / f.shape[1]
        order = shares.argsort(descending=True, stable=True)
        steps = (x.root @ U[:, :k] @ R).T[order]
        vectors = signed(steps / steps.norm(dim=1, keepdim=True)).float().cpu()
        made = tuple(
            Direction.from_vector(
                f"{self.method}_{i:02d}",
                vector.reshape(where.shape),
                space=name,
                method=self.method,
                config=self.config,
                sigma=prior.sigma(vector),
                evidence={"share": share},
            )
            for i, (vector, share) in enumerate(zip(vectors, shares[order].tolist(), strict=True))
        )
        return DirectionBank.of(generator, made, {"seed": seed, "told": float(shares.sum())})


def _reduced(images: Tensor) -> Tensor:
    """Images at 8 x 8 pixels, flat."""
    return adaptive_avg_pool2d(images, SIDE).flatten(1)


def _checked(embed: Features) -> Features:
    """A caller's features; those that have a form for inference are known."""

    def read(images: Tensor) -> Tensor:
        rows: Tensor = returned(embed(images), "embed", "n f")
        return rows

    return embed if hasattr(embed, "inference") else read


def _white(rows: Tensor, count: int) -> _White:
    """The leading principal components, at unit variance."""
    rows = rows.double() - rows.double().mean(0)
    spectrum = eigh(rows.T @ rows / len(rows), count=min(count, rows.shape[1]))
    kept = spectrum.values > LEAST * spectrum.values[0]
    if not kept.any():
        raise LatdirError("images of all codes look the same, so that nothing can change them")
    vectors, deviations = spectrum.vectors[kept], spectrum.values[kept].sqrt()
    return _White(rows @ vectors.T / deviations, vectors.T * deviations)
