"""Global bases from the Jacobians at many codes.

A Jacobian's singular vectors are local: they rank the changes of the image at one code. Two ways to
make them global are offered.

`mean` takes the eigenvectors of the mean of JᵀJ: the directions that change the image most on
average. It is the metric of the expected squared change, for which nothing needs to be matched
between codes.

`frechet` takes the Fréchet mean, on the Grassmann manifold, of the codes' leading subspaces:
Jaewoong Choi, Geonho Hwang, Hyunsoo Cho, Myungjoo Kang: Finding the global semantic
representation in GAN through Fréchet Mean, ICLR 2023, arXiv:2210.05509. Every code has the same
say, however strongly its image reacts. It differs from the paper in the basis chosen inside the
mean subspace: the eigenvectors of the mean metric restricted to it, which are ranked and need no
second mean. Logarithm and exponential are those of Bendokat, Zimmermann & Absil (2020),
arXiv:2011.13699.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import ConvergenceError, LatdirError
from directions.executors import Executor
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum, eigh, signed
from discovery.base import GeneratorMethod, tool
from discovery.jacobian.models import Features, MetricAt, eigen_bank, metrics

__all__ = ["GlobalBasis", "frechet_mean"]

MEAN_STEPS = 1000
MEAN_TOLERANCE = 1e-8


@dataclass(frozen=True)
class GlobalBasis(GeneratorMethod):
    """Directions that change the image most, over many codes.

    Attributes:
        n_directions: Maximum number of directions; fewer where the codes have fewer dimensions.
        n_codes: Number of codes whose Jacobians are aggregated.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        aggregate: `mean` of JᵀJ, or `frechet` mean of the leading subspaces.
        rank: Eigenpairs of each code's JᵀJ that are used; by default all, computed exactly.
        chunk: Tangents at a time; by default as many as memory allows.
        executor: Where Jacobians are taken (`directions.executors`); by default here.

    Example:
        >>> from directions.generators import load_generator
        >>> GlobalBasis(n_directions=2, n_codes=4).discover(load_generator("planted"))
        DirectionBank(planted: global_basis_00, global_basis_01)
    """

    n_directions: int = 20
    n_codes: int = 50
    space: str | None = None
    aggregate: Literal["mean", "frechet"] = "mean"
    rank: int | None = None
    chunk: int | None = None
    executor: Executor | None = tool()

    method: ClassVar[str] = "global_basis"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank is not None and self.rank < self.n_directions:
            raise LatdirError(
                f"rank {self.rank} keeps fewer eigenpairs a code than the {self.n_directions} "
                "directions wanted: raise it, or leave it out"
            )

    def discover(
        self,
        generator: Generator,
        *,
        seed: int = 0,
        codes: Float[Tensor, "n ..."] | None = None,
        features: Features | None = None,
    ) -> DirectionBank:
        """Find the directions.

        Args:
            generator: Any generator.
            seed: Of the codes, and of the random starts.
            codes: `[n, *shape]`, to use instead of sampled ones.
            features: Of images `[n, 3, h, w]`, whose change counts; by default the pixels.

        Returns:
            Directions by descending mean gain. Evidence has `eigenvalue` (mean squared change of
            the image per latent unit), `share`, `tied_with`, and `variation`: standard deviation
            over the codes of the gain ‖J v‖ divided by its mean, 0 for a direction that works
            equal everywhere.

        Raises:
            LatdirError: An unknown space, codes that do not fit it, an image that does not
                react, or a Fréchet mean that does not converge.
        """
        space = self.space or generator.default_space("w")
        if codes is None:
            codes = generator.sample(self.n_codes, seed=seed, space=space)
        generator.check(codes, space)
        at = MetricAt(generator, space, features, rank=self.rank, seed=seed, chunk=self.chunk)
        local = torch.stack([*metrics(at, codes, executor=self.executor)])
        count = min(self.n_directions, local.shape[-1])
        spectrum = _mean(local, count) if self.aggregate == "mean" else _frechet(local, count)
        return eigen_bank(
            generator,
            spectrum,
            space=space,
            method=self.method,
            config=self.config,
            provenance={"seed": seed, "samples": len(codes)},
            evidence=_variation(local, spectrum),
        )


def _mean(metrics: Float[Tensor, "n d d"], count: int) -> Spectrum:
    return eigh(metrics.mean(0), count=count)


def _frechet(metrics: Float[Tensor, "n d d"], count: int) -> Spectrum:
    """Eigenvectors of the mean metric inside the mean of the leading subspaces."""
    bases = torch.stack([eigh(m, count=count).vectors for m in metrics])
    subspace = frechet_mean(bases)
    average = metrics.mean(0)
    inside = eigh(subspace @ average @ subspace.T)
    total = float(average.trace())
    return replace(inside, vectors=signed(inside.vectors @ subspace), total=total)


def frechet_mean(bases: Float[Tensor, "n k d"]) -> Float[Tensor, "k d"]:
    """The subspace whose summed squared Grassmann distance to given ones is least.

    Args:
        bases: Orthonormal rows, each a basis of one subspace.

    Returns:
        Orthonormal rows, float64; only their span has a meaning.

    Raises:
        LatdirError: It does not converge: the subspaces are too far apart for a mean to exist.

    Example:
        >>> angles = torch.tensor([0.0, 0.2, 0.4])
        >>> lines = torch.stack([angles.cos(), angles.sin()], 1)[:, None]
        >>> x, y = frechet_mean(lines)[0].tolist()
        >>> round(y / x, 4) == round(torch.tensor(0.2).tan().item(), 4)
        True
    """
    y = bases.double().mT
    # The chordal mean is near: it has the same optimum for subspaces that nearly agree.
    x = eigh((y @ y.mT).mean(0), count=y.shape[2]).vectors.T
    for _ in range(MEAN_STEPS):
        step = _logarithm(x, y).mean(0)
        u, s, vt = torch.linalg.svd(step, full_matrices=False)
        x = torch.linalg.qr(x @ (vt.T * s.cos()) @ vt + (u * s.sin()) @ vt)[0]
        if float(s.amax()) < MEAN_TOLERANCE:
            mean: Tensor = x.T
            return mean
    raise ConvergenceError(
        f"the codes' leading subspaces have no Fréchet mean that {MEAN_STEPS} steps find (last "
        f"step {float(s.amax()):.2g} rad): use aggregate='mean', or fewer directions"
    )


def _logarithm(x: Float[Tensor, "d k"], y: Float[Tensor, "n d k"]) -> Float[Tensor, "n d k"]:
    """Tangents at x of the shortest geodesics to each y."""
    left, _, right = torch.linalg.svd(y.mT @ x)
    aligned = y @ (left @ right)
    across = aligned - x @ (x.T @ aligned)
    u, sines, vt = torch.linalg.svd(across, full_matrices=False)
    tangents: Tensor = (u * sines.clamp(max=1).arcsin()[:, None, :]) @ vt
    return tangents


def _variation(metrics: Float[Tensor, "n d d"], spectrum: Spectrum) -> list[dict[str, Any]]:
    v = spectrum.vectors
    gains = torch.einsum("kd,nde,ke->nk", v, metrics, v).clamp_min(0).sqrt()
    ratio = gains.std(0, correction=0) / gains.mean(0).clamp_min(1e-300)
    return [{"variation": value} for value in ratio.tolist()]
