"""Active subspaces: the few directions along which a score changes at all, up or down.

Paul Constantine, Eric Dow, Qiqi Wang: Active Subspace Methods in Theory and Practice: Applications
to Kriging Surfaces, SIAM J. Sci. Comput. 2014, arXiv:1304.2070. With C = E[∇s ∇sᵀ] over the prior,
the eigenvectors of the largest eigenvalues span the directions in which s varies most; along the
others it hardly changes. Unlike the mean gradient this also sees a score that rises for half of
the codes and falls for the other half.

Two departures from the paper, whose codes are whitened and whose gradients are tame: gradients
are taken along directions in latent units, as everywhere in this package, and clipped at their
median norm, since a second moment is even more at the mercy of outliers than a mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.direction import Direction
from directions.errors import LatdirError
from directions.executors import Executor
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum, eigh
from directions.scoring.gradients import score_gradients
from discovery.base import ScoreMethod, tool
from discovery.supervised.robust_means import clipped

__all__ = ["ActiveSubspace", "active_subspace"]


def active_subspace(
    gradients: Float[Tensor, "n d"], *, n_directions: int | None = None
) -> Float[Tensor, "k d"]:
    """Leading eigenvectors of the mean outer product of clipped gradients, as rows.

    Args:
        gradients: `[n, d]`.
        n_directions: Number of directions; all by default.

    Example:
        >>> rows = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0]])
        >>> active_subspace(rows, n_directions=1)
        tensor([[1., 0.]], dtype=torch.float64)
    """
    return _spectrum(gradients, n_directions).vectors


def _spectrum(gradients: Tensor, components: int | None) -> Spectrum:
    g = clipped(gradients.double())
    return eigh(g.T @ g / len(g), count=components, tolerance=math.sqrt(2 / len(g)))


@dataclass(frozen=True)
class ActiveSubspace(ScoreMethod):
    """Eigenvectors of the second moment of a score's gradient.

    Attributes:
        n_codes: Number of codes to take gradients at.
        n_directions: Directions for each attribute.
        space: Latent space of the codes; by default the generator's first.
        batch_size: Codes at a time; bounds the memory.
        executor: Where gradients are taken (`directions.executors`); by default here.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=1, dim=8, bend=2.0)
        >>> bank = ActiveSubspace(n_codes=200, n_directions=2).discover(
        ...     world, classifier=world.classifier())
        >>> list(bank), round(bank["factor_0.1"].evidence["share"], 1) > 0
        (['factor_0.0', 'factor_0.1'], True)
    """

    method: ClassVar[str] = "active_subspace"

    n_codes: int = 300
    n_directions: int = 3
    space: str | None = None
    batch_size: int = 32
    executor: Executor | None = tool()

    def discover(
        self,
        generator: Generator,
        *,
        classifier: Classifier,
        attributes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> DirectionBank:
        """The leading directions of each attribute, `smiling.0`, `smiling.1`, ….

        Each is signed so that the score rises along it on average, however little.

        Args:
            generator: Makes the images, differentiably.
            classifier: Scores them, differentiably.
            attributes: Which to take; by default all of the classifier's.
            seed: Seed of the codes.

        Returns:
            A bank. Evidence of each direction: `eigenvalue` (of clipped gradients), `share` of
            the total, `tied_with` (indices that sampling cannot distinguish), `mean_share`:
            how much of its eigenvalue is the squared mean slope, 1 for a score that is linear
            along it and 0 for one that rises as often as it falls.

        Raises:
            LatdirError: Something is not differentiable, a gradient is zero everywhere or not
                finite, or fewer codes than twice the directions.
        """
        names = tuple(classifier.names if attributes is None else attributes)
        space = generator.space(self.space or generator.default_space())
        if not 1 <= self.n_directions <= min(space.size, self.n_codes // 2):
            raise LatdirError(
                f"{self.n_directions} directions from {self.n_codes} codes of {space.size} "
                f"coordinates: give 1 … {min(space.size, self.n_codes // 2)}, or raise n_codes"
            )
        codes = generator.sample(self.n_codes, seed=seed, space=space.name)
        found = score_gradients(
            generator,
            classifier,
            codes,
            attributes=names,
            space=space.name,
            batch_size=self.batch_size,
            executor=self.executor,
        )
        prior = generator.prior(space.name)
        directions = []
        for j, name in enumerate(names):
            g = found.gradients[:, j].double()
            if not torch.isfinite(g).all() or not g.any():
                raise LatdirError(
                    f"the gradient of {name!r} is zero at every code, or not finite at some: "
                    "fix the classifier, or leave that attribute out"
                )
            slope = clipped(g).mean(0)
            for i, (vector, evidence) in enumerate(_spectrum(g, self.n_directions)):
                along = float(slope @ vector)
                unit = vector if along >= 0 else -vector
                mean_share = along**2 / evidence["eigenvalue"] if evidence["eigenvalue"] else 0.0
                directions.append(
                    Direction.from_vector(
                        f"{name}.{i}",
                        unit.reshape(space.shape).float(),
                        space=space.name,
                        method=self.method,
                        config=self.config,
                        sigma=prior.sigma(unit),
                        evidence={**evidence, "mean_share": mean_share},
                    )
                )
        provenance = {
            "seed": seed,
            "classifier": classifier.name,
            "classifier_fingerprint": classifier.fingerprint,
        }
        return DirectionBank.of(generator, tuple(directions), provenance)
