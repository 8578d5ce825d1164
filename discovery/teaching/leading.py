"""What features of images say of the directions that matter, before anyone is asked.

Codes are whitened, x = R⁺ (code − mean), so that the generator draws them from N(0, I). The
features of images, scaled to unit variance along each of their principal components, are regressed
on the codes by ridge; an attribute that people see is taken for a combination of features, so that
its direction is one of their coefficients B, with covariance B Bᵀ. For pixels this is the mean
pull-back metric of the image, since E ∂f/∂x = E f xᵀ for normal codes (Stein 1981).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.classifiers.clip.model import load_clip
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.eigen import signed
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import TEACHING_SEED
from directions.space import LowRankPrior, Prior
from discovery.estimators.linear import ridge
from discovery.second_labeler import FACES

__all__ = [
    "Features", "Source", "Whitening", "features_of", "leading_directions", "looking",
    "small_pixels",
]  # fmt: skip

Features = Literal["auto", "faces", "clip", "pixels", "none"]
SMALL = 16  # pixels a side
MOST = 128  # principal components of the features
# Axes of a space whose variance is less than this fraction of the largest are left out.
FLAT = 1e-6
REMEMBERED = 8
_known: dict[Source, tuple[Whitening, Tensor]] = {}


@dataclass(frozen=True, eq=False)
class Whitening:
    """Codes as coordinates that the generator draws from N(0, I), and back.

    A direction w of the coordinates is `w @ root.T` in the space: a move along it keeps to where
    the codes lie, as the difference of two classes' means does.

    Attributes:
        mean: `[d]`, of the codes, flattened; float64.
        root: R, `[d, r]`, with covariance R Rᵀ and orthogonal columns.

    Example:
        >>> white = Whitening.of(Prior(torch.tensor([1.0, 0.0]), torch.tensor([[4.0, 0], [0, 0]])))
        >>> white.coordinates(torch.tensor([[5.0, 0.0]])).abs()
        tensor([[2.]], dtype=torch.float64)
    """

    mean: Float[Tensor, "d"]
    root: Float[Tensor, "d r"]

    @classmethod
    def of(cls, prior: Prior) -> Whitening:
        """The whitening of a distribution of codes.

        Raises:
            LatdirError: The codes do not vary.
        """
        mean = prior.mean.double().cpu()
        if isinstance(prior, LowRankPrior):
            axes, deviations, _ = torch.linalg.svd(prior.root, full_matrices=False)
        else:
            covariance = prior.covariance.double().cpu()
            if torch.equal(covariance, torch.eye(len(mean), dtype=torch.float64)):
                return cls(mean, covariance)
            values, axes = torch.linalg.eigh(covariance)
            deviations = values.clamp_min(0).sqrt()
        kept = deviations.square() > FLAT * deviations.max().square()
        if not kept.any():
            raise LatdirError("all codes of this space are equal: there is no direction in it")
        return cls(mean, axes[:, kept] * deviations[kept])

    def coordinates(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n r"]:
        """Coordinates of codes, float64 on the CPU."""
        return self.steps(codes.flatten(1).double().cpu() - self.mean)

    def steps(self, moves: Float[Tensor, "n ..."]) -> Float[Tensor, "n r"]:
        """Coordinates of differences of codes."""
        return moves.flatten(1).double().cpu() @ self.root / self.root.square().sum(0)


@dataclass(frozen=True)
class Source:
    """What leading directions are computed from.

    Attributes:
        fingerprint: Of the generator.
        space: Of the codes.
        features: `faces`, `clip`, `pixels` or `none`.
        embed: Another function of images instead.
        n_codes: Images looked at.
        batch_size: Images at a time.
        generator: Makes the images.
    """

    fingerprint: str
    space: str
    features: Features
    embed: Callable[[Tensor], Tensor] | None
    n_codes: int
    batch_size: int | None = field(compare=False)
    generator: Generator = field(compare=False)

    def described(self) -> Callable[[Tensor], Tensor]:
        """The function from images to features."""
        if self.embed is not None:
            return self.embed
        if self.features == "clip":
            return load_clip("tinyclip-faces", device=self.generator.device).encode_images
        return FaceEmbedding() if self.features == "faces" else small_pixels


def features_of(features: Features, generator: Generator) -> Features:
    """`faces` for generators that are known to make faces and `pixels` for others, if `auto`."""
    if features != "auto":
        return features
    return "faces" if generator.name in FACES else "pixels"


def small_pixels(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
    """Images shrunk to at most 16 × 16 pixels.

    Example:
        >>> small_pixels(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 768])
    """
    side = (min(SMALL, images.shape[-2]), min(SMALL, images.shape[-1]))
    return nn.functional.interpolate(images.float(), size=side, mode="area").flatten(1)


def leading_directions(source: Source) -> tuple[Whitening, Float[Tensor, "r k"]]:
    """The whitening of a space and F, whose columns F Fᵀ is the covariance of directions.

    Columns are orthogonal, the leading one first, and ‖F‖ = 1; without features there are none.
    The first call for a source looks at its images; the last few sources are remembered.
    """
    for _ in looking(source, piece=source.n_codes):
        pass
    return _known[source]


def looking(source: Source, *, piece: int) -> Iterator[float]:
    """The work of `leading_directions`, so many images at a time.

    Yields:
        The fraction of the images looked at so far.
    """
    if source in _known:
        return
    generator = source.generator
    white = Whitening.of(generator.prior(source.space))
    if source.features == "none" and source.embed is None:
        _remember(source, white, torch.zeros(white.root.shape[1], 0, dtype=torch.float64))
        return
    codes = generator.sample(source.n_codes, seed=TEACHING_SEED, space=source.space)
    scorer = Scorer(
        generator,
        space=source.space,
        embed=source.described(),
        rendering=Rendering(batch_size=source.batch_size, progress=piece >= source.n_codes),
        n=source.n_codes,
    )
    features = []
    for start in range(0, source.n_codes, piece):
        features.append(scorer.embed(codes[start : start + piece]))
        yield sum(map(len, features)) / source.n_codes
    B = ridge(white.coordinates(codes), _components(torch.cat(features)).T).weights
    if not float(B.norm()) > 0:
        raise LatdirError(
            "the features of the images do not depend on the codes: choose features='pixels', or "
            "give embed=… another function"
        )
    axes, strengths, _ = torch.linalg.svd(B.T / B.norm(), full_matrices=False)
    # A fixed sign: a strip is the same question wherever it is asked again.
    _remember(source, white, signed(axes.T).T * strengths)


def _remember(source: Source, white: Whitening, factor: Tensor) -> None:
    _known[source] = (white, factor)
    while len(_known) > REMEMBERED:
        _known.pop(next(iter(_known)))


def _components(features: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
    """Principal components of features, each of variance 1."""
    X = features.flatten(1).double().cpu()
    X = X - X.mean(0)
    values, axes = torch.linalg.eigh(X.T @ X / len(X))
    kept = values > FLAT * values[-1].clamp_min(torch.finfo(torch.float64).tiny)
    values, axes = values[kept][-MOST:], axes[:, kept][:, -MOST:]
    scaled: Tensor = X @ axes / values.sqrt()
    return scaled
