"""The Hessian penalty: a basis whose directions do not modulate each other's effect.

William Peebles, John Peebles, Jun-Yan Zhu, Alexei Efros, Antonio Torralba: The Hessian Penalty: A
Weak Prior for Unsupervised Disentanglement, ECCV 2020, arXiv:2008.10599. The change one direction
makes should not depend on another: AᵀHA diagonal for every pixel's Hessian H, penalized through
the variance of a second difference over random signs.

Differences from the official code: the penalty is averaged over pixels, where the official one
follows the worst pixel of each step; A is square and starts at the eigenvectors of the mean
metric, and directions are ranked by how much they change the image, since a small number of
columns would seek out directions that do nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.generators.base import Generator
from discovery.jacobian.rotation_descent import (
    N_EVALUATION_CODES,
    Images,
    RotationMethod,
    descend,
    image_function,
    random_signs,
    ranked_bank,
)

__all__ = ["HessianPenalty"]


@dataclass(frozen=True)
class HessianPenalty(RotationMethod):
    """The basis whose directions do not modulate each other's effect.

    Its other settings are those of `RotationMethod`.

    Attributes:
        epsilon: Step of the second difference, in latent units; each of the d directions moves
            by it at once.

    Example:
        >>> from directions.generators import load_generator
        >>> HessianPenalty(n_directions=2, n_codes=4, steps=2).discover(load_generator("planted"))
        DirectionBank(planted: hessian_penalty_00, hessian_penalty_01)
    """

    epsilon: float = 0.1

    method: ClassVar[str] = "hessian_penalty"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("epsilon")

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Find the basis.

        Args:
            generator: Any generator.
            seed: Of the codes and signs.

        Returns:
            Directions by descending mean squared change of the image (`eigenvalue`). The bank's
            provenance has the penalty on codes not trained on, `interaction_before` and
            `interaction`: report them, for where they agree nothing was learned.

        Raises:
            LatdirError: An unknown space, or images that are not finite.
        """
        space, local, start = self._started(generator, seed)

        def penalty(images: Images, codes: Tensor, tangents: Tensor) -> Tensor:
            return _hessian_penalty(images, codes, tangents, self.epsilon)

        basis = descend(self, penalty, generator, space, start, seed)
        judge = generator.sample(N_EVALUATION_CODES, seed=seed, start=self.n_codes, space=space)
        images, rng = image_function(generator, space), torch.Generator().manual_seed(seed % 2**63)
        signs = random_signs(N_EVALUATION_CODES, len(start), rng).to(judge)
        with torch.no_grad():
            before, after = (
                float(penalty(images, judge, signs @ a.to(judge))) for a in (start, basis)
            )
        return ranked_bank(self, generator, space, basis, local, seed, before=before, after=after)


def _hessian_penalty(
    images: Images, codes: Tensor, tangents: Float[Tensor, "2 n d"], epsilon: float
) -> Tensor:
    """Variance over two sign vectors of the second difference, averaged over pixels and codes."""
    steps = epsilon * tangents.reshape(2, *codes.shape)
    # The middle term of a second difference is the same for both, so that the variance loses it.
    outer = [images(codes + s) + images(codes - s) for s in steps]
    return (((outer[0] - outer[1]) / epsilon**2).square() / 2).mean()
