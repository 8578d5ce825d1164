"""OroJaR: an orthonormal basis whose directions change the image orthogonally.

Yuxiang Wei, Yupeng Shi, Xiao Liu, Zhilong Ji, Yuan Gao, Zhongqin Wu, Wangmeng Zuo: Orthogonal
Jacobian Regularization for Unsupervised Disentanglement in Image Generation, ICCV 2021,
arXiv:2108.07668. The changes that two directions make in the image should be orthogonal at every
code: AᵀJᵀJA diagonal. The paper penalizes the variance of ‖J A v‖² over random signs v, which is
twice the sum of squares off the diagonal. `exact` computes JᵀJ at the codes and minimizes that sum
itself, by joint diagonalization; `sampled` descends on the paper's estimate, for spaces so large
that exact metrics cost too much.

Differences from the official code: codes are those of the prior, not zero, with exact Jacobian
products instead of differences; A is square and starts at the eigenvectors of the mean metric, and
directions are ranked by how much they change the image, since a small number of columns would
seek out directions that do nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.generators.base import Generator
from directions.numerics.tangents import pushforward
from discovery.decomposition.joint_diagonalization import diagonalize, off_diagonal
from discovery.jacobian.rotation_descent import (
    Images,
    RotationMethod,
    descend,
    ranked_bank,
)

__all__ = ["OroJaR"]


@dataclass(frozen=True)
class OroJaR(RotationMethod):
    """The basis whose directions change the image orthogonally, over all codes jointly.

    Its other settings are those of `RotationMethod`.

    Attributes:
        n_codes: Number of codes whose JᵀJ are diagonalized, or that start a sampled descent.
        solver: `exact` joint diagonalization, or `sampled` descent.

    Example:
        >>> from directions.generators import load_generator
        >>> OroJaR(n_directions=2, n_codes=4).discover(load_generator("planted"))
        DirectionBank(planted: orojar_00, orojar_01)
    """

    n_codes: int = 50
    solver: Literal["exact", "sampled"] = "exact"

    method: ClassVar[str] = "orojar"

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Find the basis.

        Args:
            generator: Any generator.
            seed: Of the codes and signs.

        Returns:
            Directions by descending mean squared change of the image (`eigenvalue`). The bank's
            provenance has `interaction`, the share of the squared JᵀJ off the diagonal, for the
            eigenvectors of the mean metric (`interaction_before`) and for this basis.

        Raises:
            LatdirError: An unknown space, or no convergence.
        """
        space, local, start = self._started(generator, seed)
        if self.solver == "exact":
            basis = diagonalize(local, start=start)
        else:
            basis = descend(self, _orojar_penalty, generator, space, start, seed)
        return ranked_bank(
            self,
            generator,
            space,
            basis,
            local,
            seed,
            before=off_diagonal(start @ local @ start.T),
            after=off_diagonal(basis @ local @ basis.T),
        )


def _orojar_penalty(images: Images, codes: Tensor, tangents: Float[Tensor, "2 n d"]) -> Tensor:
    """Variance over two sign vectors of ‖J A v‖², averaged over codes."""
    moved = [pushforward(images, codes, t.reshape(codes.shape)).derivative for t in tangents]
    first, second = (m.flatten(1).square().sum(1) for m in moved)
    return ((first - second).square() / 2).mean()
